package twiliotest

import (
	"bytes"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const apiVersion = "2010-04-01" // of api.twilio.com

// An inbound is a request as it is worked on.
type inbound struct {
	req        Request
	auth       string            // the Authorization header
	v1         bool              // errors are in the form of the API standards v1.0
	version    string            // "2010-04-01", "v1", ...; "" if the path has none
	names      []string          // the path behind version and account
	id         string            // the identifier behind Resource; "" for the collection
	concurrent int               // requests of the account in progress, this included
	now        time.Time         // when it was accepted, by the Fake's clock
	per        map[*meter]string // what limits count it as; nil: none has a function for it
	trace      tracer            // of the client; zero over a Server, where net/http tells it
}

// token tells whether this is a request for an OAuth token.
func (in *inbound) token() bool {
	return in.req.Product == "oauth" && in.req.Method == http.MethodPost && len(in.names) == 1 && in.names[0] == "token"
}

// newInbound reads what a request is about. body is all of its body.
func newInbound(r *http.Request, body []byte) *inbound {
	in := &inbound{auth: r.Header.Get("Authorization")}
	in.req = Request{Method: r.Method, Host: r.Host, Path: r.URL.Path}
	if in.req.Method == "" {
		in.req.Method = http.MethodGet
	}
	if in.req.Host == "" {
		in.req.Host = r.URL.Host
	}
	in.readPath()
	in.v1 = r.Header.Get("X-Twilio-ApiVersion") == "v1.0" || v1Services[in.req.Product+"/"+in.version]
	in.readForm(r, body)
	return in
}

// v1Services are those to which twilio-go v1.31.0 sends X-Twilio-ApiVersion.
var v1Services = map[string]bool{
	"conversations/v2": true, "insights/v3": true, "intelligence/v3": true, "knowledge/v2": true,
	"memory/v1": true, "numbers/v3": true, "routes/v3": true, "voice/v3": true,
}

// prefixes are names that stand in front of another name instead of an
// identifier, in the paths of twilio-go v1.31.0.
var prefixes = map[string]bool{
	"Auth": true, "ControlPlane": true, "Credentials": true, "DialingPermissions": true, "HostedNumber": true,
	"HostedNumbers": true, "Insights": true, "InsightsDomains": true, "LinkShortening": true, "Messaging": true,
	"PluginService": true, "Porting": true, "QualityManagement": true, "RegulatoryCompliance": true,
	"Reports": true, "SIP": true, "SMS": true, "SafeList": true, "Tollfree": true, "Trunking": true, "Usage": true,
	"Video": true, "Voice": true, "batch": true,
}

func (in *inbound) readPath() {
	host, _, _ := strings.Cut(strings.ToLower(in.req.Host), ":")
	if label, rest, ok := strings.Cut(host, "."); ok && (rest == "twilio.com" || strings.HasSuffix(rest, ".twilio.com")) {
		in.req.Product = label
	}
	path := strings.Trim(in.req.Path, "/")
	if in.req.Product == "api" || strings.HasPrefix(path, apiVersion+"/") {
		path = strings.TrimSuffix(path, ".json")
	}
	names := strings.Split(path, "/")
	switch first := names[0]; {
	case first == apiVersion:
		in.version, names = first, names[1:]
		if in.req.Product == "" {
			in.req.Product = "api"
		}
	case len(first) == 2 && first[0] == 'v' && first[1] >= '0' && first[1] <= '9':
		in.version, names = first, names[1:]
	}
	// The account itself, /Accounts/AC....json, is an item of "Accounts".
	if len(names) >= 2 && names[0] == "Accounts" && in.req.Product == "api" {
		in.req.Account = names[1]
		if len(names) > 2 {
			names = names[2:]
		}
	}
	in.names = names
	var resource string
	for _, name := range names {
		if resource != "" && in.id == "" && !prefixes[resource] || isSID(name) {
			in.id = name
			continue
		}
		resource, in.id = name, ""
	}
	in.req.Resource = resource
	if in.req.Product != "api" {
		in.req.Resource = in.req.Product + "/" + resource
	}
}

// isSID tells whether s is a Twilio SID: two capital letters and 32 hex digits.
func isSID(s string) bool {
	if len(s) != 34 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return false
	}
	for _, c := range []byte(s[2:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// readForm takes the form from the body or the query. A field that is not
// well-formed is left out, as by net/url.
func (in *inbound) readForm(r *http.Request, body []byte) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case len(body) > 0 && (kind == "application/x-www-form-urlencoded" || kind == ""):
		in.req.Form, _ = url.ParseQuery(string(body))
	default:
		if len(body) > 0 {
			in.req.Body = bytes.Clone(body)
		}
		in.req.Form, _ = url.ParseQuery(r.URL.RawQuery)
	}
	in.req.Sender = in.req.Form.Get("From")
	if in.req.Sender == "" {
		in.req.Sender = in.req.Form.Get("MessagingServiceSid")
	}
}
