package learn

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// feed has add take in one answer after each gap: x is throttled, all else is accepted.
func feed(now time.Time, gap time.Duration, answers string, add func(throttled bool, now time.Time)) time.Time {
	for _, a := range answers {
		now = now.Add(gap)
		add(a == 'x', now)
	}
	return now
}

func TestTallyCountsNoOutage(t *testing.T) {
	for _, r := range []struct {
		name            string
		gap             time.Duration
		answers         string
		sent, throttled int
		outage          bool
	}{
		{"some of many", 100 * ms, "..x..x", 6, 2, false},
		{"a run of 1.5 s", 500 * ms, "..xxxx", 6, 4, false},
		{"a run of more than 1.5 s is not counted", 501 * ms, "..xxxx", 2, 0, true},
		{"nor is what goes on after it", 501 * ms, "..xxxxxxxxxx", 2, 0, true},
		{"two are no run, however far apart", time.Minute, "..xx", 4, 2, false},
		{"what comes after it is", 501 * ms, "..xxxx.x", 4, 1, false},
		{"what came before it still is", 501 * ms, "x.x.xxxx", 4, 2, true},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := tally{from: noon}
			feed(noon, r.gap, r.answers, c.add)
			if c.sent != r.sent || c.throttled != r.throttled || c.outage != r.outage {
				t.Errorf("%d of %d throttled, outage %v, want %d of %d, %v", c.throttled, c.sent, c.outage, r.throttled, r.sent, r.outage)
			}
		})
	}
}

func TestTallyFadesByTheMinute(t *testing.T) {
	c := tally{from: noon, sent: 80, throttled: 8}
	if c.age(noon.Add(time.Minute)); c.sent != 80 || c.throttled != 8 {
		t.Errorf("%d of %d after a minute, want 8 of 80", c.throttled, c.sent)
	}
	if c.age(noon.Add(61 * time.Second)); c.sent != 40 || c.throttled != 4 {
		t.Errorf("%d of %d after more than a minute, want 4 of 40", c.throttled, c.sent)
	}
	now := noon.Add(time.Hour)
	if c.age(now); c.sent != 0 || c.throttled != 0 || !c.from.Equal(now) {
		t.Errorf("%d of %d since %v after an hour, want a tally that begins now", c.throttled, c.sent, c.from)
	}
}

func TestThrottledAgainAndAgain(t *testing.T) {
	for _, r := range []struct {
		name   string
		tally  tally
		recurs bool
	}{
		{"nothing yet", tally{}, false},
		{"six of a hundred", tally{sent: 100, throttled: 6}, true},
		{"five of a hundred", tally{sent: 100, throttled: 5}, false},
		{"three of nine", tally{sent: 9, throttled: 3}, true},
		{"three of ten", tally{sent: 10, throttled: 3}, false},
		{"one in two hundred", tally{sent: 1200, throttled: 6}, true},
		{"less than one in two hundred", tally{sent: 1201, throttled: 6}, false},
		{"nearly all", tally{sent: 100, throttled: 96}, false},
		{"the last three in a row, which may be an outage", tally{sent: 100, throttled: 10, run: 3}, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := r.tally.recurs(); got != r.recurs {
				t.Errorf("again and again: %v, want %v", got, r.recurs)
			}
		})
	}
}

// Accepted answers take longer than throttled ones. So those to requests from before an outage come in its midst.
func TestAcceptancesFromBeforeAnOutageDoNotHideIt(t *testing.T) {
	for _, r := range []struct {
		name   string
		left   time.Duration // when a request left whose acceptance comes last, from the first throttled one on
		recurs bool
		outage bool // if one more is throttled
	}{
		{"before", -ms, false, true},
		{"with it", 0, true, false},
		{"after it", ms, true, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := tally{sent: 30}
			feed(noon, 200*ms, "xxxxxx", c.add)
			first := c.since
			c.add(false, first.Add(r.left))
			if got := c.recurs(); got != r.recurs {
				t.Errorf("throttled again and again: %v, want %v", got, r.recurs)
			}
			if c.add(true, first.Add(2*outageFrom)); c.outage != r.outage {
				t.Errorf("it is an outage: %v, want %v", c.outage, r.outage)
			}
		})
	}
}

