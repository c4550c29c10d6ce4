package queue_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A lost is a message "hello", due an hour after the beginning, whose answer was lost.
type lost struct {
	accepted bool
	twins    int              // others like it, which are not accepted
	killed   bool             // its worker was, so that the clocks were not compared
	before   map[int]string   // texts that another program sends, by minutes before it
	after    map[int]string   // by seconds after it
	list     twiliotest.Fault // of lists; zero: none
	lists    int              // how often list strikes; 0: always

	sent     bool // at last; else it is parked
	in, till time.Duration
	reason   string
	alerts   int // beside the one of a parked request
}

// judged checks what becomes of a lost message.
func judged(t *testing.T, c lost) {
	t.Helper()
	w := newWorld(t, twiliotest.Config{})
	due := w.start.Add(2 * time.Hour)
	var ids []queue.ID
	for range 1 + c.twins {
		ids = append(ids, w.enqueue("hello", queue.At(due)))
	}
	for minutes := 119; minutes > 0; minutes-- {
		time.Sleep(time.Until(due.Add(-time.Duration(minutes) * time.Minute)))
		if text, ok := c.before[minutes]; ok {
			w.other(sender, receiver, text)
		}
	}
	others := len(c.before) + len(c.after)
	switch {
	case c.killed:
		time.Sleep(time.Until(due))
		w.claim()
	case c.accepted:
		w.drop(twiliotest.DropAfterAccept, 1)
		if c.twins > 0 {
			w.drop(twiliotest.DropBeforeAccept, c.twins)
		}
	default:
		w.drop(twiliotest.DropBeforeAccept, 1)
	}
	if c.list.Kind != 0 {
		c.list.Times = c.lists
		w.inject(c.list, isList)
	}
	w.work(w.client(unlimited))
	time.Sleep(time.Until(due.Add(100 * time.Millisecond)))
	for seconds := range 200 {
		if text, ok := c.after[seconds]; ok {
			time.Sleep(time.Until(due.Add(time.Duration(seconds) * time.Second)))
			w.other(sender, receiver, text)
		}
	}
	var j queue.Job
	for ; ; time.Sleep(time.Second) {
		var err error
		if j, err = w.q.Engine().Get(t.Context(), ids[0]); err != nil {
			t.Fatal(err)
		}
		if j.State == queue.Sent || j.State == queue.InDoubt && j.Look.IsZero() {
			break
		}
		if time.Since(due) > 3*time.Hour {
			t.Fatalf("it is %q after 3 hours", j.State)
		}
	}
	if d := time.Since(due); d < c.in || d > c.till {
		t.Errorf("decided after %v, expected after %v to %v", d, c.in, c.till)
	}
	if !strings.Contains(j.Outcome.Reason, c.reason) {
		t.Errorf("because %q, expected %q", j.Outcome.Reason, c.reason)
	}
	if (j.State == queue.Sent) != c.sent {
		t.Errorf("it is %q (%s)", j.State, j.Outcome.Reason)
	}
	alerts, accepted := c.alerts, others
	if !c.sent {
		alerts += 1 + c.twins
	}
	if c.sent || c.accepted {
		accepted++
	}
	time.Sleep(3 * time.Minute) // nothing more happens
	if n := len(w.fake.Messages()); n != accepted {
		t.Errorf("%d messages, expected %d", n, accepted)
	}
	if n := w.alerted(queue.AlertInDoubt); n != alerts {
		t.Errorf("%d alerts, expected %d", n, alerts)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	named := 0
	for _, a := range w.alerts {
		if a.ID == ids[0] {
			named++
		}
	}
	if (named == 1) == c.sent {
		t.Errorf("%d alerts name it", named)
	}
}

// first and second are when Twilio is asked, and a little.
const (
	first  = time.Minute
	second = 2 * time.Minute
	little = 3 * time.Second
)

// What is unexplained in Twilio's list.
var whenInDoubt = map[string]row{
	"nothing within 10 min of the attempt": {test: each(map[string]lost{
		"nothing":           {sent: true, in: second, till: second + little},
		"only an old one":   {sent: true, in: second, till: second + little, before: map[int]string{90: "hello", 11: "bye"}},
		"vanished, nothing": {sent: true, killed: true, in: 210 * time.Second, till: 220 * time.Second},
	}, judged)},

	"one that looks the same, from the time of the attempt, for one request in doubt": {test: each(map[string]lost{
		"it":                   {accepted: true, sent: true, in: first, till: first + little},
		"it, and another text": {accepted: true, sent: true, in: first, till: first + little, after: map[int]string{1: "bye"}},
		"it, and an old one":   {accepted: true, sent: true, in: first, till: first + little, before: map[int]string{30: "hello"}},
	}, judged)},

	"as many that look the same as there are requests in doubt that do": {test: each(map[string]int{"two": 2, "three": 3}, func(t *testing.T, n int) {
		w := newWorld(t, twiliotest.Config{})
		w.drop(twiliotest.DropAfterAccept, n)
		var ids []queue.ID
		for range n {
			ids = append(ids, w.enqueue("hello"))
		}
		w.work(w.client(unlimited))
		sids := make(map[string]bool)
		for _, id := range ids {
			sids[w.want(id, queue.Sent).SID] = true
		}
		if len(sids) != n || sids[""] {
			t.Errorf("SIDs %v, expected one for each", sids)
		}
		if n := len(w.fake.Messages()); n != len(ids) {
			t.Errorf("%d messages, expected %d", n, len(ids))
		}
		w.raised(nil)
	})},

	"some that look the same, but not as many": {test: each(map[string]lost{
		"one for two":   {accepted: true, twins: 1, in: first, till: first + little, reason: "Twilio has 1 that look the same, for 2 in doubt"},
		"one for three": {accepted: true, twins: 2, in: first, till: first + little, reason: "Twilio has 1 that look the same, for 3 in doubt"},
		"two for one":   {accepted: true, after: map[int]string{1: "hello"}, in: first, till: first + little, reason: "Twilio has 2 that look the same, for 1 in doubt"},
	}, judged)},

	"another text, from 10 min before the attempt to 10 min after it": {test: each(map[string]lost{
		"9 min before":               {before: map[int]string{9: "bye"}, in: first, till: first + little, reason: "it cannot be told whether it is this one"},
		"11 min before":              {before: map[int]string{11: "bye"}, sent: true, in: second, till: second + little},
		"at once after it":           {after: map[int]string{1: "bye"}, in: first, till: first + little, reason: "it cannot be told whether it is this one"},
		"9 min before, killed":       {killed: true, before: map[int]string{9: "bye"}, in: 94 * time.Second, till: 98 * time.Second, reason: "it cannot be told whether it is this one"},
		"11 min before, killed":      {killed: true, before: map[int]string{11: "bye"}, sent: true, in: 210 * time.Second, till: 220 * time.Second},
		"between two looks, another": {after: map[int]string{90: "bye"}, in: second, till: second + little, reason: "it cannot be told whether it is this one"},
	}, judged)},

	"the same text from up to 60 min before the attempt, and none from its time": {test: each(map[string]lost{
		"59 min": {before: map[int]string{59: "hello"}, in: first, till: first + little, reason: "from before it was sent"},
		"1 min":  {before: map[int]string{1: "hello"}, in: first, till: first + little, reason: "from before it was sent"},
		"61 min": {before: map[int]string{61: "hello"}, sent: true, in: second, till: second + little},
	}, judged)},

	"the same text, made later than the attempt's timeout (35 s) allows": {test: each(map[string]lost{
		"before the first look": {after: map[int]string{50: "hello"}, in: 4 * time.Minute, till: 4*time.Minute + 3*little, reason: "from after its attempt was over"},
	}, judged)},

	"more than 5,000 for that number, and nothing that decides": {test: each(map[string]lost{
		"six pages": {list: manyListed(), in: first, till: first + little, reason: "Twilio has more than 5000 for this receiver"},
	}, judged)},

	"nothing, and it was sent five times, got no answer each time, and was never found": {test: alone(func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		v := w.inject(status(500, 0), nil)
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		time.Sleep(15 * time.Minute)
		if j := w.is(id, queue.InDoubt, 5); !j.Look.IsZero() || !strings.Contains(j.Outcome.Reason, "it was sent 5 times") {
			t.Errorf("looked for at %v, because %q", j.Look, j.Outcome.Reason)
		}
		if v.count() != 5 {
			t.Errorf("sent %d times, expected 5", v.count())
		}
		if n := w.alerted(queue.AlertInDoubt); n != 1 {
			t.Errorf("%d alerts, expected 1", n)
		}
	})},

	"one that looks the same, while another one that looks the same is being sent": {shown: []string{"TestTwinSentMeanwhile"}},

	"the list cannot be read: no answer, an error, or an answer that is no list": {test: func(t *testing.T) {
		cases := make(map[string]lost)
		for name, f := range map[string]twiliotest.Fault{
			"no answer": {Kind: twiliotest.DropBeforeAccept}, "not reached": {Kind: twiliotest.RefuseConnection}, "500": status(500, 0),
			"a login page": foreign(200, loginPage), "an empty answer": foreign(200, ""), "204": foreign(204, ""), "a redirect": foreign(302, ""),
			"JSON that is no list": foreign(200, `{"status":"ok"}`), "a list of null": foreign(200, `{"messages":null}`), "403 of a gateway": foreign(403, loginPage),
		} {
			cases[name] = lost{accepted: true, list: f, lists: 3, sent: true, in: 4 * time.Minute, till: 4*time.Minute + 4*little, alerts: 1}
		}
		twice, absent := cases["500"], cases["a login page"]
		twice.lists, twice.alerts, twice.in, twice.till = 2, 0, 3*time.Minute, 3*time.Minute+3*little
		absent.accepted, absent.in, absent.till = false, 5*time.Minute, 5*time.Minute+5*little
		cases["twice only"], cases["of an absent one"] = twice, absent
		each(cases, judged)(t)
	}},

	"the list is refused (an API key that may not list)": {test: each(map[string][2]int{"401 20003": {401, 20003}, "403 20403": {403, 20403}, "403 70051": {403, 70051}}, func(t *testing.T, c [2]int) {
		w := newWorld(t, twiliotest.Config{})
		w.drop(twiliotest.DropAfterAccept, 1)
		w.inject(status(c[0], c[1]), isList)
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		time.Sleep(150 * time.Second)
		w.raised(nil)
		time.Sleep(time.Minute)
		w.raised(map[queue.AlertKind]int{queue.AlertInDoubt: 1})
		if err := fmt.Sprint(w.alerts[0].Err); !strings.Contains(err, fmt.Sprint(c[1])) {
			t.Errorf("the alert says %q, expected the code %d", err, c[1])
		}
		if c[1] != 70051 {
			return // one waits for the end of the hour
		}
		time.Sleep(55 * time.Minute)
		if j := w.is(id, queue.InDoubt, 1); j.Look.IsZero() {
			t.Error("it is parked before an hour has passed")
		}
		time.Sleep(5 * time.Minute)
		if j := w.is(id, queue.InDoubt, 1); !j.Look.IsZero() {
			t.Error("it is not parked after an hour")
		}
		w.raised(map[queue.AlertKind]int{queue.AlertInDoubt: 2})
		w.once(1)
	})},
}

// manyListed is a list that never ends, in which nothing is the request.
func manyListed() twiliotest.Fault {
	return foreign(200, `{"messages":[],"next_page_uri":"/2010-04-01/Accounts/`+twiliotest.AccountSid+`/Messages.json?Page=1"}`)
}
