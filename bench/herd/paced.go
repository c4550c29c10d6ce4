package main

import (
	"context"
	"log/slog"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio/twilio-go"
)

// paced is pacer, told the rate, and otherwise with its defaults.
func paced(ctx context.Context, s setup) *twilio.RestClient {
	rest := pacer.NewRestClientWithParams(
		pacer.ClientParams{Username: s.User, Password: s.Password},
		pacer.WithHTTPClient(clients.HTTPClient(s.Transport)),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: float64(s.rate)}}),
		pacer.WithLogger(slog.New(slog.DiscardHandler)), // what is lost is in the table
	)
	if c, ok := pacer.ClientOf(rest); ok {
		return c.WithContext(ctx)
	}
	return rest
}
