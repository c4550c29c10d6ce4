package learn

import (
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/internal/steps"
)

// A limit of a few requests per second whose cool-downs are short is used nearly as well as without learning. A bucket that
// learns nothing closes at each throttled answer. So are limits that are too slow for bursts, or whose cool-downs are long.
func TestSlowLimitIsUsedAsWithoutLearning(t *testing.T) {
	window := func(limit int, hold time.Duration) func() server {
		return func() server { return asks{&sliding{limit: limit, window: time.Second}, hold} }
	}
	for i, r := range []struct {
		name   string
		rate   float64
		server func() server
	}{
		{"1/s", Unlimited, window(1, time.Second)},
		{"2/s", Unlimited, window(2, time.Second)},
		{"3/s, no Retry-After", Unlimited, window(3, 0)},
		{"3/s, more is configured", 15, window(3, time.Second)},
		{"2/s, Retry-After 2.5", Unlimited, window(2, 2500*time.Millisecond)},
		{"2/s, Retry-After 30", Unlimited, window(2, 30*time.Second)},
		{"a fixed window of 2/s", Unlimited, func() server { return asks{&fixed{limit: 2}, time.Second} }},
		{"a token bucket of 3/s", Unlimited, func() server { return asks{&tokens{rate: 3, burst: 3}, time.Second} }},
		{"2/s and noise of 5 %", Unlimited, func() server {
			return asks{chain{chance{share: .05}, &sliding{limit: 2, window: time.Second}}, time.Second}
		}},
	} {
		if leftOut(i) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			var sums [2]int // with learning, and without
			for seed := range uint64(5) {
				for i := range sums {
					m := &model{rate: r.rate, callers: 25, latency: between(50*ms, 350*ms), server: r.server(), literal: i == 1}
					m.run(10*time.Minute, seed)
					for _, minute := range m.minutes[1:10] {
						sums[i] += minute.accepted
					}
				}
			}
			t.Logf("%d accepted, %d without learning", sums[0], sums[1])
			if sums[0] < sums[1]*96/100 {
				t.Errorf("%d accepted, %d without learning, want 96 %% of that at least", sums[0], sums[1])
			}
		})
	}
}

// A limit may be slow for a while only. It is the configured one again once as much is accepted.
func TestBurstsEndWhenTheConfiguredPaceIsAccepted(t *testing.T) {
	for _, r := range []struct {
		ceiling float64
		answers string
		ends    bool
	}{{4.9, "aaaa", false}, {4.9, "aaaaa", true}, {3, "aa", false}, {3, "aaa", true}, {Unlimited, "aaaaa", false}, {Unlimited, "aaaaaa", true}} {
		s := newScript(t, r.ceiling)
		s.answers(time.Second/2, "aax")
		s.wait(2 * time.Second)
		s.e.become(bursting, 2, s.now)
		s.answers(10*ms, r.answers)
		if got := s.e.phase == free; got != r.ends {
			t.Errorf("%d accepted within a second, %v configured: bursts have ended: %v, want %v", len(r.answers), r.ceiling, got, r.ends)
		}
	}
}

// bursts returns a script whose bucket meets a limit of two requests by bursts.
func bursts(t *testing.T) *script {
	s := newScript(t, Unlimited)
	s.answers(time.Second/2, "aax")
	s.wait(time.Second)
	s.e.become(bursting, 2, s.now)
	return s
}

