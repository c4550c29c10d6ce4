package queue

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// An interval bounds by how much one clock is ahead of another.
type interval struct{ lo, hi time.Duration }

// widen returns the interval that has both.
func (i interval) widen(with interval) interval {
	return interval{min(i.lo, with.lo), max(i.hi, with.hi)}
}

// Clocks know by how much Twilio's clock is ahead of the engine's. Neither is this
// machine's: a Redis has a clock of its own, and clocks are set. Each is compared with
// the time that has passed in this process, which nobody sets. What was measured in the
// last hour or two is kept as one interval, so that a clock which was set in between makes
// the interval wide and not wrong. The zero value knows nothing.
type clocks struct {
	mu     sync.Mutex
	began  time.Time // of this process's own time
	engine *interval // that the engine's clock is ahead of it, as measured last
	twilio *interval // that Twilio's is

	hour          time.Time // when now began
	now, before   *interval // what was measured since, and in the hour before
	firstCompared time.Time // by the engine's clock, when both were known for the first time
}

const clocksKept = time.Hour

// own returns this process's time, which goes on evenly, for an instant.
func (c *clocks) own(t time.Time) time.Duration {
	if c.began.IsZero() {
		c.began = t
	}
	return t.Sub(c.began)
}

// engineSaid notes that the engine's clock showed at, some time between from and to.
func (c *clocks) engineSaid(at, from, to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := at.Sub(c.start(from))
	c.engine = &interval{shown - c.own(to), shown - c.own(from)}
	c.compare(at, to)
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
	shown := at.Sub(c.start(from))
	c.twilio = &interval{shown - c.own(to), shown + time.Second - c.own(from)}
	c.compare(time.Time{}, to)
}

// start returns the instant from which all clocks are counted, as a time on the wall.
func (c *clocks) start(t time.Time) time.Time {
	c.own(t)
	return c.began.Round(0)
}

// compare takes up what both measurements say together, at the instant t.
func (c *clocks) compare(engine, t time.Time) {
	if c.engine == nil || c.twilio == nil {
		return
	}
	ahead := interval{c.twilio.lo - c.engine.hi, c.twilio.hi - c.engine.lo}
	if c.firstCompared.IsZero() {
		if c.firstCompared = engine; engine.IsZero() {
			c.firstCompared = c.start(t).Add(c.own(t) + c.engine.hi)
		}
	}
	if t.Sub(c.hour) > clocksKept {
		c.before, c.now, c.hour = c.now, nil, t
	}
	if c.now != nil {
		ahead = c.now.widen(ahead)
	}
	c.now = &ahead
}

// ahead returns by how much Twilio's clock is, or was of late, ahead of the engine's. It
// is false if nobody has measured.
func (c *clocks) ahead() (interval, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.now == nil:
		return interval{}, false
	case c.before == nil:
		return *c.now, true
	}
	return c.now.widen(*c.before), true
}

// comparedAt reports whether the clocks were being compared already at a time of the
// engine's.
func (c *clocks) comparedAt(engine time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.firstCompared.IsZero() && !engine.IsZero() && !engine.Before(c.firstCompared)
}

// askEngine reads the engine's clock.
func (w *Worker) askEngine(ctx context.Context) error {
	from := time.Now()
	at, err := w.q.engine.Now(ctx)
	if err != nil {
		return err
	}
	w.clocks.engineSaid(at, from, time.Now())
	return nil
}
