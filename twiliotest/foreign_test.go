package twiliotest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// fakeAndClient is a Fake with one of its two clients.
type fakeAndClient struct {
	*twiliotest.Fake
	client *http.Client
}

// inMemoryAndServer runs a test with a Fake in memory and with a Server.
func inMemoryAndServer(t *testing.T, cfg twiliotest.Config, test func(t *testing.T, f fakeAndClient)) {
	t.Run("in memory", func(t *testing.T) {
		f := twiliotest.New(cfg)
		test(t, fakeAndClient{f, f.Client()})
	})
	t.Run("server", func(t *testing.T) {
		s := twiliotest.NewServer(cfg)
		defer s.Close()
		test(t, fakeAndClient{s.Fake, s.Client()})
	})
}

func TestForeignAnswers(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html"}}
	tests := map[string]twiliotest.Fault{
		"302 to a portal":         {Status: 302, Header: http.Header{"Location": {"http://portal.example/login"}}},
		"303 with HTML":           {Status: 303, Header: http.Header{"Location": {"/"}, "Content-Type": {"text/html"}}, Body: []byte("<html>see other</html>")},
		"307":                     {Status: 307, Header: http.Header{"Location": {"https://edge.example/"}}},
		"200 with HTML":           {Status: 200, Header: html, Body: []byte("<html>log in</html>")},
		"200 empty":               {Status: 200},
		"200 with other JSON":     {Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"error":"blocked by policy"}`)},
		"201 with JSON cut short": {Status: 201, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"sid":"SM0123`)},
		"204":                     {Status: 204},
		"304":                     {Status: 304},
		"403 with HTML":           {Status: 403, Header: html, Body: []byte("<html>no</html>")},
		"502 empty":               {Status: 502, Body: []byte{}, RetryAfter: "30"},
		"599":                     {Status: 599},
	}
	for name, fault := range tests {
		for _, kind := range []twiliotest.FaultKind{twiliotest.RespondStatus, twiliotest.AcceptThenStatus} {
			fault.Kind, fault.Foreign = kind, true
			accepted := 0
			when := " before the work"
			if kind == twiliotest.AcceptThenStatus {
				accepted, when = 1, " after the work"
			}
			t.Run(name+when, func(t *testing.T) {
				inMemoryAndServer(t, twiliotest.Config{}, func(t *testing.T, f fakeAndClient) {
					f.Inject(fault)
					got := do(t, f.client, request(t, messagesURL, message("x")))
					if got.status != fault.Status || got.body != string(fault.Body) {
						t.Errorf("status %d, body %q", got.status, got.body)
					}
					got.header.Del("Content-Length") // net/http's own
					want := fault.Header.Clone()
					if want == nil {
						want = http.Header{}
					}
					if fault.RetryAfter != "" {
						want.Set("Retry-After", fault.RetryAfter)
					}
					if len(got.header) != len(want) {
						t.Errorf("headers %v, want %v", got.header, want)
					}
					for name := range want {
						if got.header.Get(name) != want.Get(name) {
							t.Errorf("header %s is %q", name, got.header.Get(name))
						}
					}
					if n, r := len(f.Messages()), f.Refused(); n != accepted || len(r) != 1-accepted {
						t.Errorf("%d accepted, refused %v", n, r)
					} else if n == 0 && (r[0].Status != fault.Status || r[0].Code != 0) {
						t.Errorf("refused %+v", r[0])
					}
				})
			})
		}
	}
}

// An answer of Twilio's own can have another body and other headers, too.
func TestTwilioAnswersWithAnotherBody(t *testing.T) {
	inMemoryAndServer(t, twiliotest.Config{}, func(t *testing.T, f fakeAndClient) {
		f.Inject(twiliotest.Fault{
			Kind: twiliotest.AcceptThenStatus, Status: 201, Times: 1,
			Body:   []byte(`{"num_segments":1}`),
			Header: http.Header{"date": {"Sat, 01 Jan 2000 00:00:00 GMT"}, "X-Home-Region": {"ie1"}},
		})
		got := do(t, f.client, request(t, messagesURL, message("x")))
		if got.status != 201 || got.body != `{"num_segments":1}` || len(f.Messages()) != 1 {
			t.Errorf("%+v", got)
		}
		h := got.header
		if h.Get("Content-Type") != "application/json" || h.Get("Twilio-Request-Id") == "" || h.Get("X-Home-Region") != "ie1" ||
			len(h["Date"]) != 1 || h.Get("Date") != "Sat, 01 Jan 2000 00:00:00 GMT" {
			t.Errorf("headers %v", h)
		}
		f.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 500, Body: []byte("oops")})
		if got := do(t, f.client, request(t, messagesURL, message("x"))); got.body != "oops" || got.header.Get("X-Twilio-Error-Code") != "20500" {
			t.Errorf("%+v", got)
		}
	})
}

