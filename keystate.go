package pacer

import (
	"math"
	"time"

	"github.com/twilio-pacer/pacer/internal/line"
	"github.com/twilio-pacer/pacer/internal/steps"
)

// A keyState is what is known of one key that was throttled.
type keyState struct {
	row      // its cool-downs; none: the key was throttled, but its whole resource was made to pause instead
	scope    Scope
	began    time.Time // when the last cool-down did
	line     line.Line
	inFlight int
	window   int // the most in flight

	opened      time.Time     // when the last cool-down was over; zero: not yet
	acceptances int           // requests accepted that have left since
	left        time.Time     // when the last request did
	every       time.Duration // the least between two; 0: they are not spaced
}

const (
	provesRate = 10               // acceptances between two cool-downs from which a rate follows
	spacedFor  = 30 * time.Second // after which requests are no longer spaced, to see whether that is accepted
)

// A passage is a request that has passed its key's line.
type passage struct {
	key   *key
	state *keyState // nil: the key was not throttled
	left  time.Time
}

// idle reports that no request waits for the key or is in flight.
func (h *keyState) idle() bool { return h.inFlight == 0 && h.line.Len() == 0 }

// throttled begins a cool-down of the key. A request that was on its way when the last cool-down
// began belongs to the same event: its answer can only prolong that.
func (h *keyState) throttled(left time.Time, asked time.Duration, o *Outcome, now time.Time) {
	before := h.times
	h.row.throttled(left)
	if h.times > before {
		h.began, h.window = now, 1
	}
	if asked == 0 {
		o.RetryAfter = steps.After(h.times)
	}
	h.begin(*o, now)
	h.line.WakeHead()
	if h.refuses(now) {
		h.line.WakeAll()
	}
	h.line.WakeEnding(h.until)
}

// obstacle returns how long the first in the key's line must wait; 0: it may leave. The error is
// for a request that must not wait: it would take longer than its deadline, or than any call
// waits.
func (h *keyState) obstacle(r Resource, deadline, now time.Time) (time.Duration, error) {
	if h.refuses(now) {
		return 0, h.refusal(r, h.retryAt.Sub(now), ErrWaitTooLong)
	}
	delay := max(0, h.remaining(now))
	if delay == 0 && h.every > 0 {
		delay = max(0, h.left.Add(h.every).Sub(now))
	}
	if delay > 0 && !deadline.IsZero() && now.Add(delay).After(deadline) {
		return 0, tooLate(r, delay)
	}
	if delay == 0 && h.inFlight >= h.window {
		return line.UntilWoken, nil // an answer ends it
	}
	return delay, nil
}

// leave lets a request of the key pass.
func (h *keyState) leave(k *key, now time.Time) passage {
	if h.on {
		if h.acceptances >= provesRate {
			h.every = max(h.began.Sub(h.opened), time.Second) / time.Duration(h.acceptances)
		}
		h.end()
		h.opened, h.acceptances = now, 0
	}
	h.inFlight++
	h.left = now
	return passage{k, h, now}
}

// accepts notes that a request was accepted that has passed at the given time.
func (h *keyState) accepts(left, now time.Time) {
	if left.Before(h.opened) {
		return
	}
	h.acceptances++
	if left.Before(h.until) {
		return // the key was throttled since
	}
	h.row.accepted(left)
	if h.window < math.MaxInt {
		h.window++
	}
	if h.every > 0 && now.Sub(h.opened) >= spacedFor {
		h.every, h.opened, h.acceptances = 0, now, 0 // perhaps it may have more by now
	}
}

// refusal is for a request that must not wait. It may be tried again after the wait.
func (h *keyState) refusal(r Resource, wait time.Duration, err error) *WaitError {
	rl := notSent(r)
	rl.RetryAfter, rl.Scope = wait, h.scope
	return &WaitError{RateLimit: rl, Err: err}
}
