package spacing

import (
	"fmt"
	"testing"
	"time"
)

var start = time.Unix(1_800_000_000, 0)

const ms = time.Millisecond

func TestSlackFollowsJitter(t *testing.T) {
	var s Spacing
	for range 100 {
		s.Waited(80 * ms)
	}
	if got := s.Slack(); got != 0 {
		t.Errorf("steady answers: %v", got)
	}
	for i := range 300 {
		s.Waited(80*ms + time.Duration(i%2)*100*time.Microsecond)
	}
	if got := s.Slack(); got < 0.0049 || got > 0.0051 {
		t.Errorf("100 us of jitter: %v, expected 0.005", got)
	}
	for i := range 100 {
		s.Waited(time.Duration(80+i%2*20) * ms)
	}
	if got := s.Slack(); got != MaxSlack {
		t.Errorf("20 ms of jitter: %v, expected %v", got, MaxSlack)
	}
	for range 20 {
		s.Crowded()
	}
	if got, want := s.Slack(), MaxSlack+maxCaution; got != want {
		t.Errorf("throttled all the same: %v, expected %v", got, want)
	}
	if s.Relax(); s.Slack() != MaxSlack {
		t.Errorf("after Relax: %v", s.Slack())
	}
}

// The request that follows a late one by a window is held by as much as that was late.
func TestSuccessorOfALateRequestIsHeld(t *testing.T) {
	for _, rate := range []float64{0.1, 1, 20, 48, 49, 80, 100, 333, 1000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			var a Arrivals
			a.Fit(rate, 1, true)
			interval := time.Duration(float64(time.Second) / rate)
			n, size := int(max(rate, 1)), int(a.size)
			late := 2*n + 2*size + minTransits // the number of the late one
			tolerance := time.Duration(size-1)*interval + ms
			now := start
			for i := range late + 2*n + size {
				if d := a.Delay(now); d > ms && i >= n+size+minTransits {
					if i <= late+n-size || i >= late+n+size || (d-200*ms).Abs() > tolerance {
						t.Errorf("the %d. is held by %v, expected the %d., by 200 ms", i, d, late+n)
					}
					return
				}
				number, transit := a.Leave(now), 80*ms
				if i == late {
					transit = 280 * ms
				}
				a.Arrived(number, now, now.Add(transit))
				now = now.Add(interval)
			}
			t.Error("nobody is held")
		})
	}
}

// A request that is held before it departs delays its successor by as much, also before any was answered.
func TestSuccessorOfOneThatWasHeldIsDelayed(t *testing.T) {
	for _, rate := range []int{1, 20, 100, 1000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			var a Arrivals
			a.Fit(float64(rate), 1, true)
			interval := time.Second / time.Duration(rate)
			now, held := start, 0
			for i := range 2 * rate {
				if i == (rate+1)/2 {
					a.Held(70*ms, now.Add(70*ms-interval)) // the one before it
				}
				if d := a.Delay(now); d > 0 {
					if held++; held == 1 && (i < rate || (d-70*ms).Abs() > time.Duration(a.size)*interval) {
						t.Errorf("the %d. is held by %v, expected the one a window after the late one, by 70 ms", i, d)
					}
				}
				a.Leave(now)
				now = now.Add(interval)
			}
			if held == 0 {
				t.Error("none is held")
			}
		})
	}
}

// Limits may change while a request is held.
func TestNothingIsTimedAnyMoreWithoutARate(t *testing.T) {
	var a Arrivals
	a.Held(ms, start)
	a.Fit(20, 1, true)
	number := a.Leave(start)
	a.Fit(2*maxRate, 1, true)
	a.Held(ms, start.Add(ms))
	a.Failed(number, start)
	a.Arrived(number, start, start.Add(2*ms))
	if d := a.Delay(start.Add(3 * ms)); d != 0 {
		t.Error(d)
	}
}

// What is held is paid from a credit: a server that takes its time after it has counted
// costs 5 % in the long run.
func TestHoldsAreBounded(t *testing.T) {
	var a Arrivals
	a.Fit(10, 1, true)
	now := start
	const n = 2000
	for i := range n {
		if d := a.Delay(now); d > 0 {
			now = now.Add(d)
		}
		transit := time.Duration(0)
		if i%2 == 1 {
			transit = time.Second
		}
		a.Arrived(a.Leave(now), now, now.Add(transit))
		now = now.Add(100 * ms)
	}
	if took := now.Sub(start); took <= n*100*ms || took > n*106*ms {
		t.Errorf("%d requests took %v", n, took)
	}
}

