package learn

import (
	"math/bits"
	"time"
)

// A limit of a few requests per second whose cool-downs are short is best met by bursts. As many
// leave at once as were accepted before, and two more. These are throttled, and the bucket
// pauses until the server's window is empty again. A pace would do worse. Requests arrive a bit earlier
// or later than they leave, and so some are throttled at each pace near such a limit. Each time a
// cool-down costs about all that the limit lets pass in a second. A trial would take minutes.
//
// From 3/s on a pace does better, at nine tenths of what bursts have had accepted. Of 3/s in a sliding window it
// reaches 82 % with a tenth throttled, and bursts reach 60 to 70 % with half or more throttled.
const (
	short    = 1500 * time.Millisecond // a cool-down, at most: the window is about as long
	verySlow = 0.5                     // requests/s: a cool-down does not empty the window
	manyRuns = 3                       // of empty cool-downs among the last 16: that is noise
	costly   = 3.0                     // requests/s accepted: a pace wastes less than bursts
	many     = 4                       // of the last 16 cool-downs: bursts cost too much
	below    = 0.9                     // of what bursts had accepted: a pace that few times of arrival lead above
	notSlow  = 1.5 * tooSlow           // requests/s accepted: the limit is not slow any more
)

// burstsSuit reports that bursts are best for a limit.
func (r *Rate) burstsSuit(limit float64) bool {
	return verySlow < limit && limit < tooSlow && r.bursts.rest <= short
}

// Scouting reports that one request at a time leaves until one is accepted, as the last ones were all refused.
func (e *Evidence) Scouting() bool { return e.lessons != nil && e.trouble.scouting }

// AtOnce returns how many requests may be in flight; 0: as many as want to.
func (e *Evidence) AtOnce() int {
	switch {
	case e.lessons == nil:
		return 0
	case e.trouble.scouting:
		return 1 // the last ones were all refused
	case e.phase == bursting:
		return e.cooling.out + max(int(e.limit), e.cooling.accepted) + 2
	}
	return 0
}

// burst takes in that a cool-down is over that a burst began when it met the limit.
func (e *Evidence) burst(now time.Time) {
	c, accepted := &e.cooling, e.recently()
	e.bursts.empty, e.bursts.costly = e.bursts.empty<<1, e.bursts.costly<<1
	switch {
	case c.accepted == 0:
		e.bursts.empty |= 1
		return
	case e.bursts.rest > short, accepted >= costly:
		e.bursts.costly |= 1
	}
	// Noise throttles the first request after a cool-down as often as any other. A limit does not.
	runs, noise := bits.OnesCount16(e.bursts.empty&^(e.bursts.empty<<1)), float64(bits.OnesCount16(e.bursts.empty))/16
	switch {
	case runs >= manyRuns && e.tally.share() < 1.3*noise:
		e.noise.is(noise, now)
		e.become(free, 0, now)
	case bits.OnesCount16(e.bursts.costly) >= many && accepted >= costly:
		e.keep(below*accepted, now)
	case bits.OnesCount16(e.bursts.costly) >= many:
		e.become(seeking, max(accepted, 1), now)
	default:
		e.limit = max(accepted, 1)
	}
}
