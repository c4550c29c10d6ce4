package queue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue/internal/jsontext"
)

// check reports what makes a request unfit to be stored: what could only fail later, when
// nobody waits for an answer any more. What is stored already is not checked again.
func (r *Request) check(resource pacer.Resource) error {
	return cmp.Or(r.validate(), r.checkText(), r.checkSecrets(resource), r.checkAccount(resource), r.checkCreation(resource), r.checkSize())
}

// checkText reports a text that JSON, in which requests are kept, would change.
func (r *Request) checkText() error {
	for name, values := range r.Form {
		if reason := notText(name); reason != "" {
			return fmt.Errorf(`queue: request: a name in "form" %s`, reason)
		}
		for _, v := range values {
			if reason := notText(v); reason != "" {
				return fmt.Errorf(`queue: request: "form" field %.50q %s`, name, reason)
			}
		}
	}
	if reason := notText(r.URL); reason != "" {
		return fmt.Errorf(`queue: request: "url" %s`, reason)
	}
	if r.Body == "" {
		return nil
	}
	if reason := notText(r.Body); reason != "" {
		return fmt.Errorf(`queue: request: "body" %s`, reason)
	}
	if !json.Valid([]byte(r.Body)) {
		return errors.New(`queue: request: "body" is not valid JSON: expected JSON, as its Content-Type says`)
	}
	if err := jsontext.Check([]byte(r.Body)); err != nil {
		return fmt.Errorf(`queue: request: "body": %w`, err)
	}
	return nil
}

// notText returns why s is no text that JSON can hold unchanged; "": it is one.
func notText(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "is not UTF-8: expected text in UTF-8; it comes from a source in another encoding, such as ISO-8859-1"
	case strings.Contains(s, "\x00"):
		return "has a NUL character: expected text; it comes from a source in another encoding, such as UTF-16"
	}
	return ""
}

// checkSecrets refuses requests for access tokens. They hold a client's secret, and their
// answer, which is one, too, would be kept.
func (r *Request) checkSecrets(resource pacer.Resource) error {
	refuse := func(what string) error {
		return fmt.Errorf("queue: request: %s: expected no request for an access token in a queue, which would keep the secret; ask for the token directly", what)
	}
	if resource.Name == "token" && slices.Contains([]string{"oauth", "iam", "preview-iam"}, resource.Product) {
		return refuse(fmt.Sprintf("operation %q", resource))
	}
	for name := range r.Form {
		switch strings.ToLower(strings.ReplaceAll(name, "_", "")) {
		case "clientsecret", "refreshtoken":
			return refuse(fmt.Sprintf(`"form" has %.50q`, name))
		}
	}
	return nil
}

// checkAccount looks at the account in the URL's path.
func (r *Request) checkAccount(resource pacer.Resource) error {
	_, path, found := strings.Cut(r.URL, "/Accounts/")
	if !found || resource.Product != "api" {
		return nil
	}
	sid, _, _ := strings.Cut(path, "/")
	return checkAccountSID(`request: "url": after /Accounts/`, strings.TrimSuffix(sid, ".json"))
}

var accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)

// checkAccountSID reports why sid, from source, is no account's SID. The whole is not told:
// it may be a secret that stands in the wrong place.
func checkAccountSID(source, sid string) error {
	const expected = "expected an account SID, AC and 32 hexadecimal digits"
	switch {
	case accountSID.MatchString(sid):
		return nil
	case accountSID.MatchString(strings.TrimSpace(sid)):
		return fmt.Errorf("queue: %s: an account SID with a blank before or after it: %s and nothing else", source, expected)
	case sid == "":
		return fmt.Errorf("queue: %s: none: %s", source, expected)
	case strings.HasPrefix(sid, "SK"):
		return fmt.Errorf("queue: %s: %.4q... is the SID of an API key: %s; the key is the worker's", source, sid, expected)
	case len(sid) <= 5:
		return fmt.Errorf("queue: %s: %q: %s", source, sid, expected)
	}
	return fmt.Errorf("queue: %s: %.4q... of %d characters: %s", source, sid, utf8.RuneCountInString(sid), expected)
}

// checkSize measures the request as it is stored.
func (r *Request) checkSize() error {
	// JSON takes at most 6 bytes for each byte, and a few for each value.
	const each, around = 6, 16
	n := around*8 + each*(len(r.URL)+len(r.Body))
	for name, values := range r.Form {
		n += around + each*len(name)
		for _, v := range values {
			n += around + each*len(v)
		}
	}
	for name, value := range r.Header {
		n += around + each*(len(name)+len(value))
	}
	if n <= maxRequest {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("queue: request: %w", err)
	}
	if len(b) > maxRequest {
		return fmt.Errorf("queue: request of %d bytes as JSON: expected at most %d", len(b), maxRequest)
	}
	return nil
}

