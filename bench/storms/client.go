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
}

const (
	learning    = "pacer"
	notLearning = "pacer, learning off"
	retries     = 5
)

var allClients = []*client{
	{"twilio-go", false, func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient { return clients.Plain(ctx, s) }},
	{"go-retryablehttp", true, func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient {
		return clients.Retryable(ctx, s, retries)
	}},
	{"failsafe-adaptive", false, func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient {
		return clients.FailsafeAdaptive(ctx, s, retries)
	}},
	{"aws-adaptive", false, func(ctx context.Context, s clients.Setup, _ float64) *twilio.RestClient {
		return clients.AWSAdaptive(ticking{ctx}, s, retries)
	}},
	{learning, true, paced(true)},
	{notLearning, true, paced(false)},
}

func clientNamed(name string) *client {
	for _, c := range allClients {
		if c.name == name {
			return c
		}
	}
	return nil
}

// paced is pacer with its defaults, but for learning.
func paced(learning bool) func(context.Context, clients.Setup, float64) *twilio.RestClient {
	return func(ctx context.Context, s clients.Setup, told float64) *twilio.RestClient {
		limits := pacer.Limits{}
		if told > 0 {
			limits = pacer.Limits{{Resource: pacer.Messages, Rate: told}}
		}
		c, err := pacer.New(
			pacer.ClientParams{Username: s.User, Password: s.Password},
			pacer.WithHTTPClient(clients.HTTPClient(s.Transport)),
			pacer.WithLogger(slog.New(slog.DiscardHandler)), // what is lost is in the table
			pacer.WithLimits(limits),
			pacer.WithLearning(learning),
		)
		if err != nil {
			panic(err)
		}
		return c.WithContext(ctx)
	}
}

// ticking is a context at which a microsecond passes whenever somebody waits for it. The AWS SDK waits for the rest of a
// token, which its rounding can make 0 s, and looks again: virtual time would stand still for ever.
type ticking struct{ context.Context }

func (t ticking) Done() <-chan struct{} {
	time.Sleep(time.Microsecond)
	return t.Context.Done()
}

// dial is a [storm.Dial]. All clients are used as twilio-go's services use them, by RequestHandler.Post.
func (c *client) dial(ctx context.Context, transport http.RoundTripper, told float64) func(*storm.Call) error {
	rest := c.rest(ctx, clients.Setup{User: twiliotest.AccountSid, Password: twiliotest.AuthToken, Transport: transport}, told)
	return func(call *storm.Call) error {
		r := call.Request()
		resp, err := rest.RequestHandler.Post(r.URL, r.Form, r.Header, "")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
}
