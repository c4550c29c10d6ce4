package pacer

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Limiter decides when a request may be sent. pacer brings one, [BucketLimiter]; an
// implementation of your own, given to [WithLimiter], can share limits with other
// processes. It must be safe for concurrent use.
type Limiter interface {
	// Acquire waits until a request of resource r may be sent, and returns done,
	// which the caller calls exactly once, with what became of the request. If the
	// wait ends otherwise, Acquire returns an error and takes nothing: ctx.Err()
	// when ctx ended, an error that wraps [ErrWaitTooLong] when the wait cannot end
	// before ctx's deadline. Such an error should be a [*WaitError], which can say
	// until when the resource is held.
	Acquire(ctx context.Context, r Resource) (done func(Outcome), err error)
}

// An Outcome is what became of a request that a [Limiter] has let pass. The zero
// Outcome is a request that was accepted: Twilio has looked at it, whatever it thought of
// its content.
type Outcome struct {
	// Throttled: Twilio answered 429, or code 20429, and did not process it.
	Throttled bool
	// RetryAfter is, for a throttled request, how long its resource is to keep
	// still: what the answer asks for, else the step of the fixed schedule.
	RetryAfter time.Duration
	// TooLong: RetryAfter is longer than any call is to wait ([WithMaxRetryAfter]).
	TooLong bool
	// ConcurrentRequests is how many requests of the account, of this and other
	// processes, Twilio had in progress, itself included (header
	// Twilio-Concurrent-Requests); 0 if it did not say.
	ConcurrentRequests int
	// Rate: the answer says that a rate was exceeded, and not how many requests the
	// account may have in progress. If it is false a throttle may mean either.
	Rate bool
	// Allowed and Remaining are what the answer says of the resource's own rate and
	// of what is left of it, throttled or not (headers X-Rate-Limit-Limit and
	// X-Rate-Limit-Remaining, which TaskRouter and Intelligence send); Allowed is 0
	// if it does not say.
	Allowed, Remaining int
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
// Calls of a higher priority go first ([WithPriority]): of any ten requests that leave a
// turnstile, or take a slot that several buckets wait for, one at least is of each
// priority that waits.
//
// Throttled answers teach it two things, unless SetLearning(false) was called. The rate
// of a bucket: the one that was accepted before the throttle, held for 22 s of sending
// and 50 requests at least, then raised step by step until the next throttle, never
// above the configured rate. If it is throttled sooner it is cut, up to three times; when
// that does not help it is set back. And the requests that an account may have in flight: one
// less than were in progress with a throttled one, if fewer had been accepted within the
// last minute; raised after 30 s, and less often when that proves too much. What says
// that it is about a rate teaches the rate only. What says nothing teaches both, until
// what is accepted and throttled afterwards tells which it was. What was learned is
// forgotten after an hour without use, and a rate when its limit is changed.
//
// The token bucket is a [rate.Limiter]. It lags its rate by up to 2 % as far as the
// time from leaving to being answered varies, and by 1 % more, at most 5 %, for each time
// that it is throttled all the same.
//
// Buckets are made on first use, and dropped when they have been idle for a minute, or,
// if anything was learned, for an hour.
// Several clients of one process that use the same accounts can share a BucketLimiter.
// It is safe for concurrent use, has no goroutine of its own, and needs no closing.
type BucketLimiter struct {
	mu      sync.Mutex // guards all below, buckets and gates included; held for nanoseconds
	start   time.Time  // when it was made, for what is counted
	limits  Limits
	pools   map[string]float64 // default rates of Messaging Services, by SID
	fixed   bool               // nothing is learned
	buckets map[Resource]*bucket
	gates   map[gateKey]*gate
	byAge   list.List // of *bucket, least recently used first
	peak    int       // the most buckets since the map was made
	sweeper *time.Timer
	shared  *sharing // nil: the buckets are this process's own
}

// NewLimiter returns a BucketLimiter that keeps limits, and pacer's defaults where
// none of them matches. Invalid limits are an error, as from [Limits.Validate].
func NewLimiter(limits Limits) (*BucketLimiter, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	return &BucketLimiter{
		start:   time.Now(),
		limits:  append(Limits(nil), limits...),
		buckets: make(map[Resource]*bucket),
		gates:   make(map[gateKey]*gate),
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
		return b.doneFunc(b.enter(now, now), false), nil
	}

	w := &waiter{wake: make(chan struct{}, 1), class: classOf(ctx)}
	w.deadline, _ = ctx.Deadline()
	ahead, head := b.queue.before(w.class), b.queue.head()
	w.place = b.queue.push(w)
	if head != nil && b.queue.head() == w {
		head.leaveGate() // overtaken
	}
	d, err := l.wait(ctx, b, w, ahead)
	if err != nil {
		return nil, err
	}
	h := b.history.now(l.start, d.left)
	h.waits++
	h.waited += d.left.Sub(now)
	return b.doneFunc(d, true), nil
}

// wait lets w, which has so many ahead of it, wait in b's turnstile, with l.mu held on
// entry and return.
func (l *BucketLimiter) wait(ctx context.Context, b *bucket, w *waiter, ahead int) (d departure, err error) {
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
		b.leave(w)
	}()
	for {
		now := time.Now()
		if err := b.hopeless(w, ahead, now); err != nil {
			return d, err
		}
		ahead = -1 // known on arrival only
		var tick <-chan time.Time
		if b.queue.head() == w {
			delay, gate := b.obstacle(w, now)
			switch {
			case delay == 0 && gate == nil:
				b.spend(now)
				b.departs(w, now)
				return b.enter(b.due, now), nil
			case delay > 0 && delay < untilAnswered:
				if !w.deadline.IsZero() && now.Add(delay).After(w.deadline) {
					return d, tooLate(b.Resource, delay)
				}
				if timer == nil {
					timer = time.NewTimer(delay)
				} else {
					timer.Reset(delay)
				}
				tick = timer.C
			}
		}
		l.mu.Unlock()
		select {
		case <-w.wake:
		case <-tick:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if err := ctx.Err(); err != nil {
			return d, &WaitError{RateLimit: notSent(b.Resource), Err: err}
		}
	}
}

// departs notes that w's turn has come: in the lines that it stands in, and for the
// pace, which it has waited for unless a gate was what held it.
func (b *bucket) departs(w *waiter, now time.Time) {
	b.queue.left(w)
	for _, g := range b.gates {
		if g != nil {
			g.queue.left(w)
		}
	}
	if w.held || b.learned.limit == 0 {
		b.learned.last = now
		return
	}
	b.learned.paced(now, time.Duration(float64(time.Second)/b.allowed()))
	if b.listed && !b.learned.rough && b.learned.pace() > b.rate*(1+maxSlack) {
		b.unlearn() // it has grown back
	}
}

// doneFunc returns what ends the request that departed as d. waited: it had to queue.
func (b *bucket) doneFunc(d departure, waited bool) func(Outcome) {
	return func(o Outcome) {
		b.limiter.mu.Lock()
		defer b.limiter.mu.Unlock()
		now := time.Now()
		for _, g := range b.gates {
			if g != nil {
				g.inFlight--
				g.queue.wakeHead()
			}
		}
		if o.Unused {
			return
		}
		b.count(o, now)
		if o.Failed {
			return
		}
		b.arrivals.arrived(d.number, now)
		if waited { // only then is the bucket run at its rate
			b.jitter.add(now.Sub(d.due))
		}
		inProgress := o.ConcurrentRequests
		if inProgress == 0 {
			inProgress = d.inFlight
		}
		if o.Throttled {
			before := b.until
			b.coolDown(o, now)
			if b.lease != nil && b.until.After(before) {
				b.report(o, inProgress, now)
			}
		}
		switch fixed := b.limiter.fixed; {
		case fixed:
			return
		case o.Throttled:
			b.throttled(d, inProgress, o, now)
		default:
			b.passed(d, inProgress, now)
		}
		if o.Allowed > 0 {
			b.told(o, now)
		}
	}
}

// SetLimits replaces the limits while the limiter is in use. Calls that wait feel it
// at once. Cool-downs stay. Invalid limits are an error and change nothing.
func (l *BucketLimiter) SetLimits(limits Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits = append(Limits(nil), limits...)
	now := time.Now()
	for _, b := range l.buckets {
		l.apply(b, now)
	}
	for _, g := range l.gates {
		g.queue.wakeHead()
	}
	return nil
}

// SetLearning switches on or off, while the limiter is in use, that throttled answers
// change rates and in-flight limits. Switching it off forgets what was learned. It is on
// in a new limiter.
func (l *BucketLimiter) SetLearning(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fixed = !on
	if on {
		return
	}
	now := time.Now()
	for _, g := range l.gates {
		g.learned = concurrency{}
		g.queue.wakeHead()
	}
	for _, b := range l.buckets {
		b.learned, b.caution = pacing{}, 0
		l.apply(b, now)
	}
}

// Limits returns a copy of the limits last set, without the defaults.
func (l *BucketLimiter) Limits() Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(Limits(nil), l.limits...)
}

