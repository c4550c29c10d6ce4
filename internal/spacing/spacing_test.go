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
			a.Fit(rate, 1)
			interval := time.Duration(float64(time.Second) / rate)
			n, size := int(max(rate, 1)), int(a.size)
			late := 2*n + 2*size + minTransits // the number of the late one
			tolerance := time.Duration(size-1)*interval + ms
			now := start
			for i := range late + 2*n + size {
				if d := a.Hold(now); d > ms && i >= n+size+minTransits {
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

// What is held is paid from a credit: a server that takes its time after it has counted
// costs 5 % in the long run.
func TestHoldsAreBounded(t *testing.T) {
	var a Arrivals
	a.Fit(10, 1)
	now := start
	const n = 2000
	for i := range n {
		if d := a.Hold(now); d > 0 {
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
		a.Fit(tc.rate, tc.burst)
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
	a.Fit(100, 1)
	var numbers []uint64
	for i := range 300 {
		numbers = append(numbers, a.Leave(start.Add(time.Duration(i)*10*ms)))
	}
	for i, rate := range []float64{100, 7, 1000, 2000, 0.5, 100} {
		a.Fit(rate, 1)
		now := start.Add(time.Duration(i+10) * time.Minute)
		a.Leave(now)
		for j, number := range numbers {
			a.Arrived(number, start.Add(time.Duration(j)*10*ms), now.Add(time.Hour))
		}
		if d := a.Hold(now.Add(30 * time.Second)); d > 0 {
			t.Errorf("%v/s: held by %v", rate, d)
		}
	}
}
