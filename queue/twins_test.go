package queue_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A twin that is sent while Twilio is asked about others: what Twilio lists is the twin's,
// and not that of the request in doubt, which Twilio never had.
func TestTwinSentMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Times: 2, Match: isMessage})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.Slow, Delay: 5 * time.Second, Match: func(r *twiliotest.Request) bool { return r.Method == http.MethodGet }})
		first, err := w.q.Enqueue(t.Context(), message(sender, "+15005550001", "asked about first"))
		if err != nil {
			t.Fatal(err)
		}
		doubtful := w.enqueue("hello")
		w.work(w.client(unlimited))
		time.Sleep(62 * time.Second) // Twilio is being asked about the first
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.Slow, Delay: 20 * time.Second, Times: 1, Match: isMessage})
		twin := w.enqueue("hello")

		w.want(first, queue.Sent)
		a, b := w.want(doubtful, queue.Sent), w.want(twin, queue.Sent)
		if a.SID == b.SID {
			t.Errorf("both are Sent as the one message %s", a.SID)
		}
		if n := len(w.fake.Messages()); n != 3 {
			t.Errorf("%d messages accepted, expected 3", n)
		}
	})
}
