package learn

import (
	"testing"
	"time"
)

// counted has the account meet so many answers with n requests in progress.
func (c *InFlight) counted(n, accepted, throttled int, now time.Time) {
	for range accepted {
		c.accepted(n, false, now, now)
	}
	for range throttled {
		c.throttled(n, false, now, now)
	}
}

// limited10 returns an account's controller that has just found a limit of 10.
func limited10(t *testing.T) *InFlight {
	c := &InFlight{}
	for range 2 {
		c.conclude(11, noon)
		c.counted(11, 0, 4, noon)
		c.counted(10, 12, 0, noon)
	}
	if shown, first := c.conclude(11, noon); !shown || !first || c.Limit() != 10 {
		t.Fatalf("the limit is %d, want 10", c.Limit())
	}
	return c
}

func TestLimitInFlightIsFoundByWhatIsThrottledAboveIt(t *testing.T) {
	type counts struct{ n, accepted, throttled int }
	for _, r := range []struct {
		name  string
		seen  []counts
		own   int // requests of this limiter in progress
		limit int
	}{
		{"nothing was throttled", []counts{{10, 30, 0}}, 11, 0},
		{"some were throttled above a number, none below", []counts{{11, 0, 4}, {10, 8, 0}}, 11, 10},
		{"too few were throttled", []counts{{11, 0, 3}, {8, 8, 0}}, 11, 0},
		{"too few were accepted", []counts{{11, 0, 4}, {8, 7, 0}}, 11, 0},
		{"some were accepted above the number, too", []counts{{11, 2, 4}, {10, 8, 0}}, 11, 10},
		{"as many were accepted above the number", []counts{{11, 4, 4}, {8, 8, 0}}, 11, 0},
		{"some were throttled below the number, too", []counts{{11, 0, 4}, {10, 8, 2}}, 11, 10},
		{"nothing is known of the numbers between", []counts{{11, 0, 4}, {8, 8, 0}}, 11, 8},
		{"noise throttles whatever is in progress", []counts{{11, 0, 4}, {8, 8, 3}}, 11, 0},
		{"those throttled are of numbers close by", []counts{{20, 0, 2}, {22, 0, 2}, {19, 8, 0}}, 22, 19},
		{"a limit of many", []counts{{1000, 0, 4}, {700, 8, 0}}, 1000, 640},
		{"others have most in progress", []counts{{50, 0, 4}, {49, 8, 0}}, 5, 25},
		{"others have a few in progress", []counts{{50, 0, 4}, {49, 8, 0}}, 40, 39},
	} {
		t.Run(r.name, func(t *testing.T) {
			var c InFlight
			c.counted(1, 0, 1, noon) // from now on it counts
			event := func() {
				for _, s := range r.seen {
					c.counted(s.n, s.accepted, s.throttled, noon)
				}
			}
			event()
			for range 2 {
				if shown, _ := c.conclude(r.own, noon); shown {
					t.Error("a single event has shown a limit, which a burst may do")
				}
			}
			event()
			shown, first := c.conclude(r.own, noon.Add(time.Second))
			if shown != (r.limit > 0) || first != shown || c.Limit() != r.limit {
				t.Errorf("a second event has shown a limit: %v, the first one: %v, of %d, want %d", shown, first, c.Limit(), r.limit)
			}
		})
	}
}

func TestLimitInFlightIsNotRaisedByWhatIsThrottledAboveIt(t *testing.T) {
	c := limited10(t)
	c.counted(20, 0, 4, noon)
	c.counted(15, 12, 0, noon)
	if shown, _ := c.conclude(20, noon); shown || c.Limit() != 10 {
		t.Errorf("the limit is %d, want 10", c.Limit())
	}
}

func TestLimitInFlightIsLoweredBesideOthersRequests(t *testing.T) {
	for _, r := range []struct {
		name       string
		n          int // requests in progress above which they are throttled now
		own, limit int
	}{
		{"by what is throttled below it", 19, 10, 9},
		{"not by what is throttled above it", 22, 12, 10},
	} {
		t.Run(r.name, func(t *testing.T) {
			var c InFlight
			for range 2 { // 20 of the account, 10 of them of others
				c.counted(21, 0, 4, noon)
				c.counted(20, 1, 0, noon)
				c.counted(18, 12, 0, noon)
				c.conclude(11, noon)
			}
			c.counted(r.n, 0, 4, noon)
			if c.conclude(r.own, noon); c.Limit() != r.limit {
				t.Errorf("the limit is %d, want %d", c.Limit(), r.limit)
			}
		})
	}
}

func TestSuspicionOfALimitInFlightIsForgotten(t *testing.T) {
	for _, r := range []struct {
		name  string
		burst int           // in progress when a burst was throttled
		after time.Duration // a limit of 10 seems to show
		want  int
	}{
		{"a burst and an event are enough", 11, time.Minute, 10},
		{"if the burst was of about half", 6, time.Minute, 10},
		{"not if it was of less", 5, time.Minute, 0},
		{"if the burst was of about twice as many", 23, time.Minute, 10},
		{"not if it was of more", 24, time.Minute, 0},
		{"not if the burst was long ago", 11, 11 * time.Minute, 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			var c InFlight
			for range 10 {
				c.throttled(r.burst, true, noon, noon)
			}
			if c.conclude(r.burst, noon); c.Limit() != 0 {
				t.Fatal("a burst has shown a limit")
			}
			now := noon.Add(r.after)
			c.counted(11, 0, 4, now)
			c.counted(10, 8, 0, now)
			if c.conclude(11, now); c.Limit() != r.want {
				t.Errorf("the limit is %d, want %d", c.Limit(), r.want)
			}
		})
	}
}