// checkCreation reports what Twilio would refuse about a new message or call.
func (r *Request) checkCreation(resource pacer.Resource) error {
	what := map[string]string{createMessage: "message", createCall: "call"}[resource.String()]
	for _, field := range singleFields {
		if n := len(r.Form[field]); what != "" && n > 1 {
			return fmt.Errorf("queue: %s: %q has %d values: expected one, as nobody knows which one Twilio takes", what, field, n)
		}
	}
	switch resource.String() {
	case createMessage:
		if err := r.checkReceiver(); err != nil {
			return err
		}
		if !r.has("From") && !r.has("MessagingServiceSid") {
			return errors.New(`queue: message: neither "From" nor "MessagingServiceSid": expected one of them`)
		}
		if from := r.value("From"); withoutPlus(from) {
			return fmt.Errorf(`queue: message: "From": %s: expected a plus and the country code before it, such as +15005550006`, masked(from))
		}
		if !r.has("Body") && !r.has("MediaUrl") && !r.has("ContentSid") {
			return errors.New(`queue: message: none of "Body", "MediaUrl" and "ContentSid": expected one of them`)
		}
	case createCall:
		for _, field := range []string{"To", "From"} {
			if !r.has(field) {
				return fmt.Errorf("queue: call: no %q: expected one", field)
			}
		}
	}
	return nil
}

// singleFields are those by which a message or call is found in Twilio's list.
var singleFields = []string{"To", "From", "MessagingServiceSid", "Body"}

func (r *Request) value(field string) string { return url.Values(r.Form).Get(field) }

func (r *Request) has(field string) bool {
	return slices.ContainsFunc(r.Form[field], func(s string) bool { return strings.TrimSpace(s) != "" })
}

var (
	e164    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	channel = regexp.MustCompile(`^[a-z][a-z0-9_.-]*:.*[^\s]`)
	// notation is what people write between the digits of a phone number.
	notation = strings.NewReplacer(" ", "", "(", "", ")", "", "-", "", ".", "")
)

// withoutPlus reports whether s looks like a phone number but for its plus. Fewer than nine
// digits may be a short code.
func withoutPlus(s string) bool {
	digits := notation.Replace(s)
	return len(digits) >= 9 && strings.Trim(digits, "0123456789") == ""
}

// checkReceiver reports why To is no address. A number without a plus is refused: Twilio
// would guess its country, and list the message under another number. A message in doubt
// could then not be found, and would be sent again.
func (r *Request) checkReceiver() error {
	const expected = "expected a phone number such as +15005550006, or a channel's address such as whatsapp:+15005550006"
	to := r.value("To")
	switch number := notation.Replace(to); {
	case !r.has("To"):
		return errors.New(`queue: message: no "To": ` + expected)
	case e164.MatchString(number), channel.MatchString(to):
		return nil
	case strings.Trim(number, "0123456789") == "":
		return fmt.Errorf(`queue: message: "To": %s: expected a plus and the country code before it, such as +15005550006`, masked(to))
	case strings.Trim(number, "+0123456789") == "":
		return fmt.Errorf(`queue: message: "To": %s: %s`, masked(to), expected)
	}
	return fmt.Errorf(`queue: message: "To": %d characters: %s`, utf8.RuneCountInString(to), expected)
}

// Times are kept from 1970, as earlier ones have passed anyway, to the last one that
// RFC 3339 can write.
var (
	firstTime = time.Unix(0, 0)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
)

// storable returns t as it is kept: in UTC, and zero for a time before 1970. A time that
// engines cannot hold is an error.
func storable(field string, t time.Time) (time.Time, error) {
	switch {
	case t.After(lastTime):
		return t, fmt.Errorf("%s: the year %d: expected one up to 9999; were milliseconds or microseconds taken for seconds?", field, t.UTC().Year())
	case t.Before(firstTime):
		return time.Time{}, nil
	}
	return t.Round(0).UTC(), nil
}

// checkTimes brings a job's times into the form in which they are kept.
func (j *Job) checkTimes() error {
	due, err := storable("queue: At", j.Due)
	if err != nil {
		return err
	}
	deadline, err := storable("queue: Deadline", j.Deadline)
	switch {
	case err != nil:
		return err
	case deadline.IsZero() && !j.Deadline.IsZero():
		return fmt.Errorf("queue: Deadline: the year %d: expected one after 1970", j.Deadline.UTC().Year())
	case !deadline.IsZero() && !due.IsZero() && !deadline.After(due):
		return fmt.Errorf("queue: Deadline: %s: expected a time after %s, before which it is not sent", deadline.Format(time.RFC3339), due.Format(time.RFC3339))
	}
	j.Due, j.Deadline = due, deadline
	return nil
}
