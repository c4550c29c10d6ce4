package pacer

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/internal/token/storemodel"
)

// Requests that were throttled together are one cool-down. The store is told of it once, and once more
// at most of the answers that came after that.
func TestTwoThousandThrottledTogetherAreOneReport(t *testing.T) {
	for name, limits := range map[string]Limits{"without a limit": nil, "with one": {{Resource: Messages, Rate: 5000, Burst: 2000}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel()
				l := m.join(t, "p", limits)
				var all []func(Outcome)
				for range 2000 {
					done, err := l.Acquire(t.Context(), Resource{Name: Messages, Op: Create, Sender: sender})
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, done)
				}
				time.Sleep(100 * time.Millisecond)
				before := m.Asked()
				for _, done := range all {
					done(Outcome{Throttled: true, RetryAfter: 30 * time.Second})
				}
				time.Sleep(10 * time.Second)
				if n := m.Asked() - before; n < 1 || n > 2 {
					t.Errorf("the store was asked %d times after 2,000 throttled answers, expected once or twice", n)
				}
			})
		})
	}
}

var storeSeeds = flag.Int("store-seeds", 12, "compositions of TestStoreInTrouble")

// Whatever the store does, no call hangs, no more leaves than the documents allow, and two seconds after the
// trouble each process has its share again.
func TestStoreInTrouble(t *testing.T) {
	for seed := range uint64(*storeSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { storeInTrouble(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func storeInTrouble(t *testing.T, rng *rand.Rand) {
	m := newModel()
	chaos := rand.New(rand.NewPCG(rng.Uint64(), 8)) // of the store; rng is the callers', and mu guards it
	processes, rate := 1+rng.IntN(6), []float64{5, 20, 100}[rng.IntN(3)]
	kinds := []string{"late", "failing", "away", "forgetting", "clock", "twice"}
	kind := kinds[rng.IntN(len(kinds))]
	t.Logf("%d processes, %v/s, store: %s", processes, rate, kind)
	limits := Limits{{Resource: Messages, Rate: rate}}
	const before, trouble, after, grace = 15 * time.Second, 20 * time.Second, 15 * time.Second, 2 * time.Second
	start := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(before+trouble+after, cancel).Stop()

	var mu sync.Mutex
	var left []time.Duration
	counts := make([]int, processes)
	var wg sync.WaitGroup
	for p := range processes {
		l := m.join(t, fmt.Sprint("p", p), limits)
		for range 3 * max(1, int(rate)/processes/4) {
			wg.Go(func() {
				for {
					// Some calls are given up.
					call, end := context.WithCancel(ctx)
					mu.Lock()
					impatient, patience := rng.IntN(20) == 0, time.Duration(rng.IntN(300))*time.Millisecond
					took := time.Duration(10+rng.IntN(90)) * time.Millisecond
					mu.Unlock()
					if impatient {
						time.AfterFunc(patience, end)
					}
					done, err := l.Acquire(call, from(sender))
					end()
					if err != nil {
						if ctx.Err() != nil {
							return
						}
						continue
					}
					mu.Lock()
					at := time.Since(start)
					left = append(left, at)
					if at > before+trouble+grace {
						counts[p]++
					}
					mu.Unlock()
					time.Sleep(took)
					done(Outcome{})
				}
			})
		}
	}
	time.Sleep(before)
	switch kind {
	case "late":
		m.Change(func(t *storemodel.Trouble) {
			t.Late, t.LateBy = 0.05+0.4*chaos.Float64(), time.Duration(chaos.IntN(400))*time.Millisecond
		})
	case "failing":
		m.Change(func(t *storemodel.Trouble) { t.Failing = 0.3 * chaos.Float64() })
	case "away":
		m.Change(func(t *storemodel.Trouble) { t.Failing = 1 })
	case "twice":
		m.Change(func(t *storemodel.Trouble) { t.Doubled = 0.3 })
	}
	for end := before + trouble; time.Since(start) < end; time.Sleep(2 * time.Second) {
		switch kind {
		case "forgetting":
			m.Forget()
		case "clock":
			jump := time.Duration(chaos.IntN(int(40*time.Minute))) - 20*time.Minute
			m.Change(func(t *storemodel.Trouble) { t.Clock += jump })
		}
	}
	m.Change(func(t *storemodel.Trouble) { t.Late, t.Failing, t.Doubled = 0, 0, 0 })
	wg.Wait()

	slices.Sort(left)
	// A store that forgets begins with its burst, and does not know what it has promised: up to half a second's.
	// Processes that come and go from it, one by one, have up to a share each beside the others.
	for i := range left {
		end, _ := slices.BinarySearch(left, left[i]+time.Second)
		allowed := rate + 1
		troubled := left[i]+time.Second > before && left[i] < before+trouble+grace
		switch {
		case troubled && kind == "forgetting":
			allowed += rate*storemodel.Horizon.Seconds() + 2
		case troubled && kind == "failing":
			allowed = 2*rate + 2
		case troubled && kind == "away": // the share of each process comes one by one, and may come at the end
			allowed += 0.1*rate + float64(processes) + 2
		case troubled && kind != "twice":
			allowed += 0.25*rate + 2
		}
		if n := end - i; float64(n) > allowed {
			t.Fatalf("%d left within a second from %v on: expected at most %.0f", n, left[i], allowed)
		}
	}
	n := 0
	for _, at := range left {
		if at > before+trouble+grace {
			n++
		}
	}
	want := rate * (after - grace).Seconds()
	if float64(n) < 0.9*want {
		t.Errorf("%d left from 2 s after the trouble on: expected nearly %.0f", n, want)
	}
	for p, c := range counts {
		if float64(c) < 0.5*want/float64(processes)-1 {
			t.Errorf("process %d had %d of %.0f from then on: expected at least half of its share", p, c, want/float64(processes))
		}
	}
}
