package pacer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// Resources whose limits Twilio's users set most often, for [Limit.Resource].
const (
	Messages = "Messages"
	Calls    = "Calls"
	Lookups  = "lookups/PhoneNumbers"
)

// Unlimited switches pacing off when it is a [Limit.Rate], also where pacer has a default.
const Unlimited = math.MaxFloat64

// minRate is the least, in requests per second: a request in 11 days.
const minRate = 1e-6

// Limits is a set of rules. Of the rules that match a request the most specific one
// wins: one with a Sender before one without, then the longer Resource, then one with
// an Account, then one with an Op. Where no rule of yours matches, pacer's defaults
// apply (see [DefaultLimits]); a rule for "*" therefore replaces all of them.
//
// Limits is data: it can be written in Go or read from JSON with [ParseLimits].
type Limits []Limit

// A Limit says how much of one resource pacer may send. At least one of Rate and
// MaxInFlight must be set.
type Limit struct {
	// Resource names what is limited: a resource of Twilio's core API ("Messages",
	// "Calls", "IncomingPhoneNumbers"), one of another product, with that product's
	// host name in front ("lookups/PhoneNumbers", "verify/Verifications",
	// "studio/Executions"), all of a product ("verify/*"), or everything ("*"). The
	// last words of a longer name will do: "verify/Verifications" is
	// "verify/Services/Verifications".
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

	// Op is the operation that is limited. "" is what the resource is there for:
	// creating it, or, for Lookup, reading it; with "*" it is all three, each in a
	// bucket of its own.
	Op Op `json:"op,omitempty"`

	// Rate is in requests per second and may be a fraction: 1.0/3 is one every
	// three seconds. It holds for each bucket that the rule matches, not for their
	// sum. 0 leaves the rate to the next rule; [Unlimited] switches pacing off.
	Rate float64 `json:"rate,omitempty"`

	// Burst is how many requests may leave at once after a pause; 0 is 1. Twilio's
	// window slides, so a burst of b can put b-1 requests too many into it.
	Burst int `json:"burst,omitempty"`

	// MaxInFlight is how many requests may be on the wire at the same time, of the
	// resource (all senders together, unless Sender is set) or, with Resource "*",
	// of the whole account; both hold. 0 is no limit.
	MaxInFlight int `json:"maxInFlight,omitempty"`
}

// ArticleLimits returns the cautious preset: one request per second for every
// resource type, and for messages for every sender. It is the default limit of most
// accounts according to Telphi Consulting's article "How to Handle Twilio Rate Limiting
// Error 20429 Gracefully" (June 2026); Twilio itself publishes no such figure.
func ArticleLimits() Limits {
	return Limits{{Resource: "*", Rate: 1}}
}

func kindOf(sender string) senderKind {
	switch {
	case sender == "":
		return anySender
	case sender == "whatsapp:+14155238886":
		return whatsAppSandbox
	case strings.HasPrefix(sender, "whatsapp:"):
		return whatsApp
	case strings.HasPrefix(sender, "rcs:"):
		return rcs
	case endpoint.IsSID(sender) && strings.HasPrefix(sender, "MG"):
		return messagingService
	}
	digits, international := strings.CutPrefix(sender, "+")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return otherSender
	}
	if !international && len(digits) <= 8 {
		return shortCode // US and Canada 5 or 6 digits, elsewhere 3 to 8
	}
	if !international {
		return otherSender // a long number without its +, which Twilio does not take
	}
	if len(digits) == 11 && digits[0] == '1' {
		switch digits[1:4] {
		case "800", "833", "844", "855", "866", "877", "888":
			return tollFree
		}
	}
	return longCode
}

// An allowance is what the rules together say about one resource.
type allowance struct {
	rate   float64 // requests/s; Unlimited
	burst  int
	listed bool // false: no rule and no default; unpaced until throttled

	byDefault *builtin // that the rate is from; nil: the program has set it, or there is none

	accountInFlight, resourceInFlight, senderInFlight int // 0: no limit
}

// never reports that the resource is not to be paced, by the program's own word.
// Then nothing else sets a pace: neither throttled answers nor the X-Rate-Limit headers.
func (a *allowance) never() bool { return a.listed && a.rate >= Unlimited }

// allow is what the rules say about r, else the defaults.
func (rs *rules) allow(r Resource) allowance {
	a := rs.allowBy(rs.about(r), r)
	if a.listed {
		return a
	}
	kind := kindOf(r.Sender)
	for i := range defaultLimits {
		d := &defaultLimits[i]
		if d.senders == kind && d.limit.matches(r) > 0 {
			a.rate, a.listed, a.byDefault = d.limit.Rate, true, d
			break
		}
	}
	return a
}

