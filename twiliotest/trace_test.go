package twiliotest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// traced makes a request record which hooks its transport calls, in order.
func traced(r *http.Request, called func(hook string)) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GetConn: func(hostPort string) { called("GetConn " + hostPort) },
		GotConn: func(i httptrace.GotConnInfo) {
			if i.Conn.RemoteAddr() != nil { // which a tracer may ask
				called("GotConn")
			}
		},
		WroteHeaders: func() { called("WroteHeaders") },
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if i.Err != nil {
				called("WroteRequest " + i.Err.Error())
				return
			}
			called("WroteRequest")
		},
		GotFirstResponseByte: func() { called("GotFirstResponseByte") },
	}))
}

var (
	asked    = []string{"GetConn api.twilio.com:443"}
	written  = append(asked[:1:1], "GotConn", "WroteHeaders", "WroteRequest")
	answered = append(written[:4:4], "GotFirstResponseByte")
)

func TestTransportTellsWhetherTheRequestWasWritten(t *testing.T) {
	throttled := twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 1}}}
	nobody := twiliotest.Config{Credentials: map[string]string{}}
	tests := map[string]struct {
		fault *twiliotest.Fault
		cfg   twiliotest.Config
		want  []string
	}{
		"answered":             {want: answered},
		"unauthorized":         {cfg: nobody, want: answered},
		"throttled":            {cfg: throttled, want: answered},
		"connection refused":   {fault: &twiliotest.Fault{Kind: twiliotest.RefuseConnection}, want: asked},
		"proxy refused":        {fault: &twiliotest.Fault{Kind: twiliotest.RefuseProxy}, want: asked},
		"tunnel refused":       {fault: &twiliotest.Fault{Kind: twiliotest.RefuseTunnel, Status: 407}, want: asked},
		"no TLS":               {fault: &twiliotest.Fault{Kind: twiliotest.TimeoutTLS, Delay: 10 * time.Second}, want: asked},
		"cut before the work":  {fault: &twiliotest.Fault{Kind: twiliotest.DropBeforeAccept}, want: written},
		"cut after the work":   {fault: &twiliotest.Fault{Kind: twiliotest.DropAfterAccept}, want: written},
		"503 before the work":  {fault: &twiliotest.Fault{Kind: twiliotest.RespondStatus}, want: answered},
		"503 after the work":   {fault: &twiliotest.Fault{Kind: twiliotest.AcceptThenStatus}, want: answered},
		"accepted after delay": {fault: &twiliotest.Fault{Kind: twiliotest.AcceptLate, Delay: time.Second}, want: answered},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := twiliotest.New(tt.cfg)
				if tt.fault != nil {
					f.Inject(*tt.fault)
				}
				if tt.cfg.Limits != nil {
					send(t, f, message("x"))
				}
				var got []string
				r := traced(request(t, messagesURL, message("x")), func(hook string) { got = append(got, hook) })
				resp, err := f.Client().Do(r)
				if err == nil {
					resp.Body.Close()
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("hooks %q, want %q; error %v", got, tt.want, err)
				}
			})
		})
	}
}

// What a client wrote before it gave up, it knows when it gives up.
func TestTransportTellsOfWritingBeforeTheWait(t *testing.T) {
	for name, fault := range map[string]twiliotest.Fault{
		"slow answer":     {Kind: twiliotest.Slow, Delay: time.Hour},
		"late acceptance": {Kind: twiliotest.AcceptLate, Delay: time.Hour},
		"late cut":        {Kind: twiliotest.DropBeforeAccept, Delay: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := twiliotest.New(twiliotest.Config{})
				f.Inject(fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var got []string
				r := traced(request(t, messagesURL, message("x")).WithContext(ctx), func(hook string) { got = append(got, hook) })
				if _, err := f.Client().Do(r); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if !slices.Equal(got, written) {
					t.Errorf("hooks %q, want %q", got, written)
				}
			})
		})
	}
}

func TestTransportTellsNothingOfWritingForADeadRequest(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	r := traced(request(t, messagesURL, message("x")).WithContext(ctx), func(hook string) {
		got = append(got, hook)
		cancel() // by the first hook: the connection is waited for in vain
	})
	for range 2 {
		if _, err := f.Client().Do(r); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	if !slices.Equal(got, asked) || f.Stats().Received != 0 {
		t.Errorf("hooks %q, want %q, and nothing received: %+v", got, asked, f.Stats())
	}
}

func TestTransportTellsOfABodyThatCannotBeRead(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	var got []string
	r := traced(request(t, messagesURL, message("x")), func(hook string) { got = append(got, hook) })
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("To="), badReader{}))
	if _, err := f.Client().Do(r); !errors.Is(err, errBad) {
		t.Errorf("error %v", err)
	}
	want := slices.Concat(written[:3], []string{"WroteRequest " + errBad.Error()})
	if !slices.Equal(got, want) || f.Stats().Received != 0 {
		t.Errorf("hooks %q, want %q; %+v", got, want, f.Stats())
	}
}

