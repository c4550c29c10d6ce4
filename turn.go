package pacer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// A Turn is the right to send one request of a resource now. It is for programs that keep requests
// elsewhere, such as pacer's queue. They wait for a turn first, and then choose which request takes
// it, so that no request is reserved meanwhile. A Turn is used up by [Turn.Send] or given back by
// [Turn.Drop], soon: the resource's permit is taken already. A turn that is held for longer than
// others before it is sent delays the next one by as much.
type Turn struct {
	client   *Client
	resource Resource
	done     func(Outcome)
	waited   time.Duration
	came     time.Time // when the wait ended
	used     atomic.Bool
}

// Turn waits until a request of resource r may be sent: for the end of its cool-down, a token and a
// permit. Those who wait go in the order of ctx's priority ([WithPriority]). It fails as
// [Limiter].Acquire does. The error is mostly a [*WaitError]. Its RetryAfter is above 0 when the
// resource is closed for longer than calls are to wait ([WithMaxRetryAfter]).
//
// The account that r names counts only for the core API, whose paths have it. For all
// other products it is that of the client's credentials, which Twilio charges.
func (c *Client) Turn(ctx context.Context, r Resource) (*Turn, error) {
	if c.err != nil {
		return nil, neverSent(c.err)
	}
	if !r.namesAccount() {
		r.Account = c.charged()
	}
	r.Sender = canonicalParty(r.Sender)
	start := time.Now()
	c.cfg.recorder.waiting.Add(1)
	defer c.cfg.recorder.waiting.Add(-1)
	done, err := c.cfg.limiter.Acquire(ctx, r)
	came := time.Now()
	waited := came.Sub(start)
	if waited >= aWait {
		c.cfg.recorder.waited(came, waited)
	}
	if err != nil {
		return nil, err
	}
	return &Turn{client: c, resource: r, done: done, waited: waited, came: came}, nil
}

// A SentRequest is a request in the form in which twilio-go's client.BaseClient takes it.
type SentRequest struct {
	Method, URL string
	Form        url.Values
	Header      map[string]any // Content-Type, and what else the operation needs; no credentials
	Body        []byte

	// Throttled is how often in a row the resource has been throttled before. It chooses
	// the step of the fixed schedule: 1, 2, 4, 8, 16 s. For so long the resource must
	// pause if this request is throttled, too, and the answer has no Retry-After.
	Throttled int
}

// Send sends r, once. A throttled request is not sent again, and its error is as for a
// call that has used up its retries, but raises no alert. Redirects are not followed, and
// net/http cannot send the request a second time by itself. The attempt may take as long
// as ctx lasts; the client's timeout does not apply. The response's body is the caller's to
// close. A Turn that is used already is an error. [AttemptOf] tells of an error how far
// the attempt got.
//
// The turn's permit is free again before observers hear of the attempt. It is given back earlier if
// functions of [WithCallContext] take longer than 10 ms, or if access tokens have to be fetched.
// Send then waits for another permit as long as ctx lasts.
//
// If the receiver or the object of r has a cool-down ([Scope.Narrow]), nothing is sent. The error
// is a [*WaitError] whose Scope says so, and whose RetryAfter says when to try again. The turn is not used up then: another request of its resource may take it.
func (t *Turn) Send(ctx context.Context, r SentRequest) (*http.Response, error) {
	if t.used.Swap(true) {
		return nil, neverSent(errors.New("pacer: Turn.Send: this turn is used up: expected one Send or Drop for each"))
	}
	key := keyOf(t.resource, r.URL, r.Form)
	passage, err := t.client.narrow.try(key, t.resource)
	if err != nil {
		t.used.Store(false)
		return nil, err
	}
	c := &call{
		core:     &t.client.core,
		request:  request{r.Method, r.URL, r.Form, r.Header, r.Body},
		resource: t.resource, key: key, start: time.Now().Add(-t.waited),
		once: true, permit: t.client.narrow.ending(passage, t.done), waits: waits{total: t.waited},
	}
	defer c.giveBack(Outcome{Unused: true}) // before any function of the program's is called
	ctx = c.begin(ctx)
	c.ctx = ctx
	c.hasWaited(t.waited, t.came)
	if own := bucketLimiter(c.cfg.limiter); own != nil {
		own.held(t.resource, time.Since(t.came))
	}
	c.schedule.ctx, c.schedule.cfg = ctx, t.client.cfg
	c.schedule.skip(r.Throttled)
	return c.do()
}

// permitPatience is how long a function of [WithCallContext] may keep a Turn's permit.
const permitPatience = 10 * time.Millisecond

// begin returns the context that the program's functions make for a Turn's request. They run
// while the Turn is held. If they take long, perhaps because they use the client themselves,
// the permit goes to others, and the request waits for another one.
func (c *call) begin(ctx context.Context) context.Context {
	if len(c.cfg.callContext) == 0 {
		return ctx
	}
	done, gone := c.permit, make(chan struct{})
	c.permit = nil
	patience := time.AfterFunc(permitPatience, func() {
		defer close(gone)
		done(Outcome{Unused: true})
	})
	defer func() { // also if a function ends this goroutine
		if patience.Stop() {
			c.permit = done
		} else {
			<-gone
		}
	}()
	for _, begin := range c.cfg.callContext {
		ctx = begin(ctx, c.resource)
	}
	return ctx
}

// Drop gives the turn back unused: its permit is free again, its token is spent. After Send
// it does nothing.
func (t *Turn) Drop() {
	if !t.used.Swap(true) {
		t.done(Outcome{Unused: true})
	}
}
