package main

import (
	"context"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// retryable is go-retryablehttp's StandardClient with its defaults: four
// retries of 429 and most 5xx, after what Retry-After says, else after 1, 2, 4
// and 8 s.
func retryable(ctx context.Context, s setup) *twilio.RestClient {
	rc := retryablehttp.NewClient()
	rc.Logger = nil
	rc.HTTPClient = &http.Client{Transport: s.transport}
	hc := rc.StandardClient()
	hc.Transport = stoppable{ctx, hc.Transport}
	c := &client.Client{Credentials: client.NewCredentials(s.user, s.password), HTTPClient: hc}
	c.SetAccountSid(s.user)
	return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
}
