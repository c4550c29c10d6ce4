package queuetest

import (
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

var listTests = []test{
	{"List/filters", func(c *check) {
		ready := c.put(label("team", "red"))
		delayed := c.put(c.dueIn(never), in(lane("b")), label("team", "blue"))
		sending := c.put(in(of("x", "a")))
		c.claim(of("x", "a"), 1)
		sent := c.put(in(of("x", "b")), label("team", "red"))
		c.move(queue.Move{ID: sent, From: all, To: queue.Sent, Outcome: &queue.Outcome{SID: "SM1"}})
		failed := c.put(in(of("y", "b")), label("color", "red"))
		c.move(queue.Move{ID: failed, From: all, To: queue.Failed, Outcome: &queue.Outcome{SID: "SM2"}})
		doubt := c.put()
		c.move(queue.Move{ID: doubt, From: all, To: queue.InDoubt, LookIn: time.Hour})
		parked := c.put()
		c.move(queue.Move{ID: parked, From: all, To: queue.InDoubt})
		cancelled := c.put()
		c.finish(cancelled, queue.Cancelled)
		told := c.put()
		c.move(queue.Move{ID: told, From: all, To: queue.Sent, Reported: true})
		b, xa, none := lane("b"), of("x", "a"), lane("none")
		for _, test := range []struct {
			name string
			f    queue.Filter
			want []queue.ID
		}{
			{"all", queue.Filter{}, []queue.ID{ready, delayed, sending, sent, failed, doubt, parked, cancelled, told}},
			{"one state", queue.Filter{States: []queue.State{queue.Sent}}, []queue.ID{sent, told}},
			{"a rare state", queue.Filter{States: []queue.State{queue.Sending}}, []queue.ID{sending}},
			{"states", queue.Filter{States: []queue.State{queue.Cancelled, queue.Ready, queue.InDoubt}}, []queue.ID{ready, doubt, parked, cancelled}},
			{"rare states", queue.Filter{States: []queue.State{queue.InDoubt, queue.Failed, queue.Cancelled}}, []queue.ID{failed, doubt, parked, cancelled}},
			{"waiting", queue.Filter{States: []queue.State{queue.Delayed, queue.Ready}}, []queue.ID{ready, delayed}},
			{"lane", queue.Filter{Lane: &b}, []queue.ID{delayed}},
			{"lane of a campaign", queue.Filter{Lane: &xa}, []queue.ID{sending}},
			{"unknown lane", queue.Filter{Lane: &none}, nil},
			{"campaign", queue.Filter{Campaign: "x"}, []queue.ID{sending, sent}},
			{"label", queue.Filter{Label: "team", Value: "red"}, []queue.ID{ready, sent}},
			{"label and no value", queue.Filter{Label: "team"}, nil},
			{"campaign and label", queue.Filter{Campaign: "x", Label: "team", Value: "red"}, []queue.ID{sent}},
			{"SID", queue.Filter{SID: "SM2"}, []queue.ID{failed}},
			{"SID and state", queue.Filter{SID: "SM2", States: []queue.State{queue.Sent}}, nil},
			{"to be looked at, not yet", queue.Filter{LookBefore: c.now()}, nil},
			{"to be looked at", queue.Filter{LookBefore: c.now().Add(never)}, []queue.ID{doubt}},
			{"unreported", queue.Filter{Unreported: true}, []queue.ID{sent, failed}},
			{"unreported of a state", queue.Filter{Unreported: true, States: []queue.State{queue.Failed}}, []queue.ID{failed}},
		} {
			jobs, err := c.e.List(c.Context(), test.f, "", 100)
			if err != nil {
				c.Fatalf("%s: %v", test.name, err)
			}
			c.Log(test.name)
			c.ids(jobs, test.want...)
			for _, j := range jobs {
				c.same(j, c.get(j.ID))
			}
		}
	}},
	{"List/by code, recipient and time", func(c *check) {
		to := func(number string) func(*queue.Job) {
			return func(j *queue.Job) { j.Request.Form["To"] = []string{number} }
		}
		first := c.put(to("+15550000001"))
		time.Sleep(2 * soon)
		between := c.now()
		second := c.put(to("+15550000002"), unique("u:+15550000001"))
		member := c.put(to("+15550000002"), in(of("x", "a")), unique("c:x|a|b"))
		number := c.put(in(of("x", "a")), unique("c:x|+15550000001"))
		c.move(queue.Move{ID: first, From: all, To: queue.Failed, Outcome: &queue.Outcome{Code: 30003}})
		time.Sleep(2 * soon)
		then := c.now()
		c.move(queue.Move{ID: member, From: all, To: queue.Failed, Outcome: &queue.Outcome{Code: 21211}})
		for _, test := range []struct {
			name string
			f    queue.Filter
			want []queue.ID
		}{
			{"code", queue.Filter{Code: 30003}, []queue.ID{first}},
			{"code and state", queue.Filter{Code: 21211, States: []queue.State{queue.Failed}}, []queue.ID{member}},
			{"no such code", queue.Filter{Code: 1}, nil},
			{"recipient", queue.Filter{Recipient: "+15550000001"}, []queue.ID{first, number}},
			{"recipient of two", queue.Filter{Recipient: "+15550000002"}, []queue.ID{second, member}},
			{"recipient by ID", queue.Filter{Recipient: "a|b"}, []queue.ID{member}},
			{"no such recipient", queue.Filter{Recipient: "b"}, nil},
			{"recipient and campaign", queue.Filter{Recipient: "+15550000002", Campaign: "x"}, []queue.ID{member}},
			{"created after", queue.Filter{CreatedAfter: between}, []queue.ID{second, member, number}},
			{"created before", queue.Filter{CreatedBefore: between}, []queue.ID{first}},
			{"created between", queue.Filter{CreatedAfter: between, CreatedBefore: then}, []queue.ID{second, member, number}},
			{"finished after", queue.Filter{FinishedAfter: then}, []queue.ID{member}},
			{"finished before", queue.Filter{FinishedBefore: then}, []queue.ID{first}},
			{"finished in an hour", queue.Filter{FinishedAfter: then.Add(time.Hour)}, nil},
		} {
			c.Log(test.name)
			c.ids(c.list(test.f), test.want...)
		}
	}},
	{"List/labels as they are", func(c *check) {
		for _, s := range []string{"a.b", `a"b`, "a'b", "$", "[0]", "é", "1", "null", "true", " "} {
			id := c.put(label(s, s))
			c.ids(c.list(queue.Filter{Label: s, Value: s}), id)
		}
		c.ids(c.list(queue.Filter{Label: "a", Value: "b"}))
	}},
	{"List/pages", func(c *check) {
		var want []queue.ID
		for range 10 {
			want = append(want, c.put(prio(pacer.Priority(len(want)%3-1))), c.put(in(lane("b"))))
		}
		var got []queue.Job
		for after := queue.ID(""); ; {
			page, err := c.e.List(c.Context(), queue.Filter{}, after, 3)
			c.ok(err)
			if len(page) > 3 {
				c.Fatalf("a page of %d: expected at most 3", len(page))
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = page[len(page)-1].ID
		}
		c.ids(got, want...)
		page, err := c.e.List(c.Context(), queue.Filter{}, want[len(want)-1], 3)
		c.ok(err)
		c.ids(page)
	}},
	{"List/after a job that is not there any more", func(c *check) {
		var ids []queue.ID
		for range 8 {
			ids = append(ids, c.put())
		}
		for _, id := range ids[:5] {
			c.finish(id, queue.Sent)
		}
		time.Sleep(2 * soon)
		c.sweep(queue.Sweep{Keep: soon})
		page, err := c.e.List(c.Context(), queue.Filter{}, ids[2], 100)
		c.ok(err)
		c.ids(page, ids[5:]...)
		page, err = c.e.List(c.Context(), queue.Filter{States: []queue.State{queue.Ready}}, ids[4], 2)
		c.ok(err)
		c.ids(page, ids[5:7]...)
	}},
	{"List/at most max", func(c *check) {
		first := c.put()
		c.put()
		page, err := c.e.List(c.Context(), queue.Filter{}, "", 1)
		c.ok(err)
		c.ids(page, first)
		page, err = c.e.List(c.Context(), queue.Filter{}, "", 0)
		c.ok(err)
		c.ids(page)
	}},
	{"Stats/Oldest", func(c *check) {
		if stats, err := c.e.Stats(c.Context()); err != nil || len(stats) != 0 {
			c.Fatalf("Stats of an empty store: %v, %v", stats, err)
		}
		c.put(c.dueIn(never))
		c.zero("Oldest of a lane without Ready jobs", c.stats(lane("a")).Oldest)
		first := c.put(prio(pacer.Low))
		time.Sleep(soon)
		second := c.put(prio(pacer.High))
		c.at("Oldest", c.stats(lane("a")).Oldest, c.get(first).Due)
		c.finish(first, queue.Failed)
		c.at("Oldest", c.stats(lane("a")).Oldest, c.get(second).Due)
		c.claim(lane("a"), 1)
		c.zero("Oldest of a lane without Ready jobs", c.stats(lane("a")).Oldest)
	}},
	{"Stats/lanes that had jobs", func(c *check) {
		c.finish(c.put(), queue.Sent)
		time.Sleep(2 * soon)
		c.sweep(queue.Sweep{Keep: soon})
		stats, err := c.e.Stats(c.Context())
		c.ok(err)
		if len(stats) != 1 || stats[0] != (queue.LaneStats{Lane: lane("a"), Arrived: 1, Departed: 1}) {
			c.Fatalf("Stats %+v: expected the lane that had a job", stats)
		}
	}},
}
