package pacer

import (
	"container/list"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
	"github.com/twilio-pacer/pacer/internal/line"
	"github.com/twilio-pacer/pacer/internal/token"
)

// A Limiter decides when a request may be sent. pacer brings one, [BucketLimiter]; an
// implementation of your own, given to [WithLimiter], can share limits with other
// processes. It must be safe for concurrent use.
type Limiter interface {
	// Acquire waits until a request of resource r may be sent, and returns done,
	// which the caller calls exactly once, with what became of the request. pacer calls
	// it when the attempt is over, before observers, alerts and the log hear of it. If the
	// wait ends otherwise, Acquire returns an error and takes nothing: ctx.Err()
	// when ctx ended, an error that wraps [ErrWaitTooLong] when the wait cannot end
	// before ctx's deadline. Such an error should be a [*WaitError], which can say
	// until when the resource is held. ctx says in which order those who wait should
	// leave: see [PriorityOf] and [ArrivalOf].
	Acquire(ctx context.Context, r Resource) (done func(Outcome), err error)
}

// An Outcome is what became of a request that a [Limiter] has let pass. The zero
// Outcome is a request that was accepted: Twilio has looked at it, whatever it thought of
// its content.
type Outcome struct {
	// Throttled: Twilio answered 429, or code 20429, and did not process it.
	Throttled bool
	// RetryAfter is, for a throttled request, how long its resource must
	// pause, if the limiter has it do so: what the answer asks for, else a step of the
	// fixed schedule.
	RetryAfter time.Duration
	// Step: RetryAfter is the step of the request's own call, as the answer has no
	// Retry-After. The call waits for so long. Its resource need not: the steps of
	// [BucketLimiter] are the bucket's own, and grow only while nothing is accepted.
	Step bool
	// TooLong: RetryAfter is longer than any call is to wait ([WithMaxRetryAfter]).
	TooLong bool
	// ConcurrentRequests is how many requests of the account, of this and other
	// processes, Twilio had in progress, itself included (header
	// Twilio-Concurrent-Requests); 0 if it did not say. A header of 0 says nothing.
	ConcurrentRequests int
	// Rate: the answer says that a rate was exceeded, and not how many requests the
	// account may have in progress. If it is false a throttle may mean either.
	Rate bool
	// Allowed and Remaining are what the answer says of the resource's own rate and
	// of what is left of it, throttled or not (headers X-Rate-Limit-Limit and
	// X-Rate-Limit-Remaining, which TaskRouter and Intelligence send). Allowed is 0 if it
	// does not say, and Remaining is below 0 if it says Allowed alone.
	Allowed, Remaining int
	// Narrow: the request was throttled, and that is not about its resource but about
	// one receiver or object, which is held elsewhere ([Scope.Narrow]). It is no reason for
	// a cool-down, and neither an acceptance nor a throttle as far as rates are concerned.
	// Throttled is true then, and RetryAfter is how long the receiver or object is held.
	Narrow bool
	// Retry: the request was not the first attempt of its call.
	Retry bool
	// Unused: no attempt was made, for want of an access token or because the call had
	// ended. The slot is free again, and nothing is to be counted or learned.
	Unused bool
	// Failed: an attempt was made that says nothing about any limit. It is neither an
	// acceptance nor a throttle, and its time on the wire is no measure. Either no answer
	// came, or it was a redirect, a failure of Twilio's own (5xx), a refusal of the account
	// ([Unauthorized]), or a quota that waiting seconds does not renew ([Quota] and the like).
	// It is also true if the transport has panicked. Throttled is false then.
	Failed bool
}

