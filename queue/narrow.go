package queue

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/steps"
)

// Some limits are those of single receivers and objects ([pacer.Scope.Narrow]), and no bucket is
// held for them. The client waits for them. The worker puts their jobs back, and the lane goes on
// with the others.
const (
	maxSkipped = 20          // jobs that one turn passes over because their receivers or objects are held
	toldAgain  = time.Hour   // after which an alert tells once more that such limits last
	lookAgain  = steps.First // after a throttled answer without a Retry-After
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

// dueAfter is after how long a request may be tried again. A random part keeps the requests for
// one receiver or object from coming back at the same moment.
func dueAfter(wait time.Duration) time.Duration {
	return min(wait, maxHold) + rand.N(time.Second)
}

// narrowly returns after how long a job may be sent again whose receiver or object Twilio
// throttles. Without a Retry-After it is tried after a second, and then the client knows how long
// it is held.
func (h *holder) narrowly(l *lane, j Job, limit pacer.RateLimit, err error) time.Duration {
	wait := max(lookAgain, limit.RetryAfter)
	if limit.Kind != pacer.Throttled {
		wait = max(quotaHold, limit.RetryAfter)
	}
	now := time.Now()
	h.mu.Lock()
	tell := limit.Kind == pacer.Throttled && j.Claim >= alertAfter && now.Sub(h.toldNarrow) >= toldAgain
	if tell {
		h.toldNarrow = now
	}
	h.mu.Unlock()
	if tell {
		h.raise(Alert{Kind: AlertThrottled, Lane: l.Lane, ID: j.ID, Err: err, Advice: adviceNarrow})
	}
	return dueAfter(wait)
}

// another claims a job for the turn of one whose receiver or object is held. The turn has passed
// over so many jobs already (skipped).
func (s *sender) another(ctx context.Context, l *lane, skipped int) (j Job, claimed time.Time, ok bool) {
	if skipped >= maxSkipped || !s.goesOn(ctx, l) {
		return j, claimed, false
	}
	claimed = time.Now()
	jobs, err := s.engine.Claim(ctx, Claim{Lane: l.Lane, Max: 1, Lease: s.lease()})
	s.mu.Lock()
	l.claimed = time.Now()
	if l.ready -= int64(len(jobs)); len(jobs) == 0 {
		l.ready = 0
	}
	s.mu.Unlock()
	if err != nil {
		s.holder.storeFailed(ctx, l, err)
	}
	if len(jobs) == 0 {
		return j, claimed, false
	}
	s.clocks.engineSaid(jobs[0].Began, claimed, time.Now())
	return jobs[0], claimed, true
}

// goesOn reports whether a lane that has a turn may still use it.
func (s *sender) goesOn(ctx context.Context, l *lane) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || l.ready <= 0 || l.bucket.heldUntil().After(now) || l.notBefore.After(now) {
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
