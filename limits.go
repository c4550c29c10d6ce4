package pacer

import (
	"math"
	"strings"
)

// Unlimited switches pacing off when it is a [Limit.Rate], also where pacer has a default.
const Unlimited = math.MaxFloat64

// minRate is the least, in requests per second: a request in 11 days.
const minRate = 1e-6

// Limits is a set of rules. Of the rules that match a request the most specific one wins. A rule with
// a Sender goes before one without. Then the longer Resource wins, then a rule with an Account, then
// one with an Op. Where no rule of yours matches, pacer's defaults apply (see [DefaultLimits]); a
// rule for "*" therefore replaces all of them.
//
// Limits is data: it can be written in Go or read from JSON with [ParseLimits].
type Limits []Limit

// A Limit says how much of one resource pacer may send. At least one of Rate and
// MaxInFlight must be set.
type Limit struct {
	// Resource names what is limited. "Messages", "Calls" and "IncomingPhoneNumbers" are resources of
	// Twilio's core API. Those of another product have its host name in front:
	// "lookups/PhoneNumbers", "verify/Verifications", "studio/Executions". "verify/*" is all of a
	// product, and "*" is everything. The last words of a longer name will do: "verify/Verifications"
	// is "verify/Services/Verifications".
	//
	// A resource that no operation of Twilio's has is an error, as the rule would limit
	// nothing. Twilio's operations are those of its OpenAPI documents and of twilio-go, when
	// this version of pacer was made. What is newer can be limited with its whole product
	// ("verify/*"), also where the product is new; rules for its other resources win over that.
	Resource string `json:"resource"`

	// Sender restricts the rule to messages from one sender: a phone number in
	// E.164 form, "whatsapp:+15550006", a short code, or a Messaging Service SID.
	// It matches all notations of that number in requests: see [Resource].Sender.
	// "" is every sender, each with a bucket of its own.
	Sender string `json:"sender,omitempty"`

	// Account restricts the rule to one account or subaccount (its SID). "" is
	// every account, each with buckets of its own.
	Account string `json:"account,omitempty"`

	// Op is the operation that is limited. "" is what the resource is there for: creating it, or, for
	// Lookup, reading it. With "*" it is all three, each in a bucket of its own.
	Op Op `json:"op,omitempty"`

	// Rate is in requests per second and may be a fraction: 1.0/3 is one every
	// three seconds. It is that of each bucket that the rule matches, not for their
	// sum. 0 leaves the rate to the next rule; [Unlimited] switches pacing off.
	Rate float64 `json:"rate,omitempty"`

	// Burst is how many requests may leave at once after a pause; 0 is 1. Twilio's
	// window slides, so a burst of b can put b-1 requests too many into it.
	Burst int `json:"burst,omitempty"`

	// MaxInFlight is how many requests may be on the wire at the same time. They are those of the
	// resource, of all senders together unless Sender is set. With Resource "*" they are those of the
	// whole account. Both hold. 0 is no limit.
	MaxInFlight int `json:"maxInFlight,omitempty"`
}

// ArticleLimits returns the cautious preset: one request per second for every resource type, and for
// messages for every sender. It is the default limit of most accounts according to an article of
// Telphi Consulting. That is "How to Handle Twilio Rate Limiting Error 20429 Gracefully" (June 2026).
// Twilio itself publishes no such figure.
func ArticleLimits() Limits {
	return Limits{{Resource: "*", Rate: 1}}
}

// matches returns 0 for no match, else the higher the more specific the rule is.
func (l *Limit) matches(r Resource) int {
	if (l.Account != "" && l.Account != r.Account) || (l.Sender != "" && l.Sender != r.Sender) {
		return 0
	}
	score := 1
	if l.Resource != "*" {
		product, name := splitRule(l.Resource)
		if product != r.Product {
			return 0
		}
		score += 4
		if name != "*" {
			if name != r.Name && !strings.HasSuffix(r.Name, "/"+name) {
				return 0
			}
			score += 4 * (1 + strings.Count(name, "/") + 1)
		}
	}
	switch l.Op {
	case r.Op:
		score++
	case "":
		if l.Resource != "*" && r.Op != l.mainOp() {
			return 0
		}
	default:
		return 0
	}
	if l.Account != "" {
		score += 2
	}
	if l.Sender != "" {
		score += 1 << 20
	}
	return score
}

// mainOp is what a resource is there for: Lookup is read, all else is created.
func (l *Limit) mainOp() Op {
	if product, _ := splitRule(l.Resource); product == "lookups" {
		return Read
	}
	return Create
}

// splitRule splits the Resource of a rule; a bare name is of the core API. Products
// are lower case, collections of the core API are not.
func splitRule(resource string) (product, name string) {
	first, rest, found := strings.Cut(resource, "/")
	if found && first != "" && 'a' <= first[0] && first[0] <= 'z' {
		return first, rest
	}
	return "api", resource
}
