package pacer

import (
	"context"
	"errors"
	"math"
	"time"

	"golang.org/x/time/rate"
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
	// called, if Twilio said that it is about concurrency, or if the program said that the
	// resource is not to be paced.
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
	store    BucketStore
	err      error     // why it does not answer; nil: it does
	since    time.Time // since when
	again    time.Time // when to try again
	back     bool      // it answers again
	trying   bool
	rejoined time.Time
	others   int // the most processes that any bucket had, this one included; 0: not known
	asked    int64
}

const (
	leaseTime    = 50 * time.Millisecond  // of tokens taken at once
	foresight    = 100 * time.Millisecond // of tokens used, as a forecast of those that will be
	maxLease     = 50                     // tokens
	brisk        = 200                    // tokens per second of a bucket from which they are taken by forecast
	askAway      = 500 * time.Millisecond // between attempts while the store does not answer
	countedAfter = 10 * time.Second       // from rejoining
	quietAtFirst = 500 * time.Millisecond // what others still have in hand is used up by then
	awayShare    = 0.9                    // of the rate, all processes together, meanwhile
	unknownShare = 0.1                    // of that, for one process that never had an answer
)

// A lease is what a bucket has of a shared one.
type lease struct {
	grants  []Grant // with tokens left, in order
	left    int     // tokens in them
	unused  int     // to be given back, of the grant numbered last
	last    int64
	size    int // of the last grant
	asking  bool
	again   time.Time // before which it is no use to ask
	paced   bool      // the store paces it, whether or not a limit does
	pace    float64   // of the whole bucket; 0: not known
	learned float64
	quiet   time.Time // until when it keeps still since the store does not answer
	others  int       // processes, this one included; 0: not known
	usage   usage
}

// A usage estimates how many tokens a second are used.
type usage struct {
	began       time.Time // the present half second
	now, before int
}

const usageTime = 500 * time.Millisecond

func (u *usage) add(now time.Time) {
	u.age(now)
	u.now++
}

func (u *usage) age(now time.Time) {
	switch age := now.Sub(u.began); {
	case age >= 2*usageTime:
		u.began, u.now, u.before = now, 0, 0
	case age >= usageTime:
		u.began, u.now, u.before = u.began.Add(usageTime), 0, u.now
	}
}

func (u *usage) perSecond(now time.Time) float64 {
	u.age(now)
	past := now.Sub(u.began).Seconds() / usageTime.Seconds()
	return (float64(u.before)*(1-past) + float64(u.now)) / usageTime.Seconds()
}

// late is how long after its time a token may be used. All processes keep maxSlack below
// the rate, so that a request that is late by less than that does not crowd the window
// of the one that follows it a second later.
const late = time.Duration(0.75 * maxSlack * float64(time.Second))

// spare is the same for tokens of a fast bucket that were taken before anyone needed
// them: while there are such the window is not full.
const spare = 2 * foresight

// first returns when the next token in hand may be used; ok is false if there is none.
// Tokens whose time has passed are dropped.
func (b *bucket) first(now time.Time) (due time.Time, ok bool) {
	e := b.lease
	tolerance := late
	if e.pace >= brisk && b.queue.len() <= 1 {
		tolerance = spare
	}
	for len(e.grants) > 0 {
		g := &e.grants[0]
		if !g.From.Add(tolerance).Before(now) {
			return g.From, true
		}
		e.pop()
	}
	return time.Time{}, false
}

// pop takes the next token out.
func (e *lease) pop() {
	g := &e.grants[0]
	g.N--
	e.left--
	g.From = g.From.Add(g.Every)
	if g.N == 0 {
		e.grants = e.grants[1:]
	}
}

// take uses the next token.
func (e *lease) take(now time.Time) {
	e.pop()
	e.usage.add(now)
}

