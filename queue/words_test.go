package queue_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// Who reads an alert in a log must be able to act.
func TestAlertInOneLineNamesTheRequestAndTheAccount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.drop(twiliotest.DropBeforeAccept, 1)
		id := w.enqueue("hello")
		w.work(w.client(unlimited), queue.WithInDoubt(queue.ParkInDoubt))
		time.Sleep(time.Second)
		w.raised(map[queue.AlertKind]int{queue.AlertInDoubt: 1})
		text := w.alerts[0].String()
		for _, want := range []string{"pacer queue: in doubt: api/Messages:create of account " + twiliotest.AccountSid + " request " + string(id) + ": ", "then confirm it"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q, expected %q in it", text, want)
			}
		}
		for _, secret := range []string{receiver, sender, "hello"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q tells %q", text, secret)
			}
		}
	})
	if text := (queue.Alert{Kind: queue.AlertStore, Err: queue.ErrFull, Advice: "x"}).String(); text != "pacer queue: store: "+queue.ErrFull.Error()+"; x" {
		t.Error(text)
	}
}

func TestAdviceAboutTwiliosListFitsItsCause(t *testing.T) {
	for name, c := range map[string]struct {
		list        twiliotest.Fault
		want, never string
	}{
		"refused":      {status(403, 70051), "let the worker's key read the list", "gateway"},
		"503":          {status(503, 0), "check the network, the gateway and Twilio's status", "key"},
		"a login page": {foreign(200, loginPage), "it is asked again every minute", "key"},
		"a gateway":    {foreign(403, loginPage), "check the network, the gateway", "key"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				w.drop(twiliotest.DropAfterAccept, 1)
				w.inject(c.list, isList)
				w.enqueue("hello")
				w.work(w.client(unlimited))
				time.Sleep(5 * time.Minute)
				w.raised(map[queue.AlertKind]int{queue.AlertInDoubt: 1})
				if text := w.alerts[0].String(); !strings.Contains(text, c.want) || strings.Contains(text, c.never) || strings.Contains(text, "<html") || strings.Contains(text, "invalid character") {
					t.Errorf("%q, expected %q and not %q", text, c.want, c.never)
				}
				if name != "503" || testing.Short() {
					return
				}
				time.Sleep(2*time.Hour + 10*time.Minute)
				w.raised(map[queue.AlertKind]int{queue.AlertInDoubt: 3}) // once an hour while it lasts
			})
		})
	}
}

// The reason of a failure is the status, and not what somebody's page looks like.
func TestReasonOfAnAnswerWithoutTwiliosCodeIsItsStatus(t *testing.T) {
	for want, f := range map[string]twiliotest.Fault{
		"status 403 without Twilio's code: somebody else answers in Twilio's place": foreign(403, loginPage),
		"status 404 without Twilio's code: somebody else answers in Twilio's place": foreign(404, `{"message":"+15005550009"}`),
		"status 503": foreign(503, loginPage),
		"status 500": foreign(500, ""),
		"status 502": foreign(502, `{"code":7,"message":"+15005550009"}`),
	} {
		t.Run(want, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				f.Times = 1
				w.inject(f, nil)
				id := w.enqueue("hello")
				w.work(w.client(unlimited))
				time.Sleep(500 * time.Millisecond)
				j, err := w.q.Engine().Get(t.Context(), id)
				if err != nil || j.Outcome.Reason != want {
					t.Errorf("%q, %v", j.Outcome.Reason, err)
				}
			})
		})
	}
}

func TestRefusalOfAnotherAccountsRequestsNamesBoth(t *testing.T) {
	const other = "AC00000000000000000000000000000099"
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Suspend(twiliotest.AccountSid, twiliotest.Suspension{Status: 401, Code: 20003})
		w.enqueue("hello")
		c, err := pacer.New(pacer.ClientParams{Username: other, Password: twiliotest.AuthToken}, pacer.WithHTTPClient(w.fake.Client()), pacer.WithAlert(func(pacer.Alert) {}))
		if err != nil {
			t.Fatal(err)
		}
		w.work(c)
		time.Sleep(time.Second)
		w.raised(map[queue.AlertKind]int{queue.AlertUnauthorized: 1})
		if text, want := w.alerts[0].String(), "requests of account "+twiliotest.AccountSid+" are sent with the credentials of "+other; !strings.Contains(text, want) {
			t.Errorf("%q, expected %q", text, want)
		}
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Suspend(twiliotest.AccountSid, twiliotest.Suspension{Status: 401, Code: 20003})
		w.enqueue("hello")
		w.work(w.client(unlimited))
		time.Sleep(time.Second)
		w.raised(map[queue.AlertKind]int{queue.AlertUnauthorized: 1})
		if text := w.alerts[0].String(); strings.Contains(text, "with the credentials of") {
			t.Errorf("of the same account: %q", text)
		}
	})
}

// Who has heard of a trouble hears of its end.
func TestEndOfATroubleIsLogged(t *testing.T) {
	for want, cause := range map[string]func(*world){
		"Twilio is reached again": func(w *world) {
			w.inject(twiliotest.Fault{Kind: twiliotest.RefuseConnection, Times: 4}, nil)
		},
		"the account works again": func(w *world) {
			w.inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003, Message: "not for " + receiver, Times: 1}, nil)
		},
		"the bucket is not throttled any more": func(w *world) {
			w.inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 20429, Message: "too many for " + receiver, Times: 6}, nil)
		},
		"asking Twilio for the list of Messages works again": func(w *world) {
			w.drop(twiliotest.DropAfterAccept, 1)
			w.inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 503, Times: 3}, isList)
		},
	} {
		t.Run(want, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				cause(w)
				var text bytes.Buffer
				id := w.enqueue("hello")
				stop := w.work(w.client(unlimited), queue.WithLogger(slog.New(slog.NewTextHandler(&text, nil))))
				w.want(id, queue.Sent)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if n := strings.Count(text.String(), `level=INFO msg="pacer queue: `+want); n != 1 {
					t.Errorf("logged %d times, expected once:\n%s", n, &text)
				}
				if strings.Contains(text.String(), receiver) {
					t.Errorf("a number is logged:\n%s", &text)
				}
			})
		})
	}
}
