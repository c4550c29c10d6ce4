package pacer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"weak"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

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

// New returns a client for params, which are as for twilio-go. If the error is not nil
// the client is not usable: every call returns that error. Limits that no option sets
// come from the environment, if it has any: see [WithLimits].
//
// Credentials that are missing are an error which names the variable, TWILIO_ACCOUNT_SID or
// TWILIO_AUTH_TOKEN, and the field. So is an account SID, from either, that is not AC and 32
// letters or digits, and white space in any of them. With an API key as Username, AccountSid
// has to be set. With a params.Client nothing of this is checked.
//
// A params.Client is used to send the requests. If it is twilio-go's *client.Client, each attempt is
// sent with its credentials, http.Client and user agent. If it is a BaseClient of your own, pacer can
// see neither headers nor status of an answer, only the error that it returns. Then Retry-After is
// unknown and the fixed schedule applies.
//
// With a params.ClientCredentialProvider (OAuth) all calls share one access token. The first
// call fetches it, and while calls are made the next one is fetched in the background before
// it expires. All calls that wait for the same fetch share its failure. The wait ends with the call's
// context. While a call waits for an access token it holds no token or permit of the limiter, save in its
// third and last round.
func New(params ClientParams, opts ...Option) (*Client, error) {
	o, err := optionsOf(opts)
	c := &Client{core: core{cfg: o.config}}
	c.timeout.Store(-1)
	if o.discovery {
		c.cfg.discover = func(r Resource) { c.DiscoverPool(context.Background(), r) }
	}

	noCredentials := checkCredentials(params)
	errs := []error{err, noCredentials}
	switch {
	case noCredentials != nil: // with them twilio-go may not even get to make a request
	case o.httpClient != nil && params.Client != nil:
		errs = append(errs, errors.New("pacer: WithHTTPClient: expected not beside ClientParams.Client, which has an http.Client of its own"))
	case o.baseURL != nil && params.Client != nil:
		errs = append(errs, errors.New("pacer: WithBaseURL: expected not beside ClientParams.Client, which has an http.Client of its own"))
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
		c.twilio = own
		if o.httpClient != nil {
			own.HTTPClient = o.httpClient
		}
		if o.baseURL != nil {
			own.HTTPClient = rebase(cmp.Or(own.HTTPClient, defaultHTTPClient), o.baseURL)
		}
		if c.auth.Load() == nil && own.OAuth() != nil {
			c.SetOauth(own.OAuth())
		}
	}
	c.err = errors.Join(errs...)
	c.RestClient = twilio.NewRestClientWithParams(ClientParams{Client: c.front(context.Background())})
	if o.limitsFile != "" && c.err == nil {
		newLimitsWatch(context.Background(), c, o.limitsFile, o.limitsText).again()
	}
	if c.err == nil {
		c.hearLimiter()
	}
	for _, start := range o.start {
		if c.err == nil {
			c.err = start(c)
		}
	}
	return c, c.err
}

// hearLimiter has the client raise the alerts of its limiter. The limiter may outlive the client, and
// must not keep it.
func (c *Client) hearLimiter() {
	l, ok := c.cfg.limiter.(AlertLimiter)
	if !ok {
		return
	}
	to := weak.Make(c)
	stop := l.OnAlert(func(a Alert) {
		if c := to.Value(); c != nil {
			c.cfg.raise(a)
		}
	})
	runtime.AddCleanup(c, func(stop func()) { stop() }, stop)
}

// useCredentialProvider has the client fetch access tokens.
func (c *Client) useCredentialProvider(params ClientParams) error {
	base := &client.Client{Credentials: client.NewCredentials("", "")}
	switch given := params.Client.(type) {
	case nil:
	case *client.Client:
		base.HTTPClient, base.UserAgentExtensions = given.HTTPClient, given.UserAgentExtensions
		base.SetAccountSid(given.AccountSid())
	default:
		return fmt.Errorf("pacer: ClientParams.Client: %T beside ClientCredentialProvider: expected a *client.Client, or WithHTTPClient, as the access token has to be set for each request", given)
	}
	if params.AccountSid != "" {
		base.SetAccountSid(params.AccountSid)
	}
	c.base, c.twilio, c.provided = base, base, true
	s := &tokenSource{
		credentials: *params.ClientCredentialProvider,
		sender: func(ctx context.Context) client.BaseClient {
			return &paced{core: &c.core, ctx: ctx, anonymous: true}
		},
		logs: &c.cfg.logs,
	}
	s.fetches = fetcher{logs: s.logs, get: s.fetch, cancels: true}
	c.SetOauth(s)
	return nil
}
