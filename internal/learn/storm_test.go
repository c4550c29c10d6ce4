package learn

import (
	"testing"
	"time"
)

// A storm refuses everything. In the first minute after its end half of what is possible must be
// accepted, and in the fourth 95 %. While it lasts few requests are sent into it.
func TestControllerRecoversFromAStorm(t *testing.T) {
	second := func(limit int) server { return &sliding{limit: limit, window: time.Second} }
	none := chance{}
	for i, r := range []struct {
		name     string
		rate     float64 // configured requests per second
		callers  int
		server   func() server
		lasts    time.Duration // a whole number of minutes
		hold     time.Duration // that the storm asks for; 0: it does not say
		possible float64       // requests accepted per second
	}{
		{"a minute at a configured pace", 20, 60, func() server { return none }, time.Minute, 0, 20},
		{"a minute at a configured pace that asks for 30 s", 20, 60, func() server { return none }, time.Minute, 30 * time.Second, 20},
		{"ten minutes at a high pace", 100, 100, func() server { return none }, 10 * time.Minute, 0, 100},
		{"a minute without a pace", Unlimited, 8, func() server { return none }, time.Minute, 0, 150},
		{"ten minutes without a pace", Unlimited, 8, func() server { return none }, 10 * time.Minute, time.Second, 150},
		{"a minute at a limit that was learned", Unlimited, 60, func() server { return second(20) }, time.Minute, 0, 20},
		{"ten minutes at a limit that was learned", 30, 60, func() server { return second(20) }, 10 * time.Minute, 0, 20},
		{"a minute at a slow limit that was learned", Unlimited, 10, func() server { return second(1) }, time.Minute, 0, 1},
		{"a minute among noise of 5 %", 20, 60, func() server { return chance{share: .05} }, time.Minute, 0, 19},
	} {
		if leftOut(i) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			begins, ends := 3, 3+int(r.lasts/time.Minute)
			for seed := range seedsOf(2) {
				m := &model{rate: r.rate, callers: r.callers, latency: steady}
				m.server = chain{storm{time.Duration(begins) * time.Minute, time.Duration(ends) * time.Minute, r.hold}, r.server()}
				m.run(time.Duration(ends+4)*time.Minute, seed)
				share := func(minute int) float64 { return 100 * float64(m.minutes[minute].accepted) / (60 * r.possible) }
				if got := share(ends); got < 50 {
					t.Errorf("%.0f %% of the possible was accepted in the first minute after the storm, want 50 %% at least", got)
				}
				if got := share(ends + 3); got < 95 {
					t.Errorf("%.0f %% of the possible was accepted in the fourth minute after the storm, want 95 %% at least", got)
				}
				for minute := begins; minute < ends; minute++ {
					if got := m.minutes[minute].throttled; got > 90 {
						t.Errorf("%d requests were sent into minute %d of the storm, want 90 at most", got, minute-begins)
					}
				}
			}
		})
	}
}
