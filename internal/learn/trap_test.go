package learn

import (
	"testing"
	"time"
)

// Heavy noise may look like a limit for a while, and then the pace is lowered for nothing. It must find its way back: over
// half an hour a fair part of what is possible is accepted with each seed, and in the last ten minutes, too.
func TestHeavyNoiseDoesNotTrapABucketAtALowPace(t *testing.T) {
	for i, r := range []struct {
		name        string
		rate, share float64
	}{
		{"20/s, 20 %", 20, .2},
		{"20/s, 30 %", 20, .3},
		{"5/s, 20 %", 5, .2},
		{"5/s, 30 %", 5, .3},
	} {
		if leftOut(i) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			for seed := range seedsOf(6) {
				m := &model{rate: r.rate, callers: 60, latency: steady, server: chance{share: r.share}}
				m.run(30*time.Minute, seed)
				var all, last float64
				for i, minute := range m.minutes[:30] {
					all += float64(minute.accepted)
					if i >= 20 {
						last += float64(minute.accepted)
					}
				}
				possible := 60 * r.rate * (1 - r.share)
				all, last = 100*all/(30*possible), 100*last/(10*possible)
				t.Logf("seed %d: %.0f %%, at the end %.0f %%", seed, all, last)
				if all < 60 || last < 50 {
					t.Errorf("seed %d: %.0f %% of the possible was accepted within 30 minutes, and %.0f %% at the end, want 60 and 50", seed, all, last)
				}
			}
		})
	}
}