func TestCountsOfALimitInFlightFade(t *testing.T) {
	var c InFlight
	c.throttled(11, true, noon, noon) // of a burst
	c.counted(11, 0, 4, noon)
	c.counted(8, 12, 0, noon)
	now := noon.Add(halving)
	c.counted(8, 12, 0, now)
	if c.conclude(11, now); c.Limit() != 0 {
		t.Errorf("the limit is %d, want none: what was throttled 10 s ago counts half", c.Limit())
	}
}

func TestProbeInFlight(t *testing.T) {
	t.Run("comes after half a minute, and doubles as soon as requests above are accepted", func(t *testing.T) {
		c := limited10(t)
		now := noon
		for _, r := range []struct {
			after time.Duration
			limit int
		}{{30 * time.Second, 11}, {4 * time.Second, 13}, {4 * time.Second, 17}, {4 * time.Second, 25}, {4 * time.Second, 50}} {
			if c.Probe(now.Add(r.after - ms)) {
				t.Fatalf("it came before %v had passed", r.after)
			}
			if now = now.Add(r.after); !c.Probe(now) || c.Limit() != r.limit {
				t.Fatalf("the limit is %d after another %v, want %d", c.Limit(), r.after, r.limit)
			}
			c.counted(r.limit, 8, 0, now)
		}
	})
	t.Run("goes on for half a minute while too few requests above are answered", func(t *testing.T) {
		c := limited10(t)
		now := noon.Add(30 * time.Second)
		c.Probe(now)
		c.counted(11, 7, 0, now)
		if c.Probe(now.Add(30*time.Second - ms)) {
			t.Error("the next one came before half a minute had passed")
		}
		if now = now.Add(30 * time.Second); !c.Probe(now) || c.Limit() != 13 {
			t.Errorf("the limit is %d, want 13", c.Limit())
		}
	})
	t.Run("that has failed is followed by some between it and what is known", func(t *testing.T) {
		c := limited10(t)
		now := noon
		c.good, c.limit = 20, 40
		for _, r := range []struct {
			refuted bool
			limit   int
		}{{true, 30}, {true, 25}, {false, 27}, {false, 28}} {
			if r.refuted {
				c.counted(c.limit, 0, 3, now)
			} else {
				c.counted(c.limit, 8, 0, now)
			}
			if now = now.Add(4 * time.Second); !c.Probe(now) || c.Limit() != r.limit {
				t.Fatalf("the limit is %d, want %d", c.Limit(), r.limit)
			}
		}
		c.counted(28, 0, 3, now)
		if c.Limit() != 27 || c.Probe(now.Add(30*time.Second-ms)) || !c.Probe(now.Add(30*time.Second)) || c.Limit() != 29 {
			t.Errorf("the limit is %d, want it to be 27 for half a minute, and then a probe of 29", c.Limit())
		}
	})
	t.Run("ends at once when it has failed, and begins anew", func(t *testing.T) {
		c := limited10(t)
		now := noon.Add(30 * time.Second)
		c.Probe(now)
		c.counted(11, 8, 0, now)
		now = now.Add(4 * time.Second)
		c.Probe(now)
		for i := range 3 {
			if refuted := c.throttled(12, false, now, now); refuted != (i == 2) {
				t.Errorf("throttled answer %d has ended it: %v, want the third to do so", i+1, refuted)
			}
		}
		if c.Limit() != 11 {
			t.Errorf("the limit is %d, want the 11 that have held", c.Limit())
		}
		if c.Probe(now.Add(4*time.Second - ms)) {
			t.Error("the next one came before 4 s had passed")
		}
		if c.Probe(now.Add(4 * time.Second)); c.Limit() != 12 {
			t.Errorf("the next one was to %d, want 12", c.Limit())
		}
	})
	t.Run("that has failed keeps what it has shown to be accepted", func(t *testing.T) {
		c := limited10(t)
		c.good, c.limit = 20, 40
		c.counted(29, 30, 0, noon)
		if c.counted(31, 0, 3, noon); c.Limit() != 40 {
			t.Fatalf("the limit is %d, want the probe to go on while nearly all are accepted above 20", c.Limit())
		}
		if c.counted(31, 0, 7, noon); c.Limit() != 30 {
			t.Errorf("the limit is %d, want 30", c.Limit())
		}
	})
	t.Run("that has failed beside others' requests keeps it, too", func(t *testing.T) {
		c := limited10(t)
		c.others, c.good, c.limit = 10, 20, 40
		c.counted(39, 30, 0, noon)
		if c.counted(41, 0, 10, noon); c.Limit() != 30 {
			t.Errorf("the limit is %d, want 30", c.Limit())
		}
	})
	t.Run("is not failed by what is throttled below it", func(t *testing.T) {
		c := limited10(t)
		c.Probe(noon.Add(30 * time.Second))
		for range 5 {
			if c.throttled(10, false, noon.Add(30*time.Second), noon.Add(30*time.Second)) {
				t.Fatal("it has ended")
			}
		}
	})
	t.Run("has failed if more than a tenth was throttled when the next one is due", func(t *testing.T) {
		c := limited10(t)
		c.Probe(noon.Add(30 * time.Second))
		c.counted(11, 6, 1, noon.Add(55*time.Second))
		if !c.Probe(noon.Add(60*time.Second)) || c.Limit() != 10 {
			t.Errorf("the limit is %d, want 10 again", c.Limit())
		}
	})
	t.Run("has held if as much is throttled below it", func(t *testing.T) {
		c := limited10(t)
		c.Probe(noon.Add(30 * time.Second))
		c.counted(10, 20, 6, noon.Add(55*time.Second))
		c.counted(11, 7, 2, noon.Add(55*time.Second))
		if !c.Probe(noon.Add(60*time.Second)) || c.Limit() != 13 {
			t.Errorf("the limit is %d, want 13", c.Limit())
		}
	})
	t.Run("comes only if there is a limit", func(t *testing.T) {
		var c InFlight
		if c.Probe(noon) || c.Limit() != 0 {
			t.Errorf("the limit is %d, want none", c.Limit())
		}
	})
}