var errBad = errors.New("the file is gone")

type badReader struct{}

func (badReader) Read([]byte) (int, error) { return 0, errBad }

// The errors of a connection that was never made are net/http's.
func TestRefusalsAreThoseOfNetHTTP(t *testing.T) {
	for name, tt := range map[string]struct {
		fault twiliotest.Fault
		text  string
		check func(error) bool
	}{
		"proxy": {twiliotest.Fault{Kind: twiliotest.RefuseProxy}, "proxyconnect tcp: dial tcp: connect: connection refused", func(err error) bool {
			var op *net.OpError
			return errors.As(err, &op) && op.Op == "proxyconnect" && errors.Is(err, syscall.ECONNREFUSED)
		}},
		"407 to CONNECT": {twiliotest.Fault{Kind: twiliotest.RefuseTunnel, Status: 407}, "Proxy Authentication Required", nil},
		"503 to CONNECT": {twiliotest.Fault{Kind: twiliotest.RefuseTunnel}, "Service Unavailable", nil},
		"499 to CONNECT": {twiliotest.Fault{Kind: twiliotest.RefuseTunnel, Status: 499}, "unknown status code", nil},
		"TLS": {twiliotest.Fault{Kind: twiliotest.TimeoutTLS}, "net/http: TLS handshake timeout", func(err error) bool {
			timeout, ok := err.(net.Error)
			return ok && timeout.Timeout()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := twiliotest.New(twiliotest.Config{})
			f.Inject(tt.fault)
			_, err := f.Client().Do(request(t, messagesURL, message("x")))
			if err == nil || !strings.HasSuffix(err.Error(), `": `+tt.text) || tt.check != nil && !tt.check(err) {
				t.Errorf("error %v, want %s", err, tt.text)
			}
			if len(f.Messages()) != 0 || len(f.Refused()) != 1 {
				t.Errorf("%d accepted, %d refused", len(f.Messages()), len(f.Refused()))
			}
		})
	}
}

// What net/http refuses to send is refused with the same words, and nothing is
// asked of the Fake.
func TestTransportRefusesWhatNetHTTPRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*http.Request){
		"header name with a space":   func(r *http.Request) { r.Header["X Twilio"] = []string{"1"} },
		"header name that is empty":  func(r *http.Request) { r.Header[""] = []string{"1"} },
		"header name with an umlaut": func(r *http.Request) { r.Header["X-\u00fc"] = []string{"1"} },
		"header value with a break":  func(r *http.Request) { r.Header.Set("X-Twilio", "a\r\nb") },
		"header value with a DEL":    func(r *http.Request) { r.Header.Set("X-Twilio", "a\x7f") },
		"method with a space":        func(r *http.Request) { r.Method = "PO ST" },
		"no host":                    func(r *http.Request) { r.URL.Host = "" },
		"no URL":                     func(r *http.Request) { r.URL = nil },
		"no headers":                 func(r *http.Request) { r.Header = nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := twiliotest.New(twiliotest.Config{})
			var got []string
			spoiled := func() *http.Request {
				r := traced(request(t, messagesURL, message("x")), func(hook string) { got = append(got, hook) })
				spoil(r)
				return r
			}
			_, err := f.Transport().RoundTrip(spoiled())
			_, want := http.DefaultTransport.RoundTrip(spoiled()) // which opens no connection
			if err == nil || want == nil || err.Error() != want.Error() {
				t.Errorf("error %v, want net/http's: %v", err, want)
			}
			if len(got) != 0 || f.Stats().Received != 0 {
				t.Errorf("hooks %q, %+v", got, f.Stats())
			}
		})
	}
	f := twiliotest.New(twiliotest.Config{})
	r := request(t, messagesURL, message("x"))
	r.Header.Set("X-Twilio", "tab\tand \u00fc")
	if got := do(t, f.Client(), r); got.status != 201 {
		t.Errorf("a header that may be sent: %+v", got)
	}
}
