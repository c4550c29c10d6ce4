package main

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// A throughProxy is a fake behind TLS and a proxy, and a worker's client of it.
type throughProxy struct {
	fake    *twiliotest.Fake
	proxy   *proxy
	client  *http.Client
	written atomic.Int64 // requests that net/http has written
}

func newThroughProxy(t *testing.T) *throughProxy {
	t.Helper()
	w := &throughProxy{fake: twiliotest.New(twiliotest.Config{})}
	front := serve(w.fake, true)
	t.Cleanup(front.close)
	var err error
	if w.proxy, err = startProxy(front.addr, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.proxy.close)
	never := rand.New(rand.NewPCG(1, 1))
	w.client, err = task{Fake: front.addr, Proxy: w.proxy.addr, Cert: front.cert}.client(never, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

const messagesURL = "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json"

// post sends a message and returns the status.
func (w *throughProxy) post(t *testing.T) (int, error) {
	t.Helper()
	trace := &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err == nil {
			w.written.Add(1)
		}
	}}
	form := strings.NewReader("To=%2B15005550009&From=%2B15005550006&Body=hello")
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, messagesURL, form)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(twiliotest.AccountSid, twiliotest.AuthToken)
	resp, err := w.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, nil
}

func TestProxyPassesRequestsThroughTLS(t *testing.T) {
	w := newThroughProxy(t)
	for range 3 {
		if status, err := w.post(t); err != nil || status != http.StatusCreated {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	if n := len(w.fake.Messages()); n != 3 {
		t.Errorf("the fake has accepted %d messages, want 3", n)
	}
}

// In these ways of the proxy nothing of a request may be written, and the error is what
// net/http makes of a real proxy. Afterwards the proxy works again, at the same address.
func TestProxyRefuses(t *testing.T) {
	for _, tt := range []struct {
		way  way
		want string // in the error
	}{
		{dead, "proxyconnect tcp"},
		{refuses, "Service Unavailable"},
		{demands, "Proxy Authentication Required"},
		{hangsUp, ""},
		{plain, "server gave HTTP response to HTTPS client"},
		{noTLS, "remote error: tls"},
	} {
		t.Run(string(tt.way), func(t *testing.T) {
			w := newThroughProxy(t)
			if err := w.proxy.set(tt.way); err != nil {
				t.Fatal(err)
			}
			if _, err := w.post(t); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if n := w.written.Load(); n != 0 {
				t.Errorf("%d requests were written", n)
			}
			if n := w.proxy.tally()[string(tt.way)]; n != 1 {
				t.Errorf("%q is counted %d times, want once", tt.way, n)
			}
			if err := w.proxy.set(works); err != nil {
				t.Fatal(err)
			}
			if status, err := w.post(t); err != nil || status != http.StatusCreated {
				t.Errorf("afterwards: status %d, %v", status, err)
			}
		})
	}
}

// In these ways a client waits until its time is over, or until the phase is.
func TestProxyKeepsSilent(t *testing.T) {
	for _, way := range []way{silent, stuck} {
		t.Run(string(way), func(t *testing.T) {
			w := newThroughProxy(t)
			if err := w.proxy.set(way); err != nil {
				t.Fatal(err)
			}
			failed := make(chan error, 1)
			go func() {
				_, err := w.post(t)
				failed <- err
			}()
			await(t, failed, func() bool { return w.proxy.tally()[string(way)] > 0 })
			if err := w.proxy.set(works); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; err == nil || w.written.Load() != 0 {
				t.Errorf("error %v, %d requests written: want an error, and none", err, w.written.Load())
			}
		})
	}
}

// await waits until something is so. That a request ends before is wrong.
func await(t *testing.T, failed <-chan error, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case err := <-failed:
			t.Fatalf("ended early: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// In times of cuts some requests are lost, and of some only the answer is.
func TestProxyCutsTunnels(t *testing.T) {
	w := newThroughProxy(t)
	if err := w.proxy.set(cuts); err != nil {
		t.Fatal(err)
	}
	answered, failed := 0, 0
	for range 60 {
		if status, err := w.post(t); err == nil && status == http.StatusCreated {
			answered++
		} else {
			failed++
		}
	}
	accepted := len(w.fake.Messages())
	if answered == 0 || failed == 0 || w.proxy.tally()[string(cuts)] == 0 {
		t.Errorf("%d answered, %d failed, %v: want some of each", answered, failed, w.proxy.tally())
	}
	if accepted < answered || accepted == answered+failed {
		t.Errorf("%d accepted, %d answered, %d failed: want some that were lost, and none that was answered", accepted, answered, failed)
	}
}

// A proxy that dies takes the requests with it that are on their way.
func TestProxyDiesWithItsTunnels(t *testing.T) {
	w := newThroughProxy(t)
	w.fake.Inject(twiliotest.Fault{Kind: twiliotest.Slow, Delay: time.Hour})
	failed := make(chan error, 1)
	go func() {
		_, err := w.post(t)
		failed <- err
	}()
	await(t, failed, func() bool { return len(w.fake.Messages()) > 0 })
	if err := w.proxy.set(dead); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("a request was answered though the proxy has died")
	}
}

func TestGatewayAnswersInTwiliosPlace(t *testing.T) {
	fake := twiliotest.New(twiliotest.Config{})
	g := newGateway(fake)
	front := serve(g, false)
	defer front.close()
	client, err := task{Fake: front.addr}.client(rand.New(rand.NewPCG(1, 1)), 0)
	if err != nil {
		t.Fatal(err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer client.CloseIdleConnections()
	w := &throughProxy{fake: fake, client: client}
	trouble := g.trouble(1)
	for range foreignAnswers {
		if err := trouble.begin(); err != nil {
			t.Fatal(err)
		}
		if status, err := w.post(t); err != nil || status != g.answer.status {
			t.Errorf("%s: status %d, %v", g.answer.name, status, err)
		}
	}
	for _, a := range foreignAnswers {
		if n := g.tally()[a.name]; n != 1 {
			t.Errorf("%s was given %d times, want once: a trouble must deal all of them", a.name, n)
		}
	}
	if s := fake.Stats(); s.Received != 0 {
		t.Errorf("%d requests were passed on, want none", s.Received)
	}
	if err := trouble.end(); err != nil {
		t.Fatal(err)
	}
	if status, err := w.post(t); err != nil || status != http.StatusCreated || len(fake.Messages()) != 1 {
		t.Errorf("afterwards: status %d, %v, %d accepted", status, err, len(fake.Messages()))
	}
}

// Who follows a redirect away from Twilio gets the login page, even when the gateway
// passes everything on again: nothing of it reaches the fake.
func TestGatewayShowsItsLoginPage(t *testing.T) {
	fake := twiliotest.New(twiliotest.Config{})
	front := serve(newGateway(fake), false)
	defer front.close()
	client, err := task{Fake: front.addr}.client(rand.New(rand.NewPCG(1, 1)), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get(login)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != page || fake.Stats().Received != 0 {
		t.Errorf("%q, %v, %d requests at the fake", body, err, fake.Stats().Received)
	}
}

func TestClocksAreSet(t *testing.T) {
	var twilio, engine time.Duration
	c := &clocks{by: 10 * time.Second, twilio: func(by time.Duration) { twilio = by }, counts: make(map[string]int64)}
	if n := c.states(); n != 2 {
		t.Fatalf("%d states of an engine whose clock is this machine's, want 2", n)
	}
	c.engine = func(by time.Duration) error { engine = by; return nil }
	for n, want := range []struct{ twilio, engine time.Duration }{{0, 0}, {-10 * time.Second, 0}, {0, 10 * time.Second}} {
		if err := c.set(n); err != nil || twilio != want.twilio || engine != want.engine {
			t.Errorf("state %d: Twilio's %v, the engine's %v, %v: want %+v", n, twilio, engine, err, want)
		}
	}
	if c.states() != 3 || len(c.counts) != 3 {
		t.Errorf("%d states, %v", c.states(), c.counts)
	}
}
