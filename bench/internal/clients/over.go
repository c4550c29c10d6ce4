// Package clients makes the Twilio clients that more than one of the commands
// measures. All end in a *twilio.RestClient, so that the same CreateMessage is
// measured.
package clients

import (
	"context"
	"net/http"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// Setup is what a client is made from.
type Setup struct {
	User, Password string
	Transport      http.RoundTripper
}

// Plain is twilio-go as it is.
func Plain(ctx context.Context, s Setup) *twilio.RestClient { return Over(ctx, s, s.Transport) }

// Over is twilio-go over a transport that may retry.
func Over(ctx context.Context, s Setup, transport http.RoundTripper) *twilio.RestClient {
	return withHTTP(s, HTTPClient(stoppable{ctx, transport}))
}

func withHTTP(s Setup, hc *http.Client) *twilio.RestClient {
	c := &client.Client{Credentials: client.NewCredentials(s.User, s.Password), HTTPClient: hc}
	c.SetAccountSid(s.User)
	return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
}

// HTTPClient is twilio-go's default one without its Timeout of 10 s, which would
// cut the waits of those that retry below it.
func HTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// stoppable is above a client that retries in its http.Client: twilio-go gives
// its requests no context, and so nothing could end their waits.
type stoppable struct {
	ctx  context.Context
	next http.RoundTripper
}

func (s stoppable) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.next.RoundTrip(r.WithContext(s.ctx))
}
