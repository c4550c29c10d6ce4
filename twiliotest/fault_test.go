package twiliotest_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

var errUntrusted = errors.New("tls: failed to verify certificate")

func TestFaults(t *testing.T) {
	tests := []struct {
		fault    twiliotest.Fault
		err      error
		status   int
		accepted int
		wrote    bool
	}{
		{twiliotest.Fault{Kind: twiliotest.RefuseConnection}, syscall.ECONNREFUSED, 0, 0, false},
		{twiliotest.Fault{Kind: twiliotest.RefuseProxy}, syscall.ECONNREFUSED, 0, 0, false},
		{twiliotest.Fault{Kind: twiliotest.RefuseConnection, Err: errUntrusted}, errUntrusted, 0, 0, false},
		{twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Err: syscall.ECONNRESET}, syscall.ECONNRESET, 0, 1, true},
		{twiliotest.Fault{Kind: twiliotest.DropBeforeAccept}, io.ErrUnexpectedEOF, 0, 0, true},
		{twiliotest.Fault{Kind: twiliotest.DropAfterAccept}, io.ErrUnexpectedEOF, 0, 1, true},
		{twiliotest.Fault{Kind: twiliotest.RespondStatus}, nil, 503, 0, true},
		{twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 500}, nil, 500, 1, true},
		{twiliotest.Fault{Kind: twiliotest.Slow}, nil, 201, 1, true},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 1}}})
			tt.fault.Times, tt.fault.Delay = 1, 3*time.Second
			tt.fault.Match = func(r *twiliotest.Request) bool {
				f.Stats() // must not deadlock
				return r.Resource == "Messages"
			}
			f.Inject(tt.fault)
			wrote := false
			r := request(t, messagesURL, message("x"))
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				WroteRequest: func(httptrace.WroteRequestInfo) { wrote = true },
			}))
			start := time.Now()
			resp, err := f.Client().Do(r)
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("kind %d took %v", tt.fault.Kind, took)
			}
			if !errors.Is(err, tt.err) || wrote != tt.wrote {
				t.Errorf("kind %d: error %v, wrote %v", tt.fault.Kind, err, wrote)
			}
			if err == nil && resp.StatusCode != tt.status {
				t.Errorf("kind %d: status %d, want %d", tt.fault.Kind, resp.StatusCode, tt.status)
			}
			if s := f.Stats(); s.Accepted != tt.accepted || len(f.Messages()) != tt.accepted || s.Faulted != 1 {
				t.Errorf("kind %d: stats %+v", tt.fault.Kind, s)
			}
			// Used up, and time has passed for the limit.
			if got := send(t, f, message("x")); got.status != 201 {
				t.Errorf("kind %d: afterwards %d", tt.fault.Kind, got.status)
			}
			if got := len(f.Duplicates()); got != tt.accepted {
				t.Errorf("kind %d: %d duplicates", tt.fault.Kind, got)
			}
		})
	}
}

// What a dead client has asked for may be done after its death.
func TestAcceptLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Latency: time.Second})
		f.Inject(twiliotest.Fault{Kind: twiliotest.AcceptLate, Delay: 3 * time.Second, Times: 2})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := f.Client().Do(request(t, messagesURL, message("x")).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if n := len(f.Messages()); n != 0 {
			t.Errorf("%d accepted before the delay", n)
		}
		time.Sleep(time.Second + 1)
		m := f.Messages()
		if len(m) != 1 || m[0].SID == "" || time.Since(m[0].Time) != 1 {
			t.Errorf("accepted %v, want one, 3 s after it came", m)
		}
		start := time.Now()
		if got := send(t, f, message("y")); got.status != 201 || time.Since(start) != 4*time.Second {
			t.Errorf("a patient client got %d after %v, want 201 after delay and latency", got.status, time.Since(start))
		}
		if s := f.Stats(); s.Accepted != 2 || s.Abandoned != 1 || s.Faulted != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestFaultAnswers(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	f.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 502, Format: twiliotest.FormatHTML, RetryAfter: "7"})
	f.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 500})
	for range 2 {
		got := send(t, f, message("x"))
		if got.status != 502 || !strings.Contains(got.body, "502 Bad Gateway") || got.header.Get("Retry-After") != "7" {
			t.Errorf("%+v", got)
		}
	}
	f.ClearFaults()
	f.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 63038, Message: "Account exceeded"})
	if doc := send(t, f, message("x")).decode(t); doc["code"] != 63038.0 || doc["message"] != "Account exceeded" {
		t.Errorf("%v", doc)
	}
	if got := f.Refused(); len(got) != 3 || got[2].Status != 429 || got[2].Code != 63038 || got[2].Form != nil {
		t.Errorf("refused %v", got)
	}
}
