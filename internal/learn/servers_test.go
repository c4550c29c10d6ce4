package learn

import (
	"math/rand/v2"
	"time"
)

// between is a latency.
func between(least, most time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return least + time.Duration(r.Int64N(int64(most-least)+1)) }
}

// A chain refuses what one of its servers refuses.
type chain []server

func (c chain) accepts(m *model) (bool, time.Duration) {
	for _, s := range c {
		if ok, hold := s.accepts(m); !ok {
			return false, hold
		}
	}
	return true, 0
}

// chance refuses a share of the requests at random.
type chance struct {
	share float64
	hold  time.Duration
}

func (c chance) accepts(m *model) (bool, time.Duration) { return m.rnd.Float64() >= c.share, c.hold }

// every refuses each n-th request.
type every struct{ n, count int }

func (e *every) accepts(*model) (bool, time.Duration) {
	e.count++
	return e.count%e.n != 0, 0
}

// sliding accepts as many requests within each window, wherever that begins.
type sliding struct {
	limit  int
	window time.Duration
	times  []time.Time // of those that were accepted
}

func (s *sliding) accepts(m *model) (bool, time.Duration) {
	for len(s.times) > 0 && !s.times[0].After(m.now.Add(-s.window)) {
		s.times = s.times[1:]
	}
	if len(s.times) >= s.limit {
		return false, 0
	}
	s.times = append(s.times, m.now)
	return true, 0
}

// fixed accepts as many requests within each second of the clock.
type fixed struct {
	limit  int
	second int64
	count  int
}

func (f *fixed) accepts(m *model) (bool, time.Duration) {
	if second := m.now.Unix(); second != f.second {
		f.second, f.count = second, 0
	}
	if f.count >= f.limit {
		return false, 0
	}
	f.count++
	return true, 0
}

// tokens is a token bucket.
type tokens struct {
	rate, burst float64
	left        float64
	at          time.Time
}

func (b *tokens) accepts(m *model) (bool, time.Duration) {
	if b.at.IsZero() {
		b.at, b.left = m.now, b.burst
	}
	b.left = min(b.burst, b.left+m.now.Sub(b.at).Seconds()*b.rate)
	b.at = m.now
	if b.left < 1 {
		return false, 0
	}
	b.left--
	return true, 0
}

// permits accepts a request unless so many are worked on.
type permits struct{ limit int }

func (s *permits) accepts(m *model) (bool, time.Duration) { return m.inside <= s.limit, 0 }

// storm refuses everything for a while.
type storm struct {
	from, to time.Duration // from the start of the run
	hold     time.Duration
}

func (s storm) accepts(m *model) (bool, time.Duration) {
	at := m.now.Sub(m.start)
	return at < s.from || at >= s.to, s.hold
}
