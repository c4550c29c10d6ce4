package queuetest

import (
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// end is the latest time that engines keep.
var end = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)

// far are times that lie ahead, and what engines make of them: words for "never", where
// a double ends to hold microseconds, where printed numbers get an exponent, and what
// comes of microseconds that were taken for seconds.
var far = []struct{ given, kept time.Time }{
	{time.Date(2255, 6, 5, 23, 47, 34, 740_993_000, time.UTC), time.Date(2255, 6, 5, 23, 47, 34, 740_993_000, time.UTC)},
	{time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)},
	{time.Date(5138, 11, 17, 0, 0, 0, 0, time.UTC), time.Date(5138, 11, 17, 0, 0, 0, 0, time.UTC)},
	{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	{end, end},
	{time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*3600)), end},
	{time.Unix(1_764_000_000_000_000, 0), end},
	{time.Unix(1<<62, 0), end},
}

// kept are those of far that are kept as they are.
var kept = far[:5]

// past are times long ago.
var past = []time.Time{time.Unix(0, 0), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Unix(-1<<62, 0)}

// alive ends the test if a job of another lane is not worked on as ever.
func (c *check) alive() {
	c.Helper()
	id := c.put(in(lane("alive")))
	c.work()
	c.sweep(queue.Sweep{Keep: never})
	c.ids(c.claim(lane("alive"), 9), id)
	c.finish(id, queue.Sent)
}