// allowBy is what some of the rules say about r. They stand at these places, in order.
func (rs *rules) allowBy(places []int32, r Resource) allowance {
	a := allowance{rate: Unlimited, burst: 1}
	var rate, account, resource, sender int // scores of the rules that count so far
	for _, i := range places {
		l := &rs.limits[i]
		score := l.matches(r)
		if score == 0 {
			continue
		}
		if l.Rate != 0 && score > rate {
			rate = score
			a.rate, a.burst, a.listed = l.Rate, max(l.Burst, 1), true
		}
		if l.MaxInFlight == 0 {
			continue
		}
		scope, limit := &resource, &a.resourceInFlight
		switch {
		case l.Sender != "":
			scope, limit = &sender, &a.senderInFlight
		case l.Resource == "*":
			scope, limit = &account, &a.accountInFlight
		}
		if score > *scope {
			*scope, *limit = score, l.MaxInFlight
		}
	}
	return a
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

// Validate checks the rules as a whole. The error names the first offending rule by
// its index, the field, its value, and what was expected.
func (ls Limits) Validate() error {
	seen := make(map[Limit]int, len(ls))
	for i, l := range ls {
		if err := l.validateFields(); err != nil {
			return fmt.Errorf("limits[%d].%w", i, err)
		}
		if err := l.repeats(i, seen); err != nil {
			return err
		}
	}
	return nil
}

// repeats is an error if rule i has the scope of one before it; those are in seen.
func (l Limit) repeats(i int, seen map[Limit]int) error {
	scope := Limit{Resource: l.Resource, Sender: l.Sender, Account: l.Account, Op: l.Op}
	if first, dup := seen[scope]; dup {
		return fmt.Errorf("limits[%d] repeats limits[%d] (resource %s): expected one rule for each combination of resource, sender, account and op", i, first, quoted(l.Resource))
	}
	seen[scope] = i
	return nil
}

// validateFields checks a rule by itself. The error begins with the field.
func (l Limit) validateFields() error {
	switch product, name := splitRule(l.Resource); {
	case l.Resource == "*":
	case name == "", name != "*" && !fixedWords(name), product != "api" && !endpoint.IsWord(product),
		product == "api" && name != "*" && !('A' <= name[0] && name[0] <= 'Z'):
		return malformedResource(l.Resource)
	case l.Sender != "" && (product != "api" || name != Messages):
		return fmt.Errorf("sender: set for resource %s: expected only with resource \"Messages\" or \"*\", as only messages have a sender of their own", quoted(l.Resource))
	case !(endpoint.Name{Product: product, Name: name}).Known():
		return unknownResource(l.Resource)
	}
	switch l.Op {
	case "", Read, Create, Write:
	default:
		return fmt.Errorf("op: %s: expected \"read\", \"create\", \"write\", or none", quoted(string(l.Op)))
	}
	if l.Sender != "" && l.Op != "" && l.Op != Create {
		return fmt.Errorf("op: %s: expected \"create\" or none with a sender", quoted(string(l.Op)))
	}
	if strings.Contains(l.Sender, "•") {
		return fmt.Errorf("sender: %s: expected the number in full: this is how it is shown in logs and alerts", quoted(l.Sender))
	}
	if l.Sender != "" && (l.Sender != canonicalParty(l.Sender) || kindOf(l.Sender) == otherSender && !alphanumericSender(l.Sender)) {
		return fmt.Errorf("sender: %s: expected a phone number such as +15005550006, a short code, whatsapp:+15005550006, an alphanumeric sender, or a Messaging Service SID, without blanks or marks in a number", quoted(l.Sender))
	}
	if l.Account != "" && !(endpoint.IsSID(l.Account) && strings.HasPrefix(l.Account, "AC")) {
		return fmt.Errorf("account: %s: expected an account SID, AC and 32 hex digits", quoted(l.Account))
	}
	switch {
	case math.IsNaN(l.Rate), l.Rate < 0:
		return fmt.Errorf("rate: %v: expected requests per second above 0, or Unlimited", l.Rate)
	case l.Rate > 0 && l.Rate < minRate:
		return fmt.Errorf("rate: %v: expected at least 0.000001 requests per second; there is no rate that pauses", l.Rate)
	case l.Burst < 0 || l.Burst > 1e6:
		return fmt.Errorf("burst: %d: expected 0 (which is 1) to 1000000 requests", l.Burst)
	case l.Burst > 0 && l.Rate == 0:
		return fmt.Errorf("burst: %d: expected a rate beside it", l.Burst)
	case l.MaxInFlight < 0:
		return fmt.Errorf("maxInFlight: %d: expected 0 (no limit) or more requests", l.MaxInFlight)
	case l.Rate == 0 && l.MaxInFlight == 0:
		return errors.New("rate: 0: expected a rate or a maxInFlight, this rule limits nothing")
	}
	return nil
}

// malformedResource is the error of a rule whose resource can be none.
func malformedResource(resource string) error {
	nearest := ""
	if product, name := splitRule(resource); name != "" {
		if near, slips := (endpoint.Name{Product: product, Name: name}).Nearest(); slips <= 2 {
			nearest = nearestText(near)
		}
	}
	return fmt.Errorf("resource: %s: expected %sa resource of the core API such as \"Messages\", one of another product such as \"lookups/PhoneNumbers\", or \"*\"", quoted(resource), nearest)
}

// nearestText names what may have been meant.
func nearestText(n endpoint.Name) string {
	if main, ok := endpoint.Main(n.Product); ok && n.Name == "" {
		return fmt.Sprintf("%q or %q, which are the nearest names, ", main, n)
	}
	return fmt.Sprintf("%q, which is the nearest name, ", n)
}

// unknownResource is the error of a rule for a resource that Twilio does not have.
func unknownResource(resource string) error {
	product, name := splitRule(resource)
	n := endpoint.Name{Product: product, Name: name}
	advice := ""
	if near, slips := n.Nearest(); slips <= max(2, len(resource)/3) {
		advice = nearestText(near)
	}
	return fmt.Errorf("resource: %s: no operation of Twilio's has it: expected %sor another resource of Twilio's; one that is newer than pacer is limited with its whole product, such as \"verify/*\"", quoted(resource), advice)
}

// alphanumericSender reports a sender ID: up to 11 letters, digits and a few marks, one
// letter at least (https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id).
func alphanumericSender(s string) bool {
	letters := strings.ContainsFunc(s, func(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' })
	return len(s) <= 11 && letters || strings.Contains(s, ":") // some channel's own address
}

func fixedWords(name string) bool {
	for word := range strings.SplitSeq(name, "/") {
		if !endpoint.IsWord(word) {
			return false
		}
	}
	return true
}

// ParseLimits reads rules from JSON: an array of objects with the fields of [Limit]
// in lower camel case; rate may also be the string "unlimited".
//
//	[
//	  {"resource": "Messages", "rate": 20},
//	  {"resource": "Messages", "sender": "+15005550006", "rate": 1},
//	  {"resource": "lookups/PhoneNumbers", "rate": 10, "maxInFlight": 5}
//	]
//
// The array may also stand in an object, {"$schema": "...", "limits": [...]}, by which
// an editor finds the schema, limits.schema.json in pacer's repository.
//
// Unknown fields are errors, as are null and a field given twice. The error gives the
// line of what is wrong (where a field is missing, that on which its rule begins), the
// field, its value and what was expected. Beside an error the limits are nil.
func ParseLimits(data []byte) (Limits, error) {
	ls, err := parseLimits(data)
	if err != nil {
		return nil, fmt.Errorf("pacer: limits, %w", err)
	}
	return ls, nil
}

// parseLimits is ParseLimits with errors that begin with the line.
func parseLimits(data []byte) (Limits, error) {
	p := limitsParser{seen: map[Limit]int{}}
	if err := p.parse(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))); err != nil { // some editors begin a file with a mark
		return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(p.at, len(data))], []byte("\n")), err)
	}
	return p.limits, nil
}

