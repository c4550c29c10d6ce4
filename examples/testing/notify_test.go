package notify_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	notify "github.com/twilio-pacer/pacer/examples/testing"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// newClient makes the client that production code would make, but for the fake.
func newClient(t *testing.T, fake *twiliotest.Fake, opts ...pacer.Option) *pacer.RestClient {
	t.Helper()
	opts = append(opts, pacer.WithHTTPClient(fake.Client()))
	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c.RestClient
}

// Thirty reminders at 10 a second take exactly 2.9 s: the first leaves at once, then
// one follows every 100 ms. The test itself takes a few milliseconds.
func TestRemindersArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{ // made in the bubble: virtual time is its time
			Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 10, PerSender: true}},
		})
		client := newClient(t, fake, pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 10}}))

		start := time.Now()
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				r := notify.Reminder{To: fmt.Sprintf("+155555501%02d", i), Appointment: 1000 + i}
				if err := notify.SendReminder(client, r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()

		if got, want := time.Since(start), 2900*time.Millisecond; got != want {
			t.Errorf("30 reminders at 10/s took %v, want %v", got, want)
		}
		if got := len(fake.Messages()); got != 30 {
			t.Errorf("%d reminders reached Twilio, want 30: none lost", got)
		}
		if d := fake.Duplicates(); len(d) != 0 {
			t.Errorf("%d reminders were sent twice: %v", len(d), d)
		}
		if n := fake.Stats().Throttled; n != 0 {
			t.Errorf("%d requests were throttled, want 0", n)
		}
	})
}

// The limit turns out to be lower than configured: it takes longer, and still no
// reminder is lost or doubled.
func TestRemindersSurviveThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{
			Limits:     []twiliotest.Limit{{Resource: "Messages", Rate: 5, PerSender: true}},
			RetryAfter: twiliotest.NoRetryAfter, // pacer then waits 1, 2, 4, 8, 16 s
		})
		client := newClient(t, fake, pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 10}}))

		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				r := notify.Reminder{To: fmt.Sprintf("+155555501%02d", i), Appointment: 1000 + i}
				if err := notify.SendReminder(client, r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()

		if got := len(fake.Messages()); got != 30 {
			t.Errorf("%d reminders reached Twilio, want 30", got)
		}
		if d := fake.Duplicates(); len(d) != 0 {
			t.Errorf("%d reminders were sent twice: %v", len(d), d)
		}
		if fake.Stats().Throttled == 0 {
			t.Error("nothing was throttled: this test tests nothing")
		}
	})
}

// The connection breaks after Twilio has taken the message. The caller is told, and the
// message is not sent again behind its back.
func TestDroppedReminderIsNotResent(t *testing.T) {
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1})
	client := newClient(t, fake)

	err := notify.SendReminder(client, notify.Reminder{To: "+15555550100", Appointment: 1})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got error %v, want one that wraps %v", err, io.ErrUnexpectedEOF)
	}
	if _, ok := pacer.FromError(err); ok {
		t.Error("FromError is true, which would mean that the message was certainly not sent")
	}
	if got := fake.Stats().Received; got != 1 {
		t.Errorf("%d requests were made, want 1", got)
	}
	if got := len(fake.Messages()); got != 1 {
		t.Errorf("%d messages at Twilio, want 1", got)
	}
}

// Used up retries are an error that says so, and the reminder can be sent later.
func TestReminderGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{RetryAfter: twiliotest.NoRetryAfter})
		fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429})
		alerts := 0
		client := newClient(t, fake, pacer.WithAlert(func(pacer.Alert) { alerts++ }))

		start := time.Now()
		err := notify.SendReminder(client, notify.Reminder{To: "+15555550100", Appointment: 1})
		limit, ok := pacer.FromError(err)
		if !ok || limit.Kind != pacer.Throttled || limit.Attempts != 6 {
			t.Errorf("got %v, %v; want throttled after 6 attempts", limit, ok)
		}
		if got, want := time.Since(start), (1+2+4+8+16)*time.Second; got != want {
			t.Errorf("gave up after %v, want %v", got, want)
		}
		if alerts != 1 {
			t.Errorf("%d alerts, want 1", alerts)
		}
		if got := len(fake.Messages()); got != 0 {
			t.Errorf("%d messages at Twilio, want 0", got)
		}
	})
}
