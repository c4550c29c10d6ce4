package queue_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// A captive portal whose clock was never set says nothing about Twilio's clock. Otherwise
// an old message with the same text would be taken for the one in doubt.
func TestDateOfForeignAnswerSaysNothingAboutTwiliosClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.other(sender, receiver, "hello")
		time.Sleep(5 * time.Hour)
		w.fake.Inject(twiliotest.Fault{
			Kind: twiliotest.RespondStatus, Status: 200, Foreign: true, Times: 1, Match: isMessage,
			Body: []byte("<html>welcome</html>"), Header: http.Header{"Date": {"Thu, 01 Jan 1970 00:10:00 GMT"}},
		})
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		r := w.want(id, queue.Sent)
		if all := w.fake.Messages(); len(all) != 2 || r.SID != all[1].SID {
			t.Errorf("sent as %s, and Twilio has %d messages: expected a second one", r.SID, len(all))
		}
	})
}

// A gateway's JSON may have a field "code", too, such as its status.
func TestCodeOfAnotherProgramRefusesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{
			Kind: twiliotest.RespondStatus, Status: 403, Foreign: true, Times: 3, Match: isMessage,
			Body: []byte(`{"code": 403, "message": "blocked by policy"}`), Header: http.Header{"Content-Type": {"application/json"}},
		})
		id := w.enqueue("hello")
		w.work(w.client(unlimited))
		w.want(id, queue.Sent)
		w.once(1)
	})
}

type senderKey struct{}

// A tokenFor fails for one sender, as a source of tokens does that fails now and then.
type tokenFor struct{ broken *atomic.Bool }

func (s tokenFor) GetAccessToken(ctx context.Context) (string, error) {
	if s.broken.Load() && ctx.Value(senderKey{}) == sender {
		return "", errors.New("no token now")
	}
	return "token", nil
}

// A basicTransport sends the account's password in place of a token.
type basicTransport struct{ http.RoundTripper }

func (b basicTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(twiliotest.AccountSid, twiliotest.AuthToken)
	return b.RoundTripper.RoundTrip(r)
}

// A request that was never written fails not, however often others pass meanwhile.
func TestMissingTokenFailsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		var broken atomic.Bool
		broken.Store(true)
		c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
			pacer.WithHTTPClient(&http.Client{Transport: basicTransport{w.fake.Client().Transport}}),
			pacer.WithLimits(pacer.Limits{unlimited}), pacer.WithAlert(func(pacer.Alert) {}),
			pacer.WithCallContext(func(ctx context.Context, r pacer.Resource) context.Context {
				return context.WithValue(ctx, senderKey{}, r.Sender)
			}))
		if err != nil {
			t.Fatal(err)
		}
		id := w.enqueue("without a token")
		c.SetOauth(tokenFor{&broken})
		w.work(c)
		for range 60 {
			w.enqueueFrom("+15005550002", "with a token")
			time.Sleep(20 * time.Second)
		}
		if r, err := w.q.Result(t.Context(), id); r.State != queue.Ready {
			t.Errorf("%q (%v, %v): expected it to wait", r.State, r.Err, err)
		}
		if n := w.alerted(queue.AlertUnauthorized); n == 0 || n > 3 {
			t.Errorf("%d alerts", n)
		}
		if n := len(w.fake.Messages()); n < 50 {
			t.Errorf("%d messages of others, expected them to pass", n)
		}
	})
}

// A worker starts with old credentials after a night: what is in doubt since then is not
// given up at the first refusal of Twilio's list.
func TestListRefusedAfterARestartIsAskedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.drop(twiliotest.DropAfterAccept, 1)
		id := w.enqueue("hello")
		stop := w.work(w.client(unlimited))
		time.Sleep(2 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Hour)
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003, Times: 4, Match: isList})
		w.work(w.client(unlimited))
		time.Sleep(15 * time.Minute)
		w.want(id, queue.Sent)
		w.once(1)
	})
}

func isList(r *twiliotest.Request) bool { return r.Method == http.MethodGet }

