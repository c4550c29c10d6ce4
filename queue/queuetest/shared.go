package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

var sharedTests = []test{
	{"Park/shows in Work and Stats, for every campaign", func(c *check) {
		c.put()
		c.put(in(of("x", "a")))
		c.put(in(lane("b")))
		until := time.Now().Add(never)
		parked := func(what string, want time.Time) {
			c.Helper()
			lanes, _ := c.work()
			if len(lanes) != 3 {
				c.Fatalf("%s: lanes %v: expected three", what, lanes)
			}
			for _, l := range lanes {
				is, stats := l.Parked, c.stats(l.Lane).Parked
				if l.Lane == lane("b") || want.IsZero() {
					if is.After(time.Now()) || stats.After(time.Now()) {
						c.Fatalf("%s: lane %v is parked", what, l.Lane)
					}
					continue
				}
				c.at(what+": Work", is, want)
				c.at(what+": Stats", stats, want)
			}
		}
		park := func(until time.Time) {
			c.Helper()
			c.ok(c.e.Park(c.Context(), lane("a").Resource, until))
		}
		parked("at first", time.Time{})
		park(until)
		parked("parked", until)
		park(until.Add(-time.Hour))
		parked("parked for less", until.Add(-time.Hour))
		park(time.Now().Add(-time.Second))
		parked("ended", time.Time{})
		park(until)
		park(time.Time{})
		parked("ended by the zero time", time.Time{})
		park(time.Now().Add(soon))
		time.Sleep(2 * soon)
		parked("over", time.Time{})
		// Parked is a word to workers: jobs can be claimed.
		park(until)
		if len(c.claim(lane("a"), 1)) != 1 {
			c.Fatal("the lane's job cannot be claimed")
		}
	}},
	{"Park/what another process says shows at once", func(c *check) {
		other := c.again()
		c.put()
		until := time.Now().Add(never)
		shows := func(what string, want time.Time) {
			c.Helper()
			lanes, _ := c.work()
			if want.IsZero() {
				if lanes[0].Parked.After(time.Now()) || c.stats(lane("a")).Parked.After(time.Now()) {
					c.Fatalf("%s: parked until %v", what, lanes[0].Parked)
				}
				return
			}
			c.at(what, lanes[0].Parked, want)
			c.at(what+", Stats", c.stats(lane("a")).Parked, want)
		}
		for _, r := range []pacer.Resource{lane("a").Resource, {Account: lane("a").Resource.Account}} {
			c.ok(other.Park(c.Context(), r, until))
			shows("parked", until)
			c.ok(other.Park(c.Context(), r, until.Add(-time.Hour)))
			shows("shortened", until.Add(-time.Hour))
			c.ok(other.Park(c.Context(), r, time.Now().Add(-time.Second)))
			shows("lifted", time.Time{})
			c.ok(other.Park(c.Context(), r, until))
			shows("parked again", until)
			c.ok(other.Park(c.Context(), r, time.Time{}))
			shows("lifted by the zero time", time.Time{})
		}
	}},
	{"Park/an account as a whole", func(c *check) {
		odd := lane("a")
		odd.Resource.Account = "AC|%" // which keys have to escape
		elsewhere := lane("b")
		elsewhere.Resource.Account = "AC00000000000000000000000000000002"
		nobody := lane("c")
		nobody.Resource.Account = ""
		all := []queue.Lane{lane("a"), of("x", "a"), lane("b"), odd, elsewhere, nobody}
		for _, l := range all {
			c.put(in(l))
		}
		until := time.Now().Add(never)
		park := func(r pacer.Resource, until time.Time) {
			c.Helper()
			c.ok(c.e.Park(c.Context(), r, until))
		}
		shows := func(what string, want ...time.Time) {
			c.Helper()
			lanes, _ := c.work()
			if len(lanes) != len(all) {
				c.Fatalf("%s: %d lanes: expected %d", what, len(lanes), len(all))
			}
			for i, l := range all {
				at := slices.IndexFunc(lanes, func(r queue.ReadyLane) bool { return r.Lane == l })
				for _, is := range []time.Time{lanes[at].Parked, c.stats(l).Parked} {
					if want[i].IsZero() != !is.After(time.Now()) {
						c.Fatalf("%s: lane %d is parked until %v: expected %v", what, i, is, want[i])
					} else if !want[i].IsZero() {
						c.at(what, is, want[i])
					}
				}
			}
		}
		var no time.Time
		account := pacer.Resource{Account: lane("a").Resource.Account}
		park(account, until)
		shows("the account", until, until, until, no, no, no)
		park(lane("a").Resource, until.Add(time.Hour))
		shows("a bucket for longer", until.Add(time.Hour), until.Add(time.Hour), until, no, no, no)
		park(lane("a").Resource, until.Add(-time.Hour))
		shows("a bucket for less", until, until, until, no, no, no)
		park(account, no)
		shows("the account's ended", until.Add(-time.Hour), until.Add(-time.Hour), no, no, no, no)
		park(lane("a").Resource, no)
		park(pacer.Resource{Account: odd.Resource.Account}, until)
		shows("another account", no, no, no, until, no, no)
	}},
	{"Park/a bucket without jobs, in all processes", func(c *check) {
		other := c.again()
		until := time.Now().Add(never)
		c.ok(c.e.Park(c.Context(), lane("a").Resource, until))
		c.put()
		lanes, _, err := other.Work(c.Context())
		c.ok(err)
		if len(lanes) != 1 {
			c.Fatalf("lanes %v: expected one", lanes)
		}
		c.at("Parked", lanes[0].Parked, until)
	}},
	{"Reserve/places are spaced", func(c *check) {
		before := time.Now()
		first := c.reserve(c.e, "s", 2, 3)
		c.between("the first place", first, before, time.Now())
		c.at("the place after three", c.reserve(c.e, "s", 2, 1), first.Add(1500*time.Millisecond))
		c.at("the place after four", c.reserve(c.e, "s", 2, 1), first.Add(2*time.Second))
		c.between("the first place of another schedule", c.reserve(c.e, "t", 2, 1), before, time.Now())
	}},
	{"Reserve/not in the past", func(c *check) {
		c.reserve(c.e, "s", 1000, 1)
		time.Sleep(soon)
		before := time.Now()
		c.between("a place after a pause", c.reserve(c.e, "s", 1000, 1), before, time.Now())
	}},
	{"Reserve/the rate may change", func(c *check) {
		first := c.reserve(c.e, "s", 1, 1)
		second := c.reserve(c.e, "s", 4, 2)
		c.at("the place after one at 1/s", second, first.Add(time.Second))
		c.at("the place after two at 4/s", c.reserve(c.e, "s", 0.5, 1), second.Add(500*time.Millisecond))
		c.at("the place after one at 0.5/s", c.reserve(c.e, "s", 1, 1), second.Add(2500*time.Millisecond))
	}},
	{"Reserve/no place is given twice", func(c *check) {
		engines := []queue.Engine{c.e, c.e}
		if c.suite.Again != nil {
			engines[1] = c.again()
		}
		const calls, n = 20, 3
		places := make(chan time.Time, 2*calls)
		errs := make(chan error, 2*calls)
		for _, e := range engines {
			for range calls {
				go func() {
					first, err := e.Reserve(c.ctx(), "s", 1, n)
					places <- first
					errs <- err
				}()
			}
		}
		taken := map[int64]bool{}
		for range 2 * calls {
			c.ok(<-errs)
			taken[(<-places).Round(100*time.Millisecond).Unix()] = true
		}
		if len(taken) != 2*calls {
			c.Fatalf("%d calls got %d different places", 2*calls, len(taken))
		}
	}},
	{"Put/versions", func(c *check) {
		put := func(name, value string, version int64) error {
			return c.e.Put(c.Context(), name, []byte(value), version)
		}
		docs := func(want ...queue.Document) {
			c.Helper()
			got, err := c.e.Documents(c.Context())
			c.ok(err)
			if len(got) != len(want) {
				c.Fatalf("%d documents: expected %d", len(got), len(want))
			}
			for i := range want {
				if got[i].Name != want[i].Name || got[i].Version != want[i].Version || !bytes.Equal(got[i].Value, want[i].Value) {
					c.Fatalf("document %+v: expected %+v", got[i], want[i])
				}
			}
		}
		conflict := func(err error) {
			c.Helper()
			if !errors.Is(err, queue.ErrConflict) {
				c.Fatalf("got %v: expected ErrConflict", err)
			}
		}
		docs()
		c.ok(put("b", "1\x00\xff", 0))
		c.ok(put("a", "2", 0))
		conflict(put("a", "3", 0))
		conflict(put("a", "3", 2))
		conflict(put("c", "3", 1))
		docs(queue.Document{Name: "a", Value: []byte("2"), Version: 1}, queue.Document{Name: "b", Value: []byte("1\x00\xff"), Version: 1})
		c.ok(put("a", "3", 1))
		docs(queue.Document{Name: "a", Value: []byte("3"), Version: 2}, queue.Document{Name: "b", Value: []byte("1\x00\xff"), Version: 1})
		conflict(put("b", "", 0))
		c.ok(put("b", "", 1))
		docs(queue.Document{Name: "a", Value: []byte("3"), Version: 2})
		conflict(put("b", "4", 1))
		c.ok(put("b", "5", 0))
		docs(queue.Document{Name: "a", Value: []byte("3"), Version: 2}, queue.Document{Name: "b", Value: []byte("5"), Version: 1})
	}},
	{"Put/of many at once one wins", func(c *check) {
		const n = 20
		errs := make(chan error, n)
		for version := range int64(3) {
			for i := range n {
				go func() { errs <- c.e.Put(c.ctx(), "d", fmt.Append(nil, i), version) }()
			}
			won := 0
			for range n {
				if err := <-errs; err == nil {
					won++
				} else if !errors.Is(err, queue.ErrConflict) {
					c.Fatalf("got %v: expected ErrConflict", err)
				}
			}
			if won != 1 {
				c.Fatalf("%d have put the same version", won)
			}
		}
	}},
	{"Put/survives the engine", func(c *check) {
		c.ok(c.e.Put(c.Context(), "d", []byte("x"), 0))
		first := c.reserve(c.e, "s", 0.001, 1)
		c.ok(c.e.Close())
		c.e = c.again()
		docs, err := c.e.Documents(c.Context())
		c.ok(err)
		if len(docs) != 1 || string(docs[0].Value) != "x" || docs[0].Version != 1 {
			c.Fatalf("documents %+v", docs)
		}
		c.at("the second place", c.reserve(c.e, "s", 1, 1), first.Add(1000*time.Second))
	}},
}

func (c *check) reserve(e queue.Engine, schedule string, perSecond float64, n int) time.Time {
	c.Helper()
	first, err := e.Reserve(c.Context(), schedule, perSecond, n)
	c.ok(err)
	return first
}
