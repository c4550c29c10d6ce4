package main

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio/twilio-go"
)

// failsafeRetry is failsafe-go's retry policy for HTTP, and none of its other
// policies. It has five retries of 429 and most 5xx, after what Retry-After
// says, else after 1, 2, 4, 8 and 16 s. The jitter is that of its documentation,
// 25 % either way. The last answer is returned as it is, so that twilio-go can
// make its usual error of it.
func failsafeRetry(ctx context.Context, s setup) *twilio.RestClient {
	policy := failsafehttp.NewRetryPolicyBuilder().
		WithBackoff(time.Second, 16*time.Second).
		WithMaxRetries(5).
		WithJitterFactor(.25).
		ReturnLastFailure().
		Build()
	return clients.Over(ctx, s.Setup, failsafehttp.NewRoundTripper(s.Transport, policy))
}
