package pacer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A fleet is processes that share a bucket through a model, each with some callers, and what Twilio
// makes of their requests.
type fleet struct {
	limits    Limits
	processes int     // 0: one, without a store
	callers   int     // all together
	limit     int     // of Twilio's, in a sliding window of a second; 0: none
	noise     float64 // share of the requests that is throttled at random
	length    time.Duration
	warmUp    time.Duration // which does not count
	resource  Resource
}

// A result is what came of a fleet.
type result struct {
	accepted, throttled float64
	of                  []float64 // accepted, of each process
	paces               []float64 // by Stats at the end
	asked               int
}

func (r result) least() float64 {
	least := math.Inf(1)
	for _, n := range r.of {
		least = min(least, n)
	}
	return least / (r.accepted / float64(len(r.of)))
}

func (f fleet) run(t *testing.T) (r result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		rng := rand.New(rand.NewPCG(3, 4))
		var mu sync.Mutex
		var window []time.Time // when requests were accepted
		admit := func() bool {
			now := time.Now()
			for len(window) > 0 && now.Sub(window[0]) >= time.Second {
				window = window[1:]
			}
			if f.limit > 0 && len(window) >= f.limit {
				return false
			}
			window = append(window, now)
			return true
		}
		var limiters []*BucketLimiter
		for i := range max(f.processes, 1) {
			if f.processes == 0 {
				limiters = append(limiters, newLimiter(t, f.limits...))
			} else {
				limiters = append(limiters, m.join(t, fmt.Sprint("p", i), f.limits))
			}
		}
		ctx, cancel := context.WithCancel(t.Context()) // not a deadline, by which calls would be refused
		defer time.AfterFunc(f.warmUp+f.length, cancel).Stop()
		counts := make([]atomic.Int64, len(limiters))
		var throttled atomic.Int64
		start := time.Now()
		var wg sync.WaitGroup
		for i := range f.callers {
			p := i % len(limiters)
			wg.Go(func() {
				for {
					done, err := limiters[p].Acquire(ctx, f.resource)
					if err != nil {
						if ctx.Err() == nil {
							t.Errorf("a call fails: %v", err)
						}
						return
					}
					mu.Lock()
					took := time.Duration(20+rng.IntN(30)) * time.Millisecond
					ok := rng.Float64() >= f.noise && admit()
					mu.Unlock()
					time.Sleep(took)
					counted := time.Since(start) > f.warmUp
					switch {
					case ok && counted:
						counts[p].Add(1)
					case counted:
						throttled.Add(1)
					}
					done(Outcome{Throttled: !ok, RetryAfter: time.Second})
					if !ok {
						time.Sleep(time.Second)
					}
				}
			})
		}
		wg.Wait()
		for i := range counts {
			r.of = append(r.of, float64(counts[i].Load()))
			r.accepted += r.of[i]
			var s Stats
			s.LimiterStats = limiters[i].Stats()
			for _, b := range s.Buckets {
				r.paces = append(r.paces, b.Pace)
			}
		}
		r.throttled, r.asked = float64(throttled.Load()), m.Asked()
	})
	return r
}

func (r result) share() float64 { return r.throttled / max(r.accepted+r.throttled, 1) }

// Processes that share a bucket learn as one process does that has it for itself: as much is accepted,
// hardly more is throttled, and none starves.
func TestProcessesLearnAsOneDoes(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name string
		fleet
		least     float64 // of what one process has
		throttled float64 // share that is allowed beyond that of one process
	}{
		{"a limit that nobody knows", fleet{limit: 20, callers: 48}, 0.93, 0.01},
		{"a limit far below the configured one", fleet{limit: 40, limits: Limits{{Resource: Messages, Rate: 100}}, callers: 48}, 0.9, 0.015},
		{"noise of 2 %, 100/s configured", fleet{noise: 0.02, limits: Limits{{Resource: Messages, Rate: 100}}, callers: 48}, 0.95, 0.005},
		{"noise of 2 % and no limit", fleet{noise: 0.02, callers: 16}, 0.8, 0.005},
		{"noise of 2 %, 20/s configured", fleet{noise: 0.02, limits: Limits{{Resource: Messages, Rate: 20}}, callers: 24}, 0.95, 0.005},
		{"a limit that is kept", fleet{limit: 50, limits: Limits{{Resource: Messages, Rate: 50}}, callers: 48}, 0.95, 0.005},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := tc.fleet
			f.resource, f.warmUp, f.length = from(unlisted), minute, 5*minute
			alone := f.run(t)
			f.processes = 8
			all := f.run(t)
			t.Logf("one process %.0f, %.2f %% throttled; eight %.0f, %.2f %%, the least %.2f of its share, %d round trips", alone.accepted, 100*alone.share(), all.accepted, 100*all.share(), all.least(), all.asked)
			if all.accepted < tc.least*alone.accepted {
				t.Errorf("%.0f accepted, and %.0f of one process without a store: expected at least %.0f %% of that", all.accepted, alone.accepted, 100*tc.least)
			}
			if all.share() > alone.share()+tc.throttled {
				t.Errorf("%.2f %% throttled, and %.2f %% of one process: expected hardly more", 100*all.share(), 100*alone.share())
			}
			if least, most := slices.Min(all.paces), slices.Max(all.paces); tc.noise == 0 && least < 0.8*most {
				t.Errorf("the processes' paces are %v: expected the same for all", all.paces)
			}
			if all.least() < 0.5 {
				t.Errorf("the least process had %.2f of its share: expected half at least", all.least())
			}
		})
	}
}
