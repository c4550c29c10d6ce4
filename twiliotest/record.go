package twiliotest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Request is the record of one that reached the Fake. Records are shared:
// Form and Body must not be changed.
type Request struct {
	// Time is when it arrived. For an accepted request it is the time at
	// which the limits counted it.
	Time time.Time

	// Method, Host and Path are those of the HTTP request.
	Method, Host, Path string

	// Product is the first label of a host under twilio.com: "api", "lookups".
	// For other hosts it is "api" if the path is one of api.twilio.com, else
	// empty.
	Product string

	// Resource is the collection the request is about, as in "Messages". It is the last name in the
	// path that is neither an identifier nor in front of another name. It has the product in front
	// unless that is "api", as in "lookups/PhoneNumbers". Names and identifiers take turns in
	// Twilio's paths, apart from prefixes such as "Usage" or "SIP".
	Resource string

	// Account is the account SID of the path, else of the credentials, else
	// [AccountSid].
	Account string

	// Sender is the form's From, else its MessagingServiceSid.
	Sender string

	// Form is the form in the body, or else the query.
	Form url.Values

	// Body is a body that is not a form, such as JSON.
	Body []byte

	// SID is that of the resource it created; empty if it created none.
	SID string

	// Status and Code are the answer's HTTP status and Twilio error code. For
	// an accepted request they are those before any fault; for one that was
	// refused by a cut connection they are 0.
	Status, Code int
}

// String describes the request without any phone number or text, so that it
// can be printed in a test's messages.
func (r Request) String() string {
	return fmt.Sprintf("%s %s %s -> %d", r.Time.UTC().Format("15:04:05.000000"), r.Method, r.Resource, r.Status)
}

// Stats are counts since the Fake was made or [Fake.Reset].
type Stats struct {
	// Received is every request that reached the Fake, including those for
	// OAuth tokens.
	Received int

	// Accepted is those that were processed: the length of [Fake.Accepted].
	Accepted int

	// Throttled is those that a Limit or MaxInFlight refused.
	Throttled int

	// Unauthorized is those that were refused for their credentials.
	Unauthorized int

	// Suspended is those that were refused because their account is suspended.
	Suspended int

	// Faulted is those a Fault struck, accepted or not.
	Faulted int

	// Abandoned is those whose context ended before they were answered,
	// accepted or not.
	Abandoned int

	// TokenFetches is requests for an OAuth token, granted or not.
	TokenFetches int

	// MaxInFlight is the most requests that were in progress at once for any
	// one account.
	MaxInFlight int
}

// ledger is what is remembered of requests. It is guarded by the Fake's mutex.
type ledger struct {
	accepted   []Request
	refused    []Request
	created    map[creation]struct{}
	duplicates []Request
}

// A creation identifies a message or call by what its receiver would notice.
type creation struct{ account, resource, sender, to, body, content string }

// accept records a request that was processed.
func (l *ledger) accept(r Request) {
	l.accepted = append(l.accepted, r)
	if r.SID == "" || r.Resource != "Messages" && r.Resource != "Calls" {
		return
	}
	c := creation{account: r.Account, resource: r.Resource, sender: r.Sender, to: r.Form.Get("To")}
	if r.Resource == "Messages" {
		c.body = r.Form.Get("Body")
		c.content = contentOf(r.Form, "MediaUrl", "ContentSid", "ContentVariables")
	} else {
		c.body = r.Form.Get("Url")
		c.content = contentOf(r.Form, "Twiml", "ApplicationSid")
	}
	if _, seen := l.created[c]; seen {
		l.duplicates = append(l.duplicates, r)
		return
	}
	if l.created == nil {
		l.created = map[creation]struct{}{}
	}
	l.created[c] = struct{}{}
}

func contentOf(form url.Values, fields ...string) string {
	var b strings.Builder
	for _, field := range fields {
		for _, v := range form[field] {
			fmt.Fprintf(&b, "%s=%q ", field, v)
		}
	}
	return b.String()
}

// refuse records one that was not, without what only matters to the work.
func (l *ledger) refuse(r Request, status, code int) {
	r.Form, r.Body = nil, nil
	r.Status, r.Code = status, code
	l.refused = append(l.refused, r)
}

// Accepted returns the requests that were processed, in that order. Those for
// OAuth tokens are not among them.
func (f *Fake) Accepted() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.accepted)
}

// Refused returns the requests that were not processed, in the order of their refusal. They were
// throttled, unauthorized, of a suspended account or struck by a fault. Form and Body are nil.
func (f *Fake) Refused() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.refused)
}

// Messages returns those of the accepted requests that created a message.
func (f *Fake) Messages() []Request { return f.creations("Messages") }

// Calls returns those of the accepted requests that created a call.
func (f *Fake) Calls() []Request { return f.creations("Calls") }

func (f *Fake) creations(resource string) []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var made []Request
	for _, r := range f.accepted {
		if r.SID != "" && r.Resource == resource {
			made = append(made, r)
		}
	}
	return made
}

// Duplicates returns the accepted creations of messages and calls that are the same as an earlier
// one, by account, sender, receiver and text. The text is Body, media, content template and
// variables, or a call's Url, Twiml or application. A test that gives every message a text of its own
// finds here whatever was sent twice.
func (f *Fake) Duplicates() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.duplicates)
}

// Stats returns the counts up to now.
func (f *Fake) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}