// BucketLimiter is pacer's own [Limiter], for one process: a token bucket, a
// cool-down and in-flight slots for each [Resource].
//
// A request passes, in this order, the turnstile of its bucket, its cool-down, takes
// a token, and then an in-flight slot. The turnstile is a first-in, first-out queue of
// which only the head looks at cool-down, tokens and slots: it alone has a timer, and
// it wakes the next as it leaves. Hence a waiter that is cancelled costs no token, new
// limits and cool-downs reach those who already wait, the order is fair, and when a
// cool-down ends the waiters leave at the bucket's pace instead of all at once.
//
// A call that was throttled goes back to its place, which is by the time at which the call
// began: ahead of those that came later. Its own wait stays as it is; then it is the next.
//
// Calls of a higher priority go first ([WithPriority]): of any ten requests that leave a
// turnstile, or take a slot that several buckets wait for, one at least is of each
// priority that waits.
//
// A throttled answer closes its bucket if it is a single one, or if a cool-down costs
// little. It also does so if most of the recent requests were throttled, or if nothing is
// accepted. Otherwise only the throttled call waits. After SetLearning(false) each throttled
// answer closes its bucket.
//
// Throttled answers teach two things, unless SetLearning(false) was called:
//
//   - The rate of a bucket. Where answers are throttled again and again, a trial at a little
//     less shows whether that is a limit or noise. A limit is held for 22 s of sending, or for
//     50 requests if those take longer, but for 100 s at most. Then the rate is raised step
//     by step until the next throttle, never above the configured rate. Noise leaves the
//     rate as it was.
//   - The requests that an account may have in flight. There is a limit if most requests are
//     throttled above a number in progress, and few below it. It is raised after 30 s, and
//     sooner each time that the raise was accepted.
//
// What says that it is about a rate teaches the rate only. While nothing at all is accepted
// nothing is learned. What was learned is forgotten after an hour without use, and a rate
// when its limit is changed. docs/learning.md has all the rules.
//
// The token bucket is a [rate.Limiter]. It stays up to 2 % below its rate: the more the
// times of its answers differ, the more room it leaves. Each trial that has shown a limit of 90 to
// 100 % of the configured rate adds 1 % to that, up to 5 %.
//
// Buckets are made on first use, and dropped when they have been idle for a minute, or,
// if anything was learned, for an hour.
// Several clients of one process that use the same accounts can share a BucketLimiter.
// It is safe for concurrent use, has no goroutine of its own, and needs no closing.
type BucketLimiter struct {
	setting sync.Mutex // held by what changes all buckets; mu is taken after it
	mu      sync.Mutex // guards all below, buckets and gates included; held for nanoseconds
	start   time.Time  // when it was made, for what is counted
	rules   *rules
	pools   map[string]pool // of Messaging Services, by SID
	fixed   bool            // nothing is learned
	buckets map[Resource]*bucket
	gates   map[gateKey]*sharedGate
	unused  list.List // of *sharedGate without buckets, that have learned, by age
	byAge   list.List // of *bucket, least recently used first
	peak    int       // the most buckets since the map was made
	sweeper *time.Timer
	shared  *sharing // nil: the buckets are this process's own
	notices notices
}

// NewLimiter returns a BucketLimiter that keeps limits, and pacer's defaults where
// none of them matches. Invalid limits are an error, as from [Limits.Validate].
func NewLimiter(limits Limits) (*BucketLimiter, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	return &BucketLimiter{
		start:   time.Now(),
		rules:   index(slices.Clone(limits)),
		buckets: make(map[Resource]*bucket),
		gates:   make(map[gateKey]*sharedGate),
	}, nil
}

