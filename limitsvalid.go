package pacer

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

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
	case !(endpoint.Name{Product: product, Name: name}).Known(): // before the sender, which a slip in the resource must not be blamed on
		return unknownResource(l.Resource)
	case l.Sender != "" && (product != "api" || name != Messages):
		return fmt.Errorf("sender: set for resource %s: expected only with resource \"Messages\" or \"*\", as only messages have a sender of their own", quoted(l.Resource))
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
