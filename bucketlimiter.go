package pacer

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// BucketLimiter is pacer's own [Limiter], for one process: a token bucket, a
// cool-down and permits for each [Resource].
//
// A request waits in the line of its bucket, then for the end of a cool-down, then for
// a token, and then for a permit. The line is first in, first out. Only its head looks at
// cool-down, tokens and permits: it alone has a timer, and it wakes the next as it leaves. This
// has four consequences:
//
//   - A waiter that is cancelled costs no token.
//   - New limits and cool-downs reach those who already wait.
//   - The order is fair.
//   - When a cool-down ends the waiters leave at the bucket's pace, and not all at once.
//
// A call that was throttled goes back to its place, ahead of those that came later. Its place is by
// the time at which the call began. It waits its full time; after that it is the first in the line.
//
// Calls of a higher priority go first ([WithPriority]), and none starves. Of any ten requests
// that leave a line, one at least is of each priority that waits. The same is true of ten requests
// that take a permit for which several buckets wait.
//
// A throttled answer closes its bucket if it is a single one, or if a cool-down costs
// little. It also does so if most of the recent requests were throttled, or if nothing is
// accepted. Otherwise only the throttled call waits. After SetLearning(false) each throttled
// answer closes its bucket.
//
// Throttled answers teach two things, unless SetLearning(false) was called:
//
//   - The rate of a bucket. Where answers are throttled again and again, a trial at a little
//     less shows whether that is a limit or noise. A limit is kept for 22 s of sending, or for
//     50 requests if those take longer, but for 100 s at most. Then the rate is raised step
//     by step until the next throttle, never above the configured rate. Noise leaves the
//     rate as it was.
//   - The requests that an account may have in flight. There is a limit if most requests are
//     throttled above a number in progress, and few below it. It is raised after 30 s, and
//     sooner each time that the raise was accepted.
//
// An answer that names a rate limit teaches only the rate. While nothing at all is accepted
// nothing is learned. What was learned is forgotten after an hour without use, and a rate
// when its limit is changed. docs/learning.md has all the rules.
//
// Without a store the tokens come from a [rate.Limiter]. The pace stays up to 2 % below the rate: the
// more the times of answers differ, the more room it leaves. Each trial that has shown a limit of 90 to
// 100 % of the configured rate adds 1 % to that, up to 5 %.
//
// Buckets are made on first use, and dropped when they have been idle for a minute, or,
// if anything was learned, for an hour.
// Several clients of one process that use the same accounts can share a BucketLimiter.
// It is safe for concurrent use, has no goroutine of its own, and needs no closing.
type BucketLimiter struct {
	setting sync.Mutex // locked by what changes all buckets, before the mutex of common
	common
	rules   *rules
	pools   map[string]pool // of Messaging Services, by SID
	gates   map[gateKey]*sharedGate
	unused  list.List // of *sharedGate without buckets, that have learned, by age
	byAge   list.List // of *bucket, least recently used first
	peak    int       // the most buckets since the map was made
	sweeper *time.Timer
}

// NewLimiter returns a BucketLimiter that keeps limits, and pacer's defaults where
// none of them matches. Invalid limits are an error, as from [Limits.Validate].
func NewLimiter(limits Limits) (*BucketLimiter, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	return &BucketLimiter{
		common: common{start: time.Now(), buckets: make(map[Resource]*bucket)},
		rules:  index(slices.Clone(limits)),
		gates:  make(map[gateKey]*sharedGate),
	}, nil
}

// EndCoolDown implements [CoolDownLimiter]. With a [BucketStore] the cool-down goes on in the store. It
// may come back from there.
func (l *BucketLimiter) EndCoolDown(r Resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if b, ok := l.buckets[r]; ok && b.cooldown.remaining(now) > 0 {
		b.cooldown.until, b.cooldown.retryAt = now, time.Time{}
		b.line.WakeHead()
	}
}

// held takes in that a request of r departs now, so long after its Acquire has returned.
func (l *BucketLimiter) held(r Resource, by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[r]; b != nil {
		b.spacing.Held(by, time.Now())
	}
}

// self is how a client gets at its BucketLimiter, also at one that another limiter embeds.
func (l *BucketLimiter) self() *BucketLimiter { return l }

// bucketLimiter returns the BucketLimiter that l is or embeds; nil: it is another limiter.
func bucketLimiter(l Limiter) *BucketLimiter {
	if own, ok := l.(interface{ self() *BucketLimiter }); ok {
		return own.self()
	}
	return nil
}

// A pool is what is known about the senders of a Messaging Service.
type pool struct {
	rate  float64  // requests/s that all of them together may send; Unlimited
	found *builtin // how pacer has come to the rate by itself; nil: the program has set it
	size  int      // phone numbers and short codes; 0: not known
}

// serviceMessages is what the rate of a pool limits.
var serviceMessages = Limit{Resource: Messages}

// allow is what limits, pools and defaults say about r, in this order.
func (l *BucketLimiter) allow(r Resource) allowance { return l.withPool(l.rules.allow(r), r) }

// withPool adds to what the rules say about r what its pool says, if it has one.
func (l *BucketLimiter) withPool(a allowance, r Resource) allowance {
	if p, known := l.pools[r.Sender]; known && !a.listed && serviceMessages.matches(r) > 0 {
		a.rate, a.listed, a.byDefault = p.rate, true, p.found
	}
	return a
}
