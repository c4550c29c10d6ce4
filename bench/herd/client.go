package main

import (
	"context"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// An entrant is a client that takes part. All end in a *twilio.RestClient, so
// that the same CreateMessage is measured.
type entrant struct {
	name string
	rest func(context.Context, setup) *twilio.RestClient
}

var entrants = []entrant{
	{"twilio-go", func(ctx context.Context, s setup) *twilio.RestClient { return clients.Plain(ctx, s.Setup) }},
	{"go-retryablehttp", func(ctx context.Context, s setup) *twilio.RestClient {
		return clients.Retryable(ctx, s.Setup, 4) // its default
	}},
	{"failsafe-go", failsafeRetry},
	{"node-autoretry", nodeAutoRetry},
	{"pacer", paced},
}

// setup is what a client is made from.
type setup struct {
	clients.Setup
	rate int
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
