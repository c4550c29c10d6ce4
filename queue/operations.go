package queue

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/twilio-pacer/pacer"
)

// Operations is the list of operations that producers in other languages may order:
// those who write to the stream of redisqueue or to the SQS queue of sqsqueue. A worker
// sends what they order with the account's credentials, so that a producer without such
// a limit could buy numbers or delete recordings. The zero value allows
// [DefaultOperations]. It is safe for concurrent use.
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
// No name, or a name that has not this form, is an error.
func NewOperations(names ...string) (Operations, error) {
	if len(names) == 0 {
		return Operations{}, fmt.Errorf("queue: operations: none: expected names such as %q", createMessage)
	}
	for _, name := range names {
		if name != anyOperation && !operationName.MatchString(name) {
			return Operations{}, fmt.Errorf("queue: operations: %.80q: expected product/Name:op such as %q, where op is read, create or write, or %q for all", name, createMessage, anyOperation)
		}
	}
	return Operations{slices.Clone(names)}, nil
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
