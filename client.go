package pacer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// What twilio-go's root package exports, so that a program which imports pacer in its
// place compiles. The types are twilio-go's own, not copies.
type (
	// RestClient is twilio.RestClient.
	RestClient = twilio.RestClient
	// ClientParams is twilio.ClientParams.
	ClientParams = twilio.ClientParams
	// ClientCredentialProvider is twilio.ClientCredentialProvider.
	ClientCredentialProvider = twilio.ClientCredentialProvider
	// Meta is twilio.Meta.
	Meta = twilio.Meta
	// OAuthCredentials is twilio.OAuthCredentials.
	OAuthCredentials = twilio.OAuthCredentials
	// TokenAuth is twilio.TokenAuth.
	TokenAuth = twilio.TokenAuth
	// APIOAuth is twilio.APIOAuth.
	APIOAuth = twilio.APIOAuth
)

// NewAPIOAuth is twilio.NewAPIOAuth.
func NewAPIOAuth(c *client.RequestHandler, creds *OAuthCredentials) *APIOAuth {
	return twilio.NewAPIOAuth(c, creds)
}

// NewRestClient is twilio.NewRestClient, paced: credentials come from the environment
// variables TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN. The error of an invalid option, or of
// credentials that are missing, is returned by every call; use [New] to get it at once.
func NewRestClient(opts ...Option) *RestClient {
	return NewRestClientWithParams(ClientParams{}, opts...)
}

// NewRestClientWithParams is twilio.NewRestClientWithParams, paced. The error of an invalid
// option, or of credentials that are missing, is returned by every call; use [New] to get it
// at once.
func NewRestClientWithParams(params ClientParams, opts ...Option) *RestClient {
	c, _ := New(params, opts...)
	return c.RestClient
}

// A Client is a twilio.RestClient whose calls are paced and retried, with what pacer
// adds to it. Keep one for as long as the program runs: what is known about the
// account's limits lives in it. It is safe for concurrent use, holds no goroutine, and
// need not be closed.
//
// Its field RequestHandler.Client is a client.BaseClient, for twilio-go's standalone
// services: twilioApi.NewApiServiceWithClient(c.RequestHandler.Client).
type Client struct {
	*RestClient

	cfg  *config
	err  error // of the constructor; returned by every call
	base client.BaseClient
	own  *client.Client // base, if it is twilio-go's own; nil: a black box

	narrow   narrow
	provided bool   // with a ClientCredentialProvider, which has no account SID
	user     string // ClientParams.Username beside a BaseClient of the program's own
	auth     atomic.Pointer[auth]
	timeout  atomic.Int64 // as set by SetTimeout; below 0: that of the http.Client
}

// New returns a client for params, which are as for twilio-go. If the error is not nil
// the client is not usable: every call returns that error. Limits that no option sets
// come from the environment, if it has any: see [WithLimits].
//
// Credentials that are missing are an error which names the variable, TWILIO_ACCOUNT_SID or
// TWILIO_AUTH_TOKEN, and the field. So is an account SID, from either, that is not AC and 32
// letters or digits, and white space in any of them. With an API key as Username, AccountSid
// has to be set. With a params.Client nothing of this is checked.
//
// A params.Client is used to send the requests. If it is twilio-go's *client.Client,
// each attempt is sent with its credentials, http.Client and user agent. If it is a
// BaseClient of your own, pacer can see neither headers nor status of an answer, only
// the error that it returns: Retry-After is unknown and the fixed schedule applies.
//
// With a params.ClientCredentialProvider (OAuth) all calls share one access token. The first
// call fetches it, and while calls are made the next one is fetched in the background before
// it expires. All calls that wait for the same fetch share its failure. No call holds a place
// in the limiter while it waits for a token, and the wait ends with the call's context.
func New(params ClientParams, opts ...Option) (*Client, error) {
	cfg, err := configOf(opts)
	c := &Client{cfg: cfg}
	c.timeout.Store(-1)

	noCredentials := checkCredentials(params)
	errs := []error{err, noCredentials}
	switch {
	case noCredentials != nil: // with them twilio-go may not even get to make a request
	case cfg.httpClient != nil && params.Client != nil:
		errs = append(errs, errors.New("pacer: WithHTTPClient: expected not beside ClientParams.Client, which has an http.Client of its own"))
	case params.ClientCredentialProvider != nil:
		errs = append(errs, c.useCredentialProvider(params))
	case params.Client != nil:
		c.base, c.user = params.Client, params.Username
	default:
		c.base = twilio.NewRestClientWithParams(params).RequestHandler.Client
	}
	if c.base == nil {
		c.base = &client.Client{Credentials: client.NewCredentials("", "")} // for AccountSid and the like
	}
	if own, ok := c.base.(*client.Client); ok {
		c.own = own
		if cfg.httpClient != nil {
			own.HTTPClient = cfg.httpClient
		}
		if c.auth.Load() == nil && own.OAuth() != nil {
			c.SetOauth(own.OAuth())
		}
	}
	c.err = errors.Join(errs...)
	c.RestClient = twilio.NewRestClientWithParams(ClientParams{Client: &paced{Client: c, ctx: context.Background()}})
	c.watchEnvironment()
	for _, start := range cfg.start {
		if c.err == nil {
			c.err = start(c)
		}
	}
	return c, c.err
}

