package pacer

import "time"

// A cooldown is the time for which a bucket pauses since a request was throttled.
// The zero cooldown is none.
type cooldown struct {
	until   time.Time // its end; zero: there never was one
	on      bool      // it has begun, and the bucket has not been reopened since
	retryAt time.Time // the time that Twilio asked for, if it is too long to wait; until then calls fail at once
}

// coolDownAtMost bounds a cool-down that no call waits for, so that one bad header cannot
// close a bucket for a day: when it ends one request is let through to ask again.
const coolDownAtMost = 5 * time.Minute

// begin begins a cool-down, or prolongs it. It never shortens one.
func (c *cooldown) begin(o Outcome, now time.Time) {
	if o.TooLong {
		c.extend(now.Add(min(o.RetryAfter, coolDownAtMost)), now.Add(o.RetryAfter))
	} else {
		c.extend(now.Add(o.RetryAfter), time.Time{})
	}
}

// extend moves the end to until, if that is later. retryAt, if it is not zero, is the time that Twilio asked for:
// it is too long to wait.
func (c *cooldown) extend(until, retryAt time.Time) {
	if !retryAt.IsZero() {
		c.retryAt = retryAt
	}
	if until.After(c.until) {
		c.until = until
	}
	c.on = true
}

// end is for when its time is over, and the bucket goes on.
func (c *cooldown) end() { c.on, c.retryAt = false, time.Time{} }

// remaining is how long it still takes; 0 or less: its time is over.
func (c *cooldown) remaining(now time.Time) time.Duration { return c.until.Sub(now) }

// refuses reports that calls must fail instead of waiting for its end. After retryAt has
// passed, calls wait for the rest.
func (c *cooldown) refuses(now time.Time) bool {
	return c.remaining(now) > 0 && c.retryAt.After(now)
}

// A row is cool-downs in a row.
type row struct {
	cooldown
	times  int       // how many there were since a request was accepted
	before time.Time // when the one before this was over; zero: there was none
}

// throttled takes in that a request which left at a time was throttled.
func (r *row) throttled(left time.Time) {
	if !left.Before(r.until) { // else it was on its way when the cool-down began
		r.before = r.until
		r.times++
	}
	r.times = max(r.times, 1)
}

// accepted takes in that a request which left at a time was accepted. It may have been in flight
// together with the one that began the cool-down.
func (r *row) accepted(left time.Time) {
	if !left.Before(r.before) {
		r.times = 0
	}
}
