package learn

import (
	"math/bits"
	"time"

	"github.com/twilio-pacer/pacer/internal/steps"
)

// A cooling is about the times in which the bucket pauses.
type cooling struct {
	closed   bool          // the bucket pauses, or has not been reopened since
	byOthers bool          // another process has closed it
	since    time.Time     // when it was last closed
	opened   time.Time     // when it was last opened
	out      int           // requests that were in flight then
	asked    time.Time     // the latest end of those that were asked for since a request was accepted
	step     time.Duration // of the next one of which Twilio does not say how long; 0: the first
	spared   time.Time     // until when a single throttled answer does not close the bucket
	recent   uint64        // the last answers since it opened, a bit each; 1: throttled
	answers  int           // since it opened
	paced    time.Time     // since when the pace is what it is
	accepted int           // of these
	last     time.Time     // when the last answer came
	mostly   bool          // it was closed since most requests were throttled
}

// A trouble is about times in which nothing at all is accepted.
type trouble struct {
	empty    int     // cool-downs in a row between which nothing was accepted
	scouting bool    // one request at a time leaves, until one is accepted
	before   float64 // requests/s that were accepted when the last event began
}

const (
	sparedFor = 100             // times as long as a single throttled answer has closed the bucket, no other one does
	cheapest  = 2               // requests that a cool-down costs at most for it to be always worth its while
	window    = 16              // answers by which it is judged whether most are throttled
	quarter   = window / 4      // of these throttled show a limit while one is looked for
	most      = 0.6             // share of these that means a limit
	unlikely  = 0.02            // chance below which it is not noise that nothing is accepted
	troubled  = 3               // cool-downs in a row without an acceptance are an outage
	heard     = 5 * time.Second // after which without an acceptance no more is asked for
	soon      = 5 * time.Second // after a cool-down a limit shows again
)

// ask takes in for how long Twilio said that a request should wait; 0: it did not say.
func (c *cooling) ask(hold time.Duration, now time.Time) {
	if end := now.Add(hold); hold > 0 && end.After(c.asked) {
		c.asked = end
	}
}

// length returns how long a cool-down would last that begins now, and its step.
func (c *cooling) length(t Throttle, now time.Time) (hold, step time.Duration) {
	hold, step = max(c.asked.Sub(now), 0), c.step
	if t.RetryAfter == 0 {
		if step == 0 || !t.Stubborn {
			step = steps.Next(step)
		}
		hold = max(hold, step)
	}
	return hold, step
}

// note notes an answer. Those of more than a minute ago say nothing about now. Those to requests that
// left before since, when the pace was another one, say nothing about this one.
func (c *cooling) note(throttled uint64, left, since, now time.Time) {
	if now.Sub(c.last) > tallyTime || since.After(c.paced) {
		c.recent, c.answers, c.paced = 0, 0, since
	}
	if left.Before(since) {
		return
	}
	c.recent, c.last = c.recent<<1|throttled, now
	c.answers++
}

// most reports that most of the recent requests were throttled: of the last 16, and of the last
// 64 where noise is known to be heavy.
func (c *cooling) most(noise float64, slow bool) bool {
	last, share := window, most
	switch {
	case slow:
		last = 6
	case noise > heavyNoise:
		last, share = 64, max(share, (1+noise)/2)
	}
	n := min(c.answers, last)
	return n >= last/2 && float64(c.throttled(last)) > share*float64(n)
}

// throttled counts throttled answers among the last ones.
func (c *cooling) throttled(last int) int { return bits.OnesCount64(c.recent << (64 - last)) }

// acceptedInARow counts the accepted answers since the last throttled one, up to 64.
func (c *cooling) acceptedInARow() int { return min(c.answers, bits.TrailingZeros64(c.recent)) }

// lately counts the last 64 answers at this pace.
func (c *cooling) lately() tally { return tally{sent: min(c.answers, 64), throttled: c.throttled(64)} }
