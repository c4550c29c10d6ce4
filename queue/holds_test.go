package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// theHold returns the hold of a resource, and ends the test if there is none.
func (w *world) theHold(r pacer.Resource) queue.Hold {
	w.t.Helper()
	holds, err := w.q.Holds(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range holds {
		if h.Resource == r {
			return h
		}
	}
	w.t.Fatalf("holds %v: expected one of %v", holds, r)
	return queue.Hold{}
}

// of returns the resource of a request's lane.
func (w *world) of(id queue.ID) pacer.Resource {
	w.t.Helper()
	r, err := w.q.Result(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Lane.Resource
}

func TestHoldsSayWhyAndSinceWhen(t *testing.T) {
	for name, c := range map[string]struct {
		fault twiliotest.Fault
		want  queue.HoldReason
		code  int
	}{
		"throttled":    {twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "3600"}, queue.HoldThrottled, 20429},
		"quota":        {twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 63038}, queue.HoldQuota, 63038},
		"unreachable":  {twiliotest.Fault{Kind: twiliotest.RefuseConnection}, queue.HoldUnreachable, 0},
		"unauthorized": {twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003}, queue.HoldUnauthorized, 20003},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				w.fake.Inject(c.fault)
				id := w.enqueue("one")
				w.work(w.client(unlimited))
				time.Sleep(100 * time.Second)
				h := w.theHold(w.of(id))
				if h.Reason != c.want || h.Code != c.code || h.Since.Sub(w.start).Abs() > time.Second || !h.Until.After(time.Now()) {
					t.Errorf("hold %+v: expected %q, code %d, since %v", h, c.want, c.code, w.start)
				}
			})
		})
	}
}

// Running workers send at once when a hold is ended, also where their client waits for the same.
func TestEndedHoldIsObeyedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "280", Times: 1})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		w.work(w.client(unlimited))
		time.Sleep(time.Minute)
		if err := w.q.EndHold(t.Context(), w.of(id)); err != nil {
			t.Fatal(err)
		}
		w.want(id, queue.Sent)
		if at := w.sent()["one"]; at > time.Minute+time.Second {
			t.Errorf("sent after %v: expected it as soon as the hold was ended", at)
		}
		if err := w.q.EndHold(t.Context(), w.of(id)); !errors.Is(err, queue.ErrNotHeld) {
			t.Errorf("a second end: %v, expected ErrNotHeld", err)
		}
	})
}

func TestEndedHoldOfAnAccountIsObeyedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003, Times: 1})
		ids := []queue.ID{w.enqueueFrom("+15005550001", "one"), w.enqueueFrom("+15005550002", "two")}
		w.work(w.client(unlimited), queue.WithConcurrency(1))
		time.Sleep(10 * time.Second)
		account := pacer.Resource{Account: twiliotest.AccountSid}
		if h := w.theHold(account); h.Reason != queue.HoldUnauthorized || h.Code != 20003 {
			t.Errorf("hold %+v", h)
		}
		if err := w.q.EndHold(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			w.want(id, queue.Sent)
		}
		for text, at := range w.sent() {
			if at > 12*time.Second {
				t.Errorf("%s is sent after %v: expected it when the hold of the account was ended", text, at)
			}
		}
	})
}

func TestHoldByAPerson(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		first := w.enqueue("first")
		w.work(w.client(unlimited))
		w.want(first, queue.Sent)
		account := pacer.Resource{Account: twiliotest.AccountSid}
		if _, err := w.q.Hold(t.Context(), account, 0); err == nil {
			t.Error("a hold of 0: expected an error")
		}
		for _, r := range []pacer.Resource{w.of(first), account} {
			began := time.Now()
			until, err := w.q.Hold(t.Context(), r, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if h := w.theHold(r); h.Reason != queue.HoldByPerson || !h.Until.Equal(until) || h.Since.Sub(began).Abs() > time.Second {
				t.Errorf("hold %+v until %v", h, until)
			}
			time.Sleep(time.Second)
			text := "held at " + began.String()
			second := w.enqueue(text)
			time.Sleep(57 * time.Second)
			if n := len(w.fake.Messages()); w.sent()[text] != 0 {
				t.Errorf("%d are sent while %v is held", n, r)
			}
			w.want(second, queue.Sent)
			if d := w.sent()[text] - began.Sub(w.start); d < time.Minute || d > time.Minute+2*time.Second {
				t.Errorf("sent after %v: expected a minute", d)
			}
		}
	})
}

// A bucket is not held by itself if its account is.
func TestEndHoldNamesTheAccount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		id := w.enqueue("one")
		account := pacer.Resource{Account: twiliotest.AccountSid}
		if _, err := w.q.Hold(t.Context(), account, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := w.q.EndHold(t.Context(), w.of(id)); !errors.Is(err, queue.ErrNotHeld) || err.Error() !=
			"queue: end the hold of api/Messages:create: it is not held, but its account is: end the hold of that" {
			t.Error(err)
		}
		if err := w.q.EndHold(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		if holds, err := w.q.Holds(t.Context()); err != nil || len(holds) > 0 {
			t.Errorf("holds %v, %v: expected none", holds, err)
		}
	})
}