// apply gives b what the limits say about it; its head feels it at once.
func (l *BucketLimiter) apply(b *bucket, now time.Time) {
	b.unreserve(now)
	b.giveBack()
	before := b.rate
	if b.allowance = l.allow(b.Resource); b.rate != before {
		b.learned.forget() // a new limit is there to be tried
	}
	b.tokens.SetLimitAt(now, b.pace())
	b.tokens.SetBurstAt(now, b.burst)
	b.arrivals.fit(b.rate, b.burst)
	b.gates[0].limit = b.accountInFlight
	b.own.limit = b.senderInFlight
	if b.gates[1] == nil {
		b.own.limit = b.resourceInFlight
	} else {
		b.gates[1].limit = b.resourceInFlight
	}
	b.queue.wakeHead()
}

// bucket returns r's bucket, and makes it if need be.
func (l *BucketLimiter) bucket(r Resource, now time.Time) *bucket {
	b, ok := l.buckets[r]
	if ok {
		b.was, b.used = now, now
		l.byAge.MoveToBack(b.age)
		return b
	}
	b = &bucket{limiter: l, Resource: r, was: now, used: now}
	if l.shared != nil {
		b.lease = &lease{}
	}
	b.allowance = l.allow(r)
	b.tokens = rate.NewLimiter(b.pace(), b.burst)
	b.gates[0] = l.gate(accountGate(r))
	if r.Sender != "" {
		b.gates[1] = l.gate(resourceGate(r))
	}
	b.gates[2] = &b.own
	l.apply(b, now)
	b.age = l.byAge.PushBack(b)
	l.buckets[r] = b
	l.peak = max(l.peak, len(l.buckets))
	if l.sweeper == nil {
		l.sweeper = time.AfterFunc(idleAfter, l.sweep)
	}
	return b
}