type limitsParser struct {
	limits Limits
	seen   map[Limit]int // by scope, for [Limit.repeats]
	at     int           // of what is being read, in the text: where an error is
}

const expectedLimits = `expected an array of rules, [{"resource": ..., "rate": ...}, ...], or an object {"limits": [...]}`

func (p *limitsParser) parse(data []byte) error {
	// First of all the whole text has to be JSON: nothing below meets a syntax error,
	// and the decoder tells its place exactly only here.
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			p.at = max(0, int(syntax.Offset)-1)
		}
		return fmt.Errorf("%w: %s", err, expectedLimits)
	}
	p.at = len(data) - len(bytes.TrimLeft(data, " \t\r\n"))
	switch data[p.at] {
	case '[':
		return p.rules(data, 0)
	case '{':
		return p.object(data)
	}
	return fmt.Errorf("%s: %s", shown(data[p.at:]), expectedLimits)
}

func (p *limitsParser) object(data []byte) error {
	start, found := p.at, false
	err := walk(data, func(key string, at int, value []byte) error {
		p.at = at
		switch {
		case key == "limits" && value[0] == '[' && !found:
			found = true
			return p.rules(value, at)
		case key == "limits" && found:
			return errors.New("limits: given twice: expected it once")
		case key == "limits":
			return fmt.Errorf("limits: %s: expected an array of rules", shown(value))
		case key == "$schema" && value[0] != '"':
			return fmt.Errorf("$schema: %s: expected a string, the address of limits.schema.json", shown(value))
		case key != "$schema":
			return fmt.Errorf("%s: unknown field: %s", quoted(key), expectedLimits)
		}
		return nil
	})
	if err == nil && !found {
		p.at = start
		err = errors.New("limits: missing: " + expectedLimits)
	}
	return err
}

