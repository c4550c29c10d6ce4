package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/twiliotest"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func over(transport http.RoundTripper) setup {
	return setup{Setup: clients.Setup{User: twiliotest.AccountSid, Password: twiliotest.AuthToken, Transport: transport}}
}

// virtual is whether a client can run in virtual time. AWS's limiter cannot. When
// it lacks the billionth part of a token, it waits for 0 s, again and again, until
// time has passed. In virtual time none passes. See aws_test.go.
func virtual(e entrant) bool { return e.name != "aws-adaptive" }

func TestClientsSendAThrottledMessageAgain(t *testing.T) {
	for _, e := range entrants {
		if !virtual(e) {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			fake := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 1}}})
			send := e.sender(ctx, over(fake.Transport()), unlisted)
			if err := send("one"); err != nil {
				t.Fatalf("%s: %v", e.name, err)
			}
			if err := send("two"); (err != nil) != (e.name == "twilio-go") {
				t.Errorf("%s: %v", e.name, err)
			}
			accepted := fake.Accepted()
			if s := fake.Stats(); e.name != "twilio-go" && (s.Throttled < 1 || s.Accepted != 2 || accepted[1].Form.Get("Body") != "two" || accepted[1].Sender != unlisted) {
				t.Errorf("%s: stats are %+v, accepted %v", e.name, s, accepted)
			}
		})
	}
}

// throttling counts requests, and their different bodies, and throttles them all.
func throttling(attempts *int, bodies map[string]bool) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		*attempts++
		b, err := io.ReadAll(r.Body)
		bodies[string(b)] = true
		return &http.Response{
			StatusCode: http.StatusTooManyRequests, Status: "429 Too Many Requests", Request: r,
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   io.NopCloser(strings.NewReader(`{"code":20429,"message":"Too Many Requests","status":429}`)),
		}, err
	})
}

func TestClientsGiveUpAfterTheSameNumberOfAttempts(t *testing.T) {
	for _, e := range entrants {
		if !virtual(e) {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			attempts, bodies := 0, map[string]bool{}
			send := e.sender(ctx, over(throttling(&attempts, bodies)), unlisted)
			err := send("one")
			want := 1 + retries
			if e.name == "twilio-go" {
				want = 1
			}
			if err == nil || attempts != want || len(bodies) != 1 {
				t.Errorf("%s: %v after %d attempts with %d different bodies, expected an error after %d with one", e.name, err, attempts, len(bodies), want)
			}
			if e.name != "go-retryablehttp" && (err == nil || !strings.Contains(err.Error(), "20429")) {
				t.Errorf("%s: %v, expected twilio-go's error of the last answer", e.name, err)
			}
		})
	}
}

func TestTheEndOfTheRunEndsEveryWait(t *testing.T) {
	for _, e := range entrants {
		if e.name == "twilio-go" || !virtual(e) {
			continue // the former never waits
		}
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(10*time.Second, func() { cancel(errors.New("over")) })
			start := time.Now()
			send := e.sender(ctx, over(roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"100"}}, Body: http.NoBody, Request: r}, nil
			})), unlisted)
			for ctx.Err() == nil {
				if err := send("one"); err == nil {
					t.Errorf("%s: no error", e.name)
				}
			}
			if d := time.Since(start); d > 10*time.Second+time.Millisecond {
				t.Errorf("%s: ended after %v, expected 10s", e.name, d)
			}
		})
	}
}
