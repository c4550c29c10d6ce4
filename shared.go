package pacer

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
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

	// Hold, if it is above 0: a request was throttled, and all processes must pause
	// for so long.
	Hold    time.Duration
	TooLong bool // see [Outcome]; the bucket is closed for a part of Hold then, see [Grant].RetryAt

	// Accepted and Throttled are how many answers this process has had since its last demand,
	// if the store heeds them ([Grant].Heeded). Throttled answers that may be about the number of
	// requests in progress are left out, and so are all if nothing is to be learned.
	Accepted, Throttled int
	// Learn: this process may learn for all. It may not after SetLearning(false), nor if the program
	// said that the resource is not to be paced.
	Learn bool
	// Pace and Learned are what the process has learned for all, if it is the learner
	// ([Grant].Learner): requests/s at which the bucket is to send ([Unlimited]: none was learned),
	// and the limit as far as throttling has shown it (0: it has not). Pace is below 0 in a
	// process that is not the learner, as far as it knows.
	Pace, Learned float64
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
	// RetryAt, if Hold has not passed and it is not zero: calls are to fail at once instead of
	// waiting for Hold. It is until when Twilio asked to wait.
	RetryAt time.Time
	// Pace is how many tokens per second the bucket gives out now, to all, at most; [Unlimited].
	Pace float64
	// Learned is the limit as far as throttling has shown it; 0: it has not.
	Learned float64
	// Processes is how many have asked for tokens of this bucket of late, this one included.
	Processes int
	// Heeded: the store wants to know how many requests are accepted and throttled, since some
	// were throttled within the last minute, or a pace was learned.
	Heeded bool
	// Learner: this process learns for all. One does at a time, as long as it asks.
	Learner bool
	// Accepted and Throttled are the answers that other processes have had, since the learner was
	// last told.
	Accepted, Throttled int
}

// ErrBucketOnly says of an error of [BucketStore].Take that the store answers, and that only this
// bucket is in disorder. All others of the limiter stay shared. Without it, and if the store
// has answered no other demand meanwhile, all buckets go on by themselves.
var ErrBucketOnly = errors.New("pacer: only this bucket is concerned")

// NewSharedLimiter returns a BucketLimiter whose tokens come from store, where other
// processes get theirs as well. Cool-downs and learned rates of buckets hold for all processes;
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
	return token.NewLeased(&s.link, b.allowed.burst, token.User{Rate: b.configured, Waiting: b.line.Len, Tell: b.tell, Lessons: b.lessons})
}

// leased returns the bucket's tokens if they are shared, else nil.
func (b *bucket) leased() *token.Leased {
	leased, _ := b.tokens.(*token.Leased)
	return leased
}

// lessons are the pace and the limit that were learned for all.
func (b *bucket) lessons() (pace, learned float64) {
	if !b.evidence.Known() {
		return Unlimited, 0
	}
	return b.evidence.Pace(), b.evidence.Learned()
}

// tell sends a demand to the store, and takes in the answer when it comes.
func (b *bucket) tell(d token.Demand, sent time.Time) {
	l := b.limiter
	go func() {
		g, err := l.shared.store.Take(context.Background(), b.resource, Demand(d))
		l.mu.Lock()
		defer l.mu.Unlock()
		b.answered(d, token.Grant(g), err, sent, time.Now())
	}()
}

// answered takes in what the store has answered.
func (b *bucket) answered(d token.Demand, g token.Grant, err error, sent, now time.Time) {
	defer b.line.WakeHead()
	if err == nil {
		if b.leased().Granted(d, g, now) {
			b.heldByOthers(g.Hold, g.RetryAt, now)
		}
		b.learnForAll(g, now)
		return
	}
	news, alone := b.leased().Failed(d, err, errors.Is(err, ErrBucketOnly), sent, now)
	switch {
	case !news:
	case alone:
		b.away(now)
	default:
		for _, other := range b.limiter.buckets {
			other.away(now)
			other.line.WakeHead()
		}
	}
}

// away has the bucket go on by itself.
func (b *bucket) away(now time.Time) {
	b.leased().Away(now, b.pace())
	b.configure()
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

// ownGrowth is by how much a cool-down must be longer than the bucket's own for it to be another
// process's.
const ownGrowth = 50 * time.Millisecond

// heldByOthers makes the bucket pause as the store says. Cool-downs of this process come back
// from there, too.
func (b *bucket) heldByOthers(until, retryAt, now time.Time) {
	if until.Sub(b.cooldown.until) > ownGrowth {
		b.evidence.Held(until.Sub(now), now)
	}
	b.keepStill(until, retryAt, now)
}

// learnForAll has the bucket learn from the answers of all processes if it is the learner, and
// follow those who do if it is not.
func (b *bucket) learnForAll(g token.Grant, now time.Time) {
	leased := b.leased()
	if leased.Learner() != b.evidence.forAll {
		b.configure()
		if b.evidence.forAll {
			b.evidence.Adopt(g.Learned, now)
		}
		b.adapt(now)
	}
	if !leased.Learner() {
		return
	}
	since := now.Sub(leased.Fed(now))
	span := max(since, othersSpan)
	b.evidence.Shared(leased.Others(), g.Accepted, since)
	if n := g.Accepted + g.Throttled; n > 0 {
		for i := range n {
			left := now.Add(-span + span*time.Duration(i)/time.Duration(n))
			if (i+1)*g.Throttled/n == i*g.Throttled/n {
				b.evidence.Accepted(left, 0, nil, now)
				continue
			}
			v := b.evidence.Throttled(learn.Throttle{Left: left, Rate: true}, nil, now)
			if v.Close {
				b.close(Outcome{RetryAfter: v.Hold}, now)
			}
		}
		b.adapt(now)
	}
}

// othersSpan is in how much time the other processes' requests have left, at least: each tells of its
// answers from time to time.
const othersSpan = 800 * time.Millisecond

// close makes the bucket pause, in all processes.
func (b *bucket) close(o Outcome, now time.Time) {
	before, refused := b.cooldown.until, b.cooldown.refuse
	b.coolDown(o, now)
	if b.limiter.shared == nil || !b.cooldown.until.After(before) && b.cooldown.refuse == refused {
		return
	}
	retry := time.Time{}
	if b.cooldown.refuse {
		retry = b.cooldown.retryAt
	}
	b.leased().Held(b.cooldown.until, retry, now)
}

// Hold makes a bucket pause as a throttled answer may do: for o.RetryAfter, and with
// o.TooLong so that calls fail at once. It is for a [BucketStore], when another process
// was throttled. It does nothing if the bucket is not in use here.
func (l *BucketLimiter) Hold(r Resource, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[r]
	if !ok {
		return
	}
	now := time.Now()
	if l.shared != nil {
		b.leased().HeldByOthers(int(math.Round(b.evidence.PerSecond(now))), now)
		if o.RetryAfter > b.cooldown.remaining(now) {
			b.evidence.Held(o.RetryAfter, now)
		}
	}
	b.coolDown(o, now)
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
