package pacer

import (
	"log/slog"
	"net/url"
	"strings"
	"unicode"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// An Op is what a request does to its resource. Twilio limits them apart, and so
// does pacer: reading messages never waits behind sending them.
type Op string

// The operations.
const (
	Read   Op = "read"   // GET, HEAD: fetch one or list
	Create Op = "create" // POST to a collection: a new message, call, execution
	Write  Op = "write"  // update, delete: everything else
)

// A Resource is what one bucket of a [Limiter] is kept for: requests of the same
// Resource share a rate, a cool-down and permits. It is comparable, and so
// can be the key of a map.
//
// It is derived from a request's method, URL and form alone. SIDs, phone numbers and unique names are
// not part of Name, so that Name is safe as a metric's label. Sender may be a phone number and is
// not.
type Resource struct {
	// Account is the SID of the account that is charged. It is the one in the URL's path, which may
	// be a subaccount, else the account of the credentials. Of these it is the user name, if that
	// begins with AC, else, for an API key, the client's AccountSid.
	Account string
	// Region is the Twilio region that the host names, "us1" where it names none.
	// Regions are separate stacks with separate limits; edges are only entrances.
	Region string
	// Product is the first label of the host: "api", "lookups", "verify", ...
	Product string
	// Name is the path without version, account, SIDs and other identifiers:
	// "Messages", "Messages/Media", "Services/Verifications", "PhoneNumbers".
	// Versions of one API (lookups v1 and v2) share a name, as they share limits.
	Name string
	// Op tells reads, creates and other writes apart.
	Op Op
	// Sender is, when a message is created, its From, else its MessagingServiceSid; Twilio limits
	// each sender by itself. Otherwise "". A phone number is in E.164 form, with or without a channel
	// ("whatsapp:+15005550006"), whatever its notation in the request. So "+1 500 555 0006" and
	// "15005550006" are "+15005550006". What is no phone number stays as it is.
	Sender string `json:"-"`
}

// String returns product, name and operation, such as "api/Messages:create". It
// holds neither account nor sender, and takes a bounded number of values.
func (r Resource) String() string {
	return r.Product + "/" + r.Name + ":" + string(r.Op)
}

// ResourceOf maps a request to its resource. method, rawURL and form are as twilio-go gives them to
// its client.BaseClient. account is the SID of the account whose credentials the request is sent
// with. Any input has a resource; of a nonsensical one it is one of its own. It allocates only for
// names of more than one segment, and for a sender that is not in E.164 form.
func ResourceOf(method, rawURL string, form url.Values, account string) Resource {
	e := endpoint.Of(method, rawURL)
	r := Resource{Account: account, Region: e.Region, Product: e.Product, Name: e.Name, Op: Op(e.Op)}
	if e.Account != "" {
		r.Account = e.Account
	}
	if r.Op == Create && r.Product == "api" && r.Name == Messages {
		if r.Sender = canonicalParty(form.Get("From")); r.Sender == "" {
			r.Sender = canonicalParty(form.Get("MessagingServiceSid"))
		}
	}
	return r
}

// namesAccount reports that the URL's path has the account. Only the core API's paths have.
func (r Resource) namesAccount() bool { return r.Product == "api" && r.Name != "Accounts" }

// canonicalParty returns the notation of a sender or receiver that all its notations have
// in common. A phone number is in E.164 form then, a channel in lower case. What is neither
// stays as it is, but for blanks around it.
//
// Twilio documents E.164, and takes other notations, too: of North American numbers those
// without "+" or without "+1".
func canonicalParty(s string) string {
	s = strings.TrimSpace(s)
	channel, address, found := strings.Cut(s, ":")
	if !found {
		return canonicalNumber(s, true)
	}
	name := strings.ToLower(strings.TrimSpace(channel))
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
		return s
	}
	number := canonicalNumber(strings.TrimSpace(address), name == "whatsapp")
	if name == channel && number == address {
		return s // without allocating
	}
	return name + ":" + number
}

// canonicalNumber returns a phone number in E.164 form, and everything else as it is.
// always: the text is a number also without its "+".
func canonicalNumber(s string, always bool) string {
	digits := strings.Map(digitsOnly, s)
	if strings.Contains(s, "(0)") { // "+44 (0) 20": the zero is not dialled from abroad
		digits = strings.Map(digitsOnly, strings.Replace(s, "(0)", "", 1))
	}
	national, international := strings.CutPrefix(digits, "+")
	switch n := len(national); {
	case n == 0, n > 15, national[0] == '0', strings.Trim(national, "0123456789") != "":
	case international:
		return digits
	case !always:
	case n <= 8:
		return digits // a short code
	case n == 10 && national[0] >= '2' && national[3] >= '2': // North America, where neither part begins with 0 or 1
		return "+1" + digits
	case n >= 11:
		return "+" + digits
	}
	return s
}

// digitsOnly drops what people write between the digits of a phone number. It keeps all else.
func digitsOnly(r rune) rune {
	switch {
	case '0' <= r && r <= '9', r == '+':
		return r
	case strings.ContainsRune("().-/", r), unicode.IsSpace(r), unicode.In(r, unicode.Pd, unicode.Cf): // other dashes, marks without width
		return -1
	}
	return r
}

// Resources whose limits Twilio's users set most often, for [Limit.Resource].
const (
	Messages = "Messages"
	Calls    = "Calls"
	Lookups  = "lookups/PhoneNumbers"
)

// LogValue keeps phone numbers out of logs: the sender is masked.
func (r Resource) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("resource", r.String()), slog.String("account", r.Account)}
	if r.Sender != "" {
		attrs = append(attrs, slog.String("sender", mask(r.Sender)))
	}
	return slog.GroupValue(attrs...)
}
