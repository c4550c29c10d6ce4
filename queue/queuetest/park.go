package queuetest

import (
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

var parkTests = []test{
	{"Park/shows in Work and Stats, for every campaign", func(c *check) {
		c.put()
		c.put(in(of("x", "a")))
		c.put(in(lane("b")))
		parked := func(what string, want time.Time) {
			c.Helper()
			before := c.now()
			lanes, _ := c.work()
			if len(lanes) != 3 {
				c.Fatalf("%s: lanes %v: expected three", what, lanes)
			}
			for _, l := range lanes {
				is, stats := l.Parked, c.stats(l.Lane).Parked
				if l.Lane == lane("b") || want.IsZero() {
					if is.After(c.now()) || stats.After(c.now()) || l.Held != 0 {
						c.Fatalf("%s: lane %v is parked", what, l.Lane)
					}
					continue
				}
				if !is.Equal(want) {
					c.Fatalf("%s: Work shows %v: expected %v, which Park has returned: workers tell by it whether somebody has changed it", what, is, want)
				}
				c.at(what+": Stats", stats, want)
				c.in(what+": Held", l.Held, before, want)
			}
		}
		park := func(d time.Duration) time.Time {
			c.Helper()
			return c.park(c.e, lane("a").Resource, d)
		}
		parked("at first", time.Time{})
		parked("parked", park(never))
		parked("parked for less", park(never-time.Hour))
		park(-time.Second)
		parked("ended", time.Time{})
		park(never)
		park(0)
		parked("ended by 0", time.Time{})
		park(soon)
		time.Sleep(2 * soon)
		parked("over", time.Time{})
		// Parked is a word to workers: jobs can be claimed.
		park(never)
		if len(c.claim(lane("a"), 1)) != 1 {
			c.Fatal("the lane's job cannot be claimed")
		}
	}},
	{"Park/what another process says shows at once", func(c *check) {
		other := c.again()
		c.put()
		shows := func(what string, want time.Time) {
			c.Helper()
			lanes, _ := c.work()
			if want.IsZero() {
				if lanes[0].Parked.After(c.now()) || c.stats(lane("a")).Parked.After(c.now()) {
					c.Fatalf("%s: parked until %v", what, lanes[0].Parked)
				}
				return
			}
			c.at(what, lanes[0].Parked, want)
			c.at(what+", Stats", c.stats(lane("a")).Parked, want)
		}
		for _, r := range []pacer.Resource{lane("a").Resource, {Account: lane("a").Resource.Account}} {
			shows("parked", c.park(other, r, never))
			shows("shortened", c.park(other, r, never-time.Hour))
			c.park(other, r, -time.Second)
			shows("lifted", time.Time{})
			shows("parked again", c.park(other, r, never))
			c.park(other, r, 0)
			shows("lifted by 0", time.Time{})
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
		park := func(r pacer.Resource, d time.Duration) time.Time {
			c.Helper()
			return c.park(c.e, r, d)
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
					if want[i].IsZero() != !is.After(c.now()) {
						c.Fatalf("%s: lane %d is parked until %v: expected %v", what, i, is, want[i])
					} else if !want[i].IsZero() {
						c.at(what, is, want[i])
					}
				}
			}
		}
		var no time.Time
		account := pacer.Resource{Account: lane("a").Resource.Account}
		until := park(account, never)
		shows("the account", until, until, until, no, no, no)
		longer := park(lane("a").Resource, never+time.Hour)
		shows("a bucket for longer", longer, longer, until, no, no, no)
		less := park(lane("a").Resource, never-time.Hour)
		shows("a bucket for less", until, until, until, no, no, no)
		park(account, 0)
		shows("the account's ended", less, less, no, no, no, no)
		park(lane("a").Resource, 0)
		until = park(pacer.Resource{Account: odd.Resource.Account}, never)
		shows("another account", no, no, no, until, no, no)
	}},
	{"Park/a bucket without jobs, in all processes", func(c *check) {
		other := c.again()
		until := c.park(c.e, lane("a").Resource, never)
		c.put()
		lanes, _, err := other.Work(c.Context())
		c.ok(err)
		if len(lanes) != 1 {
			c.Fatalf("lanes %v: expected one", lanes)
		}
		c.at("Parked", lanes[0].Parked, until)
	}},
	{"Park/Holds shows what is held, why and since when", func(c *check) {
		other := c.again()
		account := pacer.Resource{Account: lane("a").Resource.Account}
		holds := func(what string, want ...queue.Hold) {
			c.Helper()
			for _, e := range []queue.Engine{c.e, other} {
				got, err := e.Holds(c.Context())
				c.ok(err)
				if len(got) != len(want) {
					c.Fatalf("%s: holds %+v: expected %d", what, got, len(want))
				}
				for _, h := range want {
					i := slices.IndexFunc(got, func(g queue.Hold) bool { return g.Resource == h.Resource })
					if i < 0 || got[i].Reason != h.Reason || got[i].Code != h.Code || !got[i].Until.Equal(h.Until) {
						c.Fatalf("%s: holds %+v: expected %+v", what, got, h)
					}
					c.at(what+": Since", got[i].Since, h.Since)
				}
			}
		}
		hold := func(r pacer.Resource, d time.Duration, why queue.HoldReason, code int) queue.Hold {
			c.Helper()
			before := c.now()
			until, err := c.e.Park(c.Context(), queue.Park{Resource: r, For: d, Reason: why, Code: code})
			c.ok(err)
			return queue.Hold{Resource: r, Reason: why, Code: code, Since: before.Add(until.Sub(before) - d), Until: until}
		}
		holds("at first")
		a := hold(lane("a").Resource, never, queue.HoldThrottled, 20429)
		all := hold(account, never, queue.HoldUnauthorized, 20003)
		holds("two", a, all)
		time.Sleep(2 * soon)
		longer := hold(lane("a").Resource, never+time.Hour, queue.HoldThrottled, 63018)
		longer.Since = a.Since
		holds("the same reason again", longer, all)
		quota := hold(lane("a").Resource, never, queue.HoldQuota, 0)
		holds("another reason", quota, all)
		c.park(c.e, account, 0)
		holds("the account's ended", quota)
		short := hold(lane("a").Resource, soon, queue.HoldUnreachable, 0)
		time.Sleep(2 * soon)
		holds("over")
		again := hold(lane("a").Resource, never, queue.HoldUnreachable, 0)
		again.Since = short.Since
		holds("again after a moment", again)
		hold(lane("a").Resource, -1, queue.HoldThrottled, 0)
		holds("ended with a reason")
	}},
	{"Park/what a person has held only a person ends", func(c *check) {
		park := func(d time.Duration, why queue.HoldReason) time.Time {
			c.Helper()
			until, err := c.e.Park(c.Context(), queue.Park{Resource: lane("a").Resource, For: d, Reason: why})
			c.ok(err)
			return until
		}
		c.put()
		until := park(never, queue.HoldByPerson)
		for _, d := range []time.Duration{0, time.Hour, never + time.Hour} {
			if got := park(d, queue.HoldThrottled); !got.Equal(until) {
				c.Fatalf("a worker's hold of %v: until %v: expected %v", d, got, until)
			}
		}
		lanes, _ := c.work()
		c.at("Parked", lanes[0].Parked, until)
		if got := park(time.Hour, queue.HoldByPerson); !got.Before(until) {
			c.Fatalf("a person's shorter hold: until %v", got)
		}
		c.zero("Park's time of no hold", park(0, ""))
		park(soon, queue.HoldByPerson)
		time.Sleep(2 * soon)
		if got := park(time.Hour, queue.HoldThrottled); got.Before(c.now()) {
			c.Fatalf("a worker's hold after a person's: until %v", got)
		}
	}},
}

// park holds a bucket for d, and returns until when.
func (c *check) park(e queue.Engine, r pacer.Resource, d time.Duration) time.Time {
	c.Helper()
	before := c.now()
	until, err := e.Park(c.Context(), queue.Park{Resource: r, For: d})
	c.ok(err)
	if d <= 0 {
		c.zero("Park's time of no hold", until)
		return until
	}
	c.between("Park's time", until, before.Add(d), c.now().Add(d))
	return until
}
