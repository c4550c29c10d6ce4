package endpoint

import (
	"cmp"
	_ "embed"
	"strings"
	"sync"
)

// Names has every name that an operation of Twilio's has, one product a line:
// "verify: Attempts Services/Verifications ...". TestResourceNamesAreTwilioGos of package pacer
// makes it from Twilio's OpenAPI documents and from the sources of twilio-go.
//
//go:embed names.txt
var Names string

// A Name is what a rule may say: a product and the last words of a name, or all of them. Name "*"
// is the whole product.
type Name struct{ Product, Name string }

// known has every Name that a rule may have, and one with Name "" for each product itself.
var known = sync.OnceValue(func() map[Name]bool {
	all := map[Name]bool{}
	for line := range strings.Lines(Names) {
		product, names, _ := strings.Cut(strings.TrimSpace(line), ": ")
		all[Name{product, ""}] = true
		for name := range strings.SplitSeq(names, " ") {
			for rest, more := name, true; more; _, rest, more = strings.Cut(rest, "/") {
				all[Name{product, rest}] = true
			}
		}
	}
	return all
})

// String returns the name as a rule has it.
func (n Name) String() string {
	switch {
	case n.Name == "":
		return n.Product + "/*"
	case n.Product == "api":
		return n.Name
	}
	return n.Product + "/" + n.Name
}

// Known reports whether an operation of Twilio's has this resource. A whole product that is
// not Twilio's today is known, too: it may be newer than pacer, or the host of a proxy. One that
// looks like a misspelt name is not.
func (n Name) Known() bool {
	known := known()
	if n.Name != "*" {
		return known[n]
	}
	if known[Name{n.Product, ""}] {
		return true
	}
	_, slips := n.Nearest()
	return slips > 2 || strings.ContainsAny(n.Product, "0123456789")
}

// Nearest returns the known name that looks most like n, and the letters in which they
// differ. Another product counts as one letter, if n names none.
func (n Name) Nearest() (best Name, least int) {
	least = 1 << 30
	for k := range known() {
		var slips int
		switch {
		case k.Name == "" && n.Product == "api": // "Lookups"
			slips = distance(n.Name, k.Product)
		case k.Name == "" && n.Name != "*": // as good as any resource of it, but says less
			continue
		case n.Name == "*" && k.Name == "": // "lookup/*"
			slips = distance(n.Product, k.Product)
		case n.Name == "*" && k.Product == "api": // "messages/*"
			slips = distance(n.Product, k.Name)
		case n.Name == "*":
			continue
		case n.Product == k.Product:
			slips = distance(n.Name, k.Name)
		case n.Product == "api":
			slips = distance(n.Name, k.Name) + 1
		default:
			slips = distance(n.Name, k.Name) + distance(n.Product, k.Product)
		}
		if slips < least || slips == least && k.before(best) {
			best, least = k, slips
		}
	}
	return best, least
}

// before makes the choice between two names that are equally near: what rules are mostly
// for, then the core API, then what is shorter.
func (n Name) before(other Name) bool {
	order := func(n Name) int {
		switch {
		case n == mainNames[n.Product]:
			return 0
		case n.Product == "api":
			return 1
		}
		return 2
	}
	a, b := n.String(), other.String()
	return cmp.Or(cmp.Compare(order(n), order(other)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) < 0
}

// Main returns what rules for a product are mostly for; ok is false if there is no such name.
func Main(product string) (name Name, ok bool) {
	name, ok = mainNames[product]
	return name, ok
}

// mainNames is what rules are mostly for, by product.
var mainNames = map[string]Name{
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
