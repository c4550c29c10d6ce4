package learn

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever is answered, in whatever order, what the bucket is told must be sane.
func TestNoHeadWaitsLongerThanHalfAMinute(t *testing.T) {
	for seed := range 150 * seedsOf(20) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		ceilings := []float64{.01, .5, 1, 3, 10, 20, 100, 1000, Unlimited}
		ceiling := ceilings[rnd.IntN(len(ceilings))]
		var e Evidence
		var account InFlight
		e.Configure(ceiling, true, true)
		share := rnd.Float64() * rnd.Float64() * 1.2 // of the answers that are throttled
		var flying []time.Time
		var asked time.Time // the latest end of a hold that Twilio asked for
		var closed bool
		var until time.Time // the end of the cool-down
		for range 500 {
			// Time goes on by about what a token takes, now and then by more.
			pace := min(e.Pace(), 1000)
			now = now.Add(time.Duration(rnd.ExpFloat64() / pace * float64(time.Second)))
			switch rnd.IntN(20) {
			case 0:
				now = now.Add(time.Duration(rnd.IntN(20_000)) * time.Millisecond)
			case 1:
				share = rnd.Float64() * rnd.Float64() * 1.2
			}
			if closed && rnd.IntN(4) > 0 {
				closed, now = false, later(now, until)
				e.Reopen(&account, 0, now)
			}
			switch rnd.IntN(200) {
			case 0:
				now = now.Add(time.Duration(rnd.IntN(48)) * time.Hour)
			case 1:
				ceiling = ceilings[rnd.IntN(len(ceilings))]
				e.Configure(ceiling, rnd.IntN(8) > 0, true)
			case 2:
				e.NothingRemains(now)
			case 3:
				e.Forget()
			}
			if len(flying) < 30 && rnd.IntN(4) > 0 {
				e.Departed(now.Add(-time.Duration(rnd.IntN(1000))*time.Millisecond), now)
				if n := account.Limit(); n > 0 && len(flying) >= n {
					account.Probe(now)
				}
				flying = append(flying, now)
			}
			if len(flying) > 0 && rnd.IntN(4) > 0 {
				i := rnd.IntN(len(flying))
				left := flying[i]
				flying = append(flying[:i], flying[i+1:]...)
				n := len(flying) + 1
				var of *InFlight
				if rnd.IntN(8) > 0 {
					of = &account
				}
				if rnd.Float64() >= share {
					e.Accepted(left, n, of, now)
				} else {
					hold := time.Duration(max(0, rnd.IntN(60)-30)) * time.Second
					asked = later(asked, now.Add(hold))
					v := e.Throttled(Throttle{
						Left: left, RetryAfter: hold, InProgress: n + rnd.IntN(2), Local: n,
						Rate: rnd.IntN(8) == 0, Stubborn: rnd.IntN(2) == 0, Overtook: rnd.IntN(8) == 0,
					}, of, now)
					if v.Close {
						closed, until = true, later(until, now.Add(v.CoolDown))
					}
					if v.CoolDown < 0 || v.CoolDown > max(16*time.Second, asked.Sub(now)) {
						t.Fatalf("seed %d: told to pause for %v, want 16 s at most, or the %v that were asked for", seed, v.CoolDown, asked.Sub(now))
					}
				}
			}
			pace, learned, pause := e.Pace(), e.Learned(), e.News().Pause
			if !(pace >= min(1.0/30, ceiling) && pace <= ceiling) {
				t.Fatalf("seed %d: the pace is %v, want 1/30 at least and %v at most", seed, pace, ceiling)
			}
			if !(learned >= 0 && learned < math.MaxFloat64) {
				t.Fatalf("seed %d: the learned limit is %v", seed, learned)
			}
			if pause < 0 || pause > time.Second {
				t.Fatalf("seed %d: nothing may leave for %v, want a second at most", seed, pause)
			}
			if n := account.Limit(); n < 0 {
				t.Fatalf("seed %d: %d may be in flight", seed, n)
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