// Acquire implements [Limiter]. Uncontended it takes no more than a mutex and one
// allocation.
func (l *BucketLimiter) Acquire(ctx context.Context, r Resource) (func(Outcome), error) {
	if err := ctx.Err(); err != nil {
		return nil, &WaitError{RateLimit: notSent(r), Err: err}
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(r, now)
	if b.passAtOnce(now) {
		b.pacedFor = 0
		return b.doneFunc(b.enter(atOnce, now)), nil
	}

	deadline, _ := ctx.Deadline()
	arrived := ArrivalOf(ctx)
	if arrived.IsZero() {
		arrived = time.Now()
	}
	w := line.NewWaiter(classOf(ctx), deadline, arrived)
	head := b.line.Head()
	b.line.Join(w)
	if head != nil && b.line.Head() == w {
		head.LeaveGate() // overtaken
	}
	ahead := 0
	if !deadline.IsZero() {
		ahead = b.line.Ahead(w)
	}
	d, err := l.wait(ctx, b, w, ahead)
	if err != nil {
		return nil, err
	}
	h := b.counts.now(l.start, d.left)
	h.waits++
	h.waited += d.left.Sub(now)
	b.noteWait(w, now, d)
	return b.doneFunc(d), nil
}

// wait lets w, which has so many ahead of it, wait in b's turnstile, with l.mu held on
// entry and return.
func (l *BucketLimiter) wait(ctx context.Context, b *bucket, w *line.Waiter, ahead int) (d departure, err error) {
	defer b.leave(w)
	for {
		now := time.Now()
		if err := b.hopeless(w, ahead, now); err != nil {
			return d, err
		}
		ahead = -1 // known on arrival only
		sleep := line.UntilWoken
		if b.line.Head() == w {
			delay, look := b.closed(now)
			if delay <= 0 {
				b.reopen(now)
				b.rejoin(now)
				delay = b.reserve(now)
				look = delay
			}
			switch {
			case delay > 0:
				w.LeaveGate()
				if delay != line.UntilWoken && !w.Deadline().IsZero() && now.Add(delay).After(w.Deadline()) {
					return d, b.tooLate(delay, now)
				}
				sleep = look
			case !b.queue(w, now):
				if due, ok := b.tokens.Take(now); ok {
					b.line.Passes(w)
					b.slots.Passes(w)
					b.evidence.Departed(due, now)
					return b.enter(max(0, now.Sub(due)), now), nil
				}
			}
		}
		if err := w.Sleep(ctx, &l.mu, sleep); err != nil {
			return d, &WaitError{RateLimit: notSent(b.resource), Err: err}
		}
	}
}

// doneFunc returns what ends the request that departed as d.
func (b *bucket) doneFunc(d departure) func(Outcome) {
	return func(o Outcome) {
		b.limiter.mu.Lock()
		defer b.limiter.mu.Unlock()
		now := time.Now()
		b.slots.Exit()
		if o.Unused {
			return
		}
		b.count(o, now)
		if o.Failed || o.Narrow {
			return
		}
		b.spacing.Arrived(d.number, d.left, now)
		if d.late != atOnce { // only then is the bucket run at its rate
			b.spacing.Waited(now.Sub(d.due()))
		}
		if o.Throttled {
			b.throttled(d, o, now)
		} else {
			b.passed(d, o, now)
		}
		b.leased().TellCounts(now)
		if o.Allowed > 0 && !b.limiter.fixed {
			b.heed(o, now)
		}
		b.adapt(now)
	}
}

// SetLimits replaces the limits while the limiter is in use. Calls that wait feel it
// at once. Cool-downs stay. Invalid limits are an error and change nothing.
//
// It takes some microseconds for each bucket in use, and lets calls pass meanwhile. Which rules
// are about a bucket it finds out without the limiter's lock. A call that comes after SetLimits
// has begun may already have the new limits; when it returns, all have.
func (l *BucketLimiter) SetLimits(limits Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	rules := index(slices.Clone(limits))
	l.setting.Lock()
	defer l.setting.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules = rules
	l.each(rules.allow, func(b *bucket, byRules allowance, now time.Time) {
		if b.rules != rules { // else it was used just now
			l.give(b, byRules, now)
		}
	})
	for _, g := range l.gates {
		g.WakeHead()
	}
	return nil
}

// each calls find for the resource of every bucket, without l.mu, and then f with what that has
// found. l.mu is held on entry, in f, and on return. Of buckets that others make meanwhile some
// are left out.
func (l *BucketLimiter) each(find func(Resource) allowance, f func(*bucket, allowance, time.Time)) {
	batch := make([]*bucket, 0, eachBatch)
	found := make([]allowance, eachBatch)
	change := func() {
		l.mu.Unlock()
		for i, b := range batch {
			found[i] = find(b.resource)
		}
		runtime.Gosched() // who waits for l.mu gets it; a lock that is taken again at once keeps them for a millisecond
		l.mu.Lock()
		now := time.Now()
		for i, b := range batch {
			if l.buckets[b.resource] == b { // it may have been dropped
				f(b, found[i], now)
			}
		}
		batch = batch[:0]
	}
	for _, b := range l.buckets {
		if batch = append(batch, b); len(batch) == eachBatch {
			change()
		}
	}
	change()
}

// SetLearning switches on or off, while the limiter is in use, that throttled answers
// change rates and in-flight limits. Switching it off forgets what was learned here; what other
// processes that share its [BucketStore] have learned stays. It is on in a new limiter.
func (l *BucketLimiter) SetLearning(on bool) {
	l.setting.Lock()
	defer l.setting.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fixed = !on
	for _, g := range l.gates {
		if !on {
			g.learned = learn.InFlight{}
			g.adopt()
			g.WakeHead()
		}
	}
	l.each(l.rules.allow, func(b *bucket, byRules allowance, now time.Time) {
		if !on {
			b.evidence = evidence{}
			b.spacing.Relax()
		}
		l.give(b, byRules, now)
	})
}

// Limits returns a copy of the limits last set, without the defaults.
func (l *BucketLimiter) Limits() Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(Limits(nil), l.rules.limits...)
}

// apply gives b what the limits say about it; its head feels it at once.
func (l *BucketLimiter) apply(b *bucket, now time.Time) { l.give(b, l.rules.allow(b.resource), now) }

// give is apply where it is known what l.rules alone say.
func (l *BucketLimiter) give(b *bucket, byRules allowance, now time.Time) {
	b.tokens.Return(now)
	b.rules = l.rules
	before := b.allowed.rate
	if b.allowed = l.withPool(byRules, b.resource); b.allowed.rate != before {
		b.evidence.Forget() // a new limit is there to be tried
	}
	b.configure()
	b.tokens.Reshape(now, b.pace(), b.allowed.burst)
	b.spacing.Fit(b.allowed.rate, b.allowed.burst)
	b.account.Limit = b.allowed.accountInFlight
	b.slots.Own.Limit = b.allowed.senderInFlight
	if b.group == nil {
		b.slots.Own.Limit = b.allowed.resourceInFlight
	} else {
		b.group.Limit = b.allowed.resourceInFlight
	}
	b.line.WakeHead()
}

