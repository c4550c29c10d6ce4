package queuetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

var timeTests = []test{
	{"Sweep/a lease that has ended", func(c *check) {
		id := c.put()
		c.claimFor(queue.Claim{Lane: lane("a"), Max: 1, Lease: soon})
		alive := c.put()
		c.claim(lane("a"), 1)
		time.Sleep(2 * soon)
		before := c.now()
		if w := c.sweep(queue.Sweep{}); w != (queue.Swept{InDoubt: 1}) {
			c.Fatalf("swept %+v: expected one in doubt", w)
		}
		j := c.state(id, queue.InDoubt)
		c.between("Look", j.Look, before, c.now())
		c.zero("Lease", j.Lease)
		if j.Outcome.Reason != queue.ReasonLease {
			c.Fatalf("reason %q: expected %q", j.Outcome.Reason, queue.ReasonLease)
		}
		c.state(alive, queue.Sending)
		c.counts(queue.LaneStats{Lane: lane("a"), Sending: 1, InDoubt: 1, Arrived: 2})
		// The worker had not vanished: it is told, and may still say what has come of it.
		err := c.e.Move(c.Context(), queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Sent})
		var state *queue.StateError
		if !errors.As(err, &state) || state.State != queue.InDoubt {
			c.Fatalf("got %v: expected a StateError", err)
		}
		c.move(queue.Move{ID: id, From: []queue.State{queue.Sending, queue.InDoubt}, Claim: 1, To: queue.Sent})
	}},
	{"Sweep/a lease that was extended", func(c *check) {
		id := c.put()
		c.claimFor(queue.Claim{Lane: lane("a"), Max: 1, Lease: soon})
		c.move(queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Sending, Lease: never})
		time.Sleep(2 * soon)
		c.sweep(queue.Sweep{})
		c.state(id, queue.Sending)
	}},
	{"Sweep/a lease that the clock has made too long", func(c *check) {
		id := c.put()
		c.claim(lane("a"), 1)
		before := c.now()
		if w := c.sweep(queue.Sweep{Lease: 2 * soon}); w != (queue.Swept{}) {
			c.Fatalf("swept %+v: expected nothing", w)
		}
		after := c.now()
		c.between("Lease", c.state(id, queue.Sending).Lease, before.Add(2*soon), after.Add(2*soon))
		time.Sleep(3 * soon)
		if w := c.sweep(queue.Sweep{Lease: 2 * soon}); w != (queue.Swept{InDoubt: 1}) {
			c.Fatalf("swept %+v: expected one in doubt", w)
		}
		c.state(id, queue.InDoubt)
	}},
	{"Sweep/past the deadline", func(c *check) {
		ready, delayed := c.put(c.deadline(soon)), c.put(c.deadline(soon), c.dueIn(never))
		alive := c.put(c.deadline(never))
		sending, claimed := c.put(c.deadline(soon), in(lane("b"))), c.claim(lane("b"), 1)
		for len(claimed) == 0 { // a busy machine has claimed it too late
			sending = c.put(c.deadline(soon), in(lane("b")))
			claimed = c.claim(lane("b"), 1)
		}
		time.Sleep(2 * soon)
		before := c.now()
		if w := c.sweep(queue.Sweep{Report: true}); w != (queue.Swept{Expired: 2}) {
			c.Fatalf("swept %+v: expected two expired", w)
		}
		for _, id := range []queue.ID{ready, delayed} {
			j := c.state(id, queue.Failed)
			c.between("Finished", j.Finished, before, c.now())
			if j.Outcome.Reason != queue.ReasonDeadline || j.Reported {
				c.Fatalf("expired: %+v", j)
			}
		}
		c.state(alive, queue.Ready)
		c.state(sending, queue.Sending) // it may have been sent
		c.counts(queue.LaneStats{Lane: lane("a"), Ready: 1, Failed: 2, Arrived: 3, Departed: 2})
		quiet := c.put(c.deadline(soon))
		time.Sleep(2 * soon)
		c.sweep(queue.Sweep{})
		if !c.state(quiet, queue.Failed).Reported {
			c.Fatal("to be reported, and nobody wants it")
		}
	}},
	{"Sweep/retention", func(c *check) {
		sent, failed, cancelled := c.put(unique("k")), c.put(), c.put()
		doubt := c.put()
		waiting := c.put()
		for id, to := range map[queue.ID]queue.State{sent: queue.Sent, failed: queue.Failed, cancelled: queue.Cancelled, doubt: queue.InDoubt} {
			c.finish(id, to)
		}
		time.Sleep(2 * soon)
		young := c.put()
		c.finish(young, queue.Sent)
		if w := c.sweep(queue.Sweep{}); w != (queue.Swept{}) {
			c.Fatalf("swept %+v, and results are kept for ever", w)
		}
		if w := c.sweep(queue.Sweep{Keep: never}); w != (queue.Swept{}) {
			c.Fatalf("swept %+v too early", w)
		}
		if c.suite.Virtual { // where no time passes in between
			if w := c.sweep(queue.Sweep{Keep: soon}); w != (queue.Swept{Deleted: 3}) {
				c.Fatalf("swept %+v: expected three deleted", w)
			}
			c.state(young, queue.Sent)
			c.finish(young, queue.Cancelled)
		}
		time.Sleep(2 * soon)
		c.sweep(queue.Sweep{Keep: soon})
		for _, id := range []queue.ID{sent, failed, cancelled} {
			if _, err := c.e.Get(c.Context(), id); !errors.Is(err, queue.ErrNotFound) {
				c.Fatalf("Get of what was deleted: %v", err)
			}
		}
		c.state(doubt, queue.InDoubt)
		c.state(waiting, queue.Ready)
		c.put(unique("k")) // is free
		s := c.stats(lane("a"))
		if s.Sent+s.Failed+s.Cancelled != int64(len(c.list(queue.Filter{States: []queue.State{queue.Sent, queue.Failed, queue.Cancelled}}))) {
			c.Fatalf("jobs that are not kept are counted: %+v", s)
		}
		if s.Ready != 2 || s.InDoubt != 1 || s.Arrived != 7 || s.Departed != 4 {
			c.Fatalf("Stats %+v", s)
		}
	}},
	{"Sweep/a campaign's counts and keys stay", func(c *check) {
		l := of("x", "a")
		ids := []queue.ID{c.put(in(l), unique("x:1")), c.put(in(l)), c.put(in(l))}
		c.finish(ids[0], queue.Sent)
		c.finish(ids[1], queue.Failed)
		c.finish(ids[2], queue.Cancelled)
		time.Sleep(2 * soon)
		if w := c.sweep(queue.Sweep{Keep: soon}); w != (queue.Swept{Deleted: 3}) {
			c.Fatalf("swept %+v: expected three deleted", w)
		}
		c.ids(c.list(queue.Filter{}))
		c.counts(queue.LaneStats{Lane: l, Sent: 1, Failed: 1, Cancelled: 1, Arrived: 3, Departed: 3})
		added, err := c.e.Add(c.Context(), []queue.Job{c.job(in(l), unique("x:1"))})
		c.ok(err)
		if added[0] != (queue.Added{ID: ids[0], Known: true}) {
			c.Fatalf("the campaign's key is free again: %+v", added)
		}
	}},
	{"Sweep/at most Max of each", func(c *check) {
		for range 5 {
			c.put(in(lane("b")))
			c.put(in(lane("c")), c.deadline(soon))
			c.finish(c.put(in(lane("d"))), queue.Sent)
		}
		c.claimFor(queue.Claim{Lane: lane("b"), Max: 5, Lease: soon})
		time.Sleep(2 * soon)
		for _, want := range []int{2, 2, 1, 0} {
			// What has expired is finished too late to be deleted.
			if w := c.sweep(queue.Sweep{Max: 2, Keep: soon}); w != (queue.Swept{InDoubt: want, Expired: want, Deleted: want}) && c.suite.Virtual || w.InDoubt != want || w.Expired != want {
				c.Fatalf("swept %+v: expected %d of each", w, want)
			}
		}
	}},
	{"Now/is the clock of what is claimed", func(c *check) {
		id := c.put()
		before := c.now()
		time.Sleep(time.Millisecond)
		began := c.claim(lane("a"), 1)[0].Began
		time.Sleep(time.Millisecond)
		after := c.now()
		if began.Before(before) || began.After(after) || !before.Before(after) {
			c.Fatalf("claimed at %v: expected it between two calls of Now, %v and %v", began, before, after)
		}
		if j := c.get(id); j.Created.After(before) || !j.Began.Equal(began) {
			c.Fatalf("created at %v, began at %v: expected no later than %v, and %v", j.Created, j.Began, before, began)
		}
	}},
	{"Await/at the latest after d", func(c *check) {
		c.ok(c.e.Await(c.Context(), soon))
		c.ok(c.e.Await(c.Context(), 0))
	}},
	{"Await/with the context", func(c *check) {
		c.settle()
		ctx, cancel := context.WithCancel(c.Context())
		time.AfterFunc(soon, cancel)
		for { // it may return too early
			err := c.e.Await(ctx, never)
			if errors.Is(err, context.Canceled) {
				return
			}
			c.ok(err)
		}
	}},
	{"Await/a job is added", func(c *check) {
		c.settle()
		c.awaits(c.e, func() { c.put() })
	}},
	{"Await/a job is added between Work and Await", func(c *check) {
		c.settle()
		c.put()
		c.awaits(c.e, nil)
	}},
	{"Await/a job is moved to Ready", func(c *check) {
		id := c.put()
		c.claim(lane("a"), 1)
		c.settle()
		c.awaits(c.e, func() { c.finish(id, queue.Ready) })
	}},
	{"Await/another engine adds a job", func(c *check) {
		other := c.again()
		c.settle()
		c.awaits(other, func() { c.put() })
	}},
	{"Await/several at once", func(c *check) {
		c.settle()
		done := make(chan error, 4)
		for range cap(done) {
			go func() { done <- c.until(c.e) }()
		}
		time.Sleep(soon)
		c.put()
		for range cap(done) {
			c.ok(<-done)
		}
	}},
}

// settle waits until Await has told of what was done before.
func (c *check) settle() {
	c.Helper()
	for range 10 {
		c.work()
		c.ok(c.e.Await(c.Context(), soon))
	}
}

// awaits ends the test if Await on an engine does not tell in time of what do brings.
func (c *check) awaits(e queue.Engine, do func()) {
	c.Helper()
	done := make(chan error, 1)
	go func() { done <- c.until(e) }()
	if do != nil {
		time.Sleep(soon)
		do()
	}
	c.ok(<-done)
}

// until calls Await until Work has something.
func (c *check) until(e queue.Engine) error {
	const long = 10 * time.Minute
	start := time.Now()
	late := long / 2
	if c.suite.Virtual {
		late = soon + 250*time.Millisecond
	}
	for {
		if err := e.Await(c.ctx(), long); err != nil {
			return err
		}
		lanes, _, err := e.Work(c.ctx())
		switch waited := time.Since(start); {
		case err != nil:
			return err
		case waited > late:
			return fmt.Errorf("told after %v: expected to be told, and not to be woken by the end of %v", waited, long)
		case len(lanes) > 0:
			return nil
		}
	}
}
