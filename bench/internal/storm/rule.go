package storm

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// A Rule is one reason for which the server refuses requests with 429.
type Rule struct {
	Model
	Refusal
	Scope   Scope
	Span    Span // when it is in force; the zero Span: always
	HotOnly bool // it is about hot streams only
	Trouble bool // it is a trouble that ends, and not a limit

	asked, refused int // requests in the measured time
}

// luck is the share of the requests that a rule which refuses at random has refused in the measured time. It replaces the
// expected share in the possible, so that what a client is measured by does not depend on luck.
func (r *Rule) luck(expected float64) float64 {
	if _, random := r.Model.(Random); !random || r.asked == 0 {
		return expected
	}
	return float64(r.refused) / float64(r.asked)
}

// A Scope says which requests a rule counts together.
type Scope int

// The scopes.
const (
	Bucket  Scope = iota // those of one sender, or of one resource that has none
	Account              // all
	Object               // those about one number, document or conversation
)

// A Refusal is what a refused request is answered.
type Refusal struct {
	Code       int    // Twilio's; 0: 20429
	RetryAfter string // the header's value; "": there is none
}

func (f Refusal) body() []byte {
	code := f.Code
	if code == 0 {
		code = 20429
	}
	return fmt.Appendf(nil, `{"code":%d,"message":"Too Many Requests","more_info":"https://www.twilio.com/docs/errors/%[1]d","status":429}`, code)
}

// longestWait is what a call waits at most between attempts. It is given up when more is asked for, as by pacer's default.
const longestWait = 5 * time.Minute

const retries = 5

// hold is how long the article lets a call wait after its n-th throttled answer, from the first on, without jitter.
func (f Refusal) hold(n int) (d time.Duration, header bool) {
	if f.RetryAfter != "" { // an error of ParseFloat costs more than the number
		if s, err := strconv.ParseFloat(f.RetryAfter, 64); err == nil && s > 0 {
			return time.Duration(s * float64(time.Second)), true
		}
	}
	return min(time.Second<<(n-1), 16*time.Second), false
}

// wait is the mean of that wait. ok is false if the call is given up instead.
func (f Refusal) wait(n int) (d time.Duration, ok bool) {
	d, header := f.hold(n)
	if header {
		return d + time.Second/2, d <= longestWait
	}
	return d, true
}

// A Model decides which requests a rule refuses. It is given the time since the start of the run.
type Model interface {
	// Full reports whether a request is refused. draw is at random, from 0 to 1.
	Full(key string, now time.Duration, draw float64) bool
	// Took tells the model of a request that it was asked about, and that it has passed or not. done, if it is not nil, is
	// called when the request has been answered.
	Took(key string, now time.Duration, passed bool) (done func())
	// Possible is what the model lets pass at t: so many requests/s of each key, and of requests this share refused
	// whatever the rate. latency is the mean one at t.
	Possible(t, latency time.Duration) (perSecond, refused float64)
}

// applies reports whether r is about requests of s at t.
func (r *Rule) applies(s *Stream, t time.Duration) bool {
	return r.Span.Has(t) && (s.Hot || !r.HotOnly)
}

func (r *Rule) key(c *Call) string {
	switch r.Scope {
	case Account:
		return ""
	case Object:
		return c.Object
	}
	return c.Stream.Bucket
}

// Random refuses a share of all requests at random, from 0 to 1. 1 refuses all.
type Random float64

// Full implements [Model].
func (r Random) Full(_ string, _ time.Duration, draw float64) bool { return draw < float64(r) }

// Took implements [Model].
func (r Random) Took(string, time.Duration, bool) func() { return nil }

// Possible implements [Model].
func (r Random) Possible(time.Duration, time.Duration) (perSecond, refused float64) {
	return unlimited, float64(r)
}

// Periodic refuses all requests within the first For of each Every.
type Periodic struct{ Every, For time.Duration }

// Full implements [Model].
func (p Periodic) Full(_ string, now time.Duration, _ float64) bool { return now%p.Every < p.For }

// Took implements [Model].
func (p Periodic) Took(string, time.Duration, bool) func() { return nil }

// Possible implements [Model].
func (p Periodic) Possible(t, _ time.Duration) (perSecond, refused float64) {
	if p.Full("", t, 0) {
		return unlimited, 1
	}
	return unlimited, 0
}

// Alternating refuses each N-th request of a key.
type Alternating struct {
	N int

	count map[string]int
}

// Full implements [Model].
func (a *Alternating) Full(key string, _ time.Duration, _ float64) bool {
	return (a.count[key]+1)%a.N == 0
}

// Took implements [Model].
func (a *Alternating) Took(key string, _ time.Duration, _ bool) func() {
	if a.count == nil {
		a.count = map[string]int{}
	}
	a.count[key]++
	return nil
}

// Possible implements [Model].
func (a *Alternating) Possible(time.Duration, time.Duration) (perSecond, refused float64) {
	return unlimited, 1 / float64(a.N)
}

// Latency is how long the server takes to answer. For accepted requests it is between Low and High, for refused ones
// between Low and twice that, evenly distributed. A High below Low counts as Low. While Slow is in force, accepted requests
// take SlowFor.
type Latency struct {
	Low, High time.Duration
	Slow      Span
	SlowFor   time.Duration // 0: never slow
}

func (l Latency) draw(now time.Duration, accepted bool, rnd *rand.Rand) time.Duration {
	x := rnd.Float64() // drawn also where it is not used, so that what is slow changes no later draw
	switch {
	case !accepted:
		return l.Low + time.Duration(x*float64(l.Low))
	case l.slow(now):
		return l.SlowFor
	}
	return l.Low + time.Duration(x*float64(max(0, l.High-l.Low)))
}

// mean is that of accepted requests at t.
func (l Latency) mean(t time.Duration) time.Duration {
	if l.slow(t) {
		return l.SlowFor
	}
	return (l.Low + max(l.Low, l.High)) / 2
}

// refused is the mean of refused requests.
func (l Latency) refused() time.Duration { return l.Low + l.Low/2 }

func (l Latency) slow(t time.Duration) bool { return l.SlowFor > 0 && l.Slow.Has(t) }
