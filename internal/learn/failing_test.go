package learn

import (
	"testing"
	"time"
)

// Where many requests fail after the server has let them pass, a limit is found and kept as where none does.
func TestFailuresDoNotLowerALimit(t *testing.T) {
	for name, tt := range map[string]struct {
		server func() server
		work   time.Duration
	}{
		"a rate":           {func() server { return &sliding{limit: 20, window: time.Second} }, 0},
		"permits":          {func() server { return &permits{10} }, 500 * ms},
		"a rate and noise": {func() server { return chain{&sliding{limit: 20, window: time.Second}, chance{share: 0.05}} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			passed := func(fails float64) (n int) {
				m := &model{rate: Unlimited, callers: 60, latency: steady, work: tt.work, server: tt.server(), fails: fails}
				m.run(3*time.Minute, 1)
				for _, minute := range m.minutes[1:] {
					n += minute.accepted
				}
				return n
			}
			if all, got := passed(0), passed(0.5); float64(got) < 0.9*float64(all) {
				t.Errorf("%d requests passed where half of them fail, %d where none does", got, all)
			}
		})
	}
}

// Failures prove no acceptance: they end no outage.
func TestFailuresEndNoOutage(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var e Evidence
	e.Configure(Unlimited, true, true)
	e.Throttled(Throttle{Left: now}, nil, now)
	for range 3 {
		now = now.Add(20 * time.Second)
		e.Reopen(nil, 0, now)
		e.Failed(now, 1, nil, now)
		e.Throttled(Throttle{Left: now}, nil, now)
	}
	if !e.trouble.scouting || e.trouble.empty < 2 {
		t.Errorf("%d cool-downs in a row had no acceptance, scouting %v, expected 3, true", e.trouble.empty, e.trouble.scouting)
	}
}