// giveBack gives all tokens in hand back. Only those of the last grant are of use to
// others.
func (b *bucket) giveBack() {
	e := b.lease
	if e == nil {
		return
	}
	if n := len(e.grants); n > 0 {
		e.unused, e.last = e.grants[n-1].N, e.grants[n-1].Number
	}
	e.grants, e.left, e.again = nil, 0, time.Time{}
}

// byLease reports whether the bucket's tokens come from the store.
func (b *bucket) byLease() bool {
	return b.lease != nil && b.limiter.shared.err == nil && (b.allowed() < Unlimited || b.lease.paced)
}

// passByLease lets a request through that no other is ahead of, if there is a token.
func (b *bucket) passByLease(now time.Time) bool {
	due, ok := b.first(now)
	if !ok || due.After(now) {
		return false
	}
	b.lease.take(now)
	if n := b.forecast(now); n > 1 && b.lease.left <= n/4 {
		b.ask(now)
	}
	b.due = due
	return true
}

// turnByLease returns how long the head is to wait for a token of the store, which it
// asks for more in time.
func (b *bucket) turnByLease(now time.Time) time.Duration {
	e := b.lease
	due, ok := b.first(now)
	if !ok || (e.left <= e.size/4 && e.left < min(b.queue.len(), b.most())) {
		b.ask(now)
	}
	switch {
	case ok:
		b.due = due
		return due.Sub(now)
	case e.again.After(now):
		return e.again.Sub(now)
	default:
		return untilAnswered
	}
}

// untilAnswered is how long the head waits that has asked the store: the answer wakes it.
const untilAnswered time.Duration = math.MaxInt64

// most is how many tokens are taken at once at most.
func (b *bucket) most() int {
	perSecond := b.allowed()
	if b.lease.pace > 0 {
		perSecond = min(perSecond, b.lease.pace)
	}
	return int(min(maxLease, max(1, perSecond*leaseTime.Seconds())))
}

// forecast is how many tokens are likely to be used soon.
func (b *bucket) forecast(now time.Time) int {
	if b.lease.pace < brisk {
		return 0
	}
	return int(b.lease.usage.perSecond(now) * foresight.Seconds())
}

// ask asks the store for tokens, unless that is under way or would be in vain.
func (b *bucket) ask(now time.Time) {
	e := b.lease
	if e.asking || e.again.After(now) {
		return
	}
	e.asking = true
	b.tell(b.demand(min(b.most(), max(1, b.queue.len()-e.left, b.forecast(now)-e.left))))
}

// retry asks again while the store does not answer, once in a while, and rejoins the others
// when it does.
func (b *bucket) retry(now time.Time) {
	s := b.limiter.shared
	if s == nil || s.err == nil || s.trying || s.again.After(now) || (b.allowed() >= Unlimited && !b.lease.paced) {
		return
	}
	if s.back {
		s.err, s.since, s.back, s.rejoined = nil, time.Time{}, false, now
		for _, other := range b.limiter.buckets {
			other.unreserve(now) // of the tokens that it had meanwhile
			other.queue.wakeHead()
		}
		return
	}
	s.trying = true
	d := b.demand(0)
	d.Back = true
	b.tell(d)
}

// demand returns a demand for n tokens.
func (b *bucket) demand(n int) Demand {
	e := b.lease
	d := Demand{N: n, Rate: b.allowed(), Burst: b.burst, Unused: e.unused, Last: e.last}
	if d.Rate < Unlimited {
		d.Rate /= 1 + maxSlack
	}
	e.unused = 0
	return d
}

// tell sends a demand to the store, and takes in the answer when it comes.
func (b *bucket) tell(d Demand) {
	l := b.limiter
	l.shared.asked++
	go func() {
		g, err := l.shared.store.Take(context.Background(), b.Resource, d)
		l.mu.Lock()
		defer l.mu.Unlock()
		b.answered(d, g, err, time.Now())
	}()
}