func TestHeavyNoiseIsBelievedForLongerEachTimeThatItIsFound(t *testing.T) {
	now := noon
	var n noise
	found := func(share float64, want time.Duration) {
		t.Helper()
		if n.is(share, now); n.until.Sub(now) != want {
			t.Errorf("noise of %v is believed for %v, want %v", share, n.until.Sub(now), want)
		}
		now = n.until.Add(time.Second)
	}
	found(.3, time.Minute)
	found(.3, 2*time.Minute)
	found(.3, 4*time.Minute)
	found(.3, 5*time.Minute)
	now = now.Add(5 * time.Minute) // it was gone for a while
	found(.3, time.Minute)
	found(.15, 5*time.Minute) // light noise is believed at once
	if n.is(.9, now); n.share != .5 {
		t.Errorf("the noise is %v, want half at most", n.share)
	}
}

func TestNoiseExplainsAboutItsShare(t *testing.T) {
	n := noise{share: .1, until: noon.Add(time.Minute)}
	for _, r := range []struct {
		throttled        int // of a hundred
		exceeded, covers bool
	}{{10, false, true}, {19, false, true}, {20, true, true}, {28, true, true}, {29, true, false}} {
		c := tally{sent: 100, throttled: r.throttled}
		if got := n.exceeded(&c); got != r.exceeded {
			t.Errorf("%d of 100 are more than noise of 10 %%: %v, want %v", r.throttled, got, r.exceeded)
		}
		if got := n.covers(&c, noon); got != r.covers {
			t.Errorf("%d of 100 are explained by noise of 10 %%: %v, want %v", r.throttled, got, r.covers)
		}
		if n.covers(&c, n.until) {
			t.Errorf("%d of 100 are explained by noise that is no longer believed", r.throttled)
		}
	}
	if none := (noise{}); !none.exceeded(&tally{sent: 1000, throttled: 1}) || none.covers(&tally{sent: 10}, noon) {
		t.Error("without noise a single throttled answer must be more than that, and nothing be explained")
	}
}

func TestTrialTellsALimitFromNoise(t *testing.T) {
	dots := func(n int) string { return strings.Repeat(".", n) }
	for _, r := range []struct {
		name    string
		share   float64 // throttled before
		steps   int     // that have not helped
		gap     time.Duration
		answers string // the last one decides
		want    finding
	}{
		{"sixteen would have been throttled, none was", .2, 0, 50 * ms, dots(80), limited},
		{"of which four at most were", .2, 0, 50 * ms, "xx..xx" + dots(74), limited},
		{"but not within three seconds", .2, 0, time.Millisecond, dots(2999), nothing},
		{"and not without enough answers", .2, 0, 50 * ms, dots(79), nothing},
		{"some noise is left above a limit", .2, 0, 10 * ms, "xx..xx" + dots(293) + "x", limited},
		{"it may take three seconds to tell", .2, 0, 10 * ms, "xx..xx" + dots(84) + "x" + dots(209), limited},
		{"it has not helped yet", .2, 0, 50 * ms, "x..xx..x.x", perhaps},
		{"it has not helped twice", .2, 1, 50 * ms, "x..xx..x.x", noisy},
		{"it has helped a little", .2, 1, 50 * ms, "xx..xx" + dots(70) + "x", perhaps},
		{"it has helped a little for too often", .2, 4, 50 * ms, "xx..xx" + dots(70) + "x", noisy},
		{"far more were throttled than before, so it begins anew", .1, 4, 50 * ms, "xx.xx.x", perhaps},
		{"perhaps nothing is accepted now", .2, 0, 50 * ms, "x.x.xxxx", nothing},
		{"a minute was enough for a slow limit", .2, 0, 2 * time.Second, "x..x" + dots(27), limited},
		{"a minute was enough for slow noise", .2, 0, 2 * time.Second, "x..x..x..x" + dots(21), noisy},
		{"heavy noise needs fewer answers", .5, 0, 300 * ms, "x" + dots(11), limited},
		{"heavy noise needs fewer throttled ones", .5, 0, 300 * ms, "x.x.x", perhaps},
		{"less than half must be tried before it is heavy noise", .5, 2, 300 * ms, "x.x.x", perhaps},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := newTrial(r.share, 20, 20*(1-r.share), false, noon)
			c.steps = r.steps
			n := 0
			feed(noon, r.gap, r.answers, func(throttled bool, now time.Time) {
				n++
				got, want := c.add(throttled, now, now), nothing
				if n == len(r.answers) {
					want = r.want
				}
				if got != want {
					t.Fatalf("answer %d of %d has shown %v, want %v", n, len(r.answers), got, want)
				}
			})
		})
	}
}

