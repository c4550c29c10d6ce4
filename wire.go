package pacer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
	once    bool // nothing below may send the request a second time

	status   int // of the last answer; 0: none came
	header   http.Header
	failure  *http.Response // of this attempt, to be repeated without sending
	body     []byte         // of failure
	rounds   int            // of this attempt, how often RoundTrip has sent
	seeOther bool           // this attempt was answered 303: it is processed, whatever comes next

	// What net/http has told of the round trip that is under way, from any goroutine.
	connecting, connected atomic.Bool
}

// maxErrorBody bounds what is read of an error answer. Twilio's have a few hundred
// bytes, the pages of its edge a few thousand.
const maxErrorBody = 64 << 10

// A request is what a call sends, as twilio-go gives it to its client.BaseClient.
type request struct {
	method, url string
	form        url.Values
	headers     map[string]any
	body        []byte
}

// send sends r once, as own would, within ctx. token is its access token; "": the credentials are
// used. timeout bounds the attempt; below 0: that of own's http.Client does; 0: nothing does. once:
// nothing below may send the request a second time, and redirects are not followed.
func (w *wire) send(ctx context.Context, own *client.Client, credentials *client.Credentials, r *request, token string, timeout time.Duration, once bool) (*http.Response, error) {
	w.status, w.header, w.failure, w.body, w.rounds, w.seeOther = 0, nil, nil, nil, 0, false
	w.ctx, w.once = ctx, once
	hc := own.HTTPClient
	if hc == nil {
		hc = defaultHTTPClient
	}
	if w.next = hc.Transport; w.next == nil {
		w.next = http.DefaultTransport
	}
	// Not http.Client.Timeout: it would cost twice as much as a context, and what
	// SetTimeout changes while requests run must not be a field of theirs.
	if w.timeout = timeout; w.timeout < 0 {
		w.timeout = hc.Timeout
	}
	w.http = http.Client{Transport: w, CheckRedirect: hc.CheckRedirect, Jar: hc.Jar}
	if w.once {
		w.http.CheckRedirect = defaultHTTPClient.CheckRedirect
	}
	// Only the exported fields: twilio-go changes the others while it runs.
	w.twilio = client.Client{Credentials: credentials, HTTPClient: &w.http, UserAgentExtensions: own.UserAgentExtensions}
	if token != "" {
		w.twilio.SetOauth(bearer(token))
	}
	resp, err := w.twilio.SendRequest(r.method, r.url, r.form, r.headers, r.body...)
	if err != nil && w.rounds == 0 && readAnswer(err).status == 0 {
		err = neverSent(err) // twilio-go or http.Client has refused it
	}
	return resp, err
}

// neverSent notes in err that nothing was written. The type of a *url.Error stays.
func neverSent(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) && error(outer) == err {
		outer.Err = &attemptError{Attempt{Fate: NotWritten}, outer.Err}
		return outer
	}
	return &attemptError{Attempt{Fate: NotWritten}, err}
}

// defaultHTTPClient is as twilio-go's: it does not follow redirects, and gives up
// after 10 s.
var defaultHTTPClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       10 * time.Second,
}

// sendBy sends through a BaseClient that is not twilio-go's. One that returns a 429 as a
// response, without an error, would have it decoded as if it were a message.
func (w *wire) sendBy(base client.BaseClient, r *request) (*http.Response, error) {
	resp, err := base.SendRequest(r.method, r.url, r.form, r.headers, r.body...)
	w.status, w.header = 0, nil
	if err != nil || resp == nil {
		return resp, err
	}
	w.status, w.header = resp.StatusCode, resp.Header
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
	req = req.WithContext(w.traced(ctx))
	if w.once {
		req.GetBody = nil
	}
	w.rounds++
	resp, err := w.next.RoundTrip(req)
	if err != nil {
		timedOut := ctx.Err() != nil && w.ctx.Err() == nil
		cancel()
		if timedOut {
			err = &attemptTimeout{w.timeout, err}
		}
		return nil, w.fate(req).failed(err)
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if w.seeOther && resp.StatusCode >= 400 {
		cancel()
		drain(resp.Body)
		w.status = http.StatusSeeOther
		return nil, Attempt{Fate: Answered, Status: w.status}.failed(fmt.Errorf("the page that a redirect named has status %d", resp.StatusCode))
	}
	w.status, w.header = resp.StatusCode, resp.Header
	w.seeOther = w.seeOther || w.status == http.StatusSeeOther
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		// The attempt's context lasts until the body has been read.
		resp.Body = &boundBody{resp.Body, cancel, resp.StatusCode}
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

// traced returns ctx with hooks by which the transport tells how far the round trip gets.
func (w *wire) traced(ctx context.Context) context.Context {
	w.connecting.Store(false)
	w.connected.Store(false)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.connecting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.connected.Store(true) },
	})
}

