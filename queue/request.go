package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/twilio-pacer/pacer/queue/internal/jsontext"
)

// A Request is one request to Twilio as it is kept: what twilio-go would have sent, without
// the account's credentials. Programs in any language can write its JSON, which
// docs/queue.md describes.
type Request struct {
	Method string              `json:"method"`           // GET, POST, PUT, PATCH or DELETE
	URL    string              `json:"url"`              // whole, https, of a host of Twilio's
	Form   map[string][]string `json:"form,omitempty"`   // for JSON bodies, GET and DELETE: the query
	Header map[string]string   `json:"header,omitempty"` // only Content-Type, Accept, If-Match, Flex-Metadata, Ui-Version, X-Twilio-...
	Body   string              `json:"body,omitempty"`   // JSON; only where the Content-Type says so
}

// The version of the JSON. A reader takes any minor version of its own major one, and ignores
// fields that it does not know. A field that must not be ignored needs a new major version.
const (
	formatMajor   = 1
	formatVersion = "1.0"
)

// maxRequest bounds a stored request, in bytes of JSON. Twilio's own limit for a message
// is some kilobytes.
const maxRequest = 1 << 20

// MarshalJSON adds the version: "v": "1.0".
func (r Request) MarshalJSON() ([]byte, error) {
	type plain Request
	return json.Marshal(struct {
		Version string `json:"v"`
		plain
	}{formatVersion, plain(r)})
}

// UnmarshalJSON reads any minor version of major version 1. It is an error if the text is not
// UTF-8, or if no worker may send the request. Such a request has another host than Twilio's, a
// header that is not allowed, or more than 1 MiB. What it orders is checked when it is
// enqueued.
func (r *Request) UnmarshalJSON(b []byte) error {
	type plain Request
	var v struct {
		Version string `json:"v"`
		plain
	}
	if len(b) > maxRequest {
		return fmt.Errorf("queue: request of %d bytes: expected at most %d", len(b), maxRequest)
	}
	if err := jsontext.Check(b); err != nil {
		return fmt.Errorf("queue: request: %w", err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("queue: request is not valid JSON: %w", withoutValues(err))
	}
	if err := checkVersion("request", v.Version); err != nil {
		return err
	}
	*r = Request(v.plain)
	return r.validate()
}

// checkVersion reports why what was stored with this version is not to be read.
func checkVersion(what, version string) error {
	major, minor, ok := strings.Cut(version, ".")
	m, err := strconv.ParseUint(major, 10, 16)
	_, errMinor := strconv.ParseUint(minor, 10, 16)
	if !ok || err != nil || errMinor != nil {
		return fmt.Errorf(`queue: %s: "v": %.20q: expected a version like %q`, what, version, formatVersion)
	}
	if m != formatMajor {
		return fmt.Errorf(`queue: %s: "v": %q: expected %d.x; it was written by another version of pacer: update this program`, what, version, formatMajor)
	}
	return nil
}

// withoutValues keeps what stands in a request out of an error about its form.
func withoutValues(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("field %q: expected another type than %s", strings.TrimPrefix(wrong.Field, "plain."), strings.Fields(wrong.Value + " ?")[0])
	}
	return err
}

// validate reports what makes a request unfit to be sent. A worker sends the account's
// credentials to the URL, so that its host matters.
func (r *Request) validate() error {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return fmt.Errorf(`queue: request: "method": %.20q: expected GET, POST, PUT, PATCH or DELETE`, r.Method)
	}
	u, err := url.Parse(r.URL)
	switch {
	case err != nil:
		return errors.New(`queue: request: "url": expected a URL`) // the text of err quotes it, and it may hold a number
	case u.Scheme != "https":
		return fmt.Errorf(`queue: request: "url": scheme %.20q: expected https`, u.Scheme)
	case u.User != nil:
		return errors.New(`queue: request: "url" has a user: expected no credentials in a queued request`)
	case !strings.HasSuffix(strings.ToLower(u.Hostname()), ".twilio.com"):
		return fmt.Errorf(`queue: request: "url": host %.100q: expected one under twilio.com, as credentials are sent there`, u.Hostname())
	case u.Port() != "" && u.Port() != "443":
		return fmt.Errorf(`queue: request: "url": port %q: expected none`, u.Port())
	}
	if err := r.checkHeader(); err != nil {
		return err
	}
	if r.Body != "" && !r.json() {
		return fmt.Errorf(`queue: request: "body" with Content-Type %.50q: expected application/json, or no body but a form`, r.contentType())
	}
	return nil
}

