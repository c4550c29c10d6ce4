package pacer

import (
	"cmp"
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// resourceNames is every resource that an operation of Twilio's has, one product a line:
// "verify: Attempts Services/Verifications ...". TestResourceNamesAreTwilioGos makes it
// from Twilio's OpenAPI documents and from the sources of twilio-go.
//
//go:embed resourcenames.txt
var resourceNames string

// A resourceName is what the Resource of a rule may say: a product and the last words of a
// name, or all of them.
type resourceName struct{ product, name string }

// knownResources holds every name that the Resource of a rule may have, and "" for each
// product itself.
var knownResources = sync.OnceValue(func() map[resourceName]bool {
	known := map[resourceName]bool{}
	for line := range strings.Lines(resourceNames) {
		product, names, _ := strings.Cut(strings.TrimSpace(line), ": ")
		known[resourceName{product, ""}] = true
		for name := range strings.SplitSeq(names, " ") {
			for rest, more := name, true; more; _, rest, more = strings.Cut(rest, "/") {
				known[resourceName{product, rest}] = true
			}
		}
	}
	return known
})

// String returns the name as a rule has it.
func (n resourceName) String() string {
	switch {
	case n.name == "":
		return n.product + "/*"
	case n.product == "api":
		return n.name
	}
	return n.product + "/" + n.name
}

// isKnown reports whether an operation of Twilio's has this resource. A whole product that is
// not Twilio's today passes, so that a product which is newer than pacer, and the host of a
// proxy, can be limited. One that is a slip of the pen does not.
func (n resourceName) isKnown() bool {
	known := knownResources()
	if n.name != "*" {
		return known[n]
	}
	if known[resourceName{n.product, ""}] {
		return true
	}
	_, slips := n.nearest()
	return slips > 2 || strings.ContainsAny(n.product, "0123456789")
}

// malformedResource is the error of a rule whose resource can be none.
func malformedResource(resource string) error {
	nearest := ""
	if product, name := splitRule(resource); name != "" {
		if near, slips := (resourceName{product, name}).nearest(); slips <= 2 {
			nearest = near.advice()
		}
	}
	return fmt.Errorf("resource: %s: expected %sa resource of the core API such as \"Messages\", one of another product such as \"lookups/PhoneNumbers\", or \"*\"", quoted(resource), nearest)
}

// advice names what may have been meant.
func (n resourceName) advice() string {
	if main, ok := mainResources[n.product]; ok && n.name == "" {
		return fmt.Sprintf("%q or %q, which are the nearest names, ", main, n)
	}
	return fmt.Sprintf("%q, which is the nearest name, ", n)
}

// unknownResource is the error of a rule for a resource that Twilio does not have.
func unknownResource(resource string) error {
	product, name := splitRule(resource)
	n := resourceName{product, name}
	advice := ""
	if near, slips := n.nearest(); slips <= max(2, len(resource)/3) {
		advice = near.advice()
	}
	return fmt.Errorf("resource: %s: no operation of Twilio's has it: expected %sor another resource of Twilio's; one that is newer than pacer is limited with its whole product, such as \"verify/*\"", quoted(resource), advice)
}

// nearest returns the known name that looks most like n, and the letters in which they
// differ. Another product counts as one letter, if n names none.
func (n resourceName) nearest() (best resourceName, least int) {
	least = 1 << 30
	for k := range knownResources() {
		var slips int
		switch {
		case k.name == "" && n.product == "api": // "Lookups"
			slips = distance(n.name, k.product)
		case k.name == "" && n.name != "*": // as good as any resource of it, but says less
			continue
		case n.name == "*" && k.name == "": // "lookup/*"
			slips = distance(n.product, k.product)
		case n.name == "*" && k.product == "api": // "messages/*"
			slips = distance(n.product, k.name)
		case n.name == "*":
			continue
		case n.product == k.product:
			slips = distance(n.name, k.name)
		case n.product == "api":
			slips = distance(n.name, k.name) + 1
		default:
			slips = distance(n.name, k.name) + distance(n.product, k.product)
		}
		if slips < least || slips == least && k.before(best) {
			best, least = k, slips
		}
	}
	return best, least
}

// before makes the choice between two names that are equally near: what rules are mostly
// for, then the core API, then what is shorter.
func (n resourceName) before(other resourceName) bool {
	order := func(n resourceName) int {
		switch {
		case n == mainResources[n.product]:
			return 0
		case n.product == "api":
			return 1
		}
		return 2
	}
	a, b := n.String(), other.String()
	return cmp.Or(cmp.Compare(order(n), order(other)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) < 0
}

// mainResources is what rules are mostly for, by product.
var mainResources = map[string]resourceName{
	"lookups":  {"lookups", "PhoneNumbers"},
	"studio":   {"studio", "Flows/Executions"},
	"verify":   {"verify", "Verifications"},
	"content":  {"content", "Content"},
	"flex-api": {"flex-api", "Interactions"},
}

// distance is the number of letters to be changed, left out, put in, or swapped with the next
// one to make b of a (the restricted edit distance of Damerau and Levenshtein). Case does
// not count.
func distance(a, b string) int {
	a, b = strings.ToLower(a[:min(len(a), 100)]), strings.ToLower(b[:min(len(b), 100)])
	var older, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		older, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
