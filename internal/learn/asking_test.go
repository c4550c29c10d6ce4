package learn

import (
	"math"
	"testing"
	"time"
)

func TestLimitFarBelowWhatWasAcceptedBeforeIsSoonAskedAbout(t *testing.T) {
	const soon, usual = 5500 * ms, 22 * time.Second
	t.Run("which is less than seven tenths", func(t *testing.T) {
		for _, r := range []struct {
			name   string
			limits []float64 // found one after the other, while 100/s were accepted before
			want   time.Duration
		}{
			{"as much", []float64{100}, usual},
			{"less", []float64{45}, usual},
			{"far less", []float64{44}, soon},
			{"less twice", []float64{50, 30}, usual},
			{"still less than far less", []float64{40, 30}, soon},
			{"far less than what was less", []float64{50, 22}, soon},
		} {
			t.Run(r.name, func(t *testing.T) {
				c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{peak: 100}}
				for _, limit := range r.limits {
					c.keep(limit, noon)
				}
				if got := c.keepFor(); got != r.want {
					t.Errorf("the limit is kept for %v, want %v", got, r.want)
				}
			})
		}
	})
	t.Run("later after each time that has failed", func(t *testing.T) {
		c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{peak: 100}}
		c.keep(40, noon)
		for i, want := range []time.Duration{soon, 8250 * ms, 12_375 * ms, 18_562_500 * time.Microsecond, usual, usual} {
			if got := c.keepFor(); got != want {
				t.Fatalf("after %d times the limit is kept for %v, want %v", i, got, want)
			}
			c.busy = c.keepFor() + ms
			c.throttled(noon, 40, tally{}, false, noon)
		}
		if c.keep(40, noon); c.keepFor() != usual {
			t.Errorf("the limit is kept for %v when it is found again, want %v: it is what can be had", c.keepFor(), usual)
		}
	})
	t.Run("by large steps from the first one", func(t *testing.T) {
		c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{peak: 100}}
		c.keep(25, noon)
		for i, want := range []float64{25, 50, 100, (1 + climbGain) * 100} {
			if c.busy = c.keepFor() + time.Duration(i)*time.Second; math.Abs(c.Pace()-want) > 1e-6 {
				t.Errorf("the pace is %v after %d s, want %v: twice as much each second up to 100, then a quarter more", c.Pace(), i, want)
			}
		}
	})
	t.Run("by small steps up to where it was throttled on the way back", func(t *testing.T) {
		c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{peak: 100}}
		c.keep(25, noon)
		c.busy = c.keepFor() + 800*ms
		tooMuch := c.Pace()
		c.throttled(noon, 30, tally{sent: 1, throttled: 1}, false, noon)
		c.busy = c.keepFor() + probeTime
		for before := c.Pace(); before < 150; before = c.Pace() {
			least, most := 2*before, 2*before
			switch {
			case before > 100:
				least, most = (1+climbGain)*before, (1+climbGain)*before
			case (1+climbGain)*before < tooMuch:
				least, most = (1+climbGain)*before, (1+climbGain)*before
			case before < tooMuch, 2*before > 100:
				least = (1 + climbGain) * before
			}
			c.busy += time.Second
			if got := c.Pace(); got < least-1e-6 || got > most+1e-6 {
				t.Errorf("the pace is %v a second after %v, want %v to %v as %v was throttled", got, before, least, most, tooMuch)
			}
		}
	})
	t.Run("but not one that Twilio has told since", func(t *testing.T) {
		c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{peak: 100}}
		c.keep(40, noon)
		if c.nothingRemains(40, noon); c.keepFor() != usual {
			t.Errorf("the limit is kept for %v, want %v", c.keepFor(), usual)
		}
	})
	t.Run("also one that a trial has shown", func(t *testing.T) {
		c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{peak: 100}}
		c.become(keeping, 60, noon)
		c.try(.3, 40, true, noon)
		if c.find(limited, noon); c.keepFor() != soon || c.busy != 0 {
			t.Errorf("the limit is kept for %v, want %v", c.keepFor()-c.busy, soon)
		}
	})
	t.Run("also one that was looked for", func(t *testing.T) {
		s := newScript(t, Unlimited)
		s.answers(10*ms, "....................................................................................................x")
		s.wait(time.Second)
		s.answers(500*ms, "..")
		s.e.conclude(false, s.now) // less was accepted before this event
		s.e.become(seeking, 10, s.now)
		if s.answers(50*ms, "...x...x...x...x"); s.e.phase != keeping || s.e.keepFor() != soon {
			t.Errorf("the phase is %d, and the limit of %v is kept for %v, want %v", s.e.phase, s.e.Learned(), s.e.keepFor(), soon)
		}
	})
}

func TestAskingAmongNoiseEndsWhenMoreIsSentAndNoMoreAccepted(t *testing.T) {
	for _, r := range []struct {
		name            string
		phase           phase
		sent, throttled int // within the two seconds since 20/s became too few
		ends            bool
	}{
		{"a quarter more was sent, and few of it accepted", keeping, 51, 16, true},
		{"less was sent", keeping, 50, 17, false},
		{"more was accepted", keeping, 51, 15, false},
		{"but a search goes on", seeking, 51, 16, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := Rate{setup: setup{ceiling: Unlimited}, noise: noise{share: .2}}
			c.become(r.phase, 20, noon)
			c.tally = tally{from: noon, sent: r.sent - 1, throttled: r.throttled - 1}
			c.busy = c.keepFor() + 4*time.Second
			now := noon.Add(2 * time.Second)
			if c.throttled(now, 20, tally{}, false, now); c.Asking() == r.ends {
				t.Errorf("asking has ended: %v, want %v", !c.Asking(), r.ends)
			}
		})
	}
}

func TestWhatAskingHasShown(t *testing.T) {
	for _, r := range []struct {
		name      string
		limit     float64
		noise     float64
		perSecond float64 // accepted
		before    float64 // slow: the pace of the request before the last one
		want      float64
		early     bool // more is asked for again sooner than usual
	}{
		{"what was accepted", 20, 0, 28, 0, 28, true},
		{"and hardly more than before is no reason to ask again early", 20, 0, 21, 0, 21, false},
		{"and the noise", 20, .15, 28, 0, 28 / .85, true},
		{"but heavy noise may have spared more than usual", 20, .3, 28, 0, (28 - 2*math.Sqrt(28*.3)) / .7, true},
		{"a slow limit: one more than was accepted", 2, 0, 1.5, 3.5, 2.5, false},
		{"a slow limit: no more than was asked for before", 2, 0, 3, 2.2, 2.2, false},
		{"a slow limit: not less than before", 2, 0, .5, 3, 2, false},
		{"a limit that is no longer slow", 3, 0, 4, 6, 5, true},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := Rate{setup: setup{ceiling: Unlimited}, noise: noise{share: r.noise}, kept: kept{steps: [2]float64{r.before, 0}}}
			c.become(keeping, r.limit, noon)
			c.busy = c.keepFor() + 6*time.Second
			c.tally = tally{from: noon, sent: 100, throttled: 60}
			c.throttled(noon, r.perSecond, tally{}, false, noon)
			if c.Asking() || math.Abs(c.Learned()-r.want) > 1e-9 {
				t.Errorf("%v was learned, want %v", c.Learned(), r.want)
			}
			if got := c.busy > 0; got != r.early {
				t.Errorf("more is asked for early: %v, want %v", got, r.early)
			}
		})
	}
}