// allowedHeaders are the headers that operations of twilio-go's set, in canonical form,
// but for those with a reason in refusedHeader. X-Twilio-... is allowed as well.
var allowedHeaders = []string{"Accept", "Content-Type", "Flex-Metadata", "If-Match", "Ui-Version"}

// refusedHeader returns why a header, in canonical form, has no place in a queued request;
// "": it has.
func refusedHeader(name string) string {
	switch name {
	case "Authorization", "Proxy-Authorization", "Cookie":
		return "expected no credentials in a queued request; the worker has its own"
	case "Idempotency-Key", "X-Idempotency-Key":
		return "net/http would send the POST twice by itself if a connection broke; expected Unique, which names the request in the queue"
	case "Accept-Encoding":
		return "the answer would be compressed, and could not be read; expected none, as net/http asks for gzip by itself"
	case "Content-Encoding":
		return "a queued body is text, and is sent as it is; expected none"
	}
	if slices.Contains(allowedHeaders, name) || strings.HasPrefix(name, "X-Twilio-") && len(name) > len("X-Twilio-") {
		return ""
	}
	return "expected only " + strings.Join(allowedHeaders, ", ") + " and X-Twilio-..."
}

// checkHeader reports which header is not allowed. Some of them net/http would refuse, but only
// when the request is sent. Others would change how it sends.
func (r *Request) checkHeader() error {
	seen := make(map[string]bool, len(r.Header))
	for name, value := range r.Header {
		canonical := http.CanonicalHeaderKey(name)
		if name == "" || strings.ContainsFunc(name, notInToken) {
			return fmt.Errorf(`queue: request: "header" has the name %.50q: expected one of letters, digits and -`, name)
		}
		if reason := refusedHeader(canonical); reason != "" {
			return fmt.Errorf(`queue: request: "header" has %.50s: %s`, canonical, reason)
		}
		if strings.ContainsFunc(value, unicode.IsControl) || !utf8.ValidString(value) {
			return fmt.Errorf(`queue: request: "header" %q: expected no line break or other control character, and UTF-8`, canonical)
		}
		if seen[canonical] {
			return fmt.Errorf(`queue: request: "header" has %q twice: expected it once`, canonical)
		}
		seen[canonical] = true
	}
	return nil
}

func notInToken(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}

func (r *Request) contentType() string {
	for name, value := range r.Header {
		if http.CanonicalHeaderKey(name) == "Content-Type" {
			return value
		}
	}
	return ""
}

func (r *Request) json() bool { return r.contentType() == "application/json" }

// header returns the headers as twilio-go's SendRequest takes them.
func (r *Request) header() map[string]any {
	h := make(map[string]any, len(r.Header)+1)
	for name, value := range r.Header {
		h[http.CanonicalHeaderKey(name)] = value
	}
	return h
}

// newRequest makes a Request of what twilio-go has passed to SendRequest. It is not checked.
func newRequest(method, rawURL string, form url.Values, headers map[string]any, body []byte) Request {
	r := Request{Method: method, URL: rawURL, Form: form, Body: string(body)}
	if len(headers) > 0 {
		r.Header = make(map[string]string, len(headers))
		for name, value := range headers {
			r.Header[name] = fmt.Sprint(value)
		}
	}
	return r
}

// same reports whether two requests order the same. Headers do not count: another version
// of twilio-go may set others. Nor does how To is written: versions before have kept it as
// it came.
func (r *Request) same(other Request) bool {
	alike := func(a, b string) bool { return a == b || plain(a) == plain(b) }
	if !slices.EqualFunc(r.Form["To"], other.Form["To"], alike) {
		return false
	}
	form := maps.Clone(r.Form)
	if to := other.Form["To"]; len(to) > 0 {
		form["To"] = to
	}
	return r.Method == other.Method && r.URL == other.URL && r.Body == other.Body && maps.EqualFunc(form, other.Form, slices.Equal)
}

// safe reports whether sending the request twice does the same as sending it once.
func (r *Request) safe() bool { return r.Method == http.MethodGet || r.Method == http.MethodDelete }
