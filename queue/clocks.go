package queue

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// This file compares the clocks of Twilio, of the engine and of this process.

// An interval bounds by how much one clock is ahead of another.
type interval struct{ lo, hi time.Duration }

// widen returns the interval that has both.
func (i interval) widen(with interval) interval {
	return interval{min(i.lo, with.lo), max(i.hi, with.hi)}
}

// A drift is by how much a clock was recently ahead of this process's time. All that was
// measured in the last hour or two is one interval. A clock that was set in between makes the
// interval wide, and not wrong. The zero value knows nothing.
type drift struct {
	hour        time.Time // when the present hour began
	now, before *interval // what was measured in this hour, and in the one before; nil: nothing
}

// driftKept is how long an interval is added to before another one begins.
const driftKept = time.Hour

// add takes in what was measured at a time.
func (d *drift) add(i interval, t time.Time) {
	if t.Sub(d.hour) > driftKept {
		d.before, d.now, d.hour = d.now, nil, t
	}
	if d.now != nil {
		i = d.now.widen(i)
	}
	d.now = &i
}

// all returns the interval that has all of it, and false if nothing was measured.
func (d *drift) all() (interval, bool) {
	switch {
	case d.now == nil:
		return interval{}, false
	case d.before == nil:
		return *d.now, true
	}
	return d.now.widen(*d.before), true
}

// Clocks know by how much Twilio's clock is ahead of the engine's. Neither is this
// machine's: a Redis has a clock of its own, and clocks are set. Each is compared with
// the time that has passed in this process, which nobody sets. The zero value knows
// nothing. Clocks are safe for concurrent use.
type clocks struct {
	mu             sync.Mutex
	began          time.Time // of this process's own time
	engine, twilio drift
}

// measure returns by how much a clock is ahead of this process's time. The clock has shown a
// time from at to at+within, at an instant between from and to.
func (c *clocks) measure(at time.Time, within time.Duration, from, to time.Time) interval {
	if c.began.IsZero() {
		c.began = from
	}
	shown := at.Sub(c.began.Round(0)) // by the clocks on the wall
	return interval{shown - to.Sub(c.began), shown + within - from.Sub(c.began)}
}

// engineSaid notes that the engine's clock showed at, some time between from and to.
func (c *clocks) engineSaid(at, from, to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.engine.add(c.measure(at, 0, from, to), to)
}

// twilioSaid notes the Date of an answer that was under way between from and to. A Date
// has whole seconds: the clock showed it or up to a second more.
func (c *clocks) twilioSaid(header http.Header, from, to time.Time) {
	at, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.twilio.add(c.measure(at, time.Second, from, to), to)
}

// ahead returns by how much Twilio's clock is, or recently was, ahead of the engine's. It
// is false if one of them was never looked at.
func (c *clocks) ahead() (interval, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.engine.all()
	t, both := c.twilio.all()
	return interval{t.lo - e.hi, t.hi - e.lo}, ok && both
}

// askEngine reads the engine's clock.
func (b *base) askEngine(ctx context.Context) (at time.Time, err error) {
	from := time.Now()
	if at, err = b.engine.Now(ctx); err == nil {
		b.clocks.engineSaid(at, from, time.Now())
	}
	return at, err
}