// answered takes in what the store has answered.
func (b *bucket) answered(d Demand, g Grant, err error, now time.Time) {
	s, e := b.limiter.shared, b.lease
	if d.N > 0 {
		e.asking = false
	}
	if s.err != nil {
		s.trying = false
	}
	defer b.queue.wakeHead()
	if err != nil {
		was := s.err
		s.err, s.again, s.back = err, now.Add(askAway), false
		if was == nil {
			s.since = now
			for _, other := range b.limiter.buckets {
				other.away(now)
			}
		}
		return
	}
	if s.err != nil {
		s.again, s.back = g.Again, d.Back
	}
	e.pace, e.learned = g.Pace, g.Learned
	if s.err == nil && (g.Processes > e.others || now.Sub(s.rejoined) > countedAfter) { // all come back, but not at once
		e.others = max(g.Processes, 1)
		s.others = max(s.others, e.others)
	}
	e.paced = g.Pace < Unlimited
	if g.Hold.After(now) {
		b.coolDown(Outcome{RetryAfter: g.Hold.Sub(now)}, now)
		e.unused = 0 // a cool-down empties the bucket
		return
	}
	if s.err != nil {
		return
	}
	e.again = time.Time{}
	if g.N == 0 {
		if d.N > 0 {
			e.again = g.Again
		}
		return
	}
	e.left += g.N
	e.size = g.N
	if past := now.Sub(g.From); past > 0 && g.Every > 0 {
		// What may be used at once is late only from now on.
		n := min(g.N, 1+int(past/g.Every))
		e.grants = append(e.grants, Grant{N: n, Number: g.Number, From: now})
		g.From, g.N = g.From.Add(time.Duration(n)*g.Every), g.N-n
	}
	if g.N > 0 {
		e.grants = append(e.grants, g)
	}
}

// away has the bucket go on by itself. It begins empty, and after a while: the window may
// be full, and others use up what they have in hand.
func (b *bucket) away(now time.Time) {
	b.giveBack()
	b.lease.unused = 0
	b.lease.quiet = now.Add(quietAtFirst)
	b.tokens = rate.NewLimiter(b.pace(), b.burst)
	b.tokens.AllowN(now, b.burst)
	b.queue.wakeHead()
}

// quiet reports that the bucket keeps still since the store does not answer.
func (b *bucket) quiet(now time.Time) bool {
	return b.lease != nil && b.limiter.shared.err != nil && b.pace() < rate.Inf && now.Before(b.lease.quiet)
}

// report tells the store that a request was throttled, with inProgress of the account.
func (b *bucket) report(o Outcome, inProgress int, now time.Time) {
	d := b.demand(0)
	d.Hold, d.TooLong = o.RetryAfter, o.TooLong
	d.Accepted, _ = b.acceptances.until(now)
	d.Learn = !b.limiter.fixed && !(b.listed && b.rate >= Unlimited) && (o.Rate || !b.gates[0].learned.suspect(inProgress, now))
	b.tell(d)
}

// share is the part of a bucket's rate that this process allows itself while the store
// does not answer.
func (e *lease) share(b *bucket, perSecond float64) float64 {
	if b.limiter.shared.err == nil {
		return perSecond
	}
	if e.paced {
		perSecond = min(perSecond, e.pace)
	}
	switch {
	case perSecond >= Unlimited:
		return Unlimited
	case e.others > 0:
		return awayShare / float64(e.others) * perSecond
	case b.limiter.shared.others > 0:
		return awayShare / float64(b.limiter.shared.others) * perSecond
	}
	return awayShare * unknownShare * perSecond
}

// Hold makes a bucket keep still as a throttled answer does: for o.RetryAfter, and with
// o.TooLong so that calls fail at once. It is for a [BucketStore], when another process
// was throttled. It does nothing if the bucket is not in use here.
func (l *BucketLimiter) Hold(r Resource, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[r]
	if !ok {
		return
	}
	if b.lease != nil {
		b.lease.paced = b.lease.paced || !(b.listed && b.rate >= Unlimited)
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
	return StoreStats{Err: l.shared.err, Since: l.shared.since, Asked: l.shared.asked}
}
