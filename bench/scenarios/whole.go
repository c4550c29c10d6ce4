package main

import (
	"bytes"
	"io"
	"net/http"
)

// whole reads each answer to its end before a client gets it. failsafe-go's retry
// policy does not close the bodies of the answers that it retries. Each then holds
// a connection for good. With hundreds of them a second the process, with all
// clients in it, would soon be out of file descriptors.
type whole struct{ next http.RoundTripper }

func (w whole) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
