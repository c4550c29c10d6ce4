package queuetest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

var addTests = []test{
	{"Add/stores what the caller gives and nothing else", func(c *check) {
		due, end := c.now().Add(never).Truncate(time.Second), c.now().Add(2*never).Truncate(time.Second)
		given := c.job(in(of("spring|%", "+15550001")), prio(pacer.High), unique("order-1"))
		given.Labels = map[string]string{"order": "1", "": "no name", `quote"d`: "é"}
		given.Due, given.Deadline = due, end
		given.State, given.Attempts, given.Claim, given.Looks, given.Reported = queue.Sent, 3, 4, 5, true
		given.Began, given.Lease, given.Look, given.Finished, given.Created = due, due, due, due, due
		given.Outcome = queue.Outcome{SID: "SM1", Status: 201, Reason: "x"}
		before := c.now()
		c.add(given)
		got := c.get(given.ID)
		c.between("Created", got.Created, before, c.now())
		c.at("Due", got.Due, due)
		c.at("Deadline", got.Deadline, end)
		if !reflect.DeepEqual(got.Request, given.Request) || !maps.Equal(got.Labels, given.Labels) {
			c.Fatalf("the request or the labels have changed:\n got %+v %v\nwant %+v %v", got.Request, got.Labels, given.Request, given.Labels)
		}
		c.same(got, queue.Job{
			ID: given.ID, Lane: given.Lane, Priority: pacer.High, State: queue.Delayed, Unique: "order-1",
			Request: got.Request, Labels: got.Labels, Created: got.Created, Due: got.Due, Deadline: got.Deadline,
		})
	}},
	{"Add/Due decides between Ready and Delayed", func(c *check) {
		before := c.now()
		plain, past, later := c.put(), c.put(c.dueIn(-never)), c.put(c.dueIn(never))
		after := c.now()
		c.between("Due of a job without one", c.state(plain, queue.Ready).Due, before, after)
		c.between("Due of a job that was due before", c.state(past, queue.Ready).Due, before, after)
		c.state(later, queue.Delayed)
		c.zero("Deadline", c.get(plain).Deadline)
		c.counts(queue.LaneStats{Lane: lane("a"), Ready: 2, Delayed: 1, Arrived: 3})
	}},
	{"Add/of nothing", func(c *check) {
		added, err := c.e.Add(c.Context(), nil)
		c.ok(err)
		if len(added) != 0 {
			c.Fatalf("returned %v", added)
		}
	}},
	{"Add/a job is found with all its kinds of request", func(c *check) {
		for _, r := range []queue.Request{
			{Method: "GET", URL: "https://api.twilio.com/x?a=b%20c"},
			{Method: "DELETE", URL: "https://verify.twilio.com/v2/x", Header: map[string]string{"X-Twilio-Y": "z"}},
			{Method: "POST", URL: "https://flex.twilio.com/x", Header: map[string]string{"Content-Type": "application/json"}, Body: `{"a": "<>&\u0000 ü"}`},
			{Method: "POST", URL: "https://api.twilio.com/x", Form: map[string][]string{"Body": {strings.Repeat("long ", 40_000)}, "": {"", "x"}}},
		} {
			id := c.put(func(j *queue.Job) { j.Request = r })
			if got := c.get(id); !reflect.DeepEqual(got.Request, r) {
				c.Fatalf("%s %s is another request when read", r.Method, r.URL)
			}
		}
	}},
	{"Add/a unique key is held", func(c *check) {
		first := c.put(unique("k"))
		second := c.job(unique("k"), in(of("campaign", "b"))) // keys are of the store, not of a lane
		third := c.job()
		added, err := c.e.Add(c.Context(), []queue.Job{second, third})
		c.ok(err)
		if want := []queue.Added{{ID: first, Known: true}, {ID: third.ID}}; !reflect.DeepEqual(added, want) {
			c.Fatalf("returned %+v: expected %+v", added, want)
		}
		if _, err := c.e.Get(c.Context(), second.ID); !errors.Is(err, queue.ErrNotFound) {
			c.Fatalf("the job that was known is stored: %v", err)
		}
		for _, to := range []queue.State{queue.Sending, queue.InDoubt, queue.Sent, queue.Failed, queue.Cancelled} {
			c.finish(first, to)
			added, err = c.e.Add(c.Context(), []queue.Job{c.job(unique("k"))})
			c.ok(err)
			if !added[0].Known || added[0].ID != first {
				c.Fatalf("the key of a job that is %s is not held: %+v", to, added)
			}
		}
	}},
	{"Add/a unique key is held within a call", func(c *check) {
		jobs := []queue.Job{c.job(unique("k")), c.job(unique("l")), c.job(unique("k")), c.job(), c.job()}
		added, err := c.e.Add(c.Context(), jobs)
		c.ok(err)
		want := []queue.Added{{ID: jobs[0].ID}, {ID: jobs[1].ID}, {ID: jobs[0].ID, Known: true}, {ID: jobs[3].ID}, {ID: jobs[4].ID}}
		if !reflect.DeepEqual(added, want) {
			c.Fatalf("returned %+v: expected %+v", added, want)
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Ready: 4, Arrived: 4})
	}},
	{"Add/keys are compared byte by byte", func(c *check) {
		for _, key := range []string{"k", "K", "k ", " k", "k\x00", "k%", "k|", "ключ", "é", "e\u0301"} {
			c.put(unique(key))
		}
	}},
	{"Add/all or none", func(c *check) {
		id := c.put(unique("held"))
		again := c.job()
		again.ID = id // which no store can take
		jobs := []queue.Job{c.job(unique("new"), in(lane("b"))), again}
		if _, err := c.e.Add(c.Context(), jobs); err == nil {
			c.Fatal("a job of an ID that is there already was stored")
		}
		if _, err := c.e.Get(c.Context(), jobs[0].ID); !errors.Is(err, queue.ErrNotFound) {
			c.Fatalf("the first job of a call that failed is stored: %v", err)
		}
		c.counts(queue.LaneStats{Lane: lane("a"), Ready: 1, Arrived: 1})
		c.counts(queue.LaneStats{Lane: lane("b")})
		c.add(jobs[0]) // its key is not held
	}},
	{"Add/in the order given", func(c *check) {
		var jobs []queue.Job
		var want []queue.ID
		for range 100 {
			jobs = append(jobs, c.job())
			want = append(want, jobs[len(jobs)-1].ID)
		}
		c.add(jobs[:60]...)
		c.add(jobs[60:]...)
		c.ids(c.list(queue.Filter{}), want...)
		c.ids(c.claim(lane("a"), 100), want...)
	}},
	{"Add/survives the engine", func(c *check) {
		id := c.put(unique("k"), label("a", "b"))
		want := c.get(id)
		c.ok(c.e.Close())
		again := c.again()
		got, err := again.Get(c.Context(), id)
		c.ok(err)
		c.same(got, want)
		added, err := again.Add(c.Context(), []queue.Job{c.job(unique("k"))})
		c.ok(err)
		if !added[0].Known || added[0].ID != id {
			c.Fatalf("the key is not held any more: %+v", added)
		}
	}},
	{"Add/names with separators in them", func(c *check) {
		names := []string{"", "%", "|", "%7C", "a|b", "a%7Cb", "日本", "'", `"`, "\x00"}
		for i, name := range names {
			c.put(in(of(name, fmt.Sprint(i))))
			l := lane(name)
			l.Resource.Account = name
			c.put(in(l))
			if got := c.claim(l, 5); len(got) != 1 || got[0].Lane != l {
				c.Fatalf("lane %q: claimed %v", name, got)
			}
			if got := c.claim(of(name, fmt.Sprint(i)), 5); len(got) != 1 || got[0].Lane.Campaign != name {
				c.Fatalf("campaign %q: claimed %v", name, got)
			}
		}
	}},
}
