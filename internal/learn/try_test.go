package learn

import (
	"testing"
	"time"
)

func TestWhatIsTriedWhenRequestsAreThrottledAgainAndAgain(t *testing.T) {
	for _, r := range []struct {
		name  string
		rate  Rate
		share float64 // throttled
		pace  float64 // that seems to be accepted
		phase phase
		want  float64 // the limit then
	}{
		{"a little less", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 20}, .3, 15, trying, 15},
		{"nothing at a slow configured pace", Rate{setup: setup{ceiling: 3}}, .3, 2, free, 0},
		{"a little less than a slow limit", Rate{setup: setup{ceiling: 3}, phase: keeping, limit: 2.9, bursts: burstCoolDowns{rest: time.Minute}}, .3, 2, trying, 2},
		{"bursts where most are throttled and the limit is slow", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 6}, .7, 2, bursting, 2},
		{"also at a configured pace", Rate{setup: setup{ceiling: 20}}, .7, 2, bursting, 2},
		{"no bursts where fewer are", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 6}, .5, 2, trying, 2},
		{"no bursts where cool-downs are long", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 6, bursts: burstCoolDowns{rest: time.Minute}}, .7, 2, trying, 2},
		{"the way back to a slow limit that has worked", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 3, kept: kept{proven: 2.8}}, .3, 2, keeping, 2.8},
		{"and no more than a tenth of it at once", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 3, kept: kept{proven: 2}}, .3, 1.5, keeping, 2.7},
		{"no way back where none has worked", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 3}, .3, 2, trying, 2},
		{"nor where this one has", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 3, kept: kept{proven: 3}}, .3, 2, trying, 2},
		{"nor to a limit that is not slow", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 20, kept: kept{proven: 15}}, .3, 16, trying, 16},
		{"no less than an eighth of what was accepted before", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 100, kept: kept{peak: 400}}, .5, 40, trying, 50},
		{"but less than now", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 100, kept: kept{peak: 8000}}, .5, 40, trying, 95},
		{"and what is accepted where most are throttled", Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 100, kept: kept{peak: 400}}, .7, 40, trying, 40},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := r.rate
			c.tally = tally{from: noon, sent: 100, throttled: 30}
			c.try(r.share, r.pace, true, noon)
			if c.phase != r.phase || c.limit != r.want {
				t.Errorf("the phase is %d and the limit %v, want %d and %v", c.phase, c.limit, r.phase, r.want)
			}
			if c.tally.sent != 0 {
				t.Errorf("%d answers still count, want that it begins anew", c.tally.sent)
			}
		})
	}
}

func TestTrialThatHasNotHelpedIsFollowedByOneOfStillLess(t *testing.T) {
	for _, r := range []struct {
		name            string
		peak            float64
		throttled, want float64 // of 100; requests/s then
	}{
		{"a little", 0, 10, 69},
		{"by much where many are throttled", 0, 40, 44},
		{"but no less than an eighth of what was accepted before", 480, 40, 60},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{peak: r.peak}}
			c.become(trying, 80, noon)
			c.trying.trial = newTrial(.3, 100, 80, false, noon)
			c.trying.trial.sent, c.trying.trial.throttled = 100, int(r.throttled)
			c.find(perhaps, noon.Add(2*time.Second))
			if c.phase != trying || c.limit < r.want-1 || c.limit > r.want+1 {
				t.Errorf("the phase is %d and the limit %v, want %d and about %v", c.phase, c.limit, trying, r.want)
			}
		})
	}
}

