package pacer

import (
	"runtime"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
)

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
		if b.allowed.rules != rules { // else it was used just now
			l.give(b, byRules, now)
		}
	})
	for _, g := range l.gates {
		g.WakeHead()
	}
	return nil
}

// each calls find for the resource of every bucket, without l.mu, and then f with what that has
// found. l.mu is locked on entry, in f, and on return. Of buckets that others make meanwhile some
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

// eachBatch is how many buckets are changed at a time with the mutex locked.
const eachBatch = 64

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
