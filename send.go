package pacer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twilio/twilio-go/client"
)

// paced is the client.BaseClient through which all of twilio-go's services send.
type paced struct {
	*core
	ctx       context.Context
	anonymous bool // without credentials: the request for an access token itself
}

// AccountSid implements client.BaseClient: it is the SID in the paths of requests which name none.
func (p *paced) AccountSid() string { return p.base.AccountSid() }

// SetTimeout implements client.BaseClient.
func (p *paced) SetTimeout(timeout time.Duration) { p.setTimeout(timeout) }

// OAuth implements client.BaseClient.
func (p *paced) OAuth() client.OAuth { return p.oauth() }

// SetOauth implements client.BaseClient. It keeps the source that is fetching a token just now. While
// twilio-go's APIOAuth fetches, it sets its client's source to nil, and that may be this client.
func (p *paced) SetOauth(source client.OAuth) {
	if a := p.auth.Load(); source == nil && a != nil && a.shared.busy() {
		return
	}
	p.setOauth(source)
}

// SendRequest is where a call begins. It returns when the request has been answered,
// or will not be.
func (p *paced) SendRequest(method, rawURL string, data url.Values, headers map[string]any, body ...byte) (*http.Response, error) {
	if p.err != nil {
		return nil, neverSent(p.err)
	}
	if p.base.AccountSid() == "" && p.provided && strings.Contains(rawURL, "/Accounts//") {
		return nil, errNoAccount
	}
	account := p.charged()
	if p.anonymous {
		account = "" // the request for a token is no account's: it must not wait for a permit of one
	}
	ctx, resource := p.ctx, ResourceOf(method, rawURL, data, account)
	for _, begin := range p.cfg.callContext {
		ctx = begin(ctx, resource)
	}
	c := &call{
		core:     p.core,
		ctx:      ctx,
		request:  request{method, rawURL, data, headers, body},
		resource: resource,
		key:      keyOf(resource, rawURL, data),
		start:    time.Now(),
	}
	c.schedule.ctx, c.schedule.cfg = ctx, p.cfg
	return c.do()
}

var errNoAccount = errors.New("pacer: the request is about an account, and ClientParams.AccountSid is empty: expected an account SID beside the ClientCredentialProvider")

// do lets the call wait and sends it, until there is an answer or an error for the program.
func (c *call) do() (resp *http.Response, err error) {
	if c.cfg.discover != nil {
		c.cfg.discover(c.resource)
	}
	err = errPanicked // unless it returns
	defer func() { c.done(err) }()
	defer c.giveBack(Outcome{Unused: true})
	throttled, failed := c.attempt()
	if throttled && !c.once {
		failed = c.retry(failed)
	}
	if failed != nil {
		return nil, c.ended(failed)
	}
	return c.resp, nil
}

// errPanicked is what observers get of a call that a transport or limiter of
// the program's ended with a panic, or with runtime.Goexit; nobody else gets it.
var errPanicked = errors.New("the call panicked")

// done counts the call and tells of its end, which always comes: observers may keep
// something open for each call.
func (c *call) done(err error) {
	c.wakeUp()
	c.tellWaited()
	now := time.Now()
	c.cfg.recorder.called(now, err)
	if c.observed() {
		c.emit(Event{Kind: EventDone, Time: now, Wait: c.waits.total, Took: now.Sub(c.start), Status: c.wire.status, Err: err})
	}
	c.speak()
}

// retry sends a throttled request again until it passes or the schedule ends. The
// first answer is on the table already: a call that is not throttled does not pay for
// the loop.
func (c *call) retry(answer error) error {
	return backoff.RetryNotify(func() error {
		if err := answer; err != nil {
			answer = nil
			return err
		}
		throttled, err := c.attempt()
		if err != nil && !throttled {
			return backoff.Permanent(err)
		}
		return err
	}, &c.schedule, c.beforeRetry)
}

// attempt waits until the request may leave, and sends it once. throttled: it may be sent
// again, and err is the answer.
func (c *call) attempt() (throttled bool, err error) {
	c.wakeUp()
	c.last.sent = false
	if err := c.ctx.Err(); err != nil {
		return false, err // a wait that was cancelled must not send
	}
	token, err := c.depart()
	if err != nil {
		return false, err
	}
	return c.afterAttempt(c.sendOnce(token))
}

// A reply is what came of one attempt.
type reply struct {
	err   error
	ended time.Time
	took  time.Duration
	code  int  // Twilio's; 0: none
	kind  Kind // why Twilio would not take it now; "": it is no such answer
}

