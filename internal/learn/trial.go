package learn

import (
	"math"
	"time"
)

// A tally counts answers. Of times in which nothing at all is accepted it counts none, since those
// teach nothing.
type tally struct {
	from            time.Time
	sent, throttled int
	run             int       // throttled answers in a row, up to now
	since           time.Time // when the request left that the first of them answers
	outage          bool      // they have lasted for long enough to be an outage, and are not counted
}

// add takes in the answer to a request that left at the given time. An acceptance of one that left before the throttled ones
// in a row does not end that row.
func (t *tally) add(throttled bool, left time.Time) {
	if !throttled {
		t.sent++
		if !left.Before(t.since) {
			t.run, t.outage = 0, false
		}
		return
	}
	if t.outage {
		return
	}
	t.sent++
	t.throttled++
	if t.run++; t.run == 1 {
		t.since = left
	}
	if t.stuck() && left.Sub(t.since) > outageFrom {
		t.forget(t.run)
		t.outage = true
	}
}

// pass takes in an answer that is neither accepted nor throttled.
func (t *tally) pass() {
	if !t.outage {
		t.sent++
	}
}

// stuck reports that perhaps nothing at all is accepted now.
func (t *tally) stuck() bool { return t.run > 2 }

const tallyTime = time.Minute

func (t *tally) share() float64 { return float64(t.throttled) / float64(max(t.sent, 1)) }

// age halves the counts of a tally that is older than a minute, so that strikes age by the clock.
func (t *tally) age(now time.Time) {
	for now.Sub(t.from) > tallyTime && t.sent > 0 {
		t.sent, t.throttled = t.sent/2, t.throttled/2
		t.from = t.from.Add(tallyTime / 2)
	}
	if t.sent == 0 {
		t.from, t.throttled = now, 0
	}
}

// forget takes the last throttled answers back, as if they had not come.
func (t *tally) forget(throttled int) {
	throttled = min(throttled, t.throttled)
	t.sent, t.throttled, t.run = t.sent-throttled, t.throttled-throttled, max(0, t.run-throttled)
}

// recurs reports that requests are throttled again and again: often enough for a trial, and not
// nearly all of them, which would not say what is accepted.
func (t *tally) recurs() bool {
	share := t.share()
	if share < worthIt || share > nearlyAll || t.stuck() {
		return false
	}
	return t.throttled >= often || t.throttled >= often/2 && share > heavy
}

// A noise is a share of the requests that is throttled whatever is done.
type noise struct {
	share float64       // from 0 to mostNoise
	until time.Time     // it is believed
	lasts time.Duration // for which it is believed
}

// is makes it known that a share of the requests is throttled whatever is done. Heavy noise may be
// another program that takes what this one leaves. So it is believed for a minute at first, and for
// twice as long each time that it is found again.
func (n *noise) is(share float64, now time.Time) {
	switch {
	case share <= heavyNoise:
		n.lasts = believed
	case n.lasts == 0 || now.Sub(n.until) > believed:
		n.lasts = believed / 5
	default:
		n.lasts = min(2*n.lasts, believed)
	}
	n.share, n.until = min(mostNoise, share), now.Add(n.lasts)
}

// doubt takes in that so many requests in a row were accepted. Where that is very unlikely the noise is over.
// Heavy noise that is still believed in would hide a limit.
func (n *noise) doubt(accepted int, now time.Time) {
	if n.share > 0 && math.Pow(1-n.share, float64(accepted)) < veryUnlikely {
		n.share, n.until = 0, now
	}
}

// exceeded reports that there were more throttled answers than noise explains: by three standard
// deviations. Where no noise is known, one is more.
func (n *noise) exceeded(t *tally) bool {
	expected := n.share * float64(t.sent)
	return float64(t.throttled) > expected+3*math.Sqrt(expected)
}

// covers reports that throttled answers mean nothing now: they are known to be noise, and not
// clearly more than that.
func (n *noise) covers(t *tally, now time.Time) bool {
	sent := float64(t.sent)
	clearlyMore := min(1.5*n.share, n.share+(1-n.share)/4)
	return now.Before(n.until) && float64(t.throttled) <= clearlyMore*sent+4*math.Sqrt(n.share*(1-n.share)*sent)+1
}

