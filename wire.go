package pacer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
)

// A wire sends the attempts of one call. Each attempt is one whole SendRequest of
// twilio-go, which builds, signs and decodes; wire is the transport below it, and sees
// what twilio-go throws away: an error answer's status and headers.
type wire struct {
	twilio client.Client
	http   http.Client

	next    http.RoundTripper
	ctx     context.Context
	timeout time.Duration

	status  int // of the last answer; 0: none came
	header  http.Header
	failure *http.Response // of this attempt, to be repeated without sending
	body    []byte         // of failure
}

// maxErrorBody bounds what is read of an error answer. Twilio's have a few hundred
// bytes, the pages of its edge a few thousand.
const maxErrorBody = 64 << 10

// send sends the request once.
func (c *call) send(token string) (*http.Response, error) {
	c.cfg.recorder.inFlight.Add(1)
	defer c.cfg.recorder.inFlight.Add(-1)
	if c.own == nil {
		return c.sendByOther()
	}
	w := &c.wire
	w.status, w.header, w.failure, w.body = 0, nil, nil, nil
	w.ctx = c.ctx
	hc := c.own.HTTPClient
	if hc == nil {
		hc = defaultHTTPClient
	}
	if w.next = hc.Transport; w.next == nil {
		w.next = http.DefaultTransport
	}
	// Not http.Client.Timeout: it would cost twice as much as a context, and what
	// SetTimeout changes while requests run must not be a field of theirs.
	if w.timeout = time.Duration(c.timeout.Load()); w.timeout < 0 {
		w.timeout = hc.Timeout
	}
	if c.turn != nil {
		w.timeout = 0 // ctx says how long
	}
	w.http = http.Client{Transport: w, CheckRedirect: hc.CheckRedirect, Jar: hc.Jar}
	// Only the exported fields: twilio-go changes the others while it runs.
	w.twilio = client.Client{Credentials: c.own.Credentials, HTTPClient: &w.http, UserAgentExtensions: c.own.UserAgentExtensions}
	if token != "" {
		w.twilio.SetOauth(bearer(token))
	}
	return w.twilio.SendRequest(c.method, c.url, c.form, c.headers, c.body...)
}

// defaultHTTPClient is as twilio-go's: it does not follow redirects, and gives up
// after 10 s.
var defaultHTTPClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       10 * time.Second,
}

// sendByOther sends through a BaseClient that is not twilio-go's. One that returns a
// 429 as a response, without an error, would have it decoded as if it were a message.
func (c *call) sendByOther() (*http.Response, error) {
	resp, err := c.base.SendRequest(c.method, c.url, c.form, c.headers, c.body...)
	c.wire.status, c.wire.header = 0, nil
	if err != nil || resp == nil {
		return resp, err
	}
	c.wire.status, c.wire.header = resp.StatusCode, resp.Header
	if resp.StatusCode != http.StatusTooManyRequests {
		return resp, nil
	}
	answer := &client.TwilioRestError{}
	if err := json.Unmarshal(readableBody(drain(resp.Body), false), answer); err != nil {
		answer = &client.TwilioRestError{Status: http.StatusTooManyRequests, Code: codeThrottled, Message: tooManyRequests}
	}
	return nil, answer
}

// RoundTrip implements [http.RoundTripper], for twilio-go's http.Client.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.failure != nil {
		// twilio-go, which could not decode this attempt's error answer, sends the
		// request once more by itself, a POST too. It gets the same answer again.
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return w.again(req), nil
	}
	ctx, cancel := w.ctx, func() {}
	if w.timeout > 0 {
		timed, stop := context.WithTimeout(ctx, w.timeout)
		ctx, cancel = timed, stop
	}
	if ctx != context.Background() {
		req = req.WithContext(ctx)
	}
	resp, err := w.next.RoundTrip(req)
	if err != nil {
		timedOut := ctx.Err() != nil && w.ctx.Err() == nil
		cancel()
		if timedOut {
			err = &attemptTimeout{w.timeout, err}
		}
		return nil, err
	}
	w.status, w.header = resp.StatusCode, resp.Header
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		if ctx != context.Background() { // it lasts until the body has been read
			resp.Body = &boundBody{resp.Body, cancel}
		}
		return resp, nil
	}

	// twilio-go never closes the body of an error answer, which would cost a
	// connection each time.
	w.body = drain(resp.Body)
	cancel()
	if resp.StatusCode == http.StatusTooManyRequests {
		w.body = readableBody(w.body, req.Header.Get("X-Twilio-ApiVersion") == "v1.0")
	}
	w.failure = resp
	return w.again(req), nil
}

func (w *wire) again(req *http.Request) *http.Response {
	resp := *w.failure
	resp.Request = req
	resp.Body = io.NopCloser(bytes.NewReader(w.body))
	resp.ContentLength = int64(len(w.body))
	return &resp
}

// drain reads what an error body says, within bounds, and closes it.
func drain(body io.ReadCloser) []byte {
	if body == nil {
		return nil
	}
	defer func() { _ = body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(body, maxErrorBody)) // half a body is better than none
	return b
}

// number reads a header in which Twilio counts something; 0 if it does not. The name
// is to be in canonical form.
func (w *wire) number(header string) int {
	values := w.header[header]
	if len(values) == 0 {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(values[0]))
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// boundBody is the body of an answer that ends with its context: the attempt's timeout,
// or the caller's.
type boundBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &brokenAnswer{err}
	}
	return n, err
}

func (b *boundBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// A brokenAnswer keeps the end of a context that struck while the answer was read
// apart from one that struck before anything was sent.
type brokenAnswer struct{ err error }

func (e *brokenAnswer) Error() string {
	return "the answer broke off, Twilio has processed the request: " + e.err.Error()
}
func (e *brokenAnswer) Unwrap() error { return e.err }

// attemptTimeout is what http.Client.Timeout would have given.
type attemptTimeout struct {
	after time.Duration
	err   error
}

func (e *attemptTimeout) Error() string {
	return fmt.Sprintf("context deadline exceeded (Client.Timeout exceeded while awaiting headers): no answer within %v, Twilio may have processed it", e.after)
}
func (e *attemptTimeout) Timeout() bool   { return true }
func (e *attemptTimeout) Temporary() bool { return true }
func (e *attemptTimeout) Unwrap() error   { return e.err }
func (e *attemptTimeout) Is(target error) bool {
	return target == context.DeadlineExceeded
}
