package pacer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio/twilio-go/client"
)

// redirected sends requests to a server of the test's, through a real transport.
func redirected(scheme, host string, next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = scheme, host
		return next.RoundTrip(r)
	})
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// closedPort is an address at which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func throughProxy(t *testing.T, host string) *http.Transport {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: host})}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// sendOver sends one message over a transport.
func sendOver(t *testing.T, rt http.RoundTripper, opts ...Option) error {
	t.Helper()
	c, err := New(ClientParams{Client: stubClient(&http.Client{Transport: rt})}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return createOn(c.RestClient, sender)
}

// No connection, no proxy, no TLS: nothing was written, whatever the error's type.
func TestNothingIsWrittenWithoutConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	dead := closedPort(t)
	answering := func(status string) string {
		return listen(t, func(c net.Conn) {
			defer func() { _ = c.Close() }()
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
			}
		})
	}
	mute := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	shut := listen(t, func(c net.Conn) { _ = c.Close() })
	plain := answering("200 OK")
	insecure := func() *http.Transport {
		tr := &http.Transport{TLSHandshakeTimeout: 50 * time.Millisecond, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's own server
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	for name, tt := range map[string]struct {
		rt      http.RoundTripper
		timeout time.Duration
	}{
		"nothing listens":                  {rt: redirected("https", dead, insecure())},
		"the proxy's port is closed":       {rt: throughProxy(t, dead)},
		"the proxy's name is unknown":      {rt: throughProxy(t, "proxy.invalid:3128")},
		"the proxy answers CONNECT by 407": {rt: throughProxy(t, answering("407 Proxy Authentication Required"))},
		"the proxy answers CONNECT by 503": {rt: throughProxy(t, answering("503 Service Unavailable"))},
		"the certificate is not trusted":   {rt: redirected("https", server.Listener.Addr().String(), &http.Transport{})},
		"the TLS handshake times out":      {rt: redirected("https", mute, insecure())},
		"TLS is closed in its handshake":   {rt: redirected("https", shut, insecure())},
		"the other side speaks no TLS":     {rt: redirected("https", plain, insecure())},
		"the attempt ends in TLS":          {rt: redirected("https", mute, &http.Transport{}), timeout: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(ClientParams{Client: stubClient(&http.Client{Transport: tt.rt, Timeout: tt.timeout})})
			if err != nil {
				t.Fatal(err)
			}
			err = createOn(c.RestClient, sender)
			if a := AttemptOf(err); err == nil || a != (Attempt{Fate: NotWritten}) || InDoubt(err) {
				t.Errorf("attempt %+v, in doubt %v: %v", a, InDoubt(err), err)
			}
			var failure *url.Error
			if !errors.As(err, &failure) || !strings.Contains(err.Error(), "nothing was sent") {
				t.Errorf("%T %v: expected a *url.Error that says that nothing was sent", err, err)
			}
		})
	}
}