// ClientOf returns the Client behind a RestClient that came from one of pacer's
// constructors or from [Client.WithContext].
func ClientOf(rc *RestClient) (*Client, bool) {
	if rc == nil || rc.RequestHandler == nil {
		return nil, false
	}
	p, ok := rc.Client.(*paced)
	if !ok {
		return nil, false
	}
	return p.Client, true
}

// WithContext returns a RestClient whose calls all carry ctx: when it ends, waits and
// HTTP requests end with it, and a wait that cannot end before its deadline is refused
// at once. The RestClient shares everything with c, and costs a few microseconds: make
// one for each request that the program serves.
//
//	msg, err := c.WithContext(ctx).Api.CreateMessage(params)
func (c *Client) WithContext(ctx context.Context) *RestClient {
	if ctx == nil {
		panic("pacer: WithContext: nil context")
	}
	rc := twilio.NewRestClientWithParams(ClientParams{Client: &paced{Client: c, ctx: ctx}})
	rc.Edge, rc.Region = c.Edge, c.Region
	return rc
}

// SetLimits replaces the limits while the client is in use; calls that wait feel it at
// once. Invalid limits are an error and change nothing. With [WithLimiter] it calls the
// limiter's method SetLimits(Limits) error, and it is an error if there is none.
func (c *Client) SetLimits(limits Limits) error {
	l, ok := c.cfg.limiter.(interface{ SetLimits(Limits) error })
	if !ok {
		return fmt.Errorf("pacer: SetLimits: limiter %T %w", c.cfg.limiter, errNoSetLimits)
	}
	return l.SetLimits(limits)
}

var errNoSetLimits = errors.New("has no method SetLimits(pacer.Limits) error")

// SetTimeout sets how long one attempt may take, from connecting to the last byte of
// the answer's body. Waits do not count. 0 is no limit; the default is the http.Client's
// Timeout, in twilio-go 10 s. It may be called while requests run and holds for the
// attempts that begin later.
//
// Twilio itself gives up on a request only after some 30 s, so that a shorter timeout
// makes creations whose fate is unknown.
func (c *Client) SetTimeout(timeout time.Duration) {
	if c.own == nil {
		c.base.SetTimeout(timeout)
	}
	c.timeout.Store(max(0, int64(timeout)))
}

// SeesAttempts reports whether pacer can tell how far an attempt got. It cannot with a
// BaseClient of the program's own in [ClientParams]: what fails there is always in doubt.
func (c *Client) SeesAttempts() bool { return c.own != nil }

// AccountSid returns the SID that stands in the paths of requests which name none.
func (c *Client) AccountSid() string { return c.base.AccountSid() }

// charged returns the SID of the account that Twilio charges for requests whose paths have
// none: that of the credentials. For an API key and for OAuth it is the AccountSid, as
// nothing else is known. It may change while the client is in use.
func (c *Client) charged() string {
	user := c.user
	if c.own != nil {
		user = ""
		if c.own.Credentials != nil && c.auth.Load() == nil {
			user = c.own.Username
		}
	}
	if strings.HasPrefix(user, "AC") {
		return user
	}
	return c.base.AccountSid()
}