// fate returns how far the attempt got whose last round trip has failed. A transport that
// has asked for a connection and got none has written nothing. One that tells nothing may
// have done anything: it is not net/http's, and does not know its hooks.
func (w *wire) fate(req *http.Request) Attempt {
	unwritten := w.connecting.Load() && !w.connected.Load() || w.refused(req)
	switch {
	case w.seeOther: // the request itself was answered; only the page behind it was not
		w.status = http.StatusSeeOther
		return Attempt{Fate: Answered, Status: w.status}
	case unwritten && w.status == 0:
		return Attempt{Fate: NotWritten}
	case unwritten: // the target of a redirect was not reached
		return Attempt{Fate: Answered, Status: w.status}
	}
	w.status = 0
	return Attempt{Fate: PerhapsWritten}
}

// refused reports a request that is never sent: to a host that WithBaseURL is not about, or, by
// net/http, with a header that is not valid HTTP. Any other transport might send the latter.
func (w *wire) refused(req *http.Request) bool {
	next := w.next
	if to, ok := next.(*rebased); ok {
		if !to.covers(req.URL) {
			return true
		}
		next = to.next
	}
	if _, ok := next.(*http.Transport); !ok {
		return false
	}
	for name, values := range req.Header {
		if !headerName(name) || slices.ContainsFunc(values, controls) {
			return true
		}
	}
	return false
}

// headerName reports whether s is a token, as names of headers are:
// https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.2
func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// controls reports whether a header's value has a control character other than a tab.
func controls(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
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

// number reads a header in which Twilio counts something. ok is false, and n is 0, if it
// does not. The name must be in canonical form.
func (w *wire) number(header string) (n int, ok bool) {
	values := w.header[header]
	if len(values) == 0 {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(values[0]))
	if err != nil || n < 0 {
		return 0, false
	}
	return n, true
}

// reachedOwnLimit reports that Verify names a Service Rate Limit. The program has set it up at Twilio
// for its users, such as one for each address on the Internet:
// https://github.com/twilio/twilio-oai, twilio_verify_v2.json, CreateVerification.
func (w *wire) reachedOwnLimit() bool { return w.header.Get("Twilio-Reached-Rate-Limit") != "" }

// counts notes what the answer's headers say of limits, throttled or not.
func (w *wire) counts(o *Outcome) {
	o.ConcurrentRequests, _ = w.number("Twilio-Concurrent-Requests") // itself is one: 0 says nothing
	o.Allowed, _ = w.number("X-Rate-Limit-Limit")
	remaining, ok := w.number("X-Rate-Limit-Remaining")
	if o.Remaining = remaining; !ok && o.Allowed > 0 {
		o.Remaining = -1
	}
}

// boundBody is the body of an answer that ends with its context: the attempt's timeout,
// or the caller's.
type boundBody struct {
	io.ReadCloser
	cancel context.CancelFunc
	status int
}

func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = Attempt{Fate: Answered, Status: b.status}.failed(fmt.Errorf("the answer broke off: %w", err))
	}
	return n, err
}

func (b *boundBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// attemptTimeout is what http.Client.Timeout would have given.
type attemptTimeout struct {
	after time.Duration
	err   error
}

func (e *attemptTimeout) Error() string {
	return fmt.Sprintf("context deadline exceeded (Client.Timeout exceeded while awaiting headers): no answer within %v", e.after)
}
func (e *attemptTimeout) Timeout() bool   { return true }
func (e *attemptTimeout) Temporary() bool { return true }
func (e *attemptTimeout) Unwrap() error   { return e.err }
func (e *attemptTimeout) Is(target error) bool {
	return target == context.DeadlineExceeded
}

// bearer is an access token that an attempt is sent with.
type bearer string

func (b bearer) GetAccessToken(context.Context) (string, error) { return string(b), nil }
