package pacer

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/twilio-pacer/pacer/internal/token"
)

// A BucketStore keeps the tokens of buckets that several processes share. Package
// redispacer has one, on Redis; one of your own is for [NewSharedLimiter]. It must be
// safe for concurrent use.
type BucketStore interface {
	// Take takes up to d.N tokens out of r's bucket, and tells the bucket what else d
	// says. It is to return within a fraction of a second, with an error if the store
	// does not answer: calls wait for it.
	Take(ctx context.Context, r Resource, d Demand) (Grant, error)
}

// A Demand is what a process wants of a shared bucket, and has to say about it.
type Demand struct {
	N     int     // tokens wanted; 0: none
	Rate  float64 // tokens that come into being per second, by this process's limits; [Unlimited]: as many as wanted, unless the bucket has learned otherwise
	Burst int     // the most that the bucket holds

	// Unused tokens of the grant numbered Last go back, if it is the bucket's last one.
	// Of an earlier grant they are lost: what came after it has been given out by then.
	Unused int
	Last   int64

	// Back: the store has not answered for a while, and the process goes on by itself
	// until the time that [Grant].Again says. A bucket of which no tokens were taken for a
	// second, or about which nothing is known, opens for all a second later, when all have
	// noticed: those that noticed first would else have the whole rate beside the others' shares.
	Back bool

	// Hold, if it is above 0: a request was throttled, and all processes are to keep still
	// for so long.
	Hold    time.Duration
	TooLong bool // see [Outcome]
	// Accepted is how many requests of this process were accepted within the second
	// before it. It is for a bucket that has given out no tokens.
	Accepted int
	// Learn: the throttle teaches the bucket a rate. It does not if SetLearning(false) was
	// called, or if the program said that the resource is not to be paced. Nor does it if
	// more requests of the account were in progress than were accepted within a minute,
	// unless Twilio said that it is about a rate.
	Learn bool
}

// A Grant is what a [BucketStore] has given out. Its i-th token, from 0, may be used at
// From + i*Every, or at once if that has passed.
type Grant struct {
	N      int // tokens; 0: none now
	Number int64
	From   time.Time // in the process's own clock, as time.Now has it
	Every  time.Duration
	// Again is when to ask again if N is 0, or for [Demand].Back when to begin to.
	Again time.Time
	// Hold is when the bucket's cool-down ends; zero or past: there is none.
	Hold time.Time
	// Pace is how many tokens per second the bucket gives out now, to all, at most; [Unlimited].
	Pace float64
	// Learned is the limit as far as throttling has shown it; 0: it has not.
	Learned float64
	// Processes is how many have asked for tokens of this bucket of late, this one included.
	Processes int
}

// NewSharedLimiter returns a BucketLimiter whose tokens come from store, where other
// processes get theirs as well. Cool-downs and learned rates of buckets are the store's;
// the order of those who wait, priorities and in-flight limits are each process's own.
//
// A process asks for several tokens at a time, as a schedule: as many as wait for them,
// or as it has used within a tenth of a second, and at most those of 50 ms. While the
// store does not answer, each process goes on with an equal share of nine tenths of the
// last known rate, and asks again twice a second.
//
// The error is as from [Limits.Validate].
func NewSharedLimiter(limits Limits, store BucketStore) (*BucketLimiter, error) {
	if store == nil {
		return nil, errors.New("pacer: NewSharedLimiter: nil store: expected a BucketStore")
	}
	l, err := NewLimiter(limits)
	if err != nil {
		return nil, err
	}
	l.shared = &sharing{store: store}
	return l, nil
}

// sharing is what a limiter knows about its store.
type sharing struct {
	store BucketStore
	link  token.Link
}

// source returns the tokens of a new bucket.
func (s *sharing) source(b *bucket) *token.Leased {
	return token.NewLeased(&s.link, b.allowed.burst, b.evidence.Pace, b.line.Len, b.tell)
}

// leased returns the bucket's tokens if they are shared, else nil.
func (b *bucket) leased() *token.Leased {
	leased, _ := b.tokens.(*token.Leased)
	return leased
}

// tell sends a demand to the store, and takes in the answer when it comes.
func (b *bucket) tell(d token.Demand) {
	l := b.limiter
	go func() {
		g, err := l.shared.store.Take(context.Background(), b.resource, Demand(d))
		l.mu.Lock()
		defer l.mu.Unlock()
		b.answered(d, token.Grant(g), err, time.Now())
	}()
}

// answered takes in what the store has answered.
func (b *bucket) answered(d token.Demand, g token.Grant, err error, now time.Time) {
	defer b.line.WakeHead()
	if err == nil {
		if hold := b.leased().Granted(d, g, now); hold > 0 {
			b.coolDown(Outcome{RetryAfter: hold}, now)
		}
		return
	}
	if !b.leased().Failed(d, err, now) {
		return
	}
	for _, other := range b.limiter.buckets {
		other.leased().Away(now, other.pace())
		other.line.WakeHead()
	}
}

// rejoin has all buckets go back to the store after an outage, if it is over. While it is
// not the bucket asks the store, once in a while.
func (b *bucket) rejoin(now time.Time) {
	if b.limiter.shared == nil || !b.leased().Rejoin(now) {
		return
	}
	for _, other := range b.limiter.buckets {
		other.tokens.Unreserve(now) // what it had meanwhile
		other.line.WakeHead()
	}
}

// report tells the store that a request was throttled, with inProgress of the account.
func (b *bucket) report(o Outcome, inProgress int, now time.Time) {
	leased := b.leased()
	d := leased.Demand(0)
	d.Hold, d.TooLong = o.RetryAfter, o.TooLong
	d.Accepted = int(math.Round(b.evidence.PerSecond(now)))
	d.Learn = !b.limiter.fixed && !b.allowed.never() && (o.Rate || !b.account.learned.Exceeds(inProgress, now))
	leased.Tell(d)
}

// Hold makes a bucket keep still as a throttled answer may do: for o.RetryAfter, and with
// o.TooLong so that calls fail at once. It is for a [BucketStore], when another process
// was throttled. It does nothing if the bucket is not in use here.
func (l *BucketLimiter) Hold(r Resource, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[r]
	if !ok {
		return
	}
	if l.shared != nil {
		b.leased().HeldByOthers()
	}
	b.coolDown(o, time.Now())
}

// StoreStats is how it stands between a limiter and its [BucketStore].
type StoreStats struct {
	Err   error     // why it does not answer; nil: it does
	Since time.Time // since when; zero if it does
	Asked int64     // round trips, ever
}

// Store returns how it stands between the limiter and its store; all is zero for a limiter
// that has none.
func (l *BucketLimiter) Store() StoreStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shared == nil {
		return StoreStats{}
	}
	return l.storeStats()
}

func (l *BucketLimiter) storeStats() StoreStats {
	return StoreStats{Err: l.shared.link.Err, Since: l.shared.link.Since, Asked: l.shared.link.Asked}
}
