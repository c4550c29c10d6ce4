package twiliotest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

func TestServer(t *testing.T) {
	s := twiliotest.NewServer(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 1, Window: time.Hour}}})
	defer s.Close()
	rest := newRest(s.Client())
	if m, err := rest.Api.CreateMessage(newMessage("x")); err != nil || *m.Body != "x" {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := rest.LookupsV2.FetchPhoneNumber(to, nil); err != nil {
		t.Error(err)
	}
	if got := do(t, s.Client(), request(t, messagesURL, message("x"))); got.status != 429 || got.header.Get("Retry-After") != "3600" {
		t.Errorf("%+v", got)
	}
	if r := s.Accepted(); len(r) != 2 || r[0].Host != "api.twilio.com" || r[1].Resource != "lookups/PhoneNumbers" {
		t.Errorf("%v", r)
	}
	resp, err := http.Get(s.URL + "/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json")
	if err != nil || resp.StatusCode != 401 {
		t.Fatalf("directly: %v, %v", resp, err)
	}
	resp.Body.Close()
}

// A cut connection is seen by the caller each time: net/http must not send
// again by itself, not even a GET on a connection that was used before.
func TestServerCuts(t *testing.T) {
	s := twiliotest.NewServer(twiliotest.Config{})
	defer s.Close()
	for _, kind := range []twiliotest.FaultKind{
		twiliotest.DropBeforeAccept, twiliotest.DropAfterAccept,
		// There is a connection already, which is cut.
		twiliotest.RefuseConnection, twiliotest.RefuseProxy, twiliotest.RefuseTunnel, twiliotest.TimeoutTLS,
	} {
		s.Reset()
		do(t, s.Client(), request(t, messagesURL, nil))
		s.Inject(twiliotest.Fault{Kind: kind, Times: 2})
		_, err := s.Client().Do(request(t, messagesURL, nil))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("kind %d, GET: %v", kind, err)
		}
		_, err = s.Client().Do(request(t, messagesURL, message("x")))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("kind %d, POST: %v", kind, err)
		}
		accepted := 1
		if kind == twiliotest.DropAfterAccept {
			accepted = 3
		}
		if st := s.Stats(); st.Received != 3 || st.Accepted != accepted {
			t.Errorf("kind %d: %+v", kind, st)
		}
	}
}

// Close ends requests in progress and every goroutine.
func TestServerClose(t *testing.T) {
	before := runtime.NumGoroutine()
	s := twiliotest.NewServer(twiliotest.Config{})
	do(t, s.Client(), request(t, messagesURL, message("x")))
	s.SetLatency(time.Hour)
	inProgress := make(chan struct{})
	s.Inject(twiliotest.Fault{Kind: twiliotest.Slow, Times: 3, Match: func(*twiliotest.Request) bool {
		inProgress <- struct{}{}
		return true
	}})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := s.Client().Do(request(t, messagesURL, message("x"))); err == nil {
				t.Error("answered in spite of Close")
			}
		})
	}
	for range 3 {
		<-inProgress
	}
	s.Close()
	wg.Wait()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestServerContext(t *testing.T) {
	s := twiliotest.NewServer(twiliotest.Config{})
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	s.Inject(twiliotest.Fault{Kind: twiliotest.Slow, Delay: time.Hour, Match: func(*twiliotest.Request) bool {
		cancel()
		return true
	}})
	_, err := s.Client().Do(request(t, messagesURL, message("x")).WithContext(ctx))
	if !errors.Is(err, context.Canceled) || len(s.Messages()) != 1 {
		t.Errorf("%v, %d accepted", err, len(s.Messages()))
	}
}
