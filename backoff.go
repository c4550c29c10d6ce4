package pacer

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/twilio-pacer/pacer/internal/steps"
)

// A schedule says how long to wait after a throttled answer: exactly what the answer
// asks for plus a jitter of 0-1 s, else 1, 2, 4, 8, 16 s. It is the policy that
// backoff.RetryNotify drives, and implements backoff.BackOffContext itself, because v4
// looks for the context in the outermost policy only.
type schedule struct {
	ctx     context.Context
	cfg     *config
	steps   *backoff.ExponentialBackOff // made on the first throttle
	retries int
	next    time.Duration // the wait that throttled decided on, or backoff.Stop
}

// longestWait is so short of the largest Duration that waits can be added up.
const longestWait = math.MaxInt64 / 4

// schedule.throttled decides the wait after one throttled answer. retryAfter is what
// the answer asked for; 0 if it did not say. hold is that wait without jitter: how
// long the whole bucket pauses, if it does.
func (s *schedule) throttled(retryAfter time.Duration) (hold time.Duration) {
	s.begin()
	step := s.steps.NextBackOff() // drawn also when not used: the n-th answer without a header waits the n-th step
	s.retries++
	s.next, hold = step, step
	switch {
	case retryAfter > 0:
		hold = min(retryAfter, longestWait)
		s.next = hold + s.cfg.jitter(time.Second)
	case s.cfg.fallbackJitter > 0:
		s.next = step + s.cfg.jitter(min(s.cfg.fallbackJitter, longestWait))
	}
	if s.retries > s.cfg.maxRetries || retryAfter > s.cfg.maxRetryAfter {
		s.next = backoff.Stop
	}
	return hold
}

// skip leaves out the first steps.
func (s *schedule) skip(steps int) {
	for range min(steps, 8) { // they do not grow for so long
		s.begin()
		s.steps.NextBackOff()
	}
}

func (s *schedule) begin() {
	if s.steps == nil {
		// Not backoff's defaults, which randomise each step by 50 % and stop after
		// 15 minutes, the attempts' own time included.
		s.steps = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(steps.First),
			backoff.WithMultiplier(steps.Factor),
			backoff.WithMaxInterval(steps.Last),
			backoff.WithRandomizationFactor(0),
			backoff.WithMaxElapsedTime(0),
		)
	}
}

func (s *schedule) NextBackOff() time.Duration { return s.next }

func (s *schedule) Context() context.Context { return s.ctx }

// Reset is called by backoff before the first attempt; a schedule serves one call.
func (s *schedule) Reset() {}

// uniform returns a duration in [0, below). Jitter is only ever added: a retry before
// the time that Twilio named is known to fail.
func uniform(below time.Duration) time.Duration {
	return rand.N(below)
}

// parseRetryAfter reads how long a throttled answer asks to wait. It returns 0 for a
// header that is absent or says nothing useful (garbage, negative, zero, a date that
// has passed): the fixed schedule then applies, so that a server that says "0" does
// not get a hot loop. Values too large for a Duration become the largest one.
//
// Seconds may have a fraction. A date is measured against the answer's own Date
// header, which makes a clock that is wrong on this side harmless. Twilio documents
// seconds (https://www.twilio.com/docs/api/errors/59004); RFC 9110 section 10.2.3
// allows both. Of several headers the first counts.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789.") == "" {
		seconds, err := strconv.ParseFloat(value, 64)
		switch {
		case seconds >= math.MaxInt64/float64(time.Second): // also the +Inf of a number out of range
			return math.MaxInt64
		case err != nil:
			return 0
		}
		return time.Duration(math.Round(seconds * float64(time.Second)))
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}