// A slow limit that a trial has shown is met by bursts, unless it has worked before.
func TestLimitThatATrialHasShown(t *testing.T) {
	for _, r := range []struct {
		name         string
		limit, tried float64
		held         float64 // a limit that was accepted to the end of its time; 0: none was
		want         phase
	}{
		{"is met by bursts if it is slow", 3, 2, 0, bursting},
		{"also if another one has worked", 3, 2, 2.5, bursting},
		{"is kept if the limit has worked until now", 3, 2, 3, keeping},
		{"is kept if it is not slow", 30, 20, 0, keeping},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{proven: r.held}}
			c.become(keeping, r.limit, noon)
			c.trying.before = setting{keeping, r.limit, r.limit}
			c.become(trying, r.tried, noon)
			if c.find(limited, noon); c.phase != r.want || c.limit != r.tried {
				t.Errorf("the phase is %d and the limit %v, want %d and %v", c.phase, c.limit, r.want, r.tried)
			}
		})
	}
}

func TestTrialAmongKnownNoiseTakesAsManyRequestsAsUsual(t *testing.T) {
	needs := func(share float64) int {
		c := Rate{setup: setup{ceiling: Unlimited}, noise: noise{share: share}}
		c.become(keeping, 20, noon)
		c.try(.4, 15, true, noon)
		return c.trying.trial.need
	}
	if got := needs(0); got != 15 {
		t.Errorf("%d answers decide, want 15", got)
	}
	if got := needs(.1); got != 40 {
		t.Errorf("%d answers decide where noise is known, want 40", got)
	}
	next := func(share float64) int {
		c := Rate{setup: setup{ceiling: Unlimited}, noise: noise{share: share}}
		c.become(trying, 80, noon)
		c.trying.trial = newTrial(.4, 100, 80, share > 0, noon)
		c.trying.trial.sent, c.trying.trial.throttled = 100, 40
		c.find(perhaps, noon.Add(time.Second))
		return c.trying.trial.need
	}
	if next(0) != 15 || next(.1) != 40 {
		t.Errorf("%d and %d answers decide the next one, want 15, and 40 where noise is known", next(0), next(.1))
	}
}

// A pace that is not known is taken to be what was sent.
func TestTrialWithoutAPaceComparesWithWhatWasSent(t *testing.T) {
	c := Rate{setup: setup{ceiling: Unlimited}}
	if c.try(.5, 10, true, noon); c.trying.trial.base != 20 {
		t.Errorf("it compares with %v, want 20", c.trying.trial.base)
	}
}

func TestBurstsForgetWhatWasKnownOfALimit(t *testing.T) {
	c := Rate{setup: setup{ceiling: Unlimited}, kept: kept{proven: 3, refuted: 1}, bursts: burstCoolDowns{empty: 1, costly: 1}}
	if c.become(bursting, 2, noon); c.kept.proven != 0 || c.kept.refuted != 0 || c.bursts.empty != 0 || c.bursts.costly != 0 {
		t.Errorf("%+v, want nothing of what was before", c)
	}
	c.bursts.rest = time.Minute
	if c.forget(); c.burstsSuit(2) {
		t.Error("bursts suit, although Twilio's last cool-down was long, which does not depend on the pace")
	}
}

// The server's window is full of what was sent before a trial, unless a cool-down has emptied it.
func TestTrialThatNoPausePrecedesLeavesItsFirstSecondOut(t *testing.T) {
	for _, r := range []struct {
		paused bool
		left   time.Duration // after it has begun
		counts bool
	}{
		{true, 0, true},
		{false, 999 * ms, false},
		{false, time.Second, true},
	} {
		c := Rate{setup: setup{ceiling: Unlimited}, phase: keeping, limit: 20}
		c.tally = tally{from: noon.Add(-time.Second), sent: 20, throttled: 8}
		c.consider(r.paused, noon)
		if c.phase != trying {
			t.Fatalf("phase %d, want a trial", c.phase)
		}
		c.throttled(noon.Add(r.left), 10, tally{}, false, noon.Add(r.left))
		if counts := c.trying.trial.throttled == 1; counts != r.counts {
			t.Errorf("paused: %v, left after %v: it counts: %v, want %v", r.paused, r.left, counts, r.counts)
		}
	}
}
