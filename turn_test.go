package pacer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

func sentRequest(sender string) SentRequest {
	return SentRequest{
		Method: http.MethodPost, URL: "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json",
		Form:   url.Values{"To": {"+15005550009"}, "From": {sender}, "Body": {"hello"}},
		Header: map[string]any{"Content-Type": "application/x-www-form-urlencoded"},
	}
}

func TestTurnWaitsAndSendsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []EventKind
		w := newWorld(t, first(1, throttle("Retry-After", "7")), WithLimits(Limits{{Resource: Messages, Rate: 1}}), quiet,
			WithObserver(func(_ context.Context, e Event) { events = append(events, e.Kind) }))
		send := func() error {
			turn, err := w.c.Turn(t.Context(), from(sender))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := turn.Send(t.Context(), sentRequest(sender))
			if err == nil {
				if body, _ := io.ReadAll(resp.Body); string(body) != createdBody {
					t.Errorf("body %q", body)
				}
				_ = resp.Body.Close()
			}
			return err
		}
		err := send()
		wantTwilioError(t, err, 429, 20429)
		if rl, ok := FromError(err); !ok || rl.RetryAfter != 7*time.Second || rl.Attempts != 1 || rl.Kind != Throttled {
			t.Errorf("FromError: %+v, %v", rl, ok)
		}
		if err := send(); err != nil {
			t.Error(err)
		}
		if at := w.times(); len(at) != 2 || at[0] != 0 || at[1] < 7*time.Second || at[1] > 8*time.Second {
			t.Errorf("sent at %v, expected at 0 and when the cool-down of 7 s was over", at)
		}
		want := []EventKind{EventSent, EventThrottled, EventDone, EventWaited, EventSent, EventDone}
		if len(events) != len(want) {
			t.Fatalf("events %v, expected %v", events, want)
		}
		for i := range want {
			if events[i] != want[i] {
				t.Errorf("events %v, expected %v", events, want)
			}
		}
		if n := w.c.Stats().InFlight; n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// The n-th throttle in a row keeps the resource still for the n-th step of the schedule.
func TestTurnThrottledInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, throttle(), quiet, WithLearning(false))
		for n := range 7 {
			turn, err := w.c.Turn(t.Context(), from(sender))
			if err != nil {
				t.Fatal(err)
			}
			r := sentRequest(sender)
			r.Throttled = n
			if _, err := turn.Send(t.Context(), r); err == nil {
				t.Fatal("sent")
			}
		}
		want := []time.Duration{0, 1, 3, 7, 15, 31, 47}
		for i, at := range w.times() {
			if at != want[i]*time.Second {
				t.Errorf("attempt %d at %v, expected %v", i, at, want[i]*time.Second)
			}
		}
	})
}

func TestTurnGivesItsPermitBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201, WithLimits(Limits{{Resource: Messages, Rate: Unlimited, MaxInFlight: 1}}))
		short := func() (*Turn, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return w.c.Turn(ctx, from(sender))
		}
		held, err := short()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := short(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second turn beside the one: %v", err)
		}
		held.Drop()
		held.Drop() // once is enough
		if held, err = short(); err != nil {
			t.Fatalf("after Drop: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := held.Send(ended, sentRequest(sender)); !errors.Is(err, context.Canceled) {
			t.Errorf("Send with a context that has ended: %v", err)
		}
		held.Drop()
		if held, err = short(); err != nil {
			t.Fatalf("after a Send that was not sent: %v", err)
		}
		if len(w.times()) != 0 {
			t.Errorf("%d requests sent", len(w.times()))
		}
		resp, err := held.Send(t.Context(), sentRequest(sender))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if _, err := held.Send(t.Context(), sentRequest(sender)); err == nil || len(w.times()) != 1 {
			t.Errorf("a used turn was used again: %v", err)
		}
	})
}

// What counts is when a request is sent, and not when its turn came: the next one is a second after it.
func TestTurnThatIsHeldDelaysTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201, WithLimits(Limits{{Resource: Messages, Rate: 1}}))
		for i := range 20 {
			turn, err := w.c.Turn(t.Context(), from(sender))
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				time.Sleep(500 * time.Millisecond)
			}
			resp, err := turn.Send(t.Context(), sentRequest(sender))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		at := w.times()
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < time.Second || d > 1600*time.Millisecond {
				t.Errorf("request %d was sent %v after the one before", i, d)
			}
		}
	})
}

// Where each turn is held for as long, as by a store that is slow, no rate is lost by that.
func TestTurnsThatAreHeldEquallyLongKeepTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201, WithLimits(Limits{{Resource: Messages, Rate: 20}}))
		for range 4000 {
			turn, err := w.c.Turn(t.Context(), from(sender))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				time.Sleep(200 * time.Millisecond)
				if resp, err := turn.Send(t.Context(), sentRequest(sender)); err == nil {
					_ = resp.Body.Close()
				}
			}()
		}
		time.Sleep(time.Second)
		at := w.times()
		if took := at[3999] - at[1999]; took > 102*time.Second {
			t.Errorf("2,000 at 20/s took %v, expected 100 s and 2 %% at most", took)
		}
	})
}

// The client's timeout is for calls that know nothing of it; a turn's attempt has ctx's.
func TestTurnLastsAsLongAsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ int, r *http.Request) *http.Response {
			select {
			case <-time.After(20 * time.Second):
				return ok201(1, r)
			case <-r.Context().Done():
				return nil
			}
		})
		w.c.SetTimeout(10 * time.Second)
		send := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			turn, err := w.c.Turn(ctx, from(sender))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := turn.Send(ctx, sentRequest(sender))
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		}
		if err := send(35 * time.Second); err != nil {
			t.Errorf("within 35 s: %v", err)
		}
		if err := send(15 * time.Second); !InDoubt(err) {
			t.Errorf("cut off after 15 s: %v, expected it in doubt", err)
		}
	})
}
