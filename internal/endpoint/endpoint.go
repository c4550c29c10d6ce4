// Package endpoint reads the paths of Twilio's requests. It says which product a request is for, what
// it works on, and whether it reads, creates or changes that. It knows the paths that do not follow
// the common pattern, and the name of everything that Twilio's operations work on.
//
// Functions here are pure, and safe for concurrent use.
package endpoint

import (
	"net/http"
	"slices"
	"strings"
)

// An Op is what a request does.
type Op string

// The operations.
const (
	Read   Op = "read"   // GET, HEAD
	Create Op = "create" // POST to a collection
	Write  Op = "write"  // everything else
)

// An Endpoint is what the method and the URL of a request say.
type Endpoint struct {
	Product string // first label of the host
	Region  string // "us1" where a host of Twilio's names none; "" for other hosts
	Account string // SID in the path of the core API; "": the path has none
	Name    string // the path's fixed words, without version, account and identifiers
	Op      Op
}

// Of returns the endpoint of a request. Any input has one; a nonsensical one has an endpoint of its
// own. It allocates only for names of more than one word.
func Of(method, rawURL string) (e Endpoint) {
	host, path := splitURL(rawURL)
	e.Product, e.Region = productAndRegion(host)

	path = strings.TrimSuffix(path, ".json")
	seg, rest := Next(path)
	if isVersion(seg) {
		if seg[0] != 'v' {
			e.Product = "api" // 2010-04-01 is only ever the core API, also behind a proxy's host name
		}
		seg, rest = Next(rest)
	}
	if e.Product == "api" && seg == "Accounts" {
		if account, below := Next(rest); below != "" {
			e.Account = account
			seg, rest = Next(below)
		}
	}

	// Twilio's paths alternate: a collection, an identifier, a collection, and so on. An
	// identifier may be a unique name and look like anything. Only its position tells it from a
	// collection. Where two fixed words follow each other, fixedAfter says so.
	endsInID, idBefore := false, false
	parent := ""
	for seg != "" {
		isWord := IsWord(seg) && (parent == "" || slices.Contains(fixedAfter[e.Product][parent], seg))
		if isWord {
			e.Name = joinName(e.Name, seg)
			parent, endsInID = seg, false
		} else {
			parent, endsInID, idBefore = "", true, true
		}
		seg, rest = Next(rest)
	}
	e.Op = opOf(method, e.Product, e.Name, endsInID, idBefore)
	return e
}

// Below returns the path of a URL behind its version.
func Below(rawURL string) (path string) {
	_, path = splitURL(rawURL)
	if seg, rest := Next(path); isVersion(seg) {
		return rest
	}
	return path
}

// Next returns the first segment of a path, and the rest of the path. Both are "" at its end.
func Next(path string) (seg, rest string) {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	seg, rest, _ = strings.Cut(path, "/")
	return seg, rest
}

// opOf returns what a request does. endsInID: its path ends in an identifier. idBefore: it has one
// anywhere.
func opOf(method, product, name string, endsInID, idBefore bool) Op {
	switch method {
	case http.MethodGet, http.MethodHead:
		return Read
	case http.MethodPost:
	default:
		return Write
	}
	switch rule := irregularPosts[product][name]; {
	case rule == updates, rule == updatesBelowID && idBefore:
		return Write
	case rule == createsAtID:
		return Create
	case endsInID:
		return Write
	}
	return Create
}

// splitURL returns the host, without its port, and the path. It does what url.Parse would do for
// the URLs that twilio-go builds, and does not allocate.
func splitURL(rawURL string) (host, path string) {
	if i := strings.Index(rawURL, "://"); i >= 0 {
		rawURL = rawURL[i+3:]
	}
	rawURL, _, _ = strings.Cut(rawURL, "?")
	rawURL, _, _ = strings.Cut(rawURL, "#")
	host, path, _ = strings.Cut(rawURL, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host, path
}

// productAndRegion reads product.twilio.com, product.region.twilio.com and
// product.edge.region.twilio.com, which are the forms that twilio-go's BuildUrl makes. Any
// other host is a product as a whole, without a region.
func productAndRegion(host string) (product, region string) {
	labels, ok := strings.CutSuffix(host, ".twilio.com")
	if !ok {
		return host, ""
	}
	product, labels, _ = strings.Cut(labels, ".")
	region = labels[strings.LastIndexByte(labels, '.')+1:]
	if region == "" {
		region = "us1"
	}
	return product, region
}

func joinName(name, seg string) string {
	if name == "" {
		return seg
	}
	return name + "/" + seg
}

// isVersion reports v1, v2, ... and dates such as 2010-04-01.
func isVersion(seg string) bool {
	if len(seg) >= 2 && seg[0] == 'v' {
		return strings.Trim(seg[1:], "0123456789") == ""
	}
	return len(seg) == 10 && seg[4] == '-' && seg[7] == '-' && strings.Trim(seg, "0123456789-") == ""
}

// IsWord reports whether seg may be a fixed word of a path. It is the second line of defence. An
// endpoint that Twilio adds tomorrow may have identifiers where none are today, and they
// must not reach a name.
func IsWord(seg string) bool {
	if seg == "" || len(seg) > 40 {
		return false
	}
	digits := 0
	for i := range len(seg) {
		c := seg[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9'):
			digits++
		case i > 0 && (c == '-' || c == '_'):
		default:
			return false
		}
	}
	// No word of Twilio's has more than one digit (Usa2p, a2p); every SID and
	// every phone number has.
	return digits <= 1 && !IsSID(seg)
}

// IsSID reports whether s has the form of one of Twilio's identifiers: two characters and 32 hex
// digits.
func IsSID(s string) bool {
	return len(s) == 34 && strings.Trim(s[2:], "0123456789abcdefABCDEF") == ""
}
