package twiliotest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"
)

// maxBody is more than any of Twilio's requests has.
const maxBody = 16 << 20

// ServeHTTP answers a request as Twilio would. The product is taken from the
// Host header. A fault that cuts the connection does so if w can be hijacked,
// and panics with http.ErrAbortHandler otherwise.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		cut(w)
		return
	}
	a, err := f.exchange(r.Context(), newInbound(r, body))
	if err != nil {
		cut(w)
		return
	}
	h := w.Header()
	if a.foreign {
		h["Date"], h["Content-Type"] = nil, nil // net/http adds none of its own
	}
	for name, values := range a.header {
		h[name] = values
	}
	whole := bodyAllowed(r.Method, a.status)
	if whole && a.breakage.err != nil {
		h.Set("Content-Length", strconv.Itoa(a.breakage.length))
	}
	w.WriteHeader(a.status)
	switch {
	case a.status < 200 && a.status != http.StatusSwitchingProtocols:
		cut(w) // net/http awaits another answer behind an informational one
	case whole:
		sendBody(w, r, a)
	}
}

// sendBody sends the body of an answer, or what a fault leaves of it.
func sendBody(w http.ResponseWriter, r *http.Request, a *answer) {
	rc := http.NewResponseController(w)
	if a.breakage.delay > 0 {
		_ = rc.Flush() // a writer that cannot flush sends at the end
		timer := time.NewTimer(a.breakage.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	w.Write(a.body)
	if a.breakage.err == nil {
		return
	}
	_ = rc.Flush() // a writer that cannot flush sends at the end
	conn, _, err := rc.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.Close()
}

// cut ends the connection after the status line. If it ended before, net/http
// could take it for one closed for idleness and send a GET again by itself,
// and a test's counts would be off.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
	conn.Close()
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = errors.New("twiliotest: the request's body is too large")
	}
	return body, err
}

// Transport returns an http.RoundTripper whose requests the Fake answers in
// the caller's goroutine, whatever their scheme and host. It obeys the
// request's context: when that ends during [Config].Latency, the context's
// error is returned, although the request may have been accepted. It may be
// used from many goroutines at once.
//
// It calls these hooks of an httptrace.ClientTrace, in this order:
//
//   - GetConn. A request whose context has ended before, or that net/http
//     would refuse, as for a header's name with a space in it, calls no hook.
//   - GotConn, WroteHeaders and WroteRequest, before the request is accepted
//     or waits. A fault that refuses the connection calls none of the three.
//   - GotFirstResponseByte, when there is an answer.
func (f *Fake) Transport() http.RoundTripper { return memory{f} }

// Client returns a new http.Client over [Fake.Transport]. Like twilio-go's
// own client it does not follow redirects; unlike that one it has no Timeout.
func (f *Fake) Client() *http.Client { return newClient(f.Transport()) }

func newClient(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type memory struct{ fake *Fake }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := unsendable(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	body, err := readBody(r)
	if r.Body != nil {
		r.Body.Close()
	}
	ctx := r.Context()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	trace := tracer{httptrace.ContextClientTrace(ctx)}
	trace.getConn(r)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		trace.wrote(err) // net/http reads a body while it writes
		return nil, err
	}
	in := newInbound(r, body)
	in.trace = trace
	a, err := m.fake.exchange(ctx, in)
	if err != nil {
		return nil, err
	}
	trace.answered()
	resp := &http.Response{
		Status:        strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.header,
		Body:          http.NoBody,
		ContentLength: int64(len(a.body)),
		Request:       r,
	}
	switch {
	case !bodyAllowed(r.Method, a.status):
		if r.Method != http.MethodHead {
			resp.ContentLength = 0
		}
	case a.breakage != breakage{}:
		resp.ContentLength = int64(max(len(a.body), a.breakage.length))
		resp.Body = newInMemory(ctx, a)
	case len(a.body) > 0:
		resp.Body = io.NopCloser(bytes.NewReader(a.body))
	}
	return resp, nil
}
