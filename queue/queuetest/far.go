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

const century = 100 * 365 * never

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
			before := c.now()
			if lanes, next := c.work(); len(lanes) != 0 {
				c.Fatalf("lanes %v: expected none for what is due at %v", lanes, t.given)
			} else {
				c.in("when the next is due", next, before, far[0].kept) // the first, as all wait
			}
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Delayed: int64(len(kept)), Arrived: int64(len(kept))})
	}},
	{"Far/the only one is due in thousands of years", func(c *check) {
		for _, t := range kept {
			id := c.put(func(j *queue.Job) { j.Due = t.given })
			if _, next := c.work(); next < century {
				c.Fatalf("the next is due in %v: expected centuries", next)
			}
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
	{"Far/Move to a time in centuries", func(c *check) {
		id := c.put()
		for _, d := range []time.Duration{century, queue.Never} {
			before := c.now()
			c.move(queue.Move{ID: id, From: all, To: queue.Ready, DueIn: d})
			c.between("Due", c.state(id, queue.Delayed).Due, before.Add(d), c.now().Add(d))
			if _, next := c.work(); next < century-time.Hour {
				c.Fatalf("the next is due in %v: expected %v", next, d)
			}
			before = c.now()
			c.move(queue.Move{ID: id, From: all, To: queue.InDoubt, LookIn: d})
			c.between("Look", c.state(id, queue.InDoubt).Look, before.Add(d), c.now().Add(d))
			c.ids(c.list(queue.Filter{LookBefore: c.now().Add(never)}))
			c.ids(c.list(queue.Filter{LookBefore: c.now().Add(century - time.Hour)}))
			c.alive()
		}
	}},
	{"Far/what was due, or to be looked at, long ago is so now", func(c *check) {
		for _, t := range past {
			id := c.put(func(j *queue.Job) { j.Due = t })
			c.between("Due", c.state(id, queue.Ready).Due, c.now().Add(-time.Minute), c.now())
			c.move(queue.Move{ID: id, From: all, To: queue.Delayed, DueIn: -queue.Never})
			c.state(id, queue.Ready)
			c.ids(c.claim(lane("a"), 9), id)
			c.move(queue.Move{ID: id, From: all, To: queue.InDoubt, LookIn: -queue.Never})
			c.ids(c.list(queue.Filter{LookBefore: c.now()}), id)
			c.finish(id, queue.Cancelled)
			late := c.put(func(j *queue.Job) { j.Deadline = t })
			c.sweep(queue.Sweep{})
			if j := c.state(late, queue.Failed); j.Outcome.Reason != queue.ReasonDeadline {
				c.Fatalf("a deadline of %v: reason %q", t, j.Outcome.Reason)
			}
		}
	}},
	{"Far/Park for centuries, and until long ago", func(c *check) {
		c.put()
		for _, d := range []time.Duration{century, queue.Never} {
			until := c.park(c.e, lane("a").Resource, d)
			before := c.now()
			lanes, _ := c.work()
			c.at("Parked", lanes[0].Parked, until)
			c.in("Held", lanes[0].Held, before, until)
			c.at("Parked in Stats", c.stats(lane("a")).Parked, until)
			c.alive()
			c.park(c.e, lane("a").Resource, -d)
			if lanes, _ := c.work(); lanes[0].Parked.After(c.now()) || lanes[0].Held != 0 {
				c.Fatalf("parked until %v, for %v, after a Park of %v", lanes[0].Parked, lanes[0].Held, -d)
			}
		}
	}},
	{"Far/leases and results of centuries", func(c *check) {
		const most = time.Duration(1<<63 - 1)
		id := c.put()
		before := c.now()
		lease := c.claimFor(queue.Claim{Lane: lane("a"), Max: 1, Lease: most})[0].Lease
		c.between("Lease", lease, before.Add(most-time.Hour), c.now().Add(most))
		if w := c.sweep(queue.Sweep{Lease: most, Keep: most}); w != (queue.Swept{}) {
			c.Fatalf("swept %+v: expected nothing", w)
		}
		c.state(id, queue.Sending)
		c.move(queue.Move{ID: id, From: all, To: queue.Sending, Lease: most})
		c.sweep(queue.Sweep{Lease: time.Hour})
		if got := c.state(id, queue.Sending).Lease; got.After(c.now().Add(2 * time.Hour)) {
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
			if next.wait < last.wait-time.Hour {
				c.Fatalf("a place in %v after one in %v", next.wait, last.wait)
			}
			last = next
		}
		if last.wait < century {
			c.Fatalf("the places have come back to %v from now", last.wait)
		}
	}},
}
