package pacer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// paced is the client.BaseClient through which all of twilio-go's services send.
type paced struct {
	*Client
	ctx       context.Context
	anonymous bool // without credentials: the request for an access token itself
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
		account = "" // the request for a token is no account's: it must not wait for a slot of one
	}
	ctx, resource := p.ctx, ResourceOf(method, rawURL, data, account)
	for _, begin := range p.cfg.callContext {
		ctx = begin(ctx, resource)
	}
	c := &call{
		paced:    p,
		ctx:      ctx,
		method:   method,
		url:      rawURL,
		form:     data,
		headers:  headers,
		body:     body,
		resource: resource,
		key:      keyOf(resource, rawURL, data),
		start:    time.Now(),
	}
	c.schedule.ctx, c.schedule.cfg = ctx, p.cfg
	return c.do()
}

// A call is one request of the program's, from SendRequest to its return.
type call struct {
	*paced
	ctx         context.Context // the program's, and what WithCallContext adds to it
	method, url string
	form        url.Values
	headers     map[string]any
	body        []byte
	resource    Resource
	start       time.Time
	key         *key  // what narrower limits it may be subject to; nil: none
	turn        *Turn // that the program has waited for; nil: the call waits itself

	slot     func(Outcome) // ends what the limiter has given out; nil: the call has nothing of it
	schedule schedule
	wire     wire
	attempts int
	waited   time.Duration // in the limiter and between attempts
	turnCame time.Time     // when the last wait in the limiter ended
	turnWait time.Duration // in the limiter, of which observers have not been told; 0: none
	asleep   time.Time     // since when it waits for its next attempt; zero: it does not
	resp     *http.Response

	answer       error      // the last answer that meant "not now"
	last         *RateLimit // what it said
	notNow       bool       // it is the answer to the last attempt
	sent         bool       // the call's error is that of an attempt; false: of a wait
	unauthorized bool       // no access token was to be had
}

