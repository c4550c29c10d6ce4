package main

import (
	"context"
	"net/http"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// An entrant is a client that takes part. All end in a *twilio.RestClient, so
// that the same CreateMessage is measured.
type entrant struct {
	name string
	rest func(context.Context, setup) *twilio.RestClient
}

var entrants = []entrant{
	{"twilio-go", plain},
	{"go-retryablehttp", retryable},
	{"failsafe-go", failsafeRetry},
	{"node-autoretry", nodeAutoRetry},
	{"pacer", paced},
}

// setup is what a client is made from.
type setup struct {
	user, password string
	transport      http.RoundTripper
	rate           int
}

// sender returns the function that sends one message.
func (e entrant) sender(ctx context.Context, s setup) func(text string) error {
	rest := e.rest(ctx, s)
	return func(text string) error {
		params := new(api.CreateMessageParams).SetFrom("+15005550006").SetTo("+15005550001").SetBody(text)
		_, err := rest.Api.CreateMessage(params)
		return err
	}
}

// plain is twilio-go as it is.
func plain(ctx context.Context, s setup) *twilio.RestClient {
	return over(ctx, s, s.transport)
}

// over is twilio-go over a transport that may retry.
func over(ctx context.Context, s setup, transport http.RoundTripper) *twilio.RestClient {
	c := &client.Client{
		Credentials: client.NewCredentials(s.user, s.password),
		HTTPClient:  httpClient(stoppable{ctx, transport}),
	}
	c.SetAccountSid(s.user)
	return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
}

// httpClient is twilio-go's default one without its Timeout of 10 s, which would
// cut the waits of those that retry below it.
func httpClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
