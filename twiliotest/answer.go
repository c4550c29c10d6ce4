package twiliotest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// An answer is a response on its way out.
type answer struct {
	status int
	code   int
	header http.Header
	body   []byte

	// A throttled answer's Retry-After is made by finish, without the mutex,
	// as RetryAfter is the caller's function.
	throttled bool
	wait      time.Duration

	foreign  bool        // not Twilio's: it has the headers of its fault alone
	replaced http.Header // a fault's, in place of the headers of the same names
	breakage breakage
	listing  *listing // what show makes the body of; nil: the body is made
}

// success is an answer with v as its JSON; nil is no body.
func success(status int, v any) *answer {
	a := &answer{status: status, header: http.Header{}}
	a.header.Set("Content-Type", "application/json")
	if v != nil {
		a.body = mustJSON(v)
	}
	return a
}

// mustJSON encodes documents of this package, which cannot fail to encode.
func mustJSON(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("twiliotest: " + err.Error())
	}
	return body
}

type classicError struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Status   int    `json:"status"`
}

type v1Error struct {
	Code           int            `json:"code"`
	Message        string         `json:"message"`
	HTTPStatusCode int            `json:"httpStatusCode"`
	Params         map[string]any `json:"params"`
	UserError      bool           `json:"userError"`
}

func (f *Fake) failure(in *inbound, status, code int, message string) *answer {
	return failureIn(f.cfg.Errors, in, status, code, message)
}

func failureIn(format ErrorFormat, in *inbound, status, code int, message string) *answer {
	if format == FormatAuto {
		format = FormatClassic
		if in.v1 {
			format = FormatV1
		}
	}
	a := success(status, nil)
	a.code = code
	switch format {
	case FormatHTML:
		a.header.Set("Content-Type", "text/html; charset=utf-8")
		title := fmt.Sprintf("%d %s", status, http.StatusText(status))
		a.body = []byte("<html><head><title>" + title + "</title></head><body><h1>" + title + "</h1></body></html>\n")
		return a
	case FormatEmpty:
		a.header.Set("Content-Type", "text/plain; charset=utf-8")
		return a
	case FormatV1:
		// Which errors Twilio blames on the user is not documented; here it
		// is those that another request would not meet.
		user := status < 500 && status != http.StatusTooManyRequests
		a.body = mustJSON(v1Error{code, message, status, map[string]any{}, user})
	default:
		a.body = mustJSON(classicError{code, message, "https://www.twilio.com/docs/errors/" + strconv.Itoa(code), status})
	}
	a.header.Set("X-Twilio-Error-Code", strconv.Itoa(code))
	return a
}

// notFound is Twilio's answer for a resource that does not exist. Its message
// names the path, which is left out here where it may hold a phone number.
func (f *Fake) notFound(in *inbound) *answer {
	name := "resource"
	if in.req.Product == "api" {
		name += " " + in.req.Path
	}
	return f.failure(in, http.StatusNotFound, 20404, "The requested "+name+" was not found")
}

// finish adds the last headers.
func (f *Fake) finish(in *inbound, a *answer) *answer {
	if !a.foreign {
		f.sign(in, a)
	}
	for name, values := range a.replaced {
		a.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return a
}

// sign adds the headers that every response of Twilio's has. Twilio-Request-Id
// and Twilio-Request-Duration are on all of them
// (https://www.twilio.com/blog/twilio-request-telemetry);
// Twilio-Concurrent-Requests is the number of the account's requests in
// progress, this one included.
func (f *Fake) sign(in *inbound, a *answer) {
	now := time.Now()
	h := a.header
	if a.throttled {
		if value := f.cfg.RetryAfter(a.wait); value != "" {
			h.Set("Retry-After", value)
		}
	}
	h.Set("Date", f.byClock(now).UTC().Format(http.TimeFormat))
	h.Set("Twilio-Request-Id", fmt.Sprintf("RQ%032x", f.requests.Add(1)))
	h.Set("Twilio-Request-Duration", strconv.FormatFloat(now.Sub(in.req.Time).Seconds(), 'f', 3, 64))
	h.Set("Twilio-Concurrent-Requests", strconv.Itoa(in.concurrent))
	if a.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="Twilio API"`)
	}
}
