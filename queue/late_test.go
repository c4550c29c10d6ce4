package queue_test

import (
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// An answer that comes after others have put the request back is Twilio's all the same.
func TestAnswerOfARequestThatWasPutBackCounts(t *testing.T) {
	hour := unlessShort(time.Hour, 2*time.Minute)
	for to, due := range map[queue.State]time.Duration{queue.Ready: 0, queue.Delayed: hour} {
		t.Run(string(to), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Latency: 20 * time.Second})
				id := w.enqueue("hello")
				w.work(w.client(unlimited))
				time.Sleep(10 * time.Second)
				m := queue.Move{ID: id, From: []queue.State{queue.Sending}, To: to}
				if due > 0 {
					m.DueIn = due
				} else if _, err := w.q.Engine().Park(t.Context(), queue.Park{Resource: w.is(id, queue.Sending, 0).Lane.Resource, For: hour}); err != nil {
					t.Fatal(err)
				}
				if err := w.q.Engine().Move(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * hour)
				w.want(id, queue.Sent)
				w.once(1)
			})
		})
	}
}

// A person who has found the message at Twilio can say so, whatever has become of the
// request meanwhile; then it is not sent again.
func TestConfirmedRequestIsNotSent(t *testing.T) {
	hour := unlessShort(time.Hour, 2*time.Minute)
	for name, from := range map[string]struct {
		move queue.Move
		opts []queue.EnqueueOption
	}{
		"ready":    {},
		"delayed":  {opts: []queue.EnqueueOption{queue.In(hour)}},
		"failed":   {move: queue.Move{To: queue.Failed, Outcome: &queue.Outcome{Reason: "no"}}},
		"in doubt": {move: queue.Move{To: queue.InDoubt}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				id := w.enqueue("hello", from.opts...)
				if m := from.move; m.To != "" {
					m.ID, m.From = id, []queue.State{queue.Ready}
					if err := w.q.Engine().Move(t.Context(), m); err != nil {
						t.Fatal(err)
					}
				}
				const sid = "SM00000000000000000000000000000001"
				if err := w.q.Confirm(t.Context(), id, sid); err != nil {
					t.Fatal(err)
				}
				w.work(w.client(unlimited))
				time.Sleep(2 * hour)
				if r := w.want(id, queue.Sent); r.SID != sid {
					t.Errorf("SID %q", r.SID)
				}
				w.once(0)
			})
		})
	}
}

// An operator may lift a hold in the store. A worker that set it goes on then.
func TestHoldLiftedInTheStoreEndsInTheWorker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 63038, Times: 1})
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		time.Sleep(time.Minute)
		j := w.is(id, queue.Ready, 0)
		if _, err := w.q.Engine().Park(t.Context(), queue.Park{Resource: j.Lane.Resource}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		w.want(id, queue.Sent)
		w.once(1)
		if d := time.Since(w.start); d > 2*time.Minute {
			t.Errorf("sent after %v", d)
		}
	})
}
