package queue

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/twilio-pacer/pacer"
)

// Operations is the list of operations that producers in other languages may order. They write
// to the stream of redisqueue or to the SQS queue of sqsqueue. A worker sends what they order
// with the account's credentials, so that a producer without such a limit could buy numbers or
// delete recordings. The zero value allows [DefaultOperations]. It is safe for concurrent use.
type Operations struct {
	names []string // nil: DefaultOperations
}

// DefaultOperations returns what producers in other languages may order by default:
// messages, calls and verifications. The check of a verification's code is not among
// them: its answer is needed at once, and wrong codes use up a user's attempts.
func DefaultOperations() []string { return slices.Clone(defaultOperations) }

var defaultOperations = []string{createMessage, createCall, "verify/Services/Verifications:create"}

// anyOperation, as the name of an operation, stands for all.
const anyOperation = "*"

var operationName = regexp.MustCompile(`^[a-z][a-z-]*/[A-Za-z][A-Za-z0-9_/-]*:(read|create|write)$`)

// NewOperations returns a list of exactly these operations, named as by
// [pacer.Resource].String: "api/Messages:create". "*" allows everything, which is right
// if only programs that hold the account's credentials anyway can write to the store.
// No name, a name that has not this form, and one that no operation of Twilio's has is an
// error, which tells the nearest name.
func NewOperations(names ...string) (Operations, error) {
	if len(names) == 0 {
		return Operations{}, fmt.Errorf("queue: operations: none: expected names such as %q", createMessage)
	}
	for _, name := range names {
		if name == anyOperation {
			continue
		}
		if err := checkOperation(name); err != nil {
			return Operations{}, fmt.Errorf("queue: operations: %w, or %q for all", err, anyOperation)
		}
	}
	return Operations{slices.Clone(names)}, nil
}

// checkOperation reports why name names no operation of Twilio's. The error tells the
// nearest name, if one is near.
func checkOperation(name string) error {
	reason := "it is no name of an operation"
	path, op, _ := strings.Cut(name, ":")
	if operationName.MatchString(name) {
		if known, _ := knownResource(path); known {
			return nil
		}
		reason = "no operation of Twilio's has this name"
	}
	if !slices.Contains([]string{"read", "create", "write"}, op) {
		op = "create"
	}
	if product, _, found := strings.Cut(path, "/"); !found || product != strings.ToLower(product) {
		path = "api/" + strings.TrimLeft(path, "/") // as the names of limits are read
	}
	nearest := ""
	if known, near := knownResource(path); known {
		nearest = path
	} else if near != "" {
		nearest = near
	}
	if nearest != "" {
		nearest = fmt.Sprintf("%q, which is the nearest name, or another ", nearest+":"+op)
	}
	return fmt.Errorf("%.80q: %s: expected %sproduct/Name:op such as %q, where op is read, create or write", name, reason, nearest, createMessage)
}

// nearestName is what pacer's error for the resource of a limit suggests first.
var nearestName = regexp.MustCompile(`expected "([^"]+)"(?: or "[^"]+")?, which (?:is|are) the nearest name`)

// knownResource reports whether an operation of Twilio's has the resource: pacer knows them,
// by their whole names or by the last words. If none has, near is the nearest one, or "".
func knownResource(path string) (known bool, near string) {
	err := pacer.Limits{{Resource: path, Rate: 1}}.Validate()
	if err == nil {
		return true, ""
	}
	if m := nearestName.FindStringSubmatch(err.Error()); m != nil {
		near = m[1]
		if product, _, found := strings.Cut(near, "/"); !found || product != strings.ToLower(product) {
			near = "api/" + near // as in a limit, where the core API goes without saying
		}
	}
	return false, near
}

// namesOperation reports whether name, which checkOperation takes, is that of r. It may be the
// whole name or the last words of it, as in the names of limits.
func namesOperation(name string, r pacer.Resource) bool {
	product, last, _ := strings.Cut(name, "/")
	whole := r.Name + ":" + string(r.Op)
	return product == r.Product && (last == whole || strings.HasSuffix(whole, "/"+last))
}

// Check returns an error if r orders an operation that is not in the list. Engines call it
// for requests in which producers in other languages have left with them.
func (o Operations) Check(r Request) error {
	names := o.names
	if names == nil {
		names = defaultOperations
	}
	if slices.Contains(names, anyOperation) {
		return nil
	}
	if !plainPath(r.URL) {
		return fmt.Errorf(`queue: request: "url": a path with dots, empty parts or encoded separators: expected one as Twilio documents it`)
	}
	name := pacer.ResourceOf(r.Method, r.URL, nil, "").String()
	if !slices.Contains(names, name) {
		return fmt.Errorf("queue: request: operation %.100q: expected one of %s; the engine's option WithOperations allows others", name, strings.Join(names, ", "))
	}
	return nil
}

// plainPath reports whether a server can read the URL's path in one way only. Without
// this a path could be one operation here and another one there.
func plainPath(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	path := strings.TrimSuffix(u.EscapedPath(), ".json")
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		text, err := url.PathUnescape(segment)
		if err != nil || text == "" || strings.Trim(text, ".") == "" || strings.ContainsAny(text, `/\;?#%`) || strings.HasSuffix(text, ".json") {
			return false
		}
	}
	return true
}
