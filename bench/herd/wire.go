package main

import (
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
