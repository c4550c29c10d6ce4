package pacer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// A Client is a twilio.RestClient whose calls are paced and retried, with what pacer
// adds to it. Keep one for as long as the program runs: what is known about the
// account's limits lives in it. It is safe for concurrent use, holds no goroutine, and
// need not be closed.
//
// Its field RequestHandler.Client is a client.BaseClient, for twilio-go's standalone
// services: twilioApi.NewApiServiceWithClient(c.RequestHandler.Client).
type Client struct {
	*RestClient
	core
}

// A front is the client.BaseClient of a [RestClient]. It leads back to the Client.
type front struct {
	paced
	client *Client
}

// front returns one whose calls carry ctx.
func (c *Client) front(ctx context.Context) *front {
	return &front{paced{core: &c.core, ctx: ctx}, c}
}

// ClientOf returns the Client behind a RestClient that came from one of pacer's
// constructors or from [Client.WithContext].
func ClientOf(rc *RestClient) (*Client, bool) {
	if rc == nil || rc.RequestHandler == nil {
		return nil, false
	}
	f, ok := rc.Client.(*front)
	if !ok {
		return nil, false
	}
	return f.client, true
}

// WithContext returns a RestClient whose calls all carry ctx. When ctx ends, waits and HTTP requests
// end with it. A wait that cannot end before its deadline is refused at once. The RestClient shares
// everything with c, and costs a few microseconds: make one for each request that the program serves.
//
//	msg, err := c.WithContext(ctx).Api.CreateMessage(params)
func (c *Client) WithContext(ctx context.Context) *RestClient {
	if ctx == nil {
		panic("pacer: WithContext: nil context")
	}
	rc := twilio.NewRestClientWithParams(ClientParams{Client: c.front(ctx)})
	rc.Edge, rc.Region = c.Edge, c.Region
	return rc
}

// SetLimits replaces the limits while the client is in use; calls that wait feel it at
// once. Invalid limits are an error and change nothing. With [WithLimiter] it calls the
// limiter's method SetLimits(Limits) error, and it is an error if there is none.
func (c *Client) SetLimits(limits Limits) error {
	l, ok := c.cfg.limiter.(SetLimitsLimiter)
	if !ok {
		return fmt.Errorf("pacer: SetLimits: limiter %T %w", c.cfg.limiter, errNoSetLimits)
	}
	return l.SetLimits(limits)
}

var errNoSetLimits = errors.New("has no method SetLimits(pacer.Limits) error")

// EndCoolDown ends the cool-down of r's bucket, if it has one. It is for people who know that Twilio
// accepts requests of r again, and for package queue when a hold is ended. r is as in
// [LimiterStats].Buckets. With [WithLimiter] it calls the limiter's method EndCoolDown(Resource), and does
// nothing if there is none.
func (c *Client) EndCoolDown(r Resource) {
	if l, ok := c.cfg.limiter.(CoolDownLimiter); ok {
		l.EndCoolDown(r)
	}
}

// SetTimeout sets how long one attempt may take, from connecting to the last byte of
// the answer's body. Waits do not count. 0 is no limit; the default is the http.Client's
// Timeout, in twilio-go 10 s. It may be called while requests run and holds for the
// attempts that begin later.
//
// Twilio itself gives up on a request only after some 30 s, so that a shorter timeout
// makes creations whose fate is unknown.
func (c *Client) SetTimeout(timeout time.Duration) { c.setTimeout(timeout) }

// SeesAttempts reports whether pacer can tell how far an attempt got. It cannot with a
// BaseClient of the program's own in [ClientParams]: what fails there is always in doubt.
func (c *Client) SeesAttempts() bool { return c.twilio != nil }

// AccountSid returns the SID that stands in the paths of requests which name none.
func (c *Client) AccountSid() string { return c.base.AccountSid() }

// SetOauth sets where access tokens come from; nil: requests carry the client's own
// credentials. The source must be safe for concurrent use, unless it is twilio-go's
// *APIOAuth, which pacer asks one request at a time. A source that fails or panics fails
// the call. The call's wait for a token ends with its context, also if the source ignores it.
//
// A source is asked before each attempt, and again if the attempt has waited in its line for
// 10 s or longer. It is expected to keep its token, and to answer at once while that is valid.
func (c *Client) SetOauth(source client.OAuth) { c.setOauth(source) }

// OAuth returns where access tokens come from, nil if requests carry the client's own
// credentials. What pacer makes of a ClientCredentialProvider prints, in any format, without
// its secret and without the token.
func (c *Client) OAuth() client.OAuth { return c.oauth() }

// Stats returns what the client has done within the last minute. It takes some
// microseconds for each bucket in use, 1,000 at most, and may be called as often as a
// dashboard wants.
func (c *Client) Stats() Stats {
	s := c.cfg.recorder.stats(time.Now())
	if l, ok := c.cfg.limiter.(StatsLimiter); ok {
		s.LimiterStats = l.Stats()
	}
	return s
}