func TestBodiesBreakOff(t *testing.T) {
	tests := map[string]struct {
		fault twiliotest.Fault
		body  string // "": half of a message
	}{
		"the proper answer":   {twiliotest.Fault{Kind: twiliotest.Slow}, ""},
		"a given body":        {twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 201, Body: []byte(`{"sid":`)}, `{"sid":`},
		"a foreign body":      {twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 201, Foreign: true, Body: []byte(`<html>`)}, `<html>`},
		"no byte of the body": {twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 201, Body: []byte{}}, "-"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inMemoryAndServer(t, twiliotest.Config{}, func(t *testing.T, f fakeAndClient) {
				tt.fault.BodyErr = io.ErrUnexpectedEOF
				f.Inject(tt.fault)
				resp, err := f.client.Do(request(t, messagesURL, message("x")))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if resp.StatusCode != 201 || !errors.Is(err, io.ErrUnexpectedEOF) || len(f.Messages()) != 1 {
					t.Errorf("status %d, error %v, %d accepted", resp.StatusCode, err, len(f.Messages()))
				}
				switch {
				case tt.body == "" && (!strings.HasPrefix(string(body), `{"sid":"SM`) || strings.HasSuffix(string(body), "}")),
					tt.body != "" && string(body) != strings.Trim(tt.body, "-"):
					t.Errorf("read %q", body)
				}
				if resp.ContentLength <= int64(len(body)) {
					t.Errorf("Content-Length %d, although %d bytes came", resp.ContentLength, len(body))
				}
			})
		})
	}
	t.Run("with the error given", func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{})
		f.Inject(twiliotest.Fault{Kind: twiliotest.Slow, BodyErr: syscall.ECONNRESET})
		resp, err := f.Client().Do(request(t, messagesURL, message("x")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error %v", err)
		}
	})
}

// Over a connection net/http unpacks what it has asked for; in memory nobody
// does.
func TestBadGzip(t *testing.T) {
	fault := twiliotest.Fault{
		Kind: twiliotest.AcceptThenStatus, Status: 201,
		Header: http.Header{"Content-Encoding": {"gzip"}}, Body: []byte(`{"sid":"SM1"}`),
	}
	s := twiliotest.NewServer(twiliotest.Config{})
	defer s.Close()
	s.Inject(fault)
	resp, err := s.Client().Do(request(t, messagesURL, message("x")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, gzip.ErrHeader) {
		t.Errorf("error %v, want %v", err, gzip.ErrHeader)
	}
	f := twiliotest.New(twiliotest.Config{})
	f.Inject(fault)
	if got := send(t, f, message("x")); got.body != string(fault.Body) || got.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%+v", got)
	}
}

func TestBodiesComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{})
		f.Inject(twiliotest.Fault{Kind: twiliotest.Slow, BodyDelay: time.Minute})
		open := func(ctx context.Context) *http.Response {
			resp, err := f.Client().Do(request(t, messagesURL, message("x")).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		start := time.Now()
		body, err := io.ReadAll(open(t.Context()).Body)
		if err != nil || !bytes.HasSuffix(body, []byte("}")) || time.Since(start) != time.Minute {
			t.Errorf("read %q, %v after %v", body, err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := io.ReadAll(open(ctx).Body); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: %v", err)
		}
		resp := open(t.Context())
		time.AfterFunc(time.Second, func() { resp.Body.Close() })
		start = time.Now()
		if _, err := io.ReadAll(resp.Body); err == nil || time.Since(start) != time.Second {
			t.Errorf("closed: %v after %v", err, time.Since(start))
		}
	})
	s := twiliotest.NewServer(twiliotest.Config{})
	defer s.Close()
	s.Inject(twiliotest.Fault{Kind: twiliotest.Slow, BodyDelay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := s.Client().Do(request(t, messagesURL, message("x")).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) || resp.StatusCode != 201 {
		t.Errorf("server: %d, %v", resp.StatusCode, err)
	}
}

// net/http awaits another answer behind an informational one; in memory there
// is none to await.
func TestInformationalAnswers(t *testing.T) {
	for _, status := range []int{100, 103} {
		fault := twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Foreign: true}
		f := twiliotest.New(twiliotest.Config{})
		f.Inject(fault)
		if got := send(t, f, message("x")); got.status != status {
			t.Errorf("in memory: %+v", got)
		}
		s := twiliotest.NewServer(twiliotest.Config{})
		defer s.Close()
		s.Inject(fault)
		if resp, err := s.Client().Do(request(t, messagesURL, message("x"))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("server: %v, %v", resp, err)
		}
	}
}

func TestImpossibleFaults(t *testing.T) {
	for want, fault := range map[string]twiliotest.Fault{
		"Status is 99":                   {Kind: twiliotest.RespondStatus, Status: 99},
		"Status is 600":                  {Kind: twiliotest.AcceptThenStatus, Status: 600},
		"opens a tunnel":                 {Kind: twiliotest.RefuseTunnel, Status: 200},
		"Foreign, Header or Body is set": {Kind: twiliotest.Slow, Body: []byte("x")},
		"BodyDelay or BodyErr is set":    {Kind: twiliotest.DropAfterAccept, BodyErr: io.EOF},
		"Err is set":                     {Kind: twiliotest.RespondStatus, Err: io.EOF},
	} {
		func() {
			defer func() {
				if got, ok := recover().(string); !ok || !strings.Contains(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			twiliotest.New(twiliotest.Config{}).Inject(fault)
		}()
	}
}
