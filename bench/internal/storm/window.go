package storm

import (
	"time"
)

// A Window limits the rate of requests of each key.
type Window struct {
	Kind  Kind
	Limit Steps         // requests within Per
	Per   time.Duration // 0: a second

	// Tenant is another program, unknown to the client, that sends this share of the limit, evenly, within TenantSpan.
	Tenant     float64
	TenantSpan Span

	states map[string]*windowState
}

// A Kind says how a [Window] counts.
type Kind int

// The kinds of windows.
const (
	// Sliding: no span of Per has more requests than the limit. Those that the window itself refuses do not count.
	Sliding Kind = iota
	// Fixed: as Sliding, but of spans that begin at multiples of Per.
	Fixed
	// TokenBucket: a bucket for as many tokens as the limit, full at first, filled evenly.
	TokenBucket
	// Strict: as Sliding, but what the window refuses counts as well, so that who goes on sending is refused for ever.
	Strict
)

type windowState struct {
	counted []time.Duration // what counts, the oldest first
	tokens  float64
	filled  time.Duration // when tokens was right
	tenant  time.Duration // of the tenant's next request
}

func (w *Window) per() time.Duration {
	if w.Per == 0 {
		return time.Second
	}
	return w.Per
}

func (w *Window) state(key string) *windowState {
	if w.states == nil {
		w.states = map[string]*windowState{}
	}
	s := w.states[key]
	if s == nil {
		s = &windowState{tokens: w.Limit.At(0), tenant: w.TenantSpan.From}
		w.states[key] = s
	}
	return s
}

// Full implements [Model].
func (w *Window) Full(key string, now time.Duration, _ float64) bool {
	s := w.state(key)
	for w.Tenant > 0 && s.tenant <= now && w.TenantSpan.Has(s.tenant) {
		w.count(s, s.tenant, !w.full(s, s.tenant))
		s.tenant += time.Duration(float64(w.per()) / (w.Tenant * w.Limit.At(s.tenant)))
	}
	return w.full(s, now)
}

func (w *Window) full(s *windowState, now time.Duration) bool {
	limit := w.Limit.At(now)
	if w.Kind == TokenBucket {
		s.tokens = min(limit, s.tokens+limit*float64(now-s.filled)/float64(w.per()))
		s.filled = now
		return s.tokens < 1-1e-9
	}
	since := now - w.per()
	if w.Kind == Fixed {
		since = now.Truncate(w.per()) - 1
	}
	old := 0
	for old < len(s.counted) && s.counted[old] <= since {
		old++
	}
	s.counted = s.counted[old:]
	return float64(len(s.counted)) >= limit
}

func (w *Window) count(s *windowState, now time.Duration, passed bool) {
	switch {
	case !passed && w.Kind != Strict:
	case w.Kind == TokenBucket:
		s.tokens--
	default:
		s.counted = append(s.counted, now)
	}
}

// Took implements [Model].
func (w *Window) Took(key string, now time.Duration, passed bool) func() {
	w.count(w.state(key), now, passed)
	return nil
}

// Possible implements [Model].
func (w *Window) Possible(t, _ time.Duration) (perSecond, refused float64) {
	perSecond = w.Limit.At(t) / w.per().Seconds()
	if w.Tenant > 0 && w.TenantSpan.Has(t) {
		perSecond *= 1 - w.Tenant
	}
	return perSecond, 0
}

// Concurrency limits how many requests of a key are in progress.
type Concurrency struct {
	Limit  Steps // requests
	Others Steps // of them, in progress of other processes
	Header bool  // answers have Twilio-Concurrent-Requests, which counts the others, too

	inFlight map[string]int
}

// InProgress is how many requests of key are in progress, of other processes as well.
func (c *Concurrency) InProgress(key string, now time.Duration) int {
	return c.inFlight[key] + int(c.Others.At(now))
}

// Full implements [Model].
func (c *Concurrency) Full(key string, now time.Duration, _ float64) bool {
	return float64(c.InProgress(key, now)) >= c.Limit.At(now)
}

// Took implements [Model].
func (c *Concurrency) Took(key string, _ time.Duration, passed bool) (done func()) {
	if !passed {
		return nil
	}
	if c.inFlight == nil {
		c.inFlight = map[string]int{}
	}
	c.inFlight[key]++
	return func() { c.inFlight[key]-- }
}

// Possible implements [Model].
func (c *Concurrency) Possible(t, latency time.Duration) (perSecond, refused float64) {
	return max(0, c.Limit.At(t)-c.Others.At(t)) / latency.Seconds(), 0
}
