package queue_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// drop cuts the connection of the first n creations, after or before they are accepted.
func (w *world) drop(kind twiliotest.FaultKind, n int) {
	w.fake.Inject(twiliotest.Fault{Kind: kind, Times: n, Match: isMessage})
}

// other sends a message that is none of the queue's.
func (w *world) other(from, to, body string) {
	w.t.Helper()
	if err := message(from, to, body)(w.client(unlimited).RestClient); err != nil {
		w.t.Fatal(err)
	}
}

// What Reconcile makes of what it finds, case by case. In each a message "hello" was cut
// off, accepted or not.
func TestReconcileRule(t *testing.T) {
	short := map[string]bool{"found": true, "absent": true, "absent beside another text": true, "two alike, one sent elsewhere": true, "a template, absent": true}
	for name, tt := range map[string]struct {
		accepted bool
		before   func(*world) // the request is enqueued, an hour before it is sent
		after    func(*world) // before Twilio is asked
		body     string       // "": hello
		params   func(*api.CreateMessageParams)
		want     queue.State
		sent     int    // messages of any text at the end
		reason   string // of parking
	}{
		"found":                              {accepted: true, want: queue.Sent, sent: 1},
		"absent":                             {want: queue.Sent, sent: 1},
		"found beside another text":          {accepted: true, after: func(w *world) { w.other(sender, receiver, "bye") }, want: queue.Sent, sent: 2},
		"absent beside another text":         {after: func(w *world) { w.other(sender, receiver, "bye") }, want: queue.InDoubt, sent: 1, reason: "it cannot be told whether it is this one"},
		"absent beside an old text":          {before: func(w *world) { w.other(sender, receiver, "bye") }, want: queue.Sent, sent: 2},
		"absent beside another receiver":     {after: func(w *world) { w.other(sender, "+15005550001", "hello") }, want: queue.Sent, sent: 2},
		"absent beside another sender":       {after: func(w *world) { w.other("+15005550002", receiver, "hello") }, want: queue.Sent, sent: 2},
		"white space is no other text":       {accepted: true, body: " hello\n\tyou ", want: queue.Sent, sent: 1},
		"two alike, one sent elsewhere":      {accepted: true, after: func(w *world) { w.other(sender, receiver, "hello") }, want: queue.InDoubt, sent: 2, reason: "Twilio has 2 that look the same, for 1 in doubt"},
		"one alike from before it was sent":  {before: func(w *world) { time.Sleep(time.Minute); w.other(sender, receiver, "hello") }, want: queue.InDoubt, sent: 1, reason: "from before it was sent"},
		"one alike from after its attempt":   {after: func(w *world) { time.Sleep(50 * time.Second); w.other(sender, receiver, "hello") }, want: queue.InDoubt, sent: 1, reason: "from after its attempt was over"},
		"one alike from before its time":     {before: func(w *world) { time.Sleep(2 * time.Hour) }, want: queue.Sent, sent: 1},
		"a service, found":                   {accepted: true, params: func(p *api.CreateMessageParams) { p.From = nil; p.SetMessagingServiceSid(service) }, want: queue.Sent, sent: 1},
		"a service, absent":                  {params: func(p *api.CreateMessageParams) { p.From = nil; p.SetMessagingServiceSid(service) }, want: queue.Sent, sent: 1},
		"a template, absent":                 {params: func(p *api.CreateMessageParams) { p.SetContentSid("HX0123456789abcdef0123456789abcdef") }, want: queue.Sent, sent: 1},
		"a template, and something is there": {accepted: true, params: func(p *api.CreateMessageParams) { p.SetContentSid("HX0123456789abcdef0123456789abcdef") }, want: queue.InDoubt, sent: 1, reason: "its text cannot be compared"},
		"the number is written otherwise":    {accepted: true, params: func(p *api.CreateMessageParams) { p.SetTo("+1 (500) 555-0009") }, want: queue.Sent, sent: 1},
	} {
		if testing.Short() && !short[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Latency: 100 * time.Millisecond})
				kind := twiliotest.DropBeforeAccept
				if tt.accepted {
					kind = twiliotest.DropAfterAccept
				}
				p := &api.CreateMessageParams{}
				body := "hello"
				if tt.body != "" {
					body = tt.body
				}
				p.SetTo(receiver).SetFrom(sender).SetBody(body)
				if tt.params != nil {
					tt.params(p)
				}
				id, err := w.q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
					_, err := tw.Api.CreateMessage(p)
					return err
				}, queue.In(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				if tt.before != nil {
					tt.before(w)
				}
				time.Sleep(time.Until(w.start.Add(time.Hour)))
				w.drop(kind, 1)
				w.work(w.client(unlimited))
				time.Sleep(2 * time.Second)
				if tt.after != nil {
					tt.after(w)
				}
				r := w.want(id, tt.want)
				if n := len(w.fake.Messages()); n != tt.sent {
					t.Errorf("%d messages, expected %d", n, tt.sent)
				}
				if r.State == queue.Sent && r.SID == "" {
					t.Error("no SID")
				}
				if tt.reason != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), tt.reason)) {
					t.Errorf("parked because %v, expected %q", r.Err, tt.reason)
				}
				if n := w.alerted(queue.AlertInDoubt); (n == 1) != (tt.want == queue.InDoubt) {
					t.Errorf("%d alerts", n)
				}
			})
		})
	}
}

