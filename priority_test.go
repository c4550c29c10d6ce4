package pacer

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An OTP overtakes a campaign that fills its bucket, and nobody is sent sooner or later
// for it than the rate says.
func TestHighOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 1}), sender)
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() { _ = lane.pass(WithPriority(bg, Low)) })
		}
		time.Sleep(9500 * time.Millisecond)
		start := time.Now()
		if err := lane.pass(WithPriority(bg, High)); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 500*time.Millisecond {
			t.Errorf("waited %v behind a campaign, expected the rest of a second", d)
		}
		wg.Wait()
		if want := every(time.Second, 31, 0); !slices.Equal(lane.left, want) {
			t.Errorf("left at %v", lane.left)
		}
	})
}

// A wait that only a campaign makes long is no reason to refuse an OTP.
func TestDeadlineCountsThoseAheadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 1}), sender)
		ctx, cancel := context.WithCancel(WithPriority(bg, Low))
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() { _ = lane.pass(ctx) })
		}
		synctest.Wait()
		soon, stop := context.WithTimeout(bg, 3*time.Second)
		defer stop()
		if err := lane.pass(WithPriority(soon, High)); err != nil {
			t.Error(err)
		}
		wantWaitError(t, lane.pass(WithPriority(soon, Low)), ErrWaitTooLong)
		cancel()
		wg.Wait()
	})
}

// The guarantee: while a class waits, it has one of any ten that leave. It holds in
// turnstiles and, for the account's permits, between buckets.
func TestNoPriorityStarves(t *testing.T) {
	guarantee := func(t *testing.T, what string, order []Priority, waiting map[Priority]int) {
		t.Helper()
		for p, n := range waiting {
			since, seen := -1, 0 // the first has found nobody waiting
			for i, q := range order {
				if q == p {
					seen, since = seen+1, 0
					continue
				}
				if since++; seen < n && since > 9 {
					t.Errorf("%s: priority %d: ten left before place %d and none was of it: %v", what, p, i, order[max(0, i-25):i+5])
					break
				}
			}
		}
	}
	counts := map[Priority]int{High: 300, Normal: 25, Low: 25}
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: 10})
		var order []Priority
		var mu sync.Mutex
		var wg sync.WaitGroup
		for p, n := range counts {
			for range n {
				wg.Go(func() {
					_ = newLane(l, sender).pass(WithPriority(bg, p))
					mu.Lock()
					order = append(order, p)
					mu.Unlock()
				})
			}
		}
		wg.Wait()
		guarantee(t, "turnstile", order, counts)
		highs := 0
		for _, p := range order[:100] {
			if p == High {
				highs++
			}
		}
		if highs < 75 {
			t.Errorf("of the first 100 only %d are of high priority", highs)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a bucket each, one permit for all
		l := newLimiter(t, Limit{Resource: "*", Rate: Unlimited, MaxInFlight: 1})
		var order []Priority
		var mu sync.Mutex
		var wg sync.WaitGroup
		for p, n := range counts {
			for range n {
				wg.Go(func() {
					done, _ := newLane(l, string(rune('A'+int(p)))).enter(WithPriority(bg, p))
					mu.Lock()
					order = append(order, p)
					mu.Unlock()
					time.Sleep(time.Millisecond)
					done(Outcome{})
				})
			}
		}
		wg.Wait()
		guarantee(t, "permits", order, counts)
	})
}

// Those who are overtaken or give up cost no token, whatever their priorities.
func TestOvertakenAndCancelledCostNoToken(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 10}), sender)
			var wg sync.WaitGroup
			for range 200 {
				delay, patience, p := rnd.IntN(5000), 1+rnd.IntN(5000), Priority(rnd.IntN(3)-1)
				gives := rnd.IntN(2) == 0
				wg.Go(func() {
					time.Sleep(time.Duration(delay) * time.Millisecond)
					ctx, cancel := context.WithCancel(WithPriority(bg, p))
					defer cancel()
					if gives {
						time.AfterFunc(time.Duration(patience)*time.Millisecond, cancel)
					}
					_ = lane.pass(ctx)
				})
			}
			wg.Wait()
			// From the first that waits to the last the bucket is never idle: every
			// tenth of a second one leaves.
			for i := 1; i < len(lane.left); i++ {
				if d := lane.left[i] - lane.left[i-1]; d < 100*time.Millisecond-time.Microsecond || (d > 100*time.Millisecond && i > 40) {
					t.Fatalf("seed %d: %d left %v after the one before", seed, i, d)
				}
			}
		})
	}
}

func TestPriorityOf(t *testing.T) {
	if p := PriorityOf(bg); p != Normal {
		t.Errorf("of a plain context: %d", p)
	}
	for in, want := range map[Priority]Priority{-7: Low, Low: Low, Normal: Normal, High: High, 9: High} {
		if p := PriorityOf(WithPriority(bg, in)); p != want {
			t.Errorf("%d: %d, expected %d", in, p, want)
		}
	}
}

// The client's calls carry the priority of their context.
func TestClientObeysPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201, WithLimits(Limits{{Resource: "*", Rate: 1}}))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _ = w.sendWith(WithPriority(bg, Low)) })
		}
		synctest.Wait()
		start := time.Now()
		if err := w.sendWith(WithPriority(bg, High)); err != nil || time.Since(start) != time.Second {
			t.Errorf("sent after %v, %v", time.Since(start), err)
		}
		wg.Wait()
	})
}
