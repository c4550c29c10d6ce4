package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/bench/internal/storm"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
)

// A client is one that takes part. All that retry may do so five times, which is pacer's default.
type client struct {
	name  string
	short bool // it takes part in a short run
	rest  func(ctx context.Context, s clients.Setup, told float64) *twilio.RestClient

	// fleet, if it is not nil, is the client in several processes, which share the callers. rest is nil then.
	fleet func(ctx context.Context, s clients.Setup, told float64) []*twilio.RestClient
}

const (
	learning    = "pacer"
	notLearning = "pacer, learning off"
	together    = "pacer, 8 processes"
	retries     = 5
)

var allClients = []*client{
	{name: "twilio-go", rest: func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient {
		return clients.Plain(ctx, s)
	}},
	{name: "go-retryablehttp", short: true, rest: func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient {
		return clients.Retryable(ctx, s, retries)
	}},
	{name: "failsafe-adaptive", rest: func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient {
		return clients.FailsafeAdaptive(ctx, s, retries)
	}},
	{name: "aws-adaptive", rest: func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient {
		return clients.AWSAdaptive(ticking{ctx}, s, retries)
	}},
	{name: learning, short: true, rest: func(ctx context.Context, s clients.Setup, told float64) *twilio.RestClient {
		return paced(ctx, s, pacer.WithLimits(limitsOf(told)))
	}},
	{name: notLearning, short: true, rest: func(ctx context.Context, s clients.Setup, told float64) *twilio.RestClient {
		return paced(ctx, s, pacer.WithLimits(limitsOf(told)), pacer.WithLearning(false))
	}},
	{name: together, short: true, fleet: sharing(8)},
}

func clientNamed(name string) *client {
	for _, c := range allClients {
		if c.name == name {
			return c
		}
	}
	return nil
}

// paced is pacer with its defaults, but for these options.
func paced(ctx context.Context, s clients.Setup, options ...pacer.Option) *twilio.RestClient {
	c, err := pacer.New(
		pacer.ClientParams{Username: s.User, Password: s.Password},
		append(options,
			pacer.WithHTTPClient(clients.HTTPClient(s.Transport)),
			pacer.WithLogger(slog.New(slog.DiscardHandler)), // what is lost is in the table
		)...,
	)
	if err != nil {
		panic(err)
	}
	return c.WithContext(ctx)
}

// limitsOf is the limit that the program is told; 0: none.
func limitsOf(told float64) pacer.Limits {
	if told == 0 {
		return pacer.Limits{}
	}
	return pacer.Limits{{Resource: pacer.Messages, Rate: told}}
}

// ticking is a context at which a microsecond passes whenever somebody waits for it. The AWS SDK waits for the rest of a
// token and looks again. Its rounding can make the wait 0 s, and virtual time would stand still for ever.
type ticking struct{ context.Context }

func (t ticking) Done() <-chan struct{} {
	time.Sleep(time.Microsecond)
	return t.Context.Done()
}

// dial is a [storm.Dial]. All clients are used as twilio-go's services use them, by RequestHandler.Post.
func (c *client) dial(ctx context.Context, transport http.RoundTripper, told float64) func(*storm.Call) error {
	setup := clients.Setup{User: twiliotest.AccountSid, Password: twiliotest.AuthToken, Transport: transport}
	var all []*twilio.RestClient
	if c.fleet != nil {
		all = c.fleet(ctx, setup, told)
	} else {
		all = append(all, c.rest(ctx, setup, told))
	}
	return func(call *storm.Call) error {
		r := call.Request()
		resp, err := all[call.Caller%len(all)].RequestHandler.Post(r.URL, r.Form, r.Header, "")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
}