// Twilio's list of messages hangs, with hundreds in doubt: a call in doubt is decided all
// the same, in minutes.
func TestSlowListKeepsOthersWaitingForMinutesOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		ctx := t.Context()
		for i := range 250 {
			w.doubt(w.enqueue(fmt.Sprint("message ", i)))
		}
		call, err := w.q.Enqueue(ctx, func(tw *twilio.RestClient) error {
			p := &api.CreateCallParams{}
			p.SetTo(receiver).SetFrom(sender).SetUrl("https://example.com/twiml")
			_, err := tw.Api.CreateCall(p)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.doubt(call)
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.Slow, Delay: 10 * time.Minute, Match: func(r *twiliotest.Request) bool {
			return r.Method == http.MethodGet && strings.Contains(r.Resource, "Messages")
		}})
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Minute)
		if r, _ := w.q.Result(ctx, call); r.State != queue.Sent {
			t.Errorf("the call is %q after 10 minutes", r.State)
		}
	})
}

// doubt puts a request in doubt that was never sent.
func (w *world) doubt(id queue.ID) {
	w.t.Helper()
	m := queue.Move{ID: id, From: []queue.State{queue.Ready}, To: queue.InDoubt, LookIn: -1}
	if err := w.q.Engine().Move(context.Background(), m); err != nil {
		w.t.Fatal(err)
	}
}

// A brokenEngine does not record results for as long as it is broken.
type brokenEngine struct {
	queue.Engine
	broken atomic.Bool
}

func (e *brokenEngine) Move(ctx context.Context, m queue.Move) error {
	if e.broken.Load() {
		return queue.ErrFull
	}
	return e.Engine.Move(ctx, m)
}

// The store fails while many requests are on the wire: one alert, and not one for each.
func TestFailingStoreRaisesOneAlert(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		broken := &brokenEngine{Engine: e}
		w := worldOn(t, broken, twiliotest.Config{Latency: 5 * time.Second})
		for i := range 40 {
			w.enqueue(fmt.Sprint("message ", i))
		}
		w.work(w.client(unlimited))
		time.Sleep(time.Second)
		broken.broken.Store(true)
		time.Sleep(10 * time.Second)
		broken.broken.Store(false)
		time.Sleep(5 * time.Minute)
		w.once(40)
		if n := w.alerted(queue.AlertStore); n != 1 {
			t.Errorf("%d alerts, expected 1", n)
		}
	})
}

// A GET under a captive portal for long: it is neither Sent nor Failed.
func TestReadOutlastsForeignAnswers(t *testing.T) {
	for _, status := range []int{200, 404, 511} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				w.other(sender, receiver, "hello")
				w.fake.Inject(twiliotest.Fault{
					Kind: twiliotest.RespondStatus, Status: status, Foreign: true, Match: isList,
					Body: []byte("<html>welcome</html>"), Header: http.Header{"Location": {"https://portal.example/"}},
				})
				var ids []queue.ID
				for range 3 {
					id, err := w.q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
						_, err := tw.Api.FetchMessage(w.fake.Messages()[0].SID, nil)
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, id)
				}
				w.work(w.client(unlimited))
				minutes := unlessShort(20, 5)
				time.Sleep(time.Duration(minutes) * time.Minute)
				for _, id := range ids {
					if r, _ := w.q.Result(t.Context(), id); r.State.Final() {
						t.Errorf("%q after %d minutes (%v)", r.State, minutes, r.Err)
					}
				}
				w.fake.ClearFaults()
				for _, id := range ids {
					w.want(id, queue.Sent)
				}
			})
		})
	}
}

// A panickyTransport panics once, after Twilio has accepted.
type panickyTransport struct {
	http.RoundTripper
	done atomic.Bool
}

func (p *panickyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.RoundTripper.RoundTrip(r)
	if !p.done.Swap(true) {
		panic("a defect of the transport")
	}
	return resp, err
}

// A transport of the program's that panics ends neither the worker nor the request's fate.
func TestPanicOfTheTransportIsInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
			pacer.WithHTTPClient(&http.Client{Transport: &panickyTransport{RoundTripper: w.fake.Client().Transport}}),
			pacer.WithLimits(pacer.Limits{unlimited}), pacer.WithAlert(func(pacer.Alert) {}))
		if err != nil {
			t.Fatal(err)
		}
		id := w.enqueue("hello")
		w.work(c)
		w.want(id, queue.Sent)
		w.once(1)
	})
}
