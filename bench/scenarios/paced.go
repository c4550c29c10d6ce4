package main

import (
	"context"
	"log/slog"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio/twilio-go"
)

// paced is pacer with its defaults, told a rate or not.
func paced(ctx context.Context, s setup) *twilio.RestClient {
	opts := []pacer.Option{
		pacer.WithHTTPClient(clients.HTTPClient(s.Transport)),
		pacer.WithLogger(slog.New(slog.DiscardHandler)), // what is lost is in the table
	}
	if s.told > 0 {
		opts = append(opts, pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: float64(s.told)}}))
	}
	rest := pacer.NewRestClientWithParams(pacer.ClientParams{Username: s.User, Password: s.Password}, opts...)
	if c, ok := pacer.ClientOf(rest); ok {
		return c.WithContext(ctx)
	}
	return rest
}
