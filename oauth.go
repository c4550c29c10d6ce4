package pacer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	oauth "github.com/twilio/twilio-go/rest/oauth/v2"
)

// Twilio-go's client, used by several goroutines, loses its credentials while it
// fetches an OAuth token, ignores a failure to fetch it, and goes on using it for 30 s
// after it has expired. Here each attempt gets a token of its own before it is sent.

// bearer is an access token that an attempt is sent with.
type bearer string

func (b bearer) GetAccessToken(context.Context) (string, error) { return string(b), nil }

// auth is where access tokens come from.
type auth struct {
	source client.OAuth
	turn   chan struct{} // of those sources that are not safe for concurrent use; nil: not needed
}

// SetOauth sets where access tokens come from; nil: requests carry the client's own
// credentials. Unless it is twilio-go's *APIOAuth the source must be safe for
// concurrent use. A source that fails fails the call.
func (c *Client) SetOauth(source client.OAuth) {
	if c.own == nil {
		c.base.SetOauth(source)
		return
	}
	if source == nil {
		c.auth.Store(nil)
		return
	}
	a := &auth{source: source}
	if _, unsafe := source.(*APIOAuth); unsafe {
		a.turn = make(chan struct{}, 1)
	}
	c.auth.Store(a)
}

// OAuth returns where access tokens come from, nil if requests carry the client's own
// credentials.
func (c *Client) OAuth() client.OAuth {
	if c.own == nil {
		return c.base.OAuth()
	}
	if a := c.auth.Load(); a != nil {
		return a.source
	}
	return nil
}

// noToken is the error of a call that was not sent for want of an access token.
type noToken struct {
	resource Resource
	err      error
}

func (e *noToken) Error() string {
	return fmt.Sprintf("pacer: %v was not sent: no access token: %v", e.resource, e.err)
}
func (e *noToken) Unwrap() error { return e.err }

// accessToken returns the token for one attempt; "" if there is no OAuth.
func (c *call) accessToken() (string, error) {
	a := c.auth.Load()
	if a == nil || c.anonymous || c.own == nil {
		return "", nil
	}
	if a.turn != nil {
		select {
		case a.turn <- struct{}{}:
			defer func() { <-a.turn }()
		case <-c.ctx.Done():
			return "", c.ctx.Err()
		}
	}
	token, err := a.source.GetAccessToken(c.ctx)
	if err == nil && token == "" {
		err = errors.New("the OAuth source returned an empty token")
	}
	return token, err
}

// rejected is told of a token that Twilio has answered with 401, so that the next
// request fetches another.
func (c *call) rejected(token string) {
	if a := c.auth.Load(); a != nil && token != "" {
		if ts, ok := a.source.(*tokenSource); ok {
			ts.forget(token)
		}
	}
}

// A tokenSource fetches access tokens for a ClientCredentialProvider, one fetch at a
// time, and keeps the last one until shortly before it expires.
type tokenSource struct {
	client      *Client
	credentials ClientCredentialProvider
	turn        chan struct{} // guards the rest; a channel, since a wait for a fetch must end with its context
	token       string
	until       time.Time
}

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
	c.base = base
	c.auth.Store(&auth{source: &tokenSource{client: c, credentials: *params.ClientCredentialProvider, turn: make(chan struct{}, 1)}})
	return nil
}

// GetAccessToken implements client.OAuth. It is safe for concurrent use.
func (s *tokenSource) GetAccessToken(ctx context.Context) (string, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if s.token != "" && time.Now().Before(s.until) {
		return s.token, nil
	}
	// The request is paced and retried as any other, but carries no token.
	handler := client.NewRequestHandler(&paced{Client: s.client, ctx: ctx, anonymous: true})
	params := (&oauth.CreateOauth2TokenParams{}).
		SetGrantType(s.credentials.GrantType).
		SetClientId(s.credentials.ClientId).
		SetClientSecret(s.credentials.ClientSecret)
	now := time.Now()
	answer, err := oauth.NewApiService(handler).CreateOauth2Token(params)
	if err != nil {
		return "", err
	}
	if answer.AccessToken == nil || *answer.AccessToken == "" {
		return "", errors.New("the answer of Twilio's token endpoint has no access_token")
	}
	s.token = *answer.AccessToken
	var life time.Duration
	if answer.ExpiresIn != nil {
		life = time.Duration(min(*answer.ExpiresIn, 1<<30)) * time.Second
	}
	s.until = usableUntil(s.token, life, now)
	return s.token, nil
}

func (s *tokenSource) forget(token string) {
	s.turn <- struct{}{}
	if s.token == token {
		s.token = ""
	}
	<-s.turn
}

// usableUntil returns until when a token that was fetched at now is used: its life less
// a tenth, at most 30 s, for the request's way. Its life is what the token endpoint
// says, else the token's exp claim; a token that says nothing is used for a minute.
func usableUntil(token string, life time.Duration, now time.Time) time.Time {
	if life <= 0 {
		life = time.Minute
		if parts := strings.Split(token, "."); len(parts) == 3 {
			var claims struct {
				Exp float64 `json:"exp"`
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
			if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Exp > 0 && claims.Exp < 1<<40 {
				life = time.Unix(int64(claims.Exp), 0).Sub(now)
			}
		}
	}
	return now.Add(life - min(life/10, 30*time.Second))
}