func (l *BucketLimiter) gate(key gateKey) *gate {
	g, ok := l.gates[key]
	if !ok {
		g = &gate{}
		l.gates[key] = g
	}
	if g.buckets == 0 && time.Since(g.learned.probed) > learnedFor {
		g.learned = concurrency{}
	}
	g.buckets++
	return g
}

func (l *BucketLimiter) release(key gateKey) {
	g := l.gates[key]
	if g.buckets--; g.buckets == 0 && g.learned.limit == 0 { // what an account has taught outlives its buckets
		delete(l.gates, key)
	}
}

func accountGate(r Resource) gateKey  { return gateKey{r.Account, r.Region, ""} }
func resourceGate(r Resource) gateKey { return gateKey{r.Account, r.Region, r.String()} }

const (
	idleAfter  = time.Minute
	learnedFor = time.Hour // that something learned is remembered when it is not used
	sweepBatch = 4096      // buckets looked at with the lock held
)

// sweep drops buckets that have been idle for a minute and would be the same if made
// anew. It runs in a timer's goroutine, and only while there are buckets.
func (l *BucketLimiter) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	next := idleAfter
	for n := 0; ; n++ {
		e := l.byAge.Front()
		if e == nil {
			l.sweeper = nil
			break
		}
		b := e.Value.(*bucket)
		if age := now.Sub(b.was); age < idleAfter {
			next = idleAfter - age
			break
		}
		if n == sweepBatch {
			next = time.Millisecond
			break
		}
		if !b.idle(now) {
			b.was = now
			l.byAge.MoveToBack(e)
			continue
		}
		l.drop(b)
	}
	if len(l.buckets) < l.peak/4 {
		// A map keeps the memory of all that it ever held.
		buckets := make(map[Resource]*bucket, len(l.buckets))
		for r, b := range l.buckets {
			buckets[r] = b
		}
		l.buckets, l.peak = buckets, len(buckets)
	}
	if l.sweeper != nil {
		l.sweeper = time.AfterFunc(next, l.sweep)
	}
}

func (b *bucket) idle(now time.Time) bool {
	return b.queue.len() == 0 && b.own.inFlight == 0 && now.After(b.until) &&
		b.tokens.TokensAt(now) >= float64(b.burst) && !(b.hasLearned() && now.Sub(b.used) < learnedFor)
}

func (b *bucket) hasLearned() bool {
	return b.learned.limit > 0 || (b.lease != nil && b.lease.paced && b.rate >= Unlimited)
}

func (l *BucketLimiter) drop(b *bucket) {
	l.byAge.Remove(b.age)
	delete(l.buckets, b.Resource)
	l.release(accountGate(b.Resource))
	if b.gates[1] != nil {
		l.release(resourceGate(b.Resource))
	}
}

func notSent(r Resource) RateLimit { return RateLimit{Kind: NotSent, Resource: r.String()} }
