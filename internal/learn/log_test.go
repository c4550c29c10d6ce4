package learn

import (
	"testing"
	"time"
)

func TestLogCountsWhatLeftWithinTheLastSecond(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	every := func(gap, from, to time.Duration) (times []time.Duration) {
		for at := from; at < to; at += gap {
			times = append(times, at)
		}
		return times
	}
	for _, r := range []struct {
		name     string
		left     []time.Duration
		until    time.Duration
		from, to float64 // what may be counted; both ends are allowed
	}{
		{"nothing was added", nil, 0, 0, 0},
		{"one that leaves now", []time.Duration{0}, 0, 1, 1},
		{"one of almost a second ago", []time.Duration{0}, 960 * ms, 1, 1},
		{"one of more than a second ago", []time.Duration{0}, 1040 * ms, 0, 0},
		{"one of about a second ago counts in part", []time.Duration{0, 1010 * ms}, 1010 * ms, 1.5, 1.9},
		{"one of an hour ago", []time.Duration{0}, time.Hour, 0, 0},
		{"ten per second", every(100*ms, 0, 5*time.Second), 5 * time.Second, 9, 11},
		{"a thousand per second", every(ms, 0, 5*time.Second), 5 * time.Second, 970, 1030},
		{"none since half a second", every(10*ms, 0, 5*time.Second), 5500 * ms, 47, 53},
		{"some before an hour without any", append(every(10*ms, 0, 5*time.Second), time.Hour), time.Hour, 1, 1},
		{"answers in another order", []time.Duration{500 * ms, 100 * ms, 300 * ms, 0, 900 * ms}, 900 * ms, 5, 5},
		{"one that left long before the others", []time.Duration{time.Hour, 0}, time.Hour, 1, 1},
		{"some that left since", append(every(100*ms, 0, 2*time.Second), 1980*ms, 1980*ms), 1900 * ms, 10, 11},
		{"more than a counter holds", every(10*time.Microsecond, 0, time.Second), time.Second, 97_000, 100_000},
	} {
		t.Run(r.name, func(t *testing.T) {
			var l Log
			for _, at := range r.left {
				l.Add(start.Add(at))
			}
			if got := l.Until(start.Add(r.until)); got < r.from || got > r.to {
				t.Errorf("%v were counted, want %v to %v", got, r.from, r.to)
			}
		})
	}
}

func TestLogCounterDoesNotWrap(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var l Log
	for range 1<<16 + 10 {
		l.Add(now)
	}
	if got := l.Until(now); got != 1<<16-1 {
		t.Errorf("%v were counted, want the %d that a counter holds", got, 1<<16-1)
	}
}
