package learn

import "time"

// The limit of requests in progress is raised by probes, while requests wait for it: by a tenth, and
// at least one, 30 s after it was found or a probe has failed. A probe that succeeds is followed by
// one twice as large, as soon as 4 s have passed and some requests above the old limit were accepted.
// One that fails costs a few throttled requests. Then the true limit is between the two numbers, and
// the next probes halve what is between them.
const (
	probeAfter   = 30 * time.Second
	probeAtLeast = 4 * time.Second // longer than an event takes
	tooMuch      = 0.1             // share of a probe that is throttled, in excess of noise, for it to have failed
)

// probes raise a limit, to see whether more is accepted.
type probes struct {
	interval time.Duration // between them
	probed   time.Time     // when the last one was, or the limit was found
	raised   int           // in a row that have succeeded
	refuted  int           // the lowest limit since the last change that was too much; 0: it is not known, or the present one is next to it
}

// narrow makes a limit the one that holds, and looks for the true one between it and one that was too much.
func (c *InFlight) narrow(limit, refuted int, now time.Time) {
	c.probes.interval, c.probes.raised, c.probes.refuted = probeAfter, 0, 0
	if far(limit, refuted) {
		c.probes.interval, c.probes.refuted = probeAtLeast, refuted
	}
	c.set(limit, now)
}

// sound returns the highest number in progress below n at which more requests were accepted than throttled.
func (c *InFlight) sound(n int) int {
	for i := cell(n) - 1; i > 0; i-- {
		if c.counts[i].accepted > c.counts[i].throttled {
			return lowest(i)
		}
	}
	return 0
}

// refute ends a probe of which clearly more was throttled than of what is below it, and at least so many. It
// reports whether it has. What a large probe has shown to be accepted is the new limit.
func (c *InFlight) refute(least int, now time.Time) bool {
	top := c.others + c.good
	accepted, throttled := c.sum(top+1, c.others+c.limit+1)
	sound, unsound := c.sum(top/2, top+1)
	noise := float64(unsound) / float64(max(sound+unsound, window))
	if share := float64(throttled) / float64(max(accepted+throttled, 1)); throttled < least || share < min(2*noise+tooMuch, 0.5) {
		return false
	}
	limit, refuted := c.good, c.limit
	if n := c.shown() - c.others; n-1 > limit && n < refuted {
		limit, refuted = n-1, n
	}
	c.narrow(limit, refuted, now)
	return true
}

// Probe raises the limit if it is time to: a request waits for it now. It reports whether the
// limit has changed.
func (c *InFlight) Probe(now time.Time) bool {
	if c.limit == 0 || c.back > 0 || now.Sub(c.probes.probed) < c.probes.interval && !c.held(now) {
		return false
	}
	if c.limit > c.good {
		if c.refute(1, now) {
			return true
		}
		c.probes.raised++
	}
	refuted := c.probes.refuted
	if refuted > 0 && !far(c.limit, refuted) {
		c.narrow(c.limit, refuted, now)
		return true
	}
	c.set(c.limit, now)
	c.probes.interval = probeAfter
	if refuted > 0 {
		c.limit += (refuted - c.limit) / 2
	} else {
		c.limit += min(c.limit, max(1, c.limit/10)<<c.probes.raised)
	}
	return true
}

// held reports that a probe has lasted for long enough, since requests above what was known are accepted.
func (c *InFlight) held(now time.Time) bool {
	if c.limit == c.good || now.Sub(c.probes.probed) < probeAtLeast {
		return false
	}
	accepted, _ := c.sum(c.others+c.good+1, c.others+c.limit+1)
	return accepted >= 2*enough
}

// far reports that the true limit may be far above one, below another one that was too much.
func far(limit, refuted int) bool { return refuted-limit > max(1, limit/20) }
