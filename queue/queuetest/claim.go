package queuetest

import (
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

var claimTests = []test{
	{"Work/lanes that have Ready jobs", func(c *check) {
		if lanes, next := c.work(); len(lanes) != 0 || next != queue.Never {
			c.Fatalf("an empty store has work: %v, %v", lanes, next)
		}
		c.put(in(lane("a")), prio(pacer.Low))
		c.put(in(lane("a")), prio(pacer.Normal))
		c.put(in(of("x", "a")), prio(pacer.Low))
		c.put(in(lane("b")), prio(pacer.High))
		c.put(in(lane("later")), c.dueIn(never))
		c.finish(c.put(in(lane("done"))), queue.Sent)
		c.claim(lane("b"), 1)
		c.put(in(lane("c")), prio(pacer.High))
		c.put(in(lane("c")), prio(pacer.Low))
		got := map[queue.Lane]queue.ReadyLane{}
		lanes, _ := c.work()
		for _, l := range lanes {
			got[l.Lane] = l
		}
		want := []queue.ReadyLane{
			{Lane: lane("a"), Ready: 2, Top: pacer.Normal}, {Lane: of("x", "a"), Ready: 1, Top: pacer.Low}, {Lane: lane("c"), Ready: 2, Top: pacer.High},
		}
		if len(lanes) != len(want) {
			c.Fatalf("lanes %v: expected %v", lanes, want)
		}
		for _, w := range want {
			if got[w.Lane] != w {
				c.Fatalf("lane %v: expected %v", got[w.Lane], w)
			}
		}
	}},
	{"Work/Top follows the claims", func(c *check) {
		c.put(prio(pacer.High))
		c.put(prio(pacer.Normal))
		c.put(prio(pacer.Low))
		for _, want := range []pacer.Priority{pacer.High, pacer.Normal, pacer.Low} {
			if lanes, _ := c.work(); len(lanes) != 1 || lanes[0].Top != want || c.claim(lane("a"), 1)[0].Priority != want {
				c.Fatalf("lanes %v: expected one of priority %v at the top", lanes, want)
			}
		}
		if lanes, _ := c.work(); len(lanes) != 0 {
			c.Fatalf("an empty lane has work: %v", lanes)
		}
	}},
	{"Work/makes Ready what is due, and says when the next is", func(c *check) {
		first := c.put(c.dueIn(soon))
		second := c.put(c.dueIn(never), in(lane("b")))
		third := c.put(c.dueIn(2*never), in(lane("b")))
		due := c.get(first).Due
		before := c.now()
		if _, next := c.work(); due.After(c.now()) { // else this test was slow
			c.in("next", next, before, due)
		}
		time.Sleep(2 * soon)
		lanes, next := c.work()
		if len(lanes) != 1 || lanes[0].Lane != lane("a") || lanes[0].Ready != 1 {
			c.Fatalf("lanes %v: expected the one whose job is due", lanes)
		}
		c.in("next", next, before, c.get(second).Due)
		c.at("Due of what has become Ready", c.state(first, queue.Ready).Due, due)
		c.state(second, queue.Delayed)
		c.counts(queue.LaneStats{Lane: lane("a"), Ready: 1, Arrived: 1})
		c.finish(second, queue.Cancelled)
		_, next = c.work()
		c.in("next", next, before, c.get(third).Due)
		c.finish(third, queue.Cancelled)
		if _, next = c.work(); next != queue.Never {
			c.Fatalf("next is %v, and no job is Delayed", next)
		}
	}},
	{"Work/what is due keeps its place", func(c *check) {
		early := c.put(c.dueIn(soon))
		time.Sleep(2 * soon)
		late := c.put()
		c.work()
		c.ids(c.claim(lane("a"), 2), early, late)
	}},
	{"Work/many become due at once", func(c *check) {
		const n = 1200
		for range n / 400 {
			var jobs []queue.Job
			for range 400 {
				jobs = append(jobs, c.job(c.dueIn(soon)))
			}
			c.add(jobs...)
		}
		time.Sleep(2 * soon)
		lanes, next := c.work()
		if len(lanes) != 1 || lanes[0].Ready != n || next != queue.Never {
			c.Fatalf("lanes %v, next %v: expected all %d to be Ready", lanes, next, n)
		}
	}},
	// Who looks for work is not kept until the last of them is Ready, and hears of all else that is.
	{"Work/very many become due at once", func(c *check) {
		const many, most = 4000, 2000
		due := c.now().Add(time.Second)
		for range many / 400 {
			var jobs []queue.Job
			for range 400 {
				jobs = append(jobs, c.job(func(j *queue.Job) { j.Due = due }))
			}
			c.add(jobs...)
		}
		time.Sleep(due.Sub(c.now()) + soon)
		c.put(in(lane("b")))
		ready := c.stats(lane("a")).Ready // those that were added late
		for call := 1; ready < many; call++ {
			lanes, next := c.work()
			of := slices.IndexFunc(lanes, func(r queue.ReadyLane) bool { return r.Lane == lane("a") })
			if len(lanes) != 2 || of < 0 {
				c.Fatalf("%v: expected the lane of what is due, and the other", lanes)
			}
			now := lanes[of].Ready
			if now <= ready || now-ready > most {
				c.Fatalf("call %d has made %d Ready, expected 1 to %d", call, now-ready, most)
			}
			if ready = now; (ready < many) != (next == 0) || ready == many && next != queue.Never {
				c.Fatalf("next is %v with %d of %d Ready", next, ready, many)
			}
		}
	}},
	{"Claim/marks as Sending", func(c *check) {
		id := c.put(label("k", "v"))
		other := c.put(in(lane("b")))
		was := c.get(id)
		before := c.now()
		jobs := c.claimFor(queue.Claim{Lane: lane("a"), Max: 10, Lease: time.Minute})
		after := c.now()
		c.ids(jobs, id)
		got := jobs[0]
		c.between("Began", got.Began, before, after)
		c.between("Lease", got.Lease, before.Add(time.Minute), after.Add(time.Minute))
		want := was
		want.State, want.Claim, want.Began, want.Lease = queue.Sending, 1, got.Began, got.Lease
		c.same(got, want)
		c.same(c.get(id), got)
		c.state(other, queue.Ready)
		c.counts(queue.LaneStats{Lane: lane("a"), Sending: 1, Arrived: 1})
	}},
	{"Claim/each gets the next number", func(c *check) {
		id := c.put()
		for n := int64(1); n <= 3; n++ {
			if j := c.claim(lane("a"), 1)[0]; j.Claim != n || j.Attempts != 0 {
				c.Fatalf("claim %d, attempts %d: expected claim %d, attempts 0", j.Claim, j.Attempts, n)
			}
			c.finish(id, queue.Ready)
		}
	}},
	{"Claim/by priority, then Due, then the order of Add", func(c *check) {
		var late []queue.ID
		a := c.job(prio(pacer.Low))
		b := c.job()
		d := c.job(prio(pacer.High))
		e := c.job()
		f := c.job(prio(pacer.High))
		g := c.job(prio(7))  // is High
		h := c.job(prio(-7)) // is Low
		c.add(a, b, d, e, f, g, h)
		time.Sleep(soon)
		late = append(late, c.put(prio(pacer.High)), c.put())
		want := []queue.ID{d.ID, f.ID, g.ID, late[0], b.ID, e.ID, late[1], a.ID, h.ID}
		c.ids(c.claim(lane("a"), 3), want[:3]...)
		c.ids(c.claim(lane("a"), 1), want[3])
		c.ids(c.claim(lane("a"), 100), want[4:]...)
		c.ids(c.claim(lane("a"), 100))
	}},
	{"Claim/by Due before the order of Add", func(c *check) {
		first := c.put()
		time.Sleep(soon)
		second := c.put()
		time.Sleep(soon)
		c.move(queue.Move{ID: first, From: all, To: queue.Ready, DueIn: -1}) // as a retry is: behind
		c.ids(c.claim(lane("a"), 2), second, first)
	}},
	{"Claim/Oldest", func(c *check) {
		low := c.put(prio(pacer.Low))
		time.Sleep(soon)
		normal := c.put()
		time.Sleep(soon)
		high, high2 := c.put(prio(pacer.High)), c.put(prio(pacer.High))
		c.ids(c.claimFor(queue.Claim{Lane: lane("a"), Max: 2, Lease: never, Oldest: true}), low, high)
		c.ids(c.claimFor(queue.Claim{Lane: lane("a"), Max: 1, Lease: never, Oldest: true}), normal)
		c.ids(c.claimFor(queue.Claim{Lane: lane("a"), Max: 9, Lease: never, Oldest: true}), high2)
		c.ids(c.claimFor(queue.Claim{Lane: lane("a"), Max: 9, Lease: never, Oldest: true}))
	}},
	{"Claim/of nothing", func(c *check) {
		c.put(c.dueIn(never))
		c.ids(c.claim(lane("a"), 1))
		c.ids(c.claim(lane("unknown"), 1))
		id := c.put()
		c.ids(c.claim(lane("a"), 0))
		c.state(id, queue.Ready)
	}},
	{"Claim/past the deadline", func(c *check) {
		dead := []queue.ID{c.put(c.deadline(soon)), c.put(c.deadline(soon))}
		alive := []queue.ID{c.put(c.deadline(never)), c.put()}
		time.Sleep(2 * soon)
		before := c.now()
		c.ids(c.claim(lane("a"), 2), alive...)
		for _, id := range dead {
			j := c.state(id, queue.Failed)
			c.between("Finished", j.Finished, before, c.now())
			if j.Outcome.Reason != queue.ReasonDeadline || j.Claim != 0 || j.Attempts != 0 {
				c.Fatalf("expired job: %+v", j)
			}
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Sending: 2, Failed: 2, Arrived: 4, Departed: 2})
	}},
	{"Claim/past the deadline, more than one claim sees", func(c *check) {
		for range 3 {
			var jobs []queue.Job
			for range 400 {
				jobs = append(jobs, c.job(c.deadline(soon)))
			}
			c.add(jobs...)
		}
		last := c.put()
		time.Sleep(2 * soon)
		c.ids(c.claim(lane("a"), 1), last)
	}},
	{"Claim/a damaged request", func(c *check) {
		if c.suite.Damage == nil {
			c.Skip("queuetest: Suite.Damage is nil")
		}
		bad, good := c.put(), c.put()
		c.suite.Damage(c, c.e, bad)
		c.ids(c.claim(lane("a"), 2), good)
		if j := c.state(bad, queue.Failed); j.Outcome.Reason != queue.ReasonDamaged {
			c.Fatalf("reason %q: expected %q", j.Outcome.Reason, queue.ReasonDamaged)
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Sending: 1, Failed: 1, Arrived: 2, Departed: 1})
	}},
	{"Claim/survives the engine", func(c *check) {
		id := c.put()
		want := c.claim(lane("a"), 1)[0]
		c.ok(c.e.Close())
		c.e = c.again()
		c.same(c.state(id, queue.Sending), want)
		c.ids(c.claim(lane("a"), 1))
	}},
}