func TestBursts(t *testing.T) {
	t.Run("leave two more at once than were accepted before", func(t *testing.T) {
		s := bursts(t)
		if n := s.e.AtOnce(); n != 4 {
			t.Errorf("%d leave at once, want 4", n)
		}
		if s.e.Pace() != Unlimited {
			t.Errorf("the pace is %v, want none", s.e.Pace())
		}
	})
	t.Run("grow while nothing is throttled, and end when the limit is not slow", func(t *testing.T) {
		s := bursts(t)
		s.answers(time.Second/10, "aaa")
		if n := s.e.AtOnce(); n != 5 {
			t.Errorf("%d leave at once after three were accepted, want 5", n)
		}
		s.answers(time.Second/10, "aaaaa")
		if s.e.AtOnce() != 0 || s.e.Known() {
			t.Errorf("%d leave at once, want that the bucket is free", s.e.AtOnce())
		}
	})
	t.Run("close the bucket at the first throttled answer", func(t *testing.T) {
		s := bursts(t)
		for range 20 {
			if v := s.answers(time.Second/4, "aax"); !v.Close || v.CoolDown != time.Second {
				t.Fatalf("%+v, want that the bucket closes for a second", v)
			}
			s.wait(time.Second)
		}
		if s.e.Learned() != 2 {
			t.Errorf("learned %v, want 2", s.e.Learned())
		}
	})
	t.Run("do not count those that were on their way before", func(t *testing.T) {
		s := bursts(t)
		s.answers(time.Second/4, "aax")
		s.now, s.closed = s.until, false
		s.e.Reopen(&s.account, 3, s.now)
		if n := s.e.AtOnce(); n != 7 {
			t.Errorf("%d may be in flight, want 7: 3 that are, 2 that were accepted and 2 more", n)
		}
	})
	t.Run("end where cool-downs are long", func(t *testing.T) {
		s := bursts(t)
		for i := range many {
			if s.e.phase != bursting {
				t.Fatalf("ended after %d long cool-downs, want %d", i, many)
			}
			s.answers(time.Second/4, "aa")
			s.wait(time.Second / 4)
			s.throttled(Throttle{RetryAfter: 5 * time.Second})
			s.wait(5 * time.Second)
		}
		if s.e.phase != seeking {
			t.Errorf("phase %d, want that a pace is looked for", s.e.phase)
		}
	})
	t.Run("end where so much is accepted that a pace does better", func(t *testing.T) {
		s := bursts(t)
		s.e.kept.peak = 15
		for i := range many {
			if s.e.phase != bursting {
				t.Fatalf("ended after %d cool-downs, want %d", i, many)
			}
			s.answers(time.Second/4, "aaax")
			s.wait(time.Second)
		}
		if s.e.phase != keeping || s.e.limit != 3*below {
			t.Errorf("phase %d and a limit of %v, want that %v is kept", s.e.phase, s.e.limit, 3*below)
		}
		if s.e.kept.soon != soonest {
			t.Errorf("more is asked for after %v, want %v as far more was accepted before", s.e.keepFor(), soonest)
		}
	})
	t.Run("end where the first request is throttled as often as others: that is noise", func(t *testing.T) {
		s := bursts(t)
		for range 3 {
			s.answers(time.Second/4, "x")
			s.wait(2 * time.Second) // the second step
			s.answers(time.Second/4, "aaaaaax")
			s.wait(time.Second)
		}
		if s.e.phase != free || s.e.noise.share == 0 {
			t.Errorf("phase %d and noise of %v, want that the bucket is free, and knows of the noise", s.e.phase, s.e.noise.share)
		}
	})
	t.Run("go on where the first is throttled less often than others: that is a limit and some noise", func(t *testing.T) {
		s := bursts(t)
		for range 6 {
			s.answers(time.Second/4, "x")
			s.wait(2 * time.Second)
			s.answers(time.Second/4, "ax")
			s.wait(time.Second)
			s.answers(time.Second/4, "ax")
			s.wait(time.Second)
		}
		if s.e.phase != bursting {
			t.Errorf("phase %d, want that bursts go on", s.e.phase)
		}
	})
	t.Run("count what was accepted later than the bucket was opened again", func(t *testing.T) {
		s := bursts(t)
		left := s.now
		s.answers(time.Second/4, "x")
		s.wait(2 * time.Second)
		s.e.Accepted(left, 1, &s.account, s.now)
		if s.e.bursts.empty&1 != 0 {
			t.Error("the cool-down counts as one after which nothing was accepted")
		}
	})
	t.Run("suit limits of a few requests per second whose cool-downs are short", func(t *testing.T) {
		for _, r := range []struct {
			limit float64
			rest  time.Duration
			want  bool
		}{{0.3, time.Second, false}, {1, 0, true}, {3, time.Second, true}, {3, 2 * time.Second, false}, {5, time.Second, false}} {
			if (&Rate{bursts: burstCoolDowns{rest: r.rest}}).burstsSuit(r.limit) != r.want {
				t.Errorf("a limit of %v with cool-downs of %v: want %v", r.limit, r.rest, r.want)
			}
		}
	})
	t.Run("know an outage from noise", func(t *testing.T) {
		s := bursts(t)
		for range 10 {
			s.answers(time.Second/4, "x")
			s.wait(steps.Last)
		}
		for range 2 {
			s.answers(time.Second/4, "aax")
			s.wait(time.Second)
			s.answers(time.Second/4, "x")
			s.wait(2 * time.Second)
		}
		s.answers(time.Second/4, "aax")
		s.wait(time.Second)
		if s.e.phase != bursting {
			t.Errorf("phase %d, want that bursts go on: two single cool-downs are not noise", s.e.phase)
		}
	})
	t.Run("outlast an outage", func(t *testing.T) {
		s := bursts(t)
		for range 10 {
			s.answers(time.Second/4, "x")
			s.wait(steps.Last)
		}
		s.answers(time.Second/4, "aax")
		s.wait(time.Second)
		if s.e.phase != bursting {
			t.Errorf("phase %d, want that bursts go on", s.e.phase)
		}
	})
}

// An asks is a server that asks to wait for so long.
type asks struct {
	server
	hold time.Duration
}

func (h asks) accepts(m *model) (bool, time.Duration) {
	ok, _ := h.server.accepts(m)
	return ok, h.hold
}