// rules reads the array data, which begins at base in the text.
func (p *limitsParser) rules(data []byte, base int) error {
	return walk(data, func(_ string, at int, value []byte) error {
		start, i := base+at, len(p.limits)
		p.at = start
		if value[0] != '{' {
			return fmt.Errorf("limits[%d]: %w", i, notRule(value))
		}
		var l Limit
		fields := map[string]int{}
		err := walk(value, func(key string, at int, value []byte) error {
			p.at = start + at
			if _, twice := fields[key]; twice {
				return fmt.Errorf("%s: given twice: expected it once", key)
			}
			fields[key] = p.at
			return l.set(key, value)
		})
		if err == nil {
			p.at = start
			if err = l.validateFields(); err != nil {
				field, _, _ := strings.Cut(err.Error(), ":") // which it begins with
				if at, given := fields[field]; given {
					p.at = at
				}
			}
		}
		if err != nil {
			return fmt.Errorf("limits[%d].%w", i, err)
		}
		if err := l.repeats(i, p.seen); err != nil {
			return err
		}
		p.limits = append(p.limits, l)
		return nil
	})
}

// walk calls f for each element of data, a JSON array or object, with its key, where
// its value begins in data, and the value.
func walk(data []byte, f func(key string, at int, value []byte) error) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	open, err := dec.Token()
	if err != nil {
		return err
	}
	for dec.More() {
		var key string
		if open == json.Delim('{') {
			t, err := dec.Token()
			if err != nil {
				return err
			}
			key, _ = t.(string)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := f(key, int(dec.InputOffset())-len(value), value); err != nil {
			return err
		}
	}
	return nil
}

func notRule(value []byte) error {
	return fmt.Errorf("%s: expected an object, {\"resource\": ..., \"rate\": ...}", shown(value))
}

// set reads one field of a rule from JSON.
func (l *Limit) set(field string, value []byte) error {
	var to any
	var expected string
	switch field {
	case "resource":
		to, expected = &l.Resource, `a string such as "Messages" or "lookups/PhoneNumbers"`
	case "sender":
		to, expected = &l.Sender, "a string, in quotes also where it is a number"
	case "account":
		to, expected = &l.Account, "a string, an account SID"
	case "op":
		to, expected = &l.Op, `a string: "read", "create" or "write"`
	case "rate":
		if string(value) == `"unlimited"` {
			l.Rate = Unlimited
			return nil
		}
		to, expected = &l.Rate, `a number of requests per second, or "unlimited"`
	case "burst":
		to, expected = &l.Burst, "a whole number of requests"
	case "maxInFlight":
		to, expected = &l.MaxInFlight, "a whole number of requests"
	default:
		return fmt.Errorf("%s: unknown field: expected resource, sender, account, op, rate, burst, maxInFlight", quoted(field))
	}
	if string(value) == "null" || json.Unmarshal(value, to) != nil {
		return fmt.Errorf("%s: %s: expected %s", field, shown(value), expected)
	}
	return nil
}

// shown is a JSON value for an error: short, on one line, and without phone numbers.
func shown(value []byte) string {
	var s string
	switch {
	case bytes.HasPrefix(value, []byte("[")):
		return "an array"
	case bytes.HasPrefix(value, []byte("{")):
		return "an object"
	case bytes.HasPrefix(value, []byte(`"`)) && json.Unmarshal(value, &s) == nil:
		return quoted(s)
	}
	return cut(MaskNumbers(strings.TrimSpace(string(value))))
}

func quoted(s string) string { return fmt.Sprintf("%q", cut(MaskNumbers(s))) }

func cut(s string) string {
	const enough = 60
	if len(s) <= enough {
		return s
	}
	return strings.ToValidUTF8(s[:enough], "") + "..."
}

// limitJSON is Limit as it stands in JSON: Rate may be "unlimited".
type limitJSON struct {
	plainLimit
	Rate any `json:"rate,omitempty"`
}
type plainLimit Limit

// MarshalJSON writes [Unlimited] as "unlimited".
func (l Limit) MarshalJSON() ([]byte, error) {
	out := limitJSON{plainLimit: plainLimit(l)}
	switch {
	case l.Rate >= Unlimited:
		out.Rate = "unlimited"
	case l.Rate != 0:
		out.Rate = l.Rate
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads one rule and refuses unknown fields. It does not validate; see
// [ParseLimits] and [Limits.Validate].
func (l *Limit) UnmarshalJSON(data []byte) error {
	if data = bytes.TrimSpace(data); len(data) == 0 || data[0] != '{' {
		return notRule(data)
	}
	var in Limit
	if err := walk(data, func(key string, _ int, value []byte) error { return in.set(key, value) }); err != nil {
		return err
	}
	*l = in
	return nil
}
