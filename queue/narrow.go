package queue

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/twilio-pacer/pacer"
)

// What is here is for limits of single receivers and objects ([pacer.Scope.Narrow]). The client
// holds them. The worker puts their jobs back, and the lane goes on with the others.

const (
	maxSkipped = 20          // jobs that one turn passes over because their receivers or objects are held
	toldAgain  = time.Hour   // after which an alert tells once more that such limits last
	lookAgain  = time.Second // after a throttled answer without a Retry-After
)

// heldFor reports that a request was not sent because its receiver or object is held, and
// for how much longer.
func heldFor(err error) (time.Duration, bool) {
	if err == nil {
		return 0, false
	}
	limit, _ := pacer.FromError(err)
	return limit.RetryAfter, limit.Kind == pacer.NotSent && limit.Scope.Narrow() && limit.RetryAfter > 0
}

// dueAfter is after how long a request may be tried again. Those for one receiver or object
// do not all come back at the same moment.
func dueAfter(wait time.Duration) time.Duration {
	return min(wait, maxHold) + rand.N(time.Second)
}

// narrowly returns after how long a job may be sent again of which Twilio throttles the receiver or the
// object. Without a Retry-After it looks again after a second, and then learns from the client
// how long that is held.
func (w *Worker) narrowly(l *lane, j Job, limit pacer.RateLimit, err error) time.Duration {
	wait := max(lookAgain, limit.RetryAfter)
	if limit.Kind != pacer.Throttled {
		wait = max(quotaHold, limit.RetryAfter)
	}
	now := time.Now()
	w.mu.Lock()
	tell := limit.Kind == pacer.Throttled && j.Claim >= alertAfter && now.Sub(w.toldNarrow) >= toldAgain
	if tell {
		w.toldNarrow = now
	}
	w.mu.Unlock()
	if tell {
		w.raise(Alert{Kind: AlertThrottled, Lane: l.Lane, ID: j.ID, Err: err, Advice: adviceNarrow})
	}
	return dueAfter(wait)
}

// another claims a job in the place of one whose receiver or object is held, for the same
// turn, after so many others.
func (w *Worker) another(ctx context.Context, l *lane, skipped int) (j Job, claimed time.Time, ok bool) {
	if skipped >= maxSkipped || !w.goesOn(ctx, l) {
		return j, claimed, false
	}
	claimed = time.Now()
	jobs, err := w.q.engine.Claim(ctx, Claim{Lane: l.Lane, Max: 1, Lease: w.lease()})
	w.mu.Lock()
	l.claimed = time.Now()
	if l.ready -= int64(len(jobs)); len(jobs) == 0 {
		l.ready = 0
	}
	w.mu.Unlock()
	if err != nil {
		w.storeFailed(ctx, l, err)
	}
	if len(jobs) == 0 {
		return j, claimed, false
	}
	w.clocks.engineSaid(jobs[0].Began, claimed, time.Now())
	return jobs[0], claimed, true
}

// goesOn reports whether a lane that has a turn may still use it.
func (w *Worker) goesOn(ctx context.Context, l *lane) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil || l.ready <= 0 || l.bucket.until().After(now) || l.again.After(now) {
		return false
	}
	if l.Campaign == "" {
		return true
	}
	if l.doc == nil {
		return false
	}
	ok, _ := l.doc.sendable(now)
	return ok
}
