package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// parseTarget reads the URL of a server that stands in for Twilio.
func parseTarget(v string) (*url.URL, error) {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("expected an http or https URL with a host, such as http://127.0.0.1:4010")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("expected scheme, host and port only: paths are those of Twilio's API, credentials come from the environment")
	}
	host := strings.ToLower(strings.TrimRight(u.Hostname(), "."))
	if host == "twilio.com" || strings.HasSuffix(host, ".twilio.com") {
		return nil, errors.New("expected a server of your own: herd floods, and is never to be pointed at the real Twilio")
	}
	return u, nil
}

// toTarget sends every request to one server, whatever its host, and keeps its
// path and query.
type toTarget struct {
	target *url.URL
	next   http.RoundTripper
}

func (t toTarget) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host = t.target.Scheme, t.target.Host, t.target.Host
	return t.next.RoundTrip(out)
}