func TestTrialOfLessThanHalfShowsHeavyNoise(t *testing.T) {
	c := newTrial(.5, 20, 5, false, noon)
	c.steps = 2
	var got finding
	feed(noon, 300*ms, "x.x.x", func(throttled bool, now time.Time) { got = c.add(throttled, now, now) })
	if got != noisy {
		t.Errorf("it has shown %v, want %v", got, noisy)
	}
}

func TestAnswersThatDecideATrial(t *testing.T) {
	dots := func(n int) string { return strings.Repeat(".", n) }
	for _, r := range []struct {
		name      string
		share     float64
		base, at  float64
		doubt     bool
		answers   string // that show a limit: the last one does
		throttled int    // that show that it has not helped
	}{
		{"many", .2, 20, 16, false, dots(80), 5},
		{"fewer where many are throttled", .5, 20, 10, false, dots(12), 3},
		{"but not where noise is known", .5, 20, 10, true, dots(32), 5},
		{"fewer at a slow pace", .2, 3, 4, false, dots(30), 3},
		{"but not there, either", .2, 3, 4, true, dots(80), 5},
		{"still fewer where none is throttled at a slow pace", .2, 3, 2, false, dots(21), 3},
		{"a few more where one is", .2, 3, 2, false, "x" + dots(24), 3},
		{"and two", .2, 3, 2, false, "x.x" + dots(27), 3},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := newTrial(r.share, r.base, r.at, r.doubt, noon)
			n := 0
			feed(noon, 500*ms, r.answers, func(throttled bool, now time.Time) {
				n++
				if got := c.add(throttled, now, now); (got == limited) != (n == len(r.answers)) {
					t.Fatalf("answer %d of %d has shown %v", n, len(r.answers), got)
				}
			})
			c = newTrial(r.share, r.base, r.at, r.doubt, noon)
			n = 0
			feed(noon, 100*ms, strings.Repeat("x.", r.throttled), func(throttled bool, now time.Time) {
				if throttled {
					n++
				}
				if got := c.add(throttled, now, now); throttled && (got == nothing) != (n < r.throttled) {
					t.Fatalf("throttled answer %d of %d has shown %v", n, r.throttled, got)
				}
			})
		})
	}
}

// Two of five requests are refused, whatever is sent. A trial finds a limit by chance: none of its answers is throttled.
// As they are again after it, the pace goes back to what it was before.
func TestLimitThatATrialHasFoundByChanceIsGivenUp(t *testing.T) {
	s := newScript(t, 20)
	s.e.learn(s.now)
	n, lucky := 0, true
	noise := func() bool {
		n++
		return n%5 < 2 && !(lucky && s.e.phase == trying)
	}
	for s.e.phase != keeping {
		s.goes(time.Second, noise)
	}
	found := s.e.Pace()
	if lucky = false; found > 15 {
		t.Fatalf("the limit is %v, expected one that is clearly lower", found)
	}
	s.goes(10*time.Second, noise)
	if got := s.e.Pace(); got != 20 {
		t.Errorf("the pace is %v ten seconds later, want the one before the trial, 20", got)
	}
}

// What comes back after a minute, or while more is asked for, says nothing about the trial.
func TestLimitThatATrialHasFoundIsWatchedForAMinute(t *testing.T) {
	for _, r := range []struct {
		name   string
		after  time.Duration
		change func(*Rate)
		want   bool
	}{
		{"soon", time.Second, func(*Rate) {}, true},
		{"after a minute", trialTime, func(*Rate) {}, false},
		{"while more is asked for", time.Second, func(c *Rate) { c.busy = c.keepFor() + time.Second }, false},
		{"at a limit that asking has found", time.Second, func(c *Rate) { c.limit = 12 }, false},
		{"at one that is lower for another reason", time.Second, func(c *Rate) { c.limit = 5 }, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := Rate{setup: setup{ceiling: Unlimited}}
			c.become(keeping, 20, noon)
			c.try(.4, 10, true, noon)
			now := noon.Add(trialAtLeast)
			c.find(limited, now)
			if c.phase != keeping || c.limit != 10 {
				t.Fatalf("phase %v, limit %v", c.phase, c.limit)
			}
			r.change(&c)
			now = now.Add(r.after)
			feed(now, 100*ms, "x..x.x", func(throttled bool, now time.Time) {
				if throttled {
					c.throttled(now, 5, tally{}, true, now)
				} else {
					c.accepted(now, now)
				}
			})
			if got := c.phase == trying; got != r.want {
				t.Errorf("the trial goes on: %v, want %v", got, r.want)
			}
		})
	}
}
