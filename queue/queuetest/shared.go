package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

var sharedTests = []test{
	{"Reserve/places are spaced", func(c *check) {
		first := c.reserve(c.e, "s", 0.002, 3)
		c.atOnce("the first place", first)
		c.after("the place after three", first, c.reserve(c.e, "s", 0.002, 1), 1500*time.Second)
		c.after("the place after four", first, c.reserve(c.e, "s", 0.002, 1), 2000*time.Second)
		c.atOnce("the first place of another schedule", c.reserve(c.e, "t", 2, 1))
	}},
	{"Reserve/not in the past", func(c *check) {
		c.reserve(c.e, "s", 1000, 1)
		time.Sleep(soon)
		c.atOnce("a place after a pause", c.reserve(c.e, "s", 1000, 1))
	}},
	{"Reserve/the rate may change", func(c *check) {
		first := c.reserve(c.e, "s", 0.001, 1)
		second := c.reserve(c.e, "s", 0.004, 2)
		c.after("the place after one at 1 in 1000 s", first, second, 1000*time.Second)
		c.after("the place after two at 4 in 1000 s", second, c.reserve(c.e, "s", 0.0005, 1), 500*time.Second)
		c.after("the place after one at 1 in 2000 s", second, c.reserve(c.e, "s", 1, 1), 2500*time.Second)
	}},
	{"Reserve/says how long, and not when", func(c *check) {
		// A second caller sees what is left of the wait, whatever its own clock shows.
		c.reserve(c.e, "s", 0.001, 1)
		was := c.now()
		wait := c.reserve(c.e, "s", 1, 1).wait
		c.between("the end of the wait", was.Add(wait), was.Add(900*time.Second), was.Add(1000*time.Second))
		time.Sleep(soon)
		if left := c.reserve(c.e, "s", 1, 1).wait; left > wait+time.Second-soon {
			c.Fatalf("a wait of %v, and one of %v after %v: expected it to end a second later", wait, left, soon)
		}
	}},
	{"Reserve/no place is given twice", func(c *check) {
		engines := []queue.Engine{c.e, c.e}
		if c.suite.Again != nil {
			engines[1] = c.again()
		}
		const calls, n = 20, 3
		places := make(chan place, 2*calls)
		errs := make(chan error, 2*calls)
		for _, e := range engines {
			for range calls {
				go func() {
					p, err := c.tryReserve(e, "s", 1, n)
					places <- p
					errs <- err
				}()
			}
		}
		var all []place
		for range 2 * calls {
			c.ok(<-errs)
			all = append(all, <-places)
		}
		slices.SortFunc(all, func(a, b place) int { return a.from.Add(a.wait).Compare(b.from.Add(b.wait)) })
		for i, p := range all {
			c.after(fmt.Sprintf("place %d of %d", i, len(all)), all[0], p, time.Duration(i)*n*time.Second)
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
	{"Documents/by name", func(c *check) {
		const n = 120
		for i := range n {
			c.ok(c.e.Put(c.Context(), fmt.Sprintf("d%03d", i), fmt.Append(nil, "value ", i), 0))
		}
		for _, name := range []string{"", "|% '\"ü*", "D001"} { // which is not d001
			c.ok(c.e.Put(c.Context(), name, []byte("odd "+name), 0))
		}
		var many, most []string
		for i := range n {
			many = append(many, fmt.Sprintf("d%03d", n-1-i))
		}
		most = slices.Sorted(slices.Values(many))
		for _, test := range []struct {
			what        string
			names, want []string
		}{
			{"one", []string{"d007"}, []string{"d007"}},
			{"none that is there", []string{"d", "d0070", "D007", "d120"}, nil},
			{"some, in another order", []string{"d100", "d002", "nobody's", "d050"}, []string{"d002", "d050", "d100"}},
			{"one twice", []string{"d003", "d003", "d001", "d003"}, []string{"d001", "d003"}},
			{"many", many, most},
			{"many twice", append(many, many...), most},
			{"odd names", []string{"|% '\"ü*", "", "D001"}, []string{"", "D001", "|% '\"ü*"}},
		} {
			docs, err := c.e.Documents(c.Context(), test.names...)
			c.ok(err)
			var got []string
			for _, d := range docs {
				got = append(got, d.Name)
				want := "odd " + d.Name
				if i, err := strconv.Atoi(strings.TrimPrefix(d.Name, "d")); err == nil && d.Name[0] == 'd' {
					want = fmt.Sprint("value ", i)
				}
				if string(d.Value) != want || d.Version != 1 {
					c.Fatalf("%s: document %+v: expected version 1 of %q", test.what, d, want)
				}
			}
			if !slices.Equal(got, test.want) {
				c.Fatalf("%s: documents %q: expected %q", test.what, got, test.want)
			}
		}
		c.ok(c.e.Put(c.Context(), "d007", []byte("new"), 1))
		docs, err := c.e.Documents(c.Context(), "d007")
		c.ok(err)
		if len(docs) != 1 || string(docs[0].Value) != "new" || docs[0].Version != 2 {
			c.Fatalf("documents %+v: expected the new version", docs)
		}
		if docs, err = c.e.Documents(c.Context()); err != nil || len(docs) != n+3 {
			c.Fatalf("%d documents, %v: expected all %d without a name", len(docs), err, n+3)
		}
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
		c.after("the second place", first, c.reserve(c.e, "s", 1, 1), 1000*time.Second)
	}},
}

// A place is what Reserve has returned: the place is a wait after a moment between two.
type place struct {
	wait     time.Duration
	from, to time.Time
}

func (c *check) reserve(e queue.Engine, schedule string, perSecond float64, n int) place {
	c.Helper()
	p, err := c.tryReserve(e, schedule, perSecond, n)
	c.ok(err)
	return p
}

func (c *check) tryReserve(e queue.Engine, schedule string, perSecond float64, n int) (p place, err error) {
	if p.from, err = e.Now(c.ctx()); err != nil {
		return p, err
	}
	if p.wait, err = e.Reserve(c.ctx(), schedule, perSecond, n); err != nil {
		return p, err
	}
	p.to, err = e.Now(c.ctx())
	return p, err
}

// atOnce ends the test if a place is not to be waited for.
func (c *check) atOnce(what string, p place) {
	c.Helper()
	if p.wait != 0 {
		c.Fatalf("%s is to be waited for %v: expected it now", what, p.wait)
	}
}

// after ends the test if a place does not come d after another one.
func (c *check) after(what string, first, p place, d time.Duration) {
	c.Helper()
	const slack = time.Millisecond
	early, late := first.from.Add(first.wait+d), first.to.Add(first.wait+d)
	if p.to.Add(p.wait).Before(early.Add(-slack)) || p.from.Add(p.wait).After(late.Add(slack)) {
		c.Fatalf("%s comes between %v and %v: expected it between %v and %v", what, p.from.Add(p.wait), p.to.Add(p.wait), early, late)
	}
}
