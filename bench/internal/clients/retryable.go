package clients

import (
	"context"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/twilio/twilio-go"
)

// Retryable is go-retryablehttp's StandardClient with that many retries, and
// otherwise its defaults. 429 and most 5xx are sent again, after what
// Retry-After says, else after 1, 2, 4 and 8 s and so on. Its own number of
// retries is 4.
func Retryable(ctx context.Context, s Setup, retries int) *twilio.RestClient {
	rc := retryablehttp.NewClient()
	rc.Logger = nil
	rc.RetryMax = retries
	rc.HTTPClient = &http.Client{Transport: s.Transport}
	hc := rc.StandardClient()
	hc.Transport = stoppable{ctx, hc.Transport}
	return withHTTP(s, hc)
}