// Twins: two jobs that look the same to Twilio. As many as there are in doubt are given
// one each, none means that all are absent, and anything between is for a person.
func TestReconcileTwins(t *testing.T) {
	for accepted, want := range map[int]queue.State{0: queue.Sent, 1: queue.InDoubt, 2: queue.Sent} {
		t.Run(fmt.Sprintf("%d of 2 accepted", accepted), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Latency: 100 * time.Millisecond})
				if accepted > 0 {
					w.drop(twiliotest.DropAfterAccept, accepted)
				}
				if accepted < 2 {
					w.drop(twiliotest.DropBeforeAccept, 2-accepted)
				}
				ids := []queue.ID{w.enqueue("hello"), w.enqueue("hello")}
				w.work(w.client(unlimited))
				var sids []string
				for _, id := range ids {
					sids = append(sids, w.want(id, want).SID)
				}
				if want == queue.Sent && (sids[0] == sids[1] || sids[0] == "") {
					t.Errorf("SIDs %v, expected one for each", sids)
				}
				expected := accepted
				if want == queue.Sent {
					expected = 2
				}
				if n := len(w.fake.Messages()); n != expected {
					t.Errorf("%d messages, expected %d", n, expected)
				}
			})
		})
	}
}

// Twilio cannot be asked for a while: nothing is decided until it can.
func TestReconcileWaitsForTwilio(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.drop(twiliotest.DropAfterAccept, 1)
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 500, Times: 3, Match: func(r *twiliotest.Request) bool { return r.Method == http.MethodGet }})
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		w.want(id, queue.Sent)
		if d := time.Since(w.start); d < 4*time.Minute {
			t.Errorf("decided after %v, expected after the fourth look, at 4 minutes", d)
		}
		w.once(1)
	})
}

func TestReconcileCalls(t *testing.T) {
	for name, tt := range map[string]struct {
		kind  twiliotest.FaultKind
		other bool
		want  queue.State
	}{
		"found":                 {twiliotest.DropAfterAccept, false, queue.Sent},
		"absent":                {twiliotest.DropBeforeAccept, false, queue.Sent},
		"two calls to the same": {twiliotest.DropAfterAccept, true, queue.InDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				call := func(tw *twilio.RestClient) error {
					p := &api.CreateCallParams{}
					p.SetTo(receiver).SetFrom(sender).SetTwiml("<Response/>")
					_, err := tw.Api.CreateCall(p)
					return err
				}
				w.drop(tt.kind, 1)
				id, err := w.q.Enqueue(t.Context(), call)
				if err != nil {
					t.Fatal(err)
				}
				w.work(w.client(unlimited))
				time.Sleep(time.Second)
				if tt.other {
					if err := call(w.client(unlimited).RestClient); err != nil {
						t.Fatal(err)
					}
				}
				r := w.want(id, tt.want)
				if calls := w.fake.Calls(); r.State == queue.Sent && (len(calls) != 1 || r.SID != calls[0].SID) {
					t.Errorf("%d calls, SID %q", len(calls), r.SID)
				}
			})
		})
	}
}

// A person decides: each of the three decisions, and none of them twice.
func TestDecisionsInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.drop(twiliotest.DropBeforeAccept, 3)
		ids := []queue.ID{w.enqueue("again"), w.enqueue("it is there"), w.enqueue("drop it")}
		w.work(w.client(unlimited), queue.WithInDoubt(queue.ParkInDoubt))
		for _, id := range ids {
			w.want(id, queue.InDoubt)
		}
		ctx := context.Background()
		if err := w.q.Requeue(ctx, ids[0]); err != nil {
			t.Error(err)
		}
		const sid = "SM0123456789abcdef0123456789abcdef"
		if err := w.q.Confirm(ctx, ids[1], sid); err != nil {
			t.Error(err)
		}
		if err := w.q.Cancel(ctx, ids[2]); err != nil {
			t.Error(err)
		}
		w.want(ids[0], queue.Sent)
		if r := w.want(ids[1], queue.Sent); r.SID != sid {
			t.Errorf("SID %q", r.SID)
		}
		w.want(ids[2], queue.Cancelled)
		for want, err := range map[string]error{
			fmt.Sprintf("queue: requeue %s: it is sent already (%s); nothing was changed", ids[1], sid): w.q.Requeue(ctx, ids[1]),
			fmt.Sprintf("queue: confirm %s: it is sent already (%s); nothing was changed", ids[1], sid): w.q.Confirm(ctx, ids[1], sid),
			fmt.Sprintf("queue: confirm %s: it is cancelled already; nothing was changed", ids[2]):      w.q.Confirm(ctx, ids[2], "SM0123456789abcdef0123456789abcde0"),
			fmt.Sprintf("queue: cancel %s: it is cancelled already; nothing was changed", ids[2]):       w.q.Cancel(ctx, ids[2]),
		} {
			var state *queue.StateError
			if fmt.Sprint(err) != want || !errors.As(err, &state) {
				t.Errorf("%v, expected %q", err, want)
			}
		}
		w.once(1)
	})
}