// bucket returns r's bucket, and makes it if need be.
func (l *BucketLimiter) bucket(r Resource, now time.Time) *bucket {
	b, ok := l.buckets[r]
	if ok {
		b.place.seen = now.Sub(l.start)
		b.place.used = b.place.seen
		l.byAge.MoveToBack(b.place.element)
		if b.rules != l.rules { // SetLimits has not come to it yet
			l.apply(b, now)
		}
		return b
	}
	b = &bucket{limiter: l, resource: r, allowed: l.allow(r)}
	b.place.used = now.Sub(l.start)
	b.place.seen = b.place.used
	b.tokens = l.source(b)
	b.account = l.gate(gateKey{r.Account, r.Region, ""})
	if r.Sender == "" {
		b.slots.Share(&b.account.Gate, nil)
	} else {
		b.group = l.gate(gateKey{r.Account, r.Region, r.String()})
		b.slots.Share(&b.account.Gate, &b.group.Gate)
	}
	l.apply(b, now)
	b.place.element = l.byAge.PushBack(b)
	l.buckets[r] = b
	l.peak = max(l.peak, len(l.buckets))
	if l.sweeper == nil {
		l.sweeper = time.AfterFunc(idleAfter, l.sweep)
	}
	return b
}

// source returns the tokens of a new bucket.
func (l *BucketLimiter) source(b *bucket) token.Source {
	if l.shared != nil {
		return l.shared.source(b)
	}
	return token.NewOwn(b.allowed.rate, b.allowed.burst)
}

// gate returns the gate with the key, for one bucket more.
func (l *BucketLimiter) gate(key gateKey) *sharedGate {
	g, ok := l.gates[key]
	if !ok {
		g = &sharedGate{key: key}
		l.gates[key] = g
	}
	if g.unused != nil {
		l.unused.Remove(g.unused)
		g.unused = nil
	}
	g.buckets++
	return g
}

// release is for when b, one of g's buckets, was dropped. What an account has taught
// outlives its buckets: it is forgotten an hour after they were used.
func (l *BucketLimiter) release(g *sharedGate, b *bucket, now time.Time) {
	g.used = max(g.used, b.place.used)
	if g.buckets--; g.buckets > 0 {
		return
	}
	if g.learned.Limit() == 0 || now.Sub(l.start)-g.used >= learnedFor {
		delete(l.gates, g.key)
		return
	}
	g.unused = l.unused.PushBack(g)
}

const (
	idleAfter  = time.Minute
	learnedFor = time.Hour // that something learned is remembered when it is not used
	sweepBatch = 4096      // buckets looked at with the lock held
	eachBatch  = 64        // buckets changed with the lock held
)

// sweep drops buckets that have been idle for a minute and would be the same if made
// anew, and what is remembered of accounts that have had no bucket for an hour. It runs in
// a timer's goroutine, and only while there is something to drop.
func (l *BucketLimiter) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	next := min(l.sweepBuckets(now), l.sweepGates(now))
	if len(l.buckets) < l.peak/4 {
		// A map keeps the memory of all that it ever held.
		buckets := make(map[Resource]*bucket, len(l.buckets))
		for r, b := range l.buckets {
			buckets[r] = b
		}
		l.buckets, l.peak = buckets, len(buckets)
	}
	l.sweeper = nil
	if l.byAge.Len() > 0 || l.unused.Len() > 0 {
		l.sweeper = time.AfterFunc(next, l.sweep)
	}
}

// sweepBuckets returns when to sweep again.
func (l *BucketLimiter) sweepBuckets(now time.Time) time.Duration {
	for range sweepBatch {
		e := l.byAge.Front()
		if e == nil {
			return idleAfter
		}
		b := e.Value.(*bucket)
		if age := now.Sub(l.start) - b.place.seen; age < idleAfter {
			return idleAfter - age
		}
		if b.idle(now) {
			l.drop(b, now)
			continue
		}
		b.place.seen = now.Sub(l.start)
		l.byAge.MoveToBack(e)
	}
	return time.Millisecond
}

// sweepGates returns when to sweep again.
func (l *BucketLimiter) sweepGates(now time.Time) time.Duration {
	for range sweepBatch {
		e := l.unused.Front()
		if e == nil || now.Sub(l.start)-e.Value.(*sharedGate).used < learnedFor {
			return idleAfter
		}
		delete(l.gates, e.Value.(*sharedGate).key)
		l.unused.Remove(e)
	}
	return time.Millisecond
}

func (l *BucketLimiter) drop(b *bucket, now time.Time) {
	l.byAge.Remove(b.place.element)
	delete(l.buckets, b.resource)
	l.release(b.account, b, now)
	if b.group != nil {
		l.release(b.group, b, now)
	}
}

func notSent(r Resource) RateLimit { return RateLimit{Kind: NotSent, Resource: r.String()} }