// A request that was held leaves after its token's time. The tokens behind it come on time all the
// same. None of them is used within a window of it, whether it was answered by then or not.
func TestNoWindowHasOneMoreBecauseOfAHold(t *testing.T) {
	for _, rate := range []int{1, 5, 20} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			var a Arrivals
			a.Fit(float64(rate), 1, true)
			type answer struct {
				number   uint64
				left, at time.Time
			}
			var open []answer
			var left []time.Time
			leave := start
			for i := range 400 * rate {
				token := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
				if token.After(leave) {
					leave = token
				}
				for again := true; again; {
					again = false
					for j, o := range open {
						if !o.at.After(leave) {
							a.Arrived(o.number, o.left, o.at)
							open, again = append(open[:j:j], open[j+1:]...), true
							break
						}
					}
					if d := a.Delay(leave); d > 0 {
						leave, again = leave.Add(d), true
					}
				}
				transit := time.Duration(50+i*i%300) * ms
				if i%40 == 0 {
					transit = 1500 * ms // longer than the window
				}
				open = append(open, answer{a.Leave(leave), leave, leave.Add(transit)})
				left = append(left, leave)
				if i >= rate && leave.Sub(left[i-rate]) < time.Second {
					t.Fatalf("request %d leaves %v after the one that is %d before it: expected a second at least", i, leave.Sub(left[i-rate]), rate)
				}
			}
			if took := leave.Sub(start); took > 430*time.Second {
				t.Errorf("it took %v: expected hardly more than 400 s", took)
			}
		})
	}
}

// The memory grows with use, and is bounded however fast a bucket is.
func TestMemoryGrowsWithUse(t *testing.T) {
	for _, tc := range []struct {
		rate     float64 // that is allowed
		burst    int
		used     float64 // requests/s that leave
		min, max int     // groups
	}{
		{1, 1, 1, 1, 1},
		{80, 1, 0.2, 1, 1},
		{80, 1, 1, 1, 4},
		{1000, 1, 1, 1, 4},
		{20, 1, 20, 20, 20},
		{1000, 1, 1000, 40, maxGroups},
		{1, 1_000_000, 1, 0, maxGroups},
		{1001, 1, 1001, 0, 0},
	} {
		var a Arrivals
		a.Fit(tc.rate, tc.burst, true)
		now := start
		for range 5000 {
			a.Arrived(a.Leave(now), now, now.Add(80*ms))
			now = now.Add(time.Duration(float64(time.Second) / tc.used))
		}
		if n := len(a.ring); n < tc.min || n > tc.max {
			t.Errorf("%v/s, burst %d, used at %v/s: %d groups, expected %d to %d", tc.rate, tc.burst, tc.used, n, tc.min, tc.max)
		}
	}
}

// Answers to requests of before a change of the rate say nothing about those after it.
func TestAnswersFromBeforeAChange(t *testing.T) {
	var a Arrivals
	a.Fit(100, 1, true)
	var numbers []uint64
	for i := range 300 {
		numbers = append(numbers, a.Leave(start.Add(time.Duration(i)*10*ms)))
	}
	for i, rate := range []float64{100, 7, 1000, 2000, 0.5, 100} {
		a.Fit(rate, 1, true)
		now := start.Add(time.Duration(i+10) * time.Minute)
		a.Leave(now)
		for j, number := range numbers {
			a.Arrived(number, start.Add(time.Duration(j)*10*ms), now.Add(time.Hour))
		}
		if d := a.Delay(now.Add(30 * time.Second)); d > 0 {
			t.Errorf("%v/s: held by %v", rate, d)
		}
	}
}

// A request that failed at the server has a place in its window, and counts as the fastest: its successor leaves
// no sooner than a window later.
func TestSuccessorOfAFailedRequestKeepsItsDistance(t *testing.T) {
	var a Arrivals
	a.Fit(10, 1, false)
	now := start
	for range 20 {
		a.Arrived(a.Leave(now), now, now.Add(80*ms))
		now = now.Add(100 * ms)
	}
	a.Failed(a.Leave(now), now)
	for range 9 {
		now = now.Add(100 * ms)
		a.Arrived(a.Leave(now), now, now.Add(80*ms))
	}
	if got := a.Delay(now.Add(90 * ms)); got != 10*ms {
		t.Errorf("the successor is held by %v, expected 10ms", got)
	}
}
