package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio/twilio-go"
)

// nodeAutoRetry is twilio-go with the rules of twilio-node's option autoRetry
// (src/base/RequestClient.ts at 45d3d65): 429 only, three retries, Retry-After
// ignored. In twilio-node itself the option is off by default.
func nodeAutoRetry(ctx context.Context, s setup) *twilio.RestClient {
	return clients.Over(ctx, s.Setup, autoRetry{s.Transport})
}

const autoRetries = 3

type autoRetry struct{ next http.RoundTripper }

func (a autoRetry) RoundTrip(r *http.Request) (*http.Response, error) {
	for retry := 1; ; retry++ {
		resp, err := a.next.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests || retry > autoRetries {
			return resp, err
		}
		// To the end, so that the connection can be used again.
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		select {
		case <-time.After(autoRetryDelay(retry, rand.Float64())):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		r = r.Clone(r.Context())
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// autoRetryDelay is a full jitter: random, from 0 to 1, of 200, 400, 800 ms and so
// on, from the first retry on. It is never more than 3 s, and in whole
// milliseconds, as in JavaScript.
func autoRetryDelay(retry int, random float64) time.Duration {
	below := min(3*time.Second, 100*time.Millisecond<<retry)
	return time.Duration(random * float64(below)).Truncate(time.Millisecond)
}
