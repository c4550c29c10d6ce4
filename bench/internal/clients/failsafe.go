package clients

import (
	"context"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/twilio/twilio-go"
)

// FailsafeAdaptive is failsafe-go's retry policy for HTTP around its adaptive
// limiter, so that each attempt needs a permit and a wait between attempts holds
// none.
//
// The limiter has its defaults (20 requests in progress at first, from 1 to 200).
// It lets callers queue for 2 to 3 times its limit, as failsafe-go's own prioritized
// limiter does by default. Without a queue it rejects every call beyond the limit.
// It learns from response times and knows nothing of status codes, as in
// failsafehttp. What it rejects is retried after the policy's own delays.
func FailsafeAdaptive(ctx context.Context, s Setup, retries int) *twilio.RestClient {
	retry := failsafehttp.NewRetryPolicyBuilder().
		WithBackoff(time.Second, 16*time.Second).
		WithMaxRetries(retries).
		WithJitterFactor(.25).
		ReturnLastFailure().
		Build()
	limiter := adaptivelimiter.NewBuilder[*http.Response]().
		WithQueueing(2, 3).
		Build()
	return Over(ctx, s, failsafehttp.NewRoundTripper(s.Transport, retry, limiter))
}
