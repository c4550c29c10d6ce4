package main

import (
	"context"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// An entrant is a client that takes part. All that retry may do so five times,
// which is pacer's default: who gives up earlier is not gentler, but only loses
// more.
type entrant struct {
	name string
	rest func(context.Context, setup) *twilio.RestClient
}

const retries = 5

var entrants = []entrant{
	{"twilio-go", func(ctx context.Context, s setup) *twilio.RestClient { return clients.Plain(ctx, s.Setup) }},
	{"go-retryablehttp", func(ctx context.Context, s setup) *twilio.RestClient {
		return clients.Retryable(ctx, s.Setup, retries)
	}},
	{"failsafe-adaptive", func(ctx context.Context, s setup) *twilio.RestClient {
		return clients.FailsafeAdaptive(ctx, s.Setup, retries)
	}},
	{"aws-adaptive", func(ctx context.Context, s setup) *twilio.RestClient {
		return clients.AWSAdaptive(ctx, s.Setup, retries)
	}},
	{"pacer", paced},
}

// setup is what a client is made from.
type setup struct {
	clients.Setup
	told int // messages per second; 0: nothing
}

// A sendFunc sends one message.
type sendFunc func(text string) error

func (e entrant) sender(ctx context.Context, s setup, from string) sendFunc {
	rest := e.rest(ctx, s)
	return func(text string) error {
		_, err := rest.Api.CreateMessage(new(api.CreateMessageParams).SetFrom(from).SetTo("+15005550001").SetBody(text))
		return err
	}
}