var farTests = []test{
	{"Far/Add of what is later than the year 9999", func(c *check) {
		for _, t := range far {
			for field, j := range map[string]queue.Job{
				"Due":      c.job(func(j *queue.Job) { j.Due = t.given }),
				"Deadline": c.job(func(j *queue.Job) { j.Deadline = t.given }),
			} {
				_, err := c.e.Add(c.Context(), []queue.Job{c.job(), j})
				if stored := err == nil; stored != t.given.Equal(t.kept) {
					c.Fatalf("%s %v: error %v", field, t.given, err)
				}
			}
		}
		for _, s := range []queue.State{queue.Ready, queue.Delayed} {
			if jobs := c.list(queue.Filter{States: []queue.State{s}}); len(jobs) == 0 {
				c.Fatalf("no job is %s", s)
			}
		}
	}},
	{"Far/what is due in thousands of years waits", func(c *check) {
		for _, t := range kept {
			id := c.put(func(j *queue.Job) { j.Due = t.given })
			c.at("Due", c.state(id, queue.Delayed).Due, t.kept)
			c.alive()
			if lanes, next := c.work(); len(lanes) != 0 {
				c.Fatalf("lanes %v: expected none for what is due at %v", lanes, t.given)
			} else {
				c.at("when the next is due", next, far[0].kept) // the first, as all wait
			}
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Delayed: int64(len(kept)), Arrived: int64(len(kept))})
	}},
	{"Far/the only one is due in thousands of years", func(c *check) {
		for _, t := range kept {
			id := c.put(func(j *queue.Job) { j.Due = t.given })
			_, next := c.work()
			c.at("when the next is due", next, t.kept)
			c.finish(id, queue.Cancelled)
		}
	}},
	{"Far/a deadline in thousands of years", func(c *check) {
		for _, t := range kept {
			id := c.put(func(j *queue.Job) { j.Deadline = t.given })
			c.at("Deadline", c.get(id).Deadline, t.kept)
			c.alive()
			j := c.claim(lane("a"), 1)[0]
			c.at("Deadline of what is claimed", j.Deadline, t.kept)
			c.finish(id, queue.Sent)
		}
	}},
	{"Far/Move to a time in thousands of years", func(c *check) {
		id := c.put()
		for _, t := range far {
			c.move(queue.Move{ID: id, From: all, To: queue.Ready, Due: t.given})
			c.at("Due", c.state(id, queue.Delayed).Due, t.kept)
			_, next := c.work()
			c.at("when the next is due", next, t.kept)
			c.move(queue.Move{ID: id, From: all, To: queue.InDoubt, Look: t.given})
			c.at("Look", c.state(id, queue.InDoubt).Look, t.kept)
			c.ids(c.list(queue.Filter{LookBefore: time.Now().Add(never)}))
			c.ids(c.list(queue.Filter{LookBefore: far[0].kept.Add(-time.Hour)}))
			c.alive()
		}
	}},
	{"Far/what was due, or to be looked at, long ago is so now", func(c *check) {
		for _, t := range past {
			id := c.put(func(j *queue.Job) { j.Due = t })
			c.between("Due", c.state(id, queue.Ready).Due, time.Now().Add(-time.Minute), time.Now())
			c.move(queue.Move{ID: id, From: all, To: queue.Delayed, Due: t})
			c.state(id, queue.Ready)
			c.ids(c.claim(lane("a"), 9), id)
			c.move(queue.Move{ID: id, From: all, To: queue.InDoubt, Look: t})
			c.ids(c.list(queue.Filter{LookBefore: time.Now()}), id)
			c.finish(id, queue.Cancelled)
			late := c.put(func(j *queue.Job) { j.Deadline = t })
			c.sweep(queue.Sweep{})
			if j := c.state(late, queue.Failed); j.Outcome.Reason != queue.ReasonDeadline {
				c.Fatalf("a deadline of %v: reason %q", t, j.Outcome.Reason)
			}
		}
	}},
	{"Far/Park until thousands of years from now, and until long ago", func(c *check) {
		c.put()
		for _, t := range far {
			c.ok(c.e.Park(c.Context(), lane("a").Resource, t.given))
			lanes, _ := c.work()
			c.at("Parked", lanes[0].Parked, t.kept)
			c.at("Parked in Stats", c.stats(lane("a")).Parked, t.kept)
			c.alive()
		}
		for _, t := range past {
			c.ok(c.e.Park(c.Context(), lane("a").Resource, far[0].given))
			c.ok(c.e.Park(c.Context(), lane("a").Resource, t))
			if lanes, _ := c.work(); lanes[0].Parked.After(time.Now()) {
				c.Fatalf("parked until %v after a Park until %v", lanes[0].Parked, t)
			}
		}
	}},
	{"Far/leases and results of centuries", func(c *check) {
		const most = time.Duration(1<<63 - 1)
		id := c.put()
		before := time.Now()
		lease := c.claimFor(queue.Claim{Lane: lane("a"), Max: 1, Lease: most})[0].Lease
		c.between("Lease", lease, before.Add(most-time.Hour), before.Add(most))
		if w := c.sweep(queue.Sweep{Lease: most, Keep: most}); w != (queue.Swept{}) {
			c.Fatalf("swept %+v: expected nothing", w)
		}
		c.state(id, queue.Sending)
		c.move(queue.Move{ID: id, From: all, To: queue.Sending, Lease: most})
		c.sweep(queue.Sweep{Lease: time.Hour})
		if got := c.state(id, queue.Sending).Lease; got.After(time.Now().Add(2 * time.Hour)) {
			c.Fatalf("the lease ends at %v: expected it to be shortened", got)
		}
		c.finish(id, queue.Sent)
		if w := c.sweep(queue.Sweep{Keep: most}); w.Deleted != 0 {
			c.Fatalf("swept %+v, and results are kept for centuries", w)
		}
	}},
	{"Far/Reserve at a rate of one in centuries", func(c *check) {
		last := c.reserve(c.e, "s", 1e-12, 1)
		for range 10 { // each a step of centuries
			next := c.reserve(c.e, "s", 1e-12, 1000)
			if next.Before(last) {
				c.Fatalf("a place at %v after one at %v", next, last)
			}
			last = next
		}
		if last.Before(time.Now().Add(100 * 365 * never)) {
			c.Fatalf("the places have come back to %v", last)
		}
	}},
}