// sendOnce sends the request, and tells the limiter what became of it before anybody else
// can hear of it. Until then the call has its permit, and runs no function of the program's
// but the transport.
func (c *call) sendOnce(token string) (r reply) {
	outcome := Outcome{Failed: true, Retry: c.attempts > 0} // of a transport that panics
	defer func() { c.giveBack(outcome) }()

	c.attempts++
	c.last.sent = true
	began := time.Now()
	c.resp, r.err = c.send(token) //nolint:bodyclose // twilio-go closes what SendRequest returns
	r.ended = time.Now()
	r.took = r.ended.Sub(began)
	a := readAnswer(r.err)
	if r.err != nil && c.wire.status != 0 {
		a.status = c.wire.status
		setStatus(r.err, a.status)
	} else if r.err != nil {
		c.wire.status = a.status // of a BaseClient of the program's own the error is all there is
	}
	if a.status == http.StatusUnauthorized {
		c.rejected(token)
	}
	r.code, r.kind = a.code, classify(a.status, a.code)
	if c.last.notNow = r.kind != ""; c.last.notNow {
		c.last.answer = r.err
		c.last.limit = &RateLimit{
			Kind: r.kind, Scope: c.key.scopeOf(a.code), Resource: c.resource.String(), Status: a.status, Code: a.code,
			RequestID:  c.wire.header.Get("Twilio-Request-Id"),
			RetryAfter: parseRetryAfter(c.wire.header, r.ended),
		}
	}
	outcome.Failed = r.kind != Throttled && (c.last.notNow || saysNothing(r.err, c.wire.status))
	outcome.Passed = outcome.Failed && c.wire.status >= http.StatusInternalServerError
	c.wire.counts(&outcome)
	if r.kind == Throttled {
		outcome.Throttled, outcome.Rate = true, saysRate(c.resource, a.code)
		outcome.RetryAfter = c.schedule.throttled(c.last.limit.RetryAfter)
		outcome.TooLong = c.last.limit.RetryAfter > c.cfg.maxRetryAfter
		outcome.Step = c.last.limit.RetryAfter == 0 && !c.once // a Turn's is the resource's
		c.last.limit.Scope = c.narrow.throttled(c.key, began, a.code, c.wire.reachedOwnLimit(), c.last.limit.RetryAfter, &outcome)
	}
	return r
}

// send sends the request once, by twilio-go's client or by the program's own.
func (c *call) send(token string) (resp *http.Response, err error) {
	c.cfg.recorder.inFlight.Add(1)
	defer c.cfg.recorder.inFlight.Add(-1)
	timeout := time.Duration(c.timeout.Load())
	if c.once { // a queue's worker, whose process a panic would end
		timeout = 0 // ctx says how long
		defer func() {
			if p := recover(); p != nil {
				c.cfg.logPanic("transport", p)
				resp, err = nil, &attemptError{Attempt{Fate: PerhapsWritten}, errors.New("the transport has panicked: Twilio may have processed the request")}
			}
		}()
	}
	if c.twilio == nil {
		return c.wire.sendBy(c.base, &c.request)
	}
	return c.wire.send(c.ctx, c.twilio, c.credentials(), &c.request, token, timeout, c.once)
}

// afterAttempt tells the program of an attempt, and says whether the request may be sent again.
func (c *call) afterAttempt(r reply) (throttled bool, err error) {
	c.tellWaited()
	if c.observed() {
		c.emit(Event{Kind: EventSent, Time: r.ended, Took: r.took, Status: c.wire.status, Code: r.code, Err: r.err})
	}
	throttled = r.kind == Throttled
	if alarm := c.cfg.recorder.requested(c.resource, c.attempts > 1, throttled, throttled && c.last.limit.Scope.Narrow(), r.ended); alarm != nil {
		c.cfg.raise(Alert{Kind: AlertThrottled, Time: r.ended, Resource: c.resource, Advice: adviceThrottled, Err: alarm})
	}
	if !throttled {
		return false, r.err
	}
	if c.observed() {
		c.emit(Event{Kind: EventThrottled, Status: c.last.limit.Status, Code: r.code, Scope: c.last.limit.Scope, RetryAfter: c.last.limit.RetryAfter, Err: r.err})
	}
	if !c.once {
		if refused := c.outlasts(c.schedule.next); refused != nil {
			return false, refused
		}
	}
	return true, r.err
}

// saysNothing reports that an attempt which was not throttled was not accepted either, so
// that nothing follows from it about any limit. status is 0 if no answer came, or if a
// BaseClient of the program's own does not tell.
func saysNothing(err error, status int) bool {
	switch {
	case status == 0:
		return err != nil
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest, status >= http.StatusInternalServerError:
		return true
	}
	return Unauthorized(err)
}
