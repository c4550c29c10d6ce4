package pacer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/twilio/twilio-go/client"
)

func TestStartGetsTheClientOfEveryConstructor(t *testing.T) {
	withCredentials(t)
	var got *Client
	start := WithStart(func(c *Client) error { got = c; return nil })
	if c, err := New(ClientParams{}, start); err != nil || got != c {
		t.Errorf("New: %p, %v; started with %p", c, err, got)
	}
	if c, _ := ClientOf(NewRestClient(start)); got != c {
		t.Errorf("NewRestClient: %p; started with %p", c, got)
	}
	if c, _ := ClientOf(NewRestClientWithParams(ClientParams{}, start)); got != c {
		t.Errorf("NewRestClientWithParams: %p; started with %p", c, got)
	}
}

func TestStartIsAnOptionLikeOthers(t *testing.T) {
	withCredentials(t)
	broken := errors.New("no meter")
	if _, err := New(ClientParams{}, WithStart(func(*Client) error { return broken })); err != broken {
		t.Errorf("New: %v; want the function's error", err)
	}
	called := false
	if _, err := New(ClientParams{}, WithMaxRetries(-1), WithStart(func(*Client) error { called = true; return nil })); err == nil || called {
		t.Errorf("after an invalid option: %v, called: %v", err, called)
	}
}

// TestDoneAlwaysComes: whoever opens something in WithCallContext closes it at
// EventDone.
func TestDoneAlwaysComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun, ended int
		var last Event
		observe := []Option{
			WithCallContext(func(ctx context.Context, _ Resource) context.Context { begun++; return ctx }),
			WithObserver(func(_ context.Context, e Event) {
				if e.Kind == EventDone {
					ended++
					last = e
				}
			}),
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		for name, send := range map[string]func(){
			"answered":  func() { _ = newWorld(t, answers(201, createdBody), observe...).send() },
			"throttled": func() { _ = newWorld(t, throttle(), observe...).send() },
			"cut":       func() { _ = newWorld(t, func(int, *http.Request) *http.Response { return nil }, observe...).send() },
			"cancelled": func() { _ = newWorld(t, answers(201, createdBody), observe...).sendWith(done) },
			"panicked": func() {
				w := newWorld(t, func(int, *http.Request) *http.Response { panic("transport") }, observe...)
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
					if last.Err == nil {
						t.Error("a call that panicked looks like a success")
					}
					if s := w.c.Stats(); s.InFlight != 0 || s.Waiting != 0 {
						t.Errorf("after a panic: %d in flight, %d waiting", s.InFlight, s.Waiting)
					}
				}()
				_ = w.send()
			},
		} {
			begun, ended = 0, 0
			if send(); begun != 1 || ended != 1 {
				t.Errorf("%s: %d begun, %d done; want 1 and 1", name, begun, ended)
			}
		}
	})
}

// refusing is a BaseClient of the program's own.
type refusing struct{ client.Client }

func (*refusing) SendRequest(string, string, url.Values, map[string]any, ...byte) (*http.Response, error) {
	return nil, &client.TwilioRestError{Status: 400, Code: 21211}
}

func TestEventsHaveTheStatusOfABaseClientsError(t *testing.T) {
	var got []int
	c, err := New(ClientParams{Client: &refusing{}}, WithObserver(func(_ context.Context, e Event) { got = append(got, e.Status) }))
	if err != nil {
		t.Fatal(err)
	}
	_ = createOn(c.RestClient, "+15005550006")
	if len(got) != 2 || got[0] != 400 || got[1] != 400 {
		t.Errorf("statuses of sent and done: %v; want 400 twice", got)
	}
}

func TestStatsCountAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, throttle(), WithMaxRetries(0), WithAlert(func(Alert) {}))
		if alerts := w.c.Stats().Alerts; alerts == nil || len(alerts) != 0 {
			t.Errorf("of a new client: %v", alerts)
		}
		_, _ = w.send(), w.send()
		if alerts := w.c.Stats().Alerts; len(alerts) != 1 || alerts[AlertRetriesExhausted] != 2 {
			t.Errorf("%v; want retries exhausted twice", alerts)
		}
	})
}
