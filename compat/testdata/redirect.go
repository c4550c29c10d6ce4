package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
)

// TestReadmePrograms adds this file to the programs of twilio-go's README, so that
// what they send to Twilio goes to twiliotest and nowhere else.
func init() {
	http.DefaultTransport = redirect{addr: strings.TrimPrefix(os.Getenv("TWILIOTEST_URL"), "http://"), next: &http.Transport{}}
}

type redirect struct {
	addr string
	next *http.Transport
}

func (r redirect) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Hostname(), ".twilio.com") {
		return nil, fmt.Errorf("request to %s, which is not Twilio", req.URL.Host)
	}
	out := req.Clone(req.Context())
	out.Host, out.URL.Scheme, out.URL.Host = req.URL.Host, "http", r.addr
	return r.next.RoundTrip(out)
}
