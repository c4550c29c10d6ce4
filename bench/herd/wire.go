package main

import (
	"context"
	"net/http"
	"sync/atomic"
)

// wire is below every client, retries and all: it counts what is really sent,
// and which answers say "too many".
type wire struct {
	next                http.RoundTripper
	requests, throttled atomic.Int64
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests.Add(1)
	resp, err := w.next.RoundTrip(r)
	if resp != nil && resp.StatusCode == http.StatusTooManyRequests {
		w.throttled.Add(1)
	}
	return resp, err
}

// stoppable is above a client that retries in its http.Client: twilio-go gives
// its requests no context, and so nothing could end their waits.
type stoppable struct {
	ctx  context.Context
	next http.RoundTripper
}

func (s stoppable) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.next.RoundTrip(r.WithContext(s.ctx))
}
