package learn

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const (
	ms    = time.Millisecond
	seeds = 2 // 5 when floors and ceilings are measured anew, with -v
)

// Latencies of good networks, far away and nearby.
var (
	steady = between(50*ms, 56*ms)
	quick  = between(3*ms, 4*ms)
)

// leftOut reports that a case of a table is not tried with -short: four of five are not. The long
// lane of test.sh has all of them.
func leftOut(i int) bool { return testing.Short() && i%5 != 0 }

// seedsOf returns how many seeds a case has: one with -short.
func seedsOf(all uint64) uint64 {
	if testing.Short() {
		return 1
	}
	return all
}

// withNoise returns the requests per second that callers without a pace get accepted at most, if a
// share of all is throttled by chance. A call that was throttled waits for 1, 2, 4, 8 and 16 s.
func withNoise(callers int, share, latency float64) float64 {
	seconds, reached := latency, 1.0
	for wait := 1.0; wait <= 16; wait *= 2 {
		reached *= share
		seconds += reached * (wait + latency)
	}
	return float64(callers) * (1 - reached*share) / seconds
}

// The floor of each row is a point or two below the least share that was measured with five seeds,
// and the ceiling as far above the most.
func TestControllerReachesTheLimit(t *testing.T) {
	type row struct {
		name      string
		rate      float64 // configured requests per second
		callers   int     // 0: 60
		latency   func(*rand.Rand) time.Duration
		work      time.Duration
		server    func() server
		change    func(*model) // in the middle of what is measured
		possible  float64      // requests accepted per second
		floor     float64      // % of what is possible that must be accepted
		throttled float64      // % of the answers that may be throttled
	}
	noise := func(share float64) func() server { return func() server { return chance{share: share} } }
	second := func(limit int) func() server {
		return func() server { return &sliding{limit: limit, window: time.Second} }
	}
	slow := func(limit int) func() server {
		return func() server { return asks{second(limit)(), time.Second} }
	}
	inFlight := func(limit int) func() server { return func() server { return &permits{limit} } }
	noisySecond := func(share float64) func() server {
		return func() server { return chain{chance{share: share}, second(20)()} }
	}
	for i, r := range []row{
		{name: "noise of 0.5 % costs 20/s next to nothing", rate: 20, server: noise(.005), possible: 20 * .995, floor: 94, throttled: 0.6},
		{name: "noise of 5 % costs 20/s next to nothing", rate: 20, server: noise(.05), possible: 20 * .95, floor: 96, throttled: 6},
		{name: "noise of 10 % costs 20/s next to nothing", rate: 20, server: noise(.1), possible: 20 * .9, floor: 98, throttled: 11},
		{name: "noise of 0.5 % costs 100/s next to nothing", rate: 100, callers: 100, server: noise(.005), possible: 100 * .995, floor: 98, throttled: 0.7},
		{name: "noise of 5 % costs 100/s next to nothing", rate: 100, callers: 100, server: noise(.05), possible: 100 * .95, floor: 98, throttled: 6},
		{name: "noise of 10 % costs 100/s next to nothing", rate: 100, callers: 100, server: noise(.1), possible: 100 * .9, floor: 98, throttled: 11},
		{name: "noise of 0.5 % costs what has no pace next to nothing", rate: Unlimited, callers: 8, server: noise(.005), possible: withNoise(8, .005, .053), floor: 97, throttled: 0.7},
		{name: "noise of 5 % costs what has no pace next to nothing", rate: Unlimited, callers: 8, server: noise(.05), possible: withNoise(8, .05, .053), floor: 83, throttled: 6},
		{name: "noise of 10 % costs what has no pace next to nothing", rate: Unlimited, callers: 8, server: noise(.1), possible: withNoise(8, .1, .053), floor: 94, throttled: 11},
		{name: "noise that asks for 30 s does not stop a bucket", rate: 20, server: func() server { return chance{.01, 30 * time.Second} }, possible: 20 * .99, floor: 96, throttled: 1.4},
		{name: "noise of 5 % costs 1/s next to nothing", rate: 1, callers: 20, server: noise(.05), possible: .95, floor: 96, throttled: 7},
		{name: "each eighth request throttled is noise", rate: 20, server: func() server { return &every{n: 8} }, possible: 20 * 7 / 8., floor: 98, throttled: 13},
		{name: "each other request throttled halves what is accepted and no more", rate: 20, server: func() server { return &every{n: 2} }, possible: 10, floor: 97, throttled: 51},

		{name: "a pace that is the limit is used", rate: 20, server: second(20), possible: 20, floor: 96, throttled: 1},
		{name: "a limit 2 % below the pace is found", rate: 20.4, server: second(20), possible: 20, floor: 97, throttled: 0.4},
		{name: "a limit 20 % below the pace is found", rate: 24, server: second(20), possible: 20, floor: 97, throttled: 0.4},
		{name: "a limit a third below the pace is found", rate: 30, server: second(20), possible: 20, floor: 97, throttled: 0.4},
		{name: "a limit a third of the pace is found", rate: 60, server: second(20), possible: 20, floor: 97, throttled: 0.4},
		{name: "a limit without a pace is found", rate: Unlimited, server: second(20), possible: 20, floor: 97, throttled: 0.4},
		{name: "a limit of a fixed window is found", rate: Unlimited, server: func() server { return &fixed{limit: 20} }, possible: 20, floor: 97, throttled: 1.3},
		{name: "a limit of a token bucket is found", rate: Unlimited, server: func() server { return &tokens{rate: 20, burst: 40} }, possible: 20, floor: 98, throttled: 1.5},
		{name: "a limit that allows no burst is found", rate: 20, server: func() server { return &tokens{rate: 10, burst: 1} }, possible: 10, floor: 91, throttled: 1.6},
		{name: "a limit of 100 in 5 s is found", rate: 30, server: func() server { return &sliding{limit: 100, window: 5 * time.Second} }, possible: 20, floor: 96, throttled: 1.1},
		{name: "a limit of 60 in a minute is used up", rate: 20, server: func() server { return &sliding{limit: 60, window: time.Minute} }, possible: 1, floor: 99, throttled: 48},
		{name: "a limit of 1 in 3 s is found", rate: Unlimited, server: func() server { return &sliding{limit: 1, window: 3 * time.Second} }, possible: 1 / 3., floor: 71, throttled: 4.8},
		{name: "a limit is found when latency varies sevenfold", rate: 30, latency: between(50*ms, 350*ms), server: second(20), possible: 20, floor: 86, throttled: 1.3},
		{name: "a limit is found among noise of 0.5 %", rate: 30, server: noisySecond(.005), possible: 20, floor: 96, throttled: 0.8},
		{name: "a limit is found among noise of 5 %", rate: Unlimited, server: noisySecond(.05), possible: 20, floor: 88, throttled: 19},
		{name: "a limit of 3/s is found when latency varies sevenfold", rate: Unlimited, callers: 25, latency: between(50*ms, 350*ms), server: slow(3), possible: 3, floor: 80, throttled: 12},
		{name: "a limit of 4/s below the pace is found when latency varies sevenfold", rate: 9, callers: 25, latency: between(50*ms, 350*ms), server: slow(4), possible: 4, floor: 81, throttled: 9},
		{name: "a limit that halves is followed", rate: 40, server: second(20), change: func(m *model) { m.server.(*sliding).limit = 10 }, possible: 15, floor: 96, throttled: 0.9},
		{name: "a limit that doubles is followed", rate: 40, server: second(10), change: func(m *model) { m.server.(*sliding).limit = 20 }, possible: 15, floor: 92, throttled: 0.5},

		{name: "a limit in flight without a pace is found", rate: Unlimited, latency: quick, work: 200 * ms, server: inFlight(10), possible: 50, floor: 96, throttled: 0.2},
		{name: "a limit in flight is found among noise of 1 %", rate: Unlimited, latency: quick, work: 200 * ms, server: func() server { return chain{chance{share: .01}, &permits{10}} }, possible: 50, floor: 95, throttled: 1.5},
		{name: "a limit in flight that halves is followed", rate: Unlimited, latency: quick, work: 200 * ms, server: inFlight(10), change: func(m *model) { m.server.(*permits).limit = 5 }, possible: 37.5, floor: 92, throttled: 0.4},
		{name: "a limit in flight that doubles is followed", rate: Unlimited, latency: quick, work: 200 * ms, server: inFlight(10), change: func(m *model) { m.server.(*permits).limit = 20 }, possible: 75, floor: 92, throttled: 0.2},
		{name: "a limit in flight below a pace is found", rate: 100, latency: quick, work: 100 * ms, server: inFlight(5), possible: 50, floor: 95, throttled: 0.2},
	} {
		if leftOut(i) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			least, most, longest := math.Inf(1), 0.0, time.Duration(0)
			for seed := range seedsOf(seeds) {
				m := &model{rate: r.rate, callers: r.callers, latency: r.latency, work: r.work, server: r.server(), change: r.change, changes: 7 * time.Minute}
				if m.callers == 0 {
					m.callers = 60
				}
				if m.latency == nil {
					m.latency = steady
				}
				m.run(10*time.Minute, seed)
				var accepted, throttled float64
				for _, minute := range m.minutes[4:10] {
					accepted += float64(minute.accepted)
					throttled += float64(minute.throttled)
				}
				least = min(least, 100*accepted/(360*r.possible))
				most = max(most, 100*throttled/(accepted+throttled))
				longest = max(longest, m.longest)
			}
			t.Logf("accepted %.1f %% of the possible, %.2f %% throttled, a head waited for %v at most", least, most, longest)
			if least < r.floor {
				t.Errorf("%.1f %% of the possible was accepted, want at least %.1f %%", least, r.floor)
			}
			if most > r.throttled {
				t.Errorf("%.2f %% of the answers were throttled, want at most %.2f %%", most, r.throttled)
			}
			if longest > 31*time.Second {
				t.Errorf("a head waited %v for its token, want 30 s at most", longest)
			}
		})
	}
}