// A trial tells a limit from noise: something less is tried, and if it was a limit the throttled
// answers vanish. It takes as many requests as would have 16 throttled ones if it were noise, and
// ends early at the fifth. Where more than 30 % are throttled the numbers are 6 and the third.
type trial struct {
	tally
	share float64 // of the requests that were throttled before
	doubt bool    // noise was found before: few answers do not decide
	need  int     // answers that decide
	most  int     // throttled ones among them if it is a limit
	steps int     // of less and less that have not helped
	base  float64 // what was before the first step
	at    float64 // what is tried
}

const (
	often        = 6     // throttled answers that begin a trial
	worthIt      = 0.005 // less than this share throttled is not worth a trial
	nearlyAll    = 0.95
	heavy        = 0.3
	heavyNoise   = 0.15
	mostNoise    = 0.5 // if most requests are throttled that is not noise
	believed     = 5 * time.Minute
	veryUnlikely = 1e-6 // chance below which noise is over; each answer is a chance to be wrong
	maxSteps     = 5
	trialTime    = time.Minute
	outageFrom   = 1500 * time.Millisecond // longer than the window of most limits
	trialAtLeast = 3 * time.Second         // windows are longer than a second, sometimes
)

// newTrial returns a trial of at instead of base.
func newTrial(share, base, at float64, doubt bool, now time.Time) trial {
	t := trial{share: share, doubt: doubt, base: base, at: at, need: int(16 / share), most: 4, tally: tally{from: now}}
	if !doubt && (share > heavy || base < tooSlow) {
		t.need, t.most = int(6/share), 2
	}
	return t
}

// A finding is what a trial has shown.
type finding uint8

const (
	nothing finding = iota // so far
	limited                // what is tried is accepted: it was a limit
	noisy                  // it is noise
	perhaps                // less must be tried
)

// add takes an answer in.
func (t *trial) add(throttled bool, left, now time.Time) finding {
	t.tally.add(throttled, left)
	switch {
	case t.stuck():
	case t.failed():
		if t.tally.share() > 2*t.share+0.1 { // something has changed meanwhile: begin anew
			t.steps, t.base, t.share = 0, t.at, t.tally.share()
		} else {
			t.steps++
		}
		return t.goesOn()
	case t.sent >= t.enough() && now.Sub(t.from) >= trialAtLeast:
		return limited
	case now.Sub(t.from) > trialTime: // what there is must do
		if t.tally.share() < t.share/2 {
			return limited
		}
		return noisy
	}
	return nothing
}

// failed reports that the throttled answers have not vanished. Below that share, it is a limit and some noise.
func (t *trial) failed() bool { return t.throttled > t.most && t.tally.share() >= 0.3*t.share }

// goesOn tells a trial that goes on with less from noise.
func (t *trial) goesOn() finding {
	if t.steps < maxSteps && t.doubtful() {
		return perhaps
	}
	return noisy
}

// relapse takes in that a request was throttled although the trial has found a limit. If such answers come back, chance has
// made it seem so. The trial goes on as if it had not ended, so that the pace before it is not forgotten.
func (t *trial) relapse(left time.Time) finding {
	t.tally.add(true, left)
	if t.stuck() || !t.failed() || t.share <= heavy { // below that, many answers have decided
		return nothing
	}
	t.steps++
	return t.goesOn()
}

// watches reports that a trial has found the present limit within the last minute, and that no more is asked for.
func (r *Rate) watches(now time.Time) bool {
	found := r.trying.trial.at
	return r.phase == keeping && now.Before(r.trying.until) && found <= r.limit && r.limit <= farMore*found && !r.Asking()
}

// enough returns how many answers show a limit. At a slow pace fewer do while hardly any is
// throttled, since there each takes long.
func (t *trial) enough() int {
	if t.at >= tooSlow {
		return t.need
	}
	return t.need * (t.most + 3 + t.throttled) / (2*t.most + 3)
}

// doubtful reports that there may be a limit although many were throttled. A long window, or a
// burst that it allows, may have misled once. A share that has fallen by two fifths is not noise
// alone. Where many are throttled what is tried must be half of what seemed to be accepted.
func (t *trial) doubtful() bool {
	return t.steps < 2 || t.share > most || t.fewer() || t.share > 0.2 && t.at > t.base*(1-t.share)/2
}

// fewer reports that fewer were throttled than before, by two standard deviations.
func (t *trial) fewer() bool {
	expected := t.share * float64(t.sent)
	return float64(t.throttled) < expected-2*math.Sqrt(expected)
}

// next returns the trial of less that follows one that has not helped.
func (t *trial) next(at float64, now time.Time) trial {
	n := newTrial(t.share, t.base, at, t.doubt, now)
	n.steps = t.steps
	return n
}
