package queue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue/internal/jsontext"
)

// This file refuses requests that could only fail later, when nobody waits for an answer any more.

// check reports what makes a request unfit to be stored: what could only fail later, when
// nobody waits for an answer any more. What is stored already is not checked again.
func (r *Request) check(resource pacer.Resource) error {
	return cmp.Or(r.validate(), r.checkText(), r.checkSecrets(resource), r.checkAccount(resource), r.checkSize(), r.checkCreation(resource))
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
		if from := r.value("From"); withoutPlus(strings.TrimPrefix(from, "whatsapp:")) {
			return fmt.Errorf(`queue: message: "From": %s: expected a plus and the country code before it, such as +15005550006`, masked(from))
		}
		if !r.has("Body") && !r.has("MediaUrl") && !r.has("ContentSid") {
			return errors.New(`queue: message: none of "Body", "MediaUrl" and "ContentSid": expected one of them`)
		}
		if n := utf8.RuneCountInString(r.value("Body")); n > maxBody && !r.has("ContentSid") { // with a template Body is not sent
			return fmt.Errorf(`queue: message: "Body" of %d characters: expected at most %d, as Twilio refuses a longer one (21617)`, n, maxBody)
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

// E.164 is the form of phone numbers that Twilio wants: a plus, the country code, and the rest
// of the number. The 0 that is dialled within some countries is left out. Here it has 7 to 15
// digits.
var (
	e164    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	channel = regexp.MustCompile(`^[a-z][a-z0-9_.-]*:.*[^\s]`)
	// whatsAppUser is a WhatsApp user without a number: two letters, a dot, and an ID of
	// Meta's, which calls it a business-scoped user ID.
	whatsAppUser = regexp.MustCompile(`^whatsapp:[A-Z]{2}\.[0-9A-Za-z.]+$`)
	// notation is what people and spreadsheets write between the digits of a phone number.
	notation = strings.NewReplacer(" ", "", "(", "", ")", "", "-", "", ".", "", "\u00a0", "", "\u202f", "", "\u2010", "", "\u2011", "", "\u2013", "")
	// innerZero is dialled within a country and not from abroad. With it the number is another one.
	innerZero = regexp.MustCompile(`\(\s*0\s*\)`)
)

const whatsApp = "whatsapp:"

// withoutPlus reports whether s looks like a phone number but for its plus. Fewer than nine
// digits may be a short code.
func withoutPlus(s string) bool {
	digits := notation.Replace(s)
	return len(digits) >= 9 && strings.Trim(digits, "0123456789") == ""
}

// plain returns an address in the form that Twilio's lists have. What people write between the
// digits of a number is left out. What is no number stays as it is.
func plain(address string) string {
	text := strings.TrimSpace(address)
	prefix := ""
	for _, p := range []string{whatsApp, "rcs:"} {
		if strings.HasPrefix(text, p) {
			prefix, text = p, text[len(p):]
		}
	}
	if number := notation.Replace(text); e164.MatchString(number) && !innerZero.MatchString(text) {
		return prefix + number
	}
	return address
}

// normalize writes the receiver of a message or call as Twilio does, so that it is found in
// Twilio's list.
func (r *Request) normalize(resource pacer.Resource) {
	to := r.Form["To"]
	if !reconcilable(resource.String()) || len(to) != 1 || plain(to[0]) == to[0] {
		return
	}
	r.Form = maps.Clone(r.Form) // the caller's stays as it is
	r.Form["To"] = []string{plain(to[0])}
}

// wrongReceiver returns why to is no receiver of a message, and what is expected; "": it is
// one. A number without a plus is refused: Twilio would guess its country, and list the
// message under another number. A message in doubt could then not be found, and would be
// sent again.
func wrongReceiver(to string) string {
	const (
		expected = "expected a phone number in the form of E.164, such as +15005550006, or a channel's address such as whatsapp:+15005550006"
		plus     = "expected a plus and the country code before it, such as +15005550006"
	)
	text, isWhatsApp := strings.CutPrefix(to, whatsApp)
	number := notation.Replace(text)
	onlyOf := func(characters string) bool { return strings.Trim(number, characters) == "" }
	switch {
	case innerZero.MatchString(text):
		return masked(to) + ": a 0 in brackets, which is not dialled from abroad: expected the number without it, such as +442079460958"
	case e164.MatchString(number), isWhatsApp && whatsAppUser.MatchString(to):
		return ""
	case strings.HasPrefix(strings.ToLower(text), "tel:"):
		return masked(to) + `: "tel:" is no channel of Twilio's: expected the number alone, such as +15005550006`
	case !isWhatsApp && channel.MatchString(to):
		return ""
	case onlyOf("0123456789") && number != "":
		return masked(to) + ": " + plus
	case onlyOf("+0123456789"):
		return masked(to) + ": " + expected
	}
	return fmt.Sprintf("%d characters: %s", utf8.RuneCountInString(to), expected)
}

func (r *Request) checkReceiver() error {
	if !r.has("To") {
		return errors.New(`queue: message: no "To": expected a phone number such as +15005550006, or a channel's address such as whatsapp:+15005550006`)
	}
	if reason := wrongReceiver(strings.TrimSpace(r.value("To"))); reason != "" {
		return errors.New(`queue: message: "To": ` + reason)
	}
	return nil
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