func (c *call) do() (resp *http.Response, err error) {
	if c.cfg.discovery {
		c.DiscoverPool(context.Background(), c.resource)
	}
	err = errPanicked // unless it returns
	defer func() { c.done(err) }()
	defer c.giveBack(Outcome{Unused: true})
	throttled, failed := c.attempt()
	if throttled && c.turn == nil {
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
		c.emit(Event{Kind: EventDone, Time: now, Wait: c.waited, Took: now.Sub(c.start), Status: c.wire.status, Err: err})
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

// attempt waits for the request's turn and sends it once. throttled: it may be sent
// again, and err is the answer.
func (c *call) attempt() (throttled bool, err error) {
	c.wakeUp()
	c.sent = false
	if err := c.ctx.Err(); err != nil {
		return false, err // a wait that was cancelled must not send
	}
	token, err := c.depart()
	if err != nil {
		return false, err
	}
	return c.judge(c.sendOnce(token))
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
// can hear of it. Until then the call has its slot, and runs no function of the program's
// but the transport.
func (c *call) sendOnce(token string) (r reply) {
	outcome := Outcome{Failed: true, Retry: c.attempts > 0} // of a transport that panics
	defer func() { c.giveBack(outcome) }()

	c.attempts++
	c.sent = true
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
	if c.notNow = r.kind != ""; c.notNow {
		c.answer = r.err
		c.last = &RateLimit{
			Kind: r.kind, Scope: c.key.scopeOf(a.code), Resource: c.resource.String(), Status: a.status, Code: a.code,
			RequestID:  c.wire.header.Get("Twilio-Request-Id"),
			RetryAfter: parseRetryAfter(c.wire.header, r.ended),
		}
	}
	outcome.Failed = r.kind != Throttled && (c.notNow || saysNothing(r.err, c.wire.status))
	c.wire.counts(&outcome)
	if r.kind == Throttled {
		outcome.Throttled, outcome.Rate = true, saysRate(c.resource, a.code)
		outcome.RetryAfter = c.schedule.throttled(c.last.RetryAfter)
		outcome.TooLong = c.last.RetryAfter > c.cfg.maxRetryAfter
		outcome.Step = c.last.RetryAfter == 0 && c.turn == nil // a Turn's is the resource's
		c.last.Scope = c.narrow.throttled(c.key, began, a.code, c.wire.reachedOwnLimit(), c.last.RetryAfter, &outcome)
	}
	return r
}

// judge tells the program of an attempt, and says whether the request may be sent again.
func (c *call) judge(r reply) (throttled bool, err error) {
	c.tellWaited()
	if c.observed() {
		c.emit(Event{Kind: EventSent, Time: r.ended, Took: r.took, Status: c.wire.status, Code: r.code, Err: r.err})
	}
	throttled = r.kind == Throttled
	c.cfg.recorder.requested(c, throttled, r.ended)
	if !throttled {
		return false, r.err
	}
	if c.observed() {
		c.emit(Event{Kind: EventThrottled, Status: c.last.Status, Code: r.code, Scope: c.last.Scope, RetryAfter: c.last.RetryAfter, Err: r.err})
	}
	if c.turn == nil {
		if refused := c.outlasts(c.schedule.next); refused != nil {
			return false, refused
		}
	}
	return true, r.err
}

// giveBack tells the limiter what became of its slot, once. It does nothing if the call has
// none.
func (c *call) giveBack(o Outcome) {
	if done := c.slot; done != nil {
		c.slot = nil
		done(o)
	}
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

// takeTurn waits for a slot of the limiter, from start on, unless the call has one: that of
// the program's own [Turn].
func (c *call) takeTurn(start time.Time) error {
	switch {
	case c.slot != nil:
		return nil
	case c.turn != nil:
		return c.awaitTurn(c.ctx)
	}
	return c.acquire(start)
}

// acquire waits for a slot of the limiter, from start on, and no longer than WithMaxWait
// allows.
func (c *call) acquire(start time.Time) error {
	ctx := c.ctx
	if c.cfg.maxWait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, start.Add(c.cfg.maxWait-c.waited))
		defer cancel()
	}
	err := c.awaitTurn(ctx)
	wait := time.Since(start)
	c.waited += wait
	if wait >= aWait {
		c.cfg.recorder.waited(start.Add(wait), wait)
	}
	if err == nil {
		c.hasWaited(wait, start.Add(wait))
		return nil
	}
	c.noteRefusal(err)
	if c.cfg.maxWait > 0 && c.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !c.endsBefore(start.Add(c.cfg.maxWait)) {
		need := c.cfg.maxWait - c.waited // at least
		var refused *WaitError
		if errors.As(err, &refused) {
			need = refused.Need
		}
		err = c.overMaxWait(need)
	}
	return err
}

func (c *call) awaitTurn(ctx context.Context) (err error) {
	c.cfg.recorder.waiting.Add(1)
	defer c.cfg.recorder.waiting.Add(-1)
	if c.attempts > 0 || time.Since(c.start) >= aWait {
		ctx = context.WithValue(ctx, arrivalKey{}, c.start) // its place is by that
	}
	c.slot, err = c.narrow.acquire(ctx, c.cfg.limiter, c.resource, c.key, c.start)
	return err
}

// hasWaited notes a wait in the limiter, which has ended now. Observers hear of it when the
// attempt is over: until then the call has the slot that it waited for.
func (c *call) hasWaited(wait time.Duration, now time.Time) {
	if wait >= aWait && c.observed() {
		c.turnWait += wait
		c.turnCame = now
	}
}

func (c *call) tellWaited() {
	if c.turnWait == 0 {
		return
	}
	e := Event{Kind: EventWaited, Time: c.turnCame, Wait: c.turnWait, Attempt: c.attempts}
	if c.sent {
		e.Attempt--
	}
	c.turnWait = 0
	c.tell(e)
}

// outlasts returns why the call cannot wait for d, if it cannot.
func (c *call) outlasts(d time.Duration) error {
	switch {
	case d == backoff.Stop:
		return nil
	case c.endsBefore(time.Now().Add(d)):
		return tooLate(c.resource, d)
	case c.cfg.maxWait > 0 && c.waited+d > c.cfg.maxWait:
		return c.overMaxWait(d)
	}
	return nil
}

func (c *call) overMaxWait(need time.Duration) error {
	return &WaitError{Need: need, Err: fmt.Errorf("%w: it takes another %v, WithMaxWait allows %v in all", ErrWaitTooLong, need.Round(time.Millisecond), c.cfg.maxWait)}
}

// endsBefore reports whether the context's deadline is before t.
func (c *call) endsBefore(t time.Time) bool {
	deadline, ok := c.ctx.Deadline()
	return ok && deadline.Before(t)
}

func (c *call) beforeRetry(err error, wait time.Duration) {
	c.asleep = time.Now()
	c.cfg.recorder.waiting.Add(1)
	c.cfg.logRetry(c.resource, c.attempts, wait, *c.last)
	if c.observed() {
		c.emit(Event{Kind: EventRetrying, Wait: wait, Err: err})
	}
}

func (c *call) wakeUp() {
	if !c.asleep.IsZero() {
		c.cfg.recorder.waiting.Add(-1)
		c.waited += time.Since(c.asleep)
		c.asleep = time.Time{}
	}
}

// ended makes the error that the caller gets.
func (c *call) ended(err error) error {
	c.wakeUp()
	var rl RateLimit
	if c.last != nil {
		rl = *c.last
	}
	rl.Resource, rl.Attempts, rl.Waited = c.resource.String(), c.attempts, c.waited
	var wait *WaitError
	isWait := errors.As(err, &wait)
	switch {
	case c.unauthorized:
		return err
	case isWait && wait.RetryAfter > 0:
		// The resource is held because of another call's answer. That is Twilio's
		// answer to this call, too, and has the type that programs expect of one.
		rl.Kind, rl.Scope, rl.RetryAfter = Throttled, wait.Scope, wait.RetryAfter
		rl.Status, rl.Code = http.StatusTooManyRequests, codeThrottled
		return withRateLimit(nil, rl)
	case isWait:
		rl.Kind = NotSent
		err = &WaitError{RateLimit: rl, Err: wait.Err, Answer: c.answer, Need: wait.Need}
	case !c.sent || c.notNow && err != c.answer: // from the limiter; from the wait between attempts
		rl.Kind = NotSent
		err = &WaitError{RateLimit: rl, Err: err, Answer: c.answer}
	case c.notNow: // and no further attempt
		err = withRateLimit(err, rl)
	default:
		return err // an answer that is no throttle, or a failure: as twilio-go gives it
	}
	if c.attempts > 0 && c.turn == nil {
		c.gaveUp(rl, err)
	}
	return err
}

func (c *call) gaveUp(rl RateLimit, err error) {
	if c.observed() {
		c.emit(Event{Kind: EventGaveUp, Wait: c.waited, Status: rl.Status, Code: rl.Code, Scope: rl.Scope, RetryAfter: rl.RetryAfter, Err: err})
	}
	a := Alert{Time: time.Now(), Resource: c.resource, RateLimit: rl, Err: err}
	switch {
	case c.ctx.Value(byPacer{}) != nil:
		return
	case rl.Kind == QueueFull || rl.Kind == Quota:
		a.Kind, a.Advice = AlertQuota, adviceQuota
	case rl.Kind != Throttled || rl.Scope == ScopeReceiver: // the program's own decision, or one end user's affair
		return
	case rl.RetryAfter > c.cfg.maxRetryAfter:
		a.Kind, a.Advice = AlertRetryAfterTooLong, adviceTooLong
	case rl.Scope == ScopeObject:
		a.Kind, a.Advice = AlertRetriesExhausted, adviceObject
	default:
		a.Kind, a.Advice = AlertRetriesExhausted, adviceExhausted
	}
	c.cfg.raise(a)
}

// aWait is the shortest that counts as one: less is the limiter's own work.
const aWait = time.Millisecond

func (c *call) observed() bool { return len(c.cfg.observers) > 0 }

// emit tells observers of what happens now. The call must have no slot: they may take as
// long as they like, and use the client.
func (c *call) emit(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Attempt = c.attempts
	c.tell(e)
}

// tell completes e with what all events of the call have.
func (c *call) tell(e Event) {
	e.Resource, e.Method = c.resource, c.method
	for _, observe := range c.cfg.observers {
		observe(c.ctx, e)
	}
}
