package queuetest

import (
	"errors"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

var moveTests = []test{
	{"Move/no such job", func(c *check) {
		err := c.e.Move(c.Context(), queue.Move{ID: "nobody", From: all, To: queue.Sent})
		if !errors.Is(err, queue.ErrNotFound) {
			c.Fatalf("got %v: expected ErrNotFound", err)
		}
		if _, err := c.e.Get(c.Context(), "nobody"); !errors.Is(err, queue.ErrNotFound) {
			c.Fatalf("Get: got %v: expected ErrNotFound", err)
		}
	}},
	{"Move/fences", func(c *check) {
		id := c.put()
		c.claim(lane("a"), 1)
		c.finish(id, queue.Ready)
		c.claim(lane("a"), 1) // claim 2
		was, stats := c.get(id), c.stats(lane("a"))
		for _, m := range []queue.Move{
			{From: []queue.State{queue.Sending}, Claim: 1}, // an old worker's
			{From: []queue.State{queue.Sending}, Claim: 3},
			{From: []queue.State{queue.Ready, queue.Delayed, queue.Sent, queue.Failed, queue.InDoubt, queue.Cancelled}, Claim: 2},
			{From: []queue.State{queue.Ready}},
			{From: nil},
		} {
			for _, to := range all {
				m.ID, m.To, m.Attempt, m.Looked, m.Reported = id, to, true, true, true
				m.DueIn, m.LookIn, m.Lease = never, -1, time.Hour
				m.Outcome = &queue.Outcome{SID: "SM2", Status: 201}
				err := c.e.Move(c.Context(), m)
				var state *queue.StateError
				if !errors.As(err, &state) || *state != (queue.StateError{ID: id, State: queue.Sending, Claim: 2}) {
					c.Fatalf("Move from %v at claim %d: got %v: expected a StateError with sending, 2", m.From, m.Claim, err)
				}
				c.same(c.get(id), was)
				if now := c.stats(lane("a")); now != stats {
					c.Fatalf("Stats have changed: %+v, were %+v", now, stats)
				}
			}
		}
		c.move(queue.Move{ID: id, From: []queue.State{queue.Ready, queue.Sending}, Claim: 2, To: queue.Sent})
	}},
	{"Move/to Sent, with an outcome", func(c *check) {
		id := c.put()
		was := c.claim(lane("a"), 1)[0]
		o := queue.Outcome{SID: "SM1", Status: 201, Code: 30001, Reason: "why", Response: []byte("{\"sid\": \"SM1\"}\x00")}
		before := c.now()
		c.move(queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Sent, Attempt: true, Outcome: &o, Reported: true})
		got := c.get(id)
		c.between("Finished", got.Finished, before, c.now())
		want := was
		want.State, want.Attempts, want.Outcome, want.Reported, want.Finished, want.Lease = queue.Sent, 1, o, true, got.Finished, time.Time{}
		c.same(got, want)
		c.counts(queue.LaneStats{Lane: lane("a"), Sent: 1, Arrived: 1, Departed: 1})
	}},
	{"Move/an outcome stays, or is replaced as a whole", func(c *check) {
		id := c.put()
		c.move(queue.Move{ID: id, From: all, To: queue.Failed, Outcome: &queue.Outcome{Status: 400, Code: 21211, Reason: "x", Response: []byte("y")}})
		c.move(queue.Move{ID: id, From: all, To: queue.Ready})
		if got := c.get(id).Outcome; got.Status != 400 || got.Code != 21211 || got.Reason != "x" || string(got.Response) != "y" {
			c.Fatalf("outcome %+v: expected the one before", got)
		}
		c.move(queue.Move{ID: id, From: all, To: queue.Sent, Outcome: &queue.Outcome{SID: "SM1"}})
		if got := c.get(id).Outcome; got.SID != "SM1" || got.Status != 0 || got.Code != 0 || got.Reason != "" || got.Response != nil {
			c.Fatalf("outcome %+v: expected nothing but the SID", got)
		}
	}},
	{"Move/attempts are counted where told", func(c *check) {
		id := c.put()
		for i, attempt := range []bool{true, false, true} {
			c.move(queue.Move{ID: id, From: all, To: queue.Ready, Attempt: attempt})
			if got, want := c.get(id).Attempts, []int{1, 1, 2}[i]; got != want {
				c.Fatalf("attempts %d: expected %d", got, want)
			}
		}
	}},
	{"Move/to Ready and Delayed", func(c *check) {
		id := c.put()
		due := c.get(id).Due
		for _, to := range []queue.State{queue.Ready, queue.Delayed} {
			c.claim(lane("a"), 1)
			c.move(queue.Move{ID: id, From: all, To: to})
			j := c.state(id, queue.Ready)
			c.at("Due, which was not given", j.Due, due)
			c.zero("Lease", j.Lease)
			moved := func(what string, d time.Duration, want queue.State) time.Time {
				c.Helper()
				before := c.now()
				c.move(queue.Move{ID: id, From: all, To: to, DueIn: d})
				is := c.state(id, want).Due
				c.between(what, is, before.Add(d), c.now().Add(d))
				return is
			}
			moved("Due now", -1, queue.Ready)
			moved("Due in the past", -time.Hour, queue.Ready)
			ahead := moved("Due ahead", never, queue.Delayed)
			c.move(queue.Move{ID: id, From: all, To: queue.Cancelled})
			c.move(queue.Move{ID: id, From: all, To: to}) // not due yet
			c.at("Due ahead, as it was", c.state(id, queue.Delayed).Due, ahead)
			due = moved("Due in the past once more", -time.Hour, queue.Ready)
		}
	}},
	{"Move/back to Ready keeps the place", func(c *check) {
		first := c.put()
		time.Sleep(soon)
		second := c.put()
		c.ids(c.claim(lane("a"), 1), first)
		c.finish(first, queue.Ready)
		c.ids(c.claim(lane("a"), 2), first, second)
	}},
	{"Move/a later lease", func(c *check) {
		id := c.put()
		was := c.claimFor(queue.Claim{Lane: lane("a"), Max: 1, Lease: time.Minute})[0]
		before := c.now()
		c.move(queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Sending, Lease: time.Hour})
		got := c.get(id)
		c.between("Lease", got.Lease, before.Add(time.Hour), c.now().Add(time.Hour))
		want := was
		want.Lease = got.Lease
		c.same(got, want)
	}},
	{"Move/in doubt, and looks", func(c *check) {
		id := c.put()
		c.claim(lane("a"), 1)
		before := c.now()
		c.move(queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: 1, To: queue.InDoubt, LookIn: time.Hour, Attempt: true})
		j := c.state(id, queue.InDoubt)
		c.between("Look", j.Look, before.Add(time.Hour), c.now().Add(time.Hour))
		c.zero("Lease", j.Lease)
		c.zero("Finished", j.Finished)
		if j.Looks != 0 || j.Attempts != 1 {
			c.Fatalf("looks %d, attempts %d: expected 0, 1", j.Looks, j.Attempts)
		}
		c.move(queue.Move{ID: id, From: []queue.State{queue.InDoubt}, To: queue.InDoubt, LookIn: -1, Looked: true})
		c.between("Look at once", c.get(id).Look, before, c.now())
		c.move(queue.Move{ID: id, From: []queue.State{queue.InDoubt}, To: queue.InDoubt, Looked: true})
		j = c.state(id, queue.InDoubt)
		c.zero("Look of a parked job", j.Look)
		if j.Looks != 2 {
			c.Fatalf("looks %d: expected 2", j.Looks)
		}
		c.counts(queue.LaneStats{Lane: lane("a"), InDoubt: 1, Arrived: 1})
		c.finish(id, queue.Sent)
		c.counts(queue.LaneStats{Lane: lane("a"), Sent: 1, Arrived: 1, Departed: 1})
	}},
	{"Move/reported later", func(c *check) {
		for _, state := range []queue.State{queue.Sent, queue.Failed} {
			id := c.put()
			c.finish(id, state)
			was := c.get(id)
			if was.Reported {
				c.Fatal("reported without being told")
			}
			time.Sleep(soon)
			c.move(queue.Move{ID: id, From: []queue.State{state}, To: state, Reported: true})
			want := was
			want.Reported = true
			c.same(c.get(id), want) // and it has not become so again
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Sent: 1, Failed: 1, Arrived: 2, Departed: 2})
	}},
	{"Move/from every state to every state", func(c *check) {
		id := c.put()
		want := queue.LaneStats{Lane: lane("a"), Ready: 1, Arrived: 1}
		counter := map[queue.State]*int64{
			queue.Ready: &want.Ready, queue.Delayed: &want.Delayed, queue.Sending: &want.Sending, queue.InDoubt: &want.InDoubt,
			queue.Sent: &want.Sent, queue.Failed: &want.Failed, queue.Cancelled: &want.Cancelled,
		}
		go1 := func(to queue.State) {
			m := queue.Move{ID: id, From: all, To: to, Lease: time.Hour, DueIn: -time.Hour}
			if to == queue.Delayed {
				m.DueIn = never
			}
			was := c.get(id)
			c.move(m)
			is := c.state(id, to)
			*counter[was.State]--
			*counter[to]++
			switch {
			case was.State.Final() && !to.Final():
				want.Arrived++ // requeued
			case !was.State.Final() && to.Final():
				want.Departed++
			}
			c.counts(want)
			if is.Lease.IsZero() != (to != queue.Sending) || is.Finished.IsZero() != !to.Final() {
				c.Fatalf("from %s to %s: lease %v, finished %v", was.State, to, is.Lease, is.Finished)
			}
		}
		for _, from := range all {
			for _, to := range all {
				go1(from)
				go1(to)
			}
		}
	}},
	{"Move/survives the engine", func(c *check) {
		id := c.put()
		c.claim(lane("a"), 1)
		c.move(queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Sent, Outcome: &queue.Outcome{SID: "SM1"}})
		want, stats := c.get(id), c.stats(lane("a"))
		c.ok(c.e.Close())
		c.e = c.again()
		c.same(c.get(id), want)
		if got := c.stats(lane("a")); got != stats {
			c.Fatalf("Stats %+v: were %+v", got, stats)
		}
	}},
	{"CancelWaiting", func(c *check) {
		var waiting []queue.ID
		for i := range 5 {
			waiting = append(waiting, c.put(in(of("x", "a"))), c.put(in(of("x", "b")), c.dueIn(never)))
			c.put(in(of("y", "a")))
			c.put(in(lane("a")), c.dueIn(time.Duration(i+1)*never))
		}
		c.claim(of("x", "a"), 1) // is not cancelled any more
		total := 0
		for {
			n, err := c.e.CancelWaiting(c.Context(), "x", 2)
			c.ok(err)
			if n == 0 {
				break
			}
			if total += n; n > 2 || total > 9 {
				c.Fatalf("cancelled %d, in total %d: expected 2 at most, in total 9", n, total)
			}
		}
		for _, id := range waiting[1:] {
			if c.state(id, queue.Cancelled).Finished.IsZero() {
				c.Fatal("cancelled, and not finished")
			}
		}
		c.state(waiting[0], queue.Sending)
		c.counts(queue.LaneStats{Lane: of("x", "a"), Sending: 1, Cancelled: 4, Arrived: 5, Departed: 4})
		c.counts(queue.LaneStats{Lane: of("x", "b"), Cancelled: 5, Arrived: 5, Departed: 5})
		c.counts(queue.LaneStats{Lane: of("y", "a"), Ready: 5, Arrived: 5})
		c.counts(queue.LaneStats{Lane: lane("a"), Delayed: 5, Arrived: 5})
		if n, err := c.e.CancelWaiting(c.Context(), "unknown", 2); n != 0 || err != nil {
			c.Fatalf("a campaign without jobs: %d, %v", n, err)
		}
	}},
}
