package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio/twilio-go"
)

func TestAWSModeHasAsManyAttemptsAsTheOthers(t *testing.T) {
	if n := clients.AWSMode(retries).MaxAttempts(); n != 1+retries {
		t.Errorf("%d attempts, expected %d", n, 1+retries)
	}
}

// In the SDK's standard mode, whose waits can be switched off.
func TestAWSLoopSendsTheBodyAgainAndReturnsTheLastAnswer(t *testing.T) {
	mode := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 4
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
	attempts, bodies := 0, map[string]bool{}
	e := entrant{rest: func(ctx context.Context, s setup) *twilio.RestClient {
		return clients.AWSLoop(ctx, s.Setup, mode)
	}}
	err := e.sender(t.Context(), over(throttling(&attempts, bodies)), unlisted)("one")
	if err == nil || !strings.Contains(err.Error(), "20429") || attempts != 4 || len(bodies) != 1 {
		t.Errorf("%v after %d attempts with %d different bodies, expected twilio-go's error after 4 with one", err, attempts, len(bodies))
	}
}

func TestTheEndOfTheRunEndsAWSsWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	attempts, bodies := 0, map[string]bool{}
	start := time.Now()
	e := entrant{rest: func(ctx context.Context, s setup) *twilio.RestClient {
		return clients.AWSAdaptive(ctx, s.Setup, retries)
	}}
	if err := e.sender(ctx, over(throttling(&attempts, bodies)), unlisted)("one"); err == nil || ctx.Err() == nil {
		t.Errorf("%v after %v, expected an error when the context has ended", err, time.Since(start))
	}
}
