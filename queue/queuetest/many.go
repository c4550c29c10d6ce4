package queuetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

var manyTests = []test{
	{"Many/nobody gets what another has", func(c *check) {
		engines := []queue.Engine{c.e}
		if c.suite.Again != nil {
			engines = append(engines, c.again())
		}
		const jobs, workers = 200, 8
		var mu sync.Mutex
		claimed := map[string]int{}
		done := map[queue.ID]int{}
		var group sync.WaitGroup
		fail := make(chan error, 2*workers+2)
		for _, e := range engines { // producers, while workers work
			group.Go(func() {
				for range jobs / len(engines) {
					if _, err := e.Add(c.ctx(), []queue.Job{c.job()}); err != nil {
						fail <- err
						return
					}
				}
			})
			for range workers {
				group.Go(func() {
					for n := 0; ; n++ {
						some, err := e.Claim(c.ctx(), queue.Claim{Lane: lane("a"), Max: 3, Lease: never, Oldest: n%2 == 0})
						if err != nil {
							fail <- err
							return
						}
						mu.Lock()
						for _, j := range some {
							claimed[fmt.Sprint(j.ID, j.Claim)]++
						}
						finished := len(done) == jobs
						mu.Unlock()
						if finished {
							return
						}
						for i, j := range some {
							m := queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.Sent}
							again := j.Claim == 1 && i == 2 // is claimed twice, one after the other
							if again {
								m.To = queue.Ready
							}
							if err := e.Move(c.ctx(), m); err != nil {
								fail <- err
								return
							}
							if !again {
								mu.Lock()
								done[j.ID]++
								mu.Unlock()
							}
						}
						if len(some) == 0 {
							time.Sleep(soon / 10)
						}
					}
				})
			}
		}
		group.Wait()
		select {
		case err := <-fail:
			c.Fatal(err)
		default:
		}
		for what, n := range claimed {
			if n != 1 {
				c.Errorf("claim %s was given %d times", what, n)
			}
		}
		for id, n := range done {
			if n != 1 {
				c.Errorf("job %s was sent %d times", id, n)
			}
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Sent: jobs, Arrived: jobs, Departed: jobs})
	}},
	{"Many/one of those who add the same key", func(c *check) {
		const n = 20
		added := make(chan queue.Added, n)
		errs := make(chan error, n)
		for range n {
			j := c.job(unique("k"))
			go func() {
				a, err := c.e.Add(c.ctx(), []queue.Job{j})
				errs <- err
				if err == nil {
					added <- a[0]
				}
			}()
		}
		holder := map[queue.ID]bool{}
		fresh := 0
		for range n {
			c.ok(<-errs)
			a := <-added
			holder[a.ID] = true
			if !a.Known {
				fresh++
			}
		}
		if fresh != 1 || len(holder) != 1 {
			c.Fatalf("%d were stored, and %d IDs returned: expected one", fresh, len(holder))
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Ready: 1, Arrived: 1})
	}},
	{"Many/one of those who move the same claim", func(c *check) {
		id := c.put()
		c.claim(lane("a"), 1)
		const n = 20
		errs := make(chan error, n)
		for range n {
			go func() {
				errs <- c.e.Move(c.ctx(), queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Sent, Attempt: true})
			}()
		}
		won := 0
		for range n {
			var state *queue.StateError
			switch err := <-errs; {
			case err == nil:
				won++
			case !errors.As(err, &state) || state.State != queue.Sent:
				c.Fatalf("got %v: expected a StateError", err)
			}
		}
		if j := c.state(id, queue.Sent); won != 1 || j.Attempts != 1 {
			c.Fatalf("%d have moved it, %d attempts: expected one", won, j.Attempts)
		}
	}},
	{"Many/what fails takes nothing with it", func(c *check) {
		// Failing and succeeding calls at the same time: an engine may put them into one
		// transaction.
		const n = 50
		var group sync.WaitGroup
		errs := make(chan error, 2*n)
		for range n {
			good, bad := c.job(), c.job(in(lane("b")), unique("shared"))
			group.Go(func() {
				_, err := c.e.Add(c.ctx(), []queue.Job{good})
				errs <- err
			})
			group.Go(func() {
				if _, err := c.e.Add(c.ctx(), []queue.Job{bad, bad, {ID: bad.ID, Lane: lane("b"), Request: bad.Request}}); err == nil {
					errs <- errors.New("a job of an ID that is there already was stored")
					return
				}
				errs <- nil
			})
		}
		group.Wait()
		for range 2 * n {
			c.ok(<-errs)
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Ready: n, Arrived: n})
		c.counts(queue.LaneStats{Lane: lane("b")})
		c.put(unique("shared"))
	}},
	{"Many/a read sees the write before it", func(c *check) {
		var group sync.WaitGroup
		errs := make(chan error, 20)
		for i := range cap(errs) {
			group.Go(func() {
				l := lane(fmt.Sprint(i))
				j := c.job(in(l))
				if _, err := c.e.Add(c.ctx(), []queue.Job{j}); err != nil {
					errs <- err
					return
				}
				if got, err := c.e.Get(c.ctx(), j.ID); err != nil || got.State != queue.Ready {
					errs <- fmt.Errorf("a get after the add: %s, %w", got.State, err)
					return
				}
				some, err := c.e.Claim(c.ctx(), queue.Claim{Lane: l, Max: 1, Lease: never})
				if err != nil || len(some) != 1 {
					errs <- fmt.Errorf("a claim after the add: %d, %w", len(some), err)
					return
				}
				if got, err := c.e.Get(c.ctx(), j.ID); err != nil || got.State != queue.Sending {
					errs <- fmt.Errorf("a get after the claim: %s, %w", got.State, err)
				}
			})
		}
		group.Wait()
		close(errs)
		for err := range errs {
			c.ok(err)
		}
	}},
	{"Close/ends everything", func(c *check) {
		id := c.put()
		waiting := make(chan error, 1)
		go func() {
			for {
				if err := c.e.Await(c.ctx(), never); err != nil {
					waiting <- err
					return
				}
			}
		}()
		time.Sleep(soon)
		c.ok(c.e.Close())
		ctx := c.Context()
		calls := map[string]error{"Await under way": <-waiting}
		_, calls["Add"] = c.e.Add(ctx, []queue.Job{c.job()})
		_, _, calls["Work"] = c.e.Work(ctx)
		calls["Await"] = c.e.Await(ctx, time.Second)
		_, calls["Claim"] = c.e.Claim(ctx, queue.Claim{Lane: lane("a"), Max: 1, Lease: time.Second})
		calls["Move"] = c.e.Move(ctx, queue.Move{ID: id, From: all, To: queue.Sent})
		_, calls["Park"] = c.e.Park(ctx, queue.Park{Resource: lane("a").Resource, For: time.Hour})
		_, calls["Holds"] = c.e.Holds(ctx)
		_, calls["Sweep"] = c.e.Sweep(ctx, queue.Sweep{Max: 1, Lease: time.Second})
		_, calls["Get"] = c.e.Get(ctx, id)
		_, calls["List"] = c.e.List(ctx, queue.Filter{}, "", 1)
		_, calls["Stats"] = c.e.Stats(ctx)
		_, calls["CancelWaiting"] = c.e.CancelWaiting(ctx, "x", 1)
		_, calls["Reserve"] = c.e.Reserve(ctx, "s", 1, 1)
		calls["Put"] = c.e.Put(ctx, "d", []byte("x"), 0)
		_, calls["Documents"] = c.e.Documents(ctx)
		_, calls["Now"] = c.e.Now(ctx)
		for name, err := range calls {
			if !errors.Is(err, queue.ErrClosed) {
				c.Errorf("%s: got %v: expected ErrClosed", name, err)
			}
		}
		_ = c.e.Close() // is no harm
	}},
	{"Close/calls under way return", func(c *check) {
		const n = 20
		type result struct {
			id  queue.ID
			err error
		}
		results := make(chan result, n*100)
		var group sync.WaitGroup
		for range n {
			group.Go(func() {
				for range 100 {
					j := c.job()
					_, err := c.e.Add(c.ctx(), []queue.Job{j})
					results <- result{j.ID, err}
					if err != nil {
						return
					}
				}
			})
		}
		for range n { // some are under way
			r := <-results
			c.ok(r.err)
		}
		c.ok(c.e.Close())
		group.Wait()
		close(results)
		again := c.again()
		for r := range results {
			if r.err == nil {
				if _, err := again.Get(c.Context(), r.id); err != nil {
					c.Fatalf("job %s was stored, and is not there: %v", r.id, err)
				}
			} else if !errors.Is(r.err, queue.ErrClosed) {
				c.Fatalf("got %v: expected ErrClosed", r.err)
			}
		}
	}},
}
