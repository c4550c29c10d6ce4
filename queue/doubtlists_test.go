package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// enqueueTo stores a message to a number in any notation, as versions before did.
func (w *world) enqueueTo(to, body string) queue.ID {
	w.t.Helper()
	j, err := queue.NewJob(queue.Request{
		Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json",
		Form: map[string][]string{"To": {receiver}, "From": {sender}, "Body": {body}},
	}, twiliotest.AccountSid)
	if err != nil {
		w.t.Fatal(err)
	}
	j.Request.Form["To"] = []string{to}
	if _, err := w.q.Engine().Add(context.Background(), []queue.Job{j}); err != nil {
		w.t.Fatal(err)
	}
	return j.ID
}

// An account whose lists hide numbers shows that only once it has a message. What was seen
// before is no proof for a message that was sent since.
func TestEmptyListIsNoProofThatNumbersAreShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Alterations: twiliotest.Alterations{
			Redaction: map[string]twiliotest.Redaction{"": {Numbers: true}}, ExactFilters: true,
		}})
		w.drop(twiliotest.DropBeforeAccept, 1)
		w.drop(twiliotest.DropAfterAccept, 1)
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Minute)
		w.want(id, queue.InDoubt)
		w.once(1)
	})
}

// A number with hidden digits counts as the receiver's, however it is written.
func TestHiddenNumbersCountHoweverTheyAreWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		to    string
		exact bool
		shown func(string) string
	}{
		"without a plus":          {receiver, false, func(s string) string { return strings.TrimPrefix(s, "+") }},
		"with bullets":            {receiver, false, func(s string) string { return strings.ReplaceAll(s, "X", "•") }},
		"the last digits only":    {receiver, false, func(s string) string { return "+XXXXXXX" + receiver[8:] }},
		"as the program wrote it": {"+1 (500) 555-0009", true, func(s string) string { return s }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Alterations: twiliotest.Alterations{
					Redaction:    map[string]twiliotest.Redaction{"": {Numbers: true, Bodies: true}},
					ExactFilters: tt.exact,
					Item: func(_ *twiliotest.Request, item map[string]any) bool {
						item["to"] = tt.shown(item["to"].(string))
						return true
					},
				}})
				w.drop(twiliotest.DropAfterAccept, 1)
				id := w.enqueueTo(tt.to, "hello")
				w.work(w.client(unlimited))
				w.want(id, queue.InDoubt)
				w.once(1)
			})
		})
	}
}

// Two that look the same and are written in two notations: the list for one of them shows
// both, that for the other its own alone.
func TestTwinsInTwoNotations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.drop(twiliotest.DropAfterAccept, 2)
		w.work(w.client(unlimited))
		dotted := w.enqueueTo("+1.500.555.0009", "hello")
		time.Sleep(10 * time.Second)
		usual := w.enqueueTo(receiver, "hello")
		w.want(dotted, queue.Sent)
		w.want(usual, queue.Sent)
		if n := len(w.fake.Messages()); n != 2 {
			t.Errorf("%d messages accepted, expected 2", n)
		}
	})
}

// unsure is a store that parks a request and fails to say so.
type unsure struct{ queue.Engine }

func (e unsure) Move(ctx context.Context, m queue.Move) error {
	if err := e.Engine.Move(ctx, m); err != nil {
		return err
	}
	if m.To == queue.InDoubt && m.LookIn == 0 {
		return errors.New("the store does not answer")
	}
	return nil
}

func TestAlertOfWhatTheStoreParkedWithoutSayingSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		q, err := queue.Open(unsure{w.q.Engine()}, queue.WithAccount(twiliotest.AccountSid))
		if err != nil {
			t.Fatal(err)
		}
		w.q = q
		w.drop(twiliotest.DropBeforeAccept, 1)
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		time.Sleep(time.Second)
		w.other(sender, receiver, "bye")
		w.want(id, queue.InDoubt)
		if n := w.alerted(queue.AlertInDoubt); n != 1 {
			t.Errorf("%d alerts, expected 1", n)
		}
	})
}
