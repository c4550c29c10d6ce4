package pacer

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// rebased is a transport that sends what is meant for Twilio to another server.
type rebased struct {
	next http.RoundTripper
	base *url.URL
}

// rebase returns a copy of hc that sends to base.
func rebase(hc *http.Client, base *url.URL) *http.Client {
	c := *hc
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = &rebased{c.Transport, base}
	return &c
}

// atTwilio reports whether u names a host of Twilio's.
func atTwilio(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	return host == "twilio.com" || strings.HasSuffix(host, ".twilio.com")
}

// covers reports whether a request for u is sent at all.
func (t *rebased) covers(u *url.URL) bool {
	return atTwilio(u) || u.Scheme == t.base.Scheme && u.Host == t.base.Host
}

// RoundTrip implements [http.RoundTripper].
func (t *rebased) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.covers(req.URL) {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("pacer: a request for host %s is not sent: with WithBaseURL only requests for Twilio are, and they go to %s", req.URL.Host, t.base.Host)
	}
	if !atTwilio(req.URL) {
		return t.next.RoundTrip(req)
	}
	// A shallow copy is enough: only the URL and the host differ.
	out := *req
	u := *req.URL
	if out.Host == "" {
		out.Host = u.Host
	}
	u.Scheme, u.Host = t.base.Scheme, t.base.Host
	if u.RawPath != "" {
		u.RawPath = t.base.EscapedPath() + u.RawPath
	}
	u.Path = t.base.Path + u.Path
	out.URL = &u
	resp, err := t.next.RoundTrip(&out)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}