func TestTrialOfFewerInFlight(t *testing.T) {
	for _, r := range []struct {
		name    string
		answers string // during the trial
		limit   int
		noise   bool
	}{
		{"shows that the limit is lower", "................................................................................", 8, false},
		{"is followed by one of still fewer", "x..xx..x.x", 4, false},
		{"shows noise", "x..xx..x.xx..xx..x.x", 10, true},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := limited10(t)
			now := noon.Add(time.Minute)
			if !c.try(10, .2, now, now) || c.Limit() != 8 {
				t.Fatalf("the limit is %d, want a trial of 8", c.Limit())
			}
			if c.Probe(now) {
				t.Error("more was asked for during a trial")
			}
			feed(now, 50*ms, r.answers, func(throttled bool, now time.Time) {
				if throttled {
					c.throttled(8, false, now, now)
				} else {
					c.accepted(8, false, now, now)
				}
			})
			if c.Limit() != r.limit || (c.noise.share > 0) != r.noise {
				t.Errorf("the limit is %d and the noise %v, want %d and noise: %v", c.Limit(), c.noise.share, r.limit, r.noise)
			}
		})
	}
	t.Run("takes back what was asked for first", func(t *testing.T) {
		c := limited10(t)
		now := noon.Add(30 * time.Second)
		c.Probe(now)
		if !c.try(11, .2, now, now) || c.Limit() != 10 {
			t.Errorf("the limit is %d, want 10 without a trial", c.Limit())
		}
	})
	t.Run("does not begin while fewer are in progress than may be", func(t *testing.T) {
		c := limited10(t)
		now := noon.Add(time.Minute)
		if c.try(6, .2, now, now) || c.Limit() != 10 {
			t.Errorf("the limit is %d, want 10", c.Limit())
		}
	})
	t.Run("does not begin without a limit", func(t *testing.T) {
		var c InFlight
		if c.try(6, .2, noon, noon) || c.Limit() != 0 {
			t.Errorf("the limit is %d, want none", c.Limit())
		}
	})
}

func TestExceedingWhatWasAcceptedWithinAMinute(t *testing.T) {
	var c InFlight
	if c.Exceeds(1, noon.Add(-20*time.Second)) || !c.Exceeds(2, noon) {
		t.Error("if nothing was accepted two in progress exceed that, one does not")
	}
	c.accepted(7, true, noon, noon)
	for _, r := range []struct {
		after   time.Duration
		n       int
		exceeds bool
	}{{0, 7, false}, {0, 8, true}, {20 * time.Second, 7, false}, {49 * time.Second, 7, false}, {2 * time.Minute, 7, true}} {
		if got := c.Exceeds(r.n, noon.Add(r.after)); got != r.exceeds {
			t.Errorf("%d in progress exceed the 7 that were accepted %v ago: %v, want %v", r.n, r.after, got, r.exceeds)
		}
	}
}

func TestCellsOfNumbersInProgress(t *testing.T) {
	before := 0
	for n := range 20_000 {
		at := cell(n)
		if at < before || at > before+1 || at >= cells {
			t.Fatalf("%d is counted in cell %d, and %d in cell %d", n, at, n-1, before)
		}
		if low := lowest(at); low > n || cell(low) != at || at < cells-1 && n-low > n/8 {
			t.Fatalf("%d is counted in cell %d with %d", n, at, low)
		}
		before = at
	}
	if cell(-1) != 0 || cell(1<<62) != cells-1 {
		t.Errorf("the first and the last cell are %d and %d, want 0 and %d", cell(-1), cell(1<<62), cells-1)
	}
}