// An answer of 201 was given, whatever became of its body.
func TestBrokenSuccessIsInDoubt(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, createdBody)
	_ = z.Close()
	damaged := append([]byte("no"), packed.Bytes()[2:]...)
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		http2   bool
	}{
		"a number where twilio-go has a text": {handler: answerWith(`{"sid":"SM0123456789abcdef0123456789abcdef","num_segments":1}`)},
		"a text where twilio-go has a number": {handler: answerWith(`{"sid":"SM0123456789abcdef0123456789abcdef","error_code":"30007"}`)},
		"a list":                              {handler: answerWith(`[{"sid":"SM0123456789abcdef0123456789abcdef"}]`)},
		"HTML":                                {handler: answerWith("<html>welcome</html>")},
		"nothing":                             {handler: answerWith("")},
		"it is reset": {handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, buf, _ := w.(http.Hijacker).Hijack()
			_, _ = buf.WriteString("HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{\"sid\":")
			_ = buf.Flush()
			_ = conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}},
		"its stream is reset": {http2: true, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"sid":`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		"its gzip is damaged": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(damaged)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				tt.handler(w, r)
			}))
			server.EnableHTTP2 = tt.http2
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			err := sendOver(t, redirected("https", server.Listener.Addr().String(), server.Client().Transport))
			if _, limited := FromError(err); err == nil || limited || !InDoubt(err) {
				t.Errorf("in doubt %v: %v", InDoubt(err), err)
			}
		})
	}
}

func answerWith(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, body)
	}
}

// A client that follows redirects: what counts is how the POST itself was answered.
func TestRedirectsOfClientThatFollows(t *testing.T) {
	dead := "https://" + closedPort(t) + "/"
	for name, tt := range map[string]struct {
		status int
		target string
		want   bool
	}{
		"303 to a place that cannot be reached": {303, dead, true},
		"303 to a page that is not there":       {303, "/gone", true},
		"302 to a place that cannot be reached": {302, dead, false},
		"307 to a place that cannot be reached": {307, dead, false},
		"307 to one that cuts the connection":   {307, "/cut", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/gone":
					http.NotFound(w, r)
				case "/cut":
					panic(http.ErrAbortHandler)
				default:
					w.Header().Set("Location", tt.target)
					w.WriteHeader(tt.status)
				}
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			defer server.Close()
			host := server.Listener.Addr().String()
			err := sendOver(t, transport(func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				if r.URL.Host == "api.twilio.com" {
					r.URL.Host = host
				}
				return server.Client().Transport.RoundTrip(r)
			}))
			if err == nil || InDoubt(err) != tt.want {
				t.Errorf("in doubt %v, expected %v: %v", InDoubt(err), tt.want, err)
			}
		})
	}
}

// What net/http refuses is not sent; what another transport makes of it nobody knows.
func TestInvalidHeaderIsNotWritten(t *testing.T) {
	for header, value := range map[string]string{"X Twilio": "a", "": "a", "X-Twilio-A": "a\x01", "X-Twilio-B": "a\nb"} {
		for _, own := range []bool{true, false} {
			var rt http.RoundTripper = &http.Transport{}
			if !own {
				rt = transport(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
			}
			c, err := New(ClientParams{Client: stubClient(&http.Client{Transport: rt})})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.RequestHandler.Client.SendRequest("POST", "https://"+closedPort(t)+"/x", nil, map[string]any{header: value})
			if a := AttemptOf(err); (a.Fate == NotWritten) != own {
				t.Errorf("header %q: %q, net/http %v: %+v, %v", header, value, own, a, err)
			}
		}
	}
}

// An ended context inside a BaseClient of the program's own says nothing of what it sent.
func TestBlackBoxIsNeverTrusted(t *testing.T) {
	for name, end := range map[string]error{"time-out": errors.New("timeout"), "deadline": context.DeadlineExceeded, "dial": &net.OpError{Op: "dial", Err: errors.New("connection refused")}} {
		ctx, cancel := context.WithCancel(bg)
		base := &blackBox{send: func(int32) (*http.Response, error) {
			cancel() // the call's context has ended, too
			if name == "deadline" {
				return nil, ctx.Err()
			}
			return nil, end
		}}
		base.SetAccountSid(account)
		c, err := New(ClientParams{Client: base})
		if err != nil {
			t.Fatal(err)
		}
		err = createOn(c.WithContext(ctx), sender)
		if _, limited := FromError(err); limited || !InDoubt(err) || AttemptOf(err).Fate != PerhapsWritten || c.SeesAttempts() {
			t.Errorf("%s: FromError %v, in doubt %v, attempt %+v: %v", name, limited, InDoubt(err), AttemptOf(err), err)
		}
	}
}

// A Turn's request is sent once: not even net/http sends it again, or after a redirect.
func TestTurnIsSentOnceByNetHTTP(t *testing.T) {
	var posts atomic.Int32
	host := listen(t, func(c net.Conn) {
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		for n := 0; ; n++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			switch {
			case r.URL.Path == "/moved":
				posts.Add(1)
				_, _ = io.WriteString(c, "HTTP/1.1 307 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
			case r.Method == http.MethodPost:
				posts.Add(1)
				return // cut, as if it had been idle
			default:
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			}
		}
	})
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	c, err := New(ClientParams{Client: stubClient(&http.Client{Transport: tr})})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path string) (*http.Response, error) {
		turn, err := c.Turn(bg, Resource{Account: account, Product: "api", Name: "x", Op: Create})
		if err != nil {
			t.Fatal(err)
		}
		return turn.Send(bg, SentRequest{Method: method, URL: "http://" + host + path, Header: map[string]any{"Idempotency-Key": "1"}, Form: url.Values{"A": {"b"}}})
	}
	resp, err := send(http.MethodGet, "/") // so that the connection has been used
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if _, err := send(http.MethodPost, "/"); !InDoubt(err) || posts.Load() != 1 {
		t.Errorf("%d POSTs, expected 1; in doubt %v: %v", posts.Load(), InDoubt(err), err)
	}
	resp, err = send(http.MethodPost, "/moved")
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect || posts.Load() != 2 {
		t.Errorf("%d POSTs, expected 2; answer %v, %v", posts.Load(), resp, err)
	}
}

var _ client.BaseClient = (*blackBox)(nil)

// Twilio's codes about the account come with 4xx. A failure of Twilio's own leaves open
// what became of the request, whatever code it has.
func TestServerErrorWithAnAccountCodeIsInDoubt(t *testing.T) {
	for code := range accountCodes {
		if err := error(&client.TwilioRestError{Status: 500, Code: code}); Unauthorized(err) || !InDoubt(err) {
			t.Errorf("500 with %d: unauthorized %v, in doubt %v", code, Unauthorized(err), InDoubt(err))
		}
	}
}
