package pacer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// A world is a client over a scripted transport, for tests that say exactly what
// Twilio answers; where it is to behave like Twilio, tests use twiliotest.
type world struct {
	c     *Client
	own   *client.Client
	start time.Time

	mu   sync.Mutex
	at   []time.Duration
	urls []string
}

// A script answers request n, counted from 1. A nil answer is a cut connection.
type script func(n int, r *http.Request) *http.Response

const createdBody = `{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}`

func newWorld(t testing.TB, s script, opts ...Option) *world {
	w := &world{start: time.Now()}
	w.own = &client.Client{Credentials: client.NewCredentials(account, "token"), HTTPClient: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		w.mu.Lock()
		w.at = append(w.at, time.Since(w.start))
		w.urls = append(w.urls, r.URL.String())
		n := len(w.at)
		w.mu.Unlock()
		if r.Body != nil {
			defer r.Body.Close()
		}
		if resp := s(n, r); resp != nil {
			resp.Request = r
			return resp, nil
		}
		return nil, io.ErrUnexpectedEOF
	})}}
	w.own.SetAccountSid(account)
	c, err := New(ClientParams{Client: w.own}, append([]Option{WithLimits(Limits{{Resource: "*", Rate: Unlimited}})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	w.c = c
	return w
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *world) times() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Duration(nil), w.at...)
}

func (w *world) send() error { return createOn(w.c.RestClient, "+15005550006") }

func (w *world) sendWith(ctx context.Context) error {
	return createOn(w.c.WithContext(ctx), "+15005550006")
}

// sendAll sends n messages at once and returns the errors.
func (w *world) sendAll(n int) (errs []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := w.send(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errs
}

func createOn(rc *twilio.RestClient, from string) error {
	_, err := rc.Api.CreateMessage(message(from))
	return err
}

func respond(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ProtoMajor: 1, ProtoMinor: 1}
}

const throttleBody = `{"code": 20429, "message": "Too Many Requests", "more_info": "https://www.twilio.com/docs/errors/20429", "status": 429}`

func throttle(header ...string) script {
	return func(int, *http.Request) *http.Response { return respond(429, throttleBody, header...) }
}

func ok201(int, *http.Request) *http.Response { return respond(201, createdBody) }

func always(s script) script { return s }

// first answers the first n requests with s, the others well.
func first(n int, s script) script {
	return func(i int, r *http.Request) *http.Response {
		if i <= n {
			return s(i, r)
		}
		return ok201(i, r)
	}
}

// quiet keeps expected alerts out of the test's output.
var quiet = WithAlert(func(Alert) {})

func wantWaitError(t *testing.T, err, target error) {
	t.Helper()
	var wait *WaitError
	if !errors.As(err, &wait) || !errors.Is(err, target) {
		t.Errorf("error %v (%T), expected a WaitError that wraps %v", err, err, target)
	}
}

func wantTwilioError(t *testing.T, err error, status, code int) {
	t.Helper()
	var te *client.TwilioRestError
	if !errors.As(err, &te) || te.Status != status || te.Code != code {
		t.Errorf("error %v (%T), expected a TwilioRestError %d/%d", err, err, status, code)
	}
}

// unlessShort returns how much of something a test has: less with -short, so that it takes no
// seconds of the processor. The long lane of test.sh has all of it.
func unlessShort[T any](all, short T) T {
	if testing.Short() {
		return short
	}
	return all
}
