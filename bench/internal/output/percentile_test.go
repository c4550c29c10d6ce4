package output

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var ds []time.Duration
	for i := 200; i > 0; i-- {
		ds = append(ds, time.Duration(i))
	}
	for p, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200} {
		if got := Percentile(ds, p); got != want {
			t.Errorf("p%d is %d, expected %d", p, got, want)
		}
	}
	if got := Percentile([]time.Duration{7}, 99); got != 7 {
		t.Errorf("p99 of one is %d", got)
	}
	if got := Percentile(nil, 99); got != 0 {
		t.Errorf("p99 of none is %d", got)
	}
}
