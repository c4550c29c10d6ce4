package pacer

import (
	"net/url"
	"strings"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// A Scope says what a limit of Twilio's is about: whose requests it counts, and so who has
// to wait after a throttled answer. The zero Scope, "", is for answers that do not tell.
type Scope string

// The scopes, from wide to narrow. See [Scope.Narrow].
const (
	// ScopeAccount: all requests of the account, or its messages of all senders.
	ScopeAccount Scope = "account"
	// ScopeResource: all requests of one [Resource].
	ScopeResource Scope = "resource"
	// ScopeSender: the messages of one sender.
	ScopeSender Scope = "sender"
	// ScopeReceiver: requests for one phone number or address, such as verifications of
	// a user, or messages of one sender to one receiver.
	ScopeReceiver Scope = "receiver"
	// ScopeObject: requests about one thing that has an identifier, such as a document
	// of Sync or a conversation.
	ScopeObject Scope = "object"
)

// Narrow reports that the limit is one receiver's or one object's. After such a throttled
// answer only requests for the same one wait; all others of the resource go on.
func (s Scope) Narrow() bool { return s == ScopeReceiver || s == ScopeObject }

// scopes says what a code is about. Source: Twilio's pages on its error codes,
// https://www.twilio.com/docs/api/errors/CODE, and where they are silent the limits that
// Twilio documents for the product.
//
// A plain 20429 is not listed. It may be about the account's requests in progress or about
// the rate of one resource; at Verify also about one number.
var scopes = map[int]Scope{
	21611: ScopeSender,
	25021: ScopeResource,
	30454: ScopeAccount,
	45010: ScopeResource,
	45719: ScopeAccount, // "your account is sending too many concurrent requests"
	45780: ScopeResource,
	50063: ScopeObject,   // a conversation, https://www.twilio.com/en-us/changelog/increasing-actions-per-second-for-conversations-
	50074: ScopeResource, // a whole service instance
	54009: ScopeObject,   // "a single Sync object or its sub-items"
	59004: ScopeResource,
	60202: ScopeObject, // the verification
	60203: ScopeObject,
	60212: ScopeReceiver, // "many verifications in a short period of time for the same phone number"
	60308: ScopeObject,   // the challenge
	60309: ScopeObject,
	60310: ScopeObject, // the factor
	60312: ScopeObject,
	60326: ScopeObject, // the entity
	60616: ScopeResource,
	60626: ScopeReceiver, // Lookup, "requests involving a specific phone number"
	63017: ScopeAccount,
	63018: ScopeSender, // or the sender's messages "to the same WhatsApp recipient"
	63038: ScopeAccount,
}

// codePair is the code for a sender's limit and for that of a sender and one receiver:
// https://www.twilio.com/docs/api/errors/63018
const codePair = 63018

// A key is what is narrower than a resource: a receiver or an object. It may hold a phone
// number, and is neither shown nor logged.
type key struct {
	resource Resource // of its requests; for an object Name is "", as its requests have several
	scope    Scope    // ScopeReceiver or ScopeObject
	service  string   // that it belongs to; "": none, or the default one
	id       string   // a number in E.164 form, or an identifier of the path
}

// scopeOf returns what a code is about, in an answer to a request for k; nil: one without a
// key, which cannot be about a receiver or an object.
func (k *key) scopeOf(code int) Scope {
	if scope := scopes[code]; k != nil || !scope.Narrow() {
		return scope
	}
	return ScopeResource
}

// keyOf returns the receiver or the object that a request of r is about, as far as Twilio
// limits it by itself; nil: there is none, or Twilio does not.
func keyOf(r Resource, rawURL string, form url.Values) *key {
	switch r.Product {
	case "api":
		return pairOf(r, form)
	case "verify", "lookups", "sync", "conversations", "chat", "ip-messaging":
	default:
		return nil
	}
	collection, rest := endpoint.Next(endpoint.Below(rawURL))
	service := ""
	if collection == "Services" {
		service, rest = endpoint.Next(rest)
		collection, rest = endpoint.Next(rest)
	}
	id, below := endpoint.Next(rest)
	switch r.Product {
	case "verify":
		return verificationOf(r, service, collection, id, form)
	case "lookups":
		if collection == "PhoneNumbers" {
			return receiverOf(r, "", unescaped(id))
		}
	case "sync":
		switch collection {
		case "Documents", "Lists", "Maps", "Streams":
			return objectOf(r, service, collection+"/", id)
		}
	default:
		for collection != "" {
			if collection == "Conversations" || collection == "Channels" {
				return objectOf(r, service, "", id)
			}
			collection, rest = endpoint.Next(below)
			id, below = endpoint.Next(rest)
		}
		return objectOf(r, service, "", form.Get("ConversationSid"))
	}
	return nil
}

// verificationOf returns what a request to Verify is about: its receiver, or else the
// verification, or the entity whose factors and challenges it is about.
func verificationOf(r Resource, service, collection, id string, form url.Values) *key {
	if k := receiverOf(r, service, form.Get("To")); k != nil {
		return k
	}
	switch collection {
	case "Verifications", "Entities":
	case "VerificationCheck":
		id = form.Get("VerificationSid")
	default:
		id = ""
	}
	if id == "" {
		return nil
	}
	return &key{r, ScopeObject, service, unescaped(id)}
}

// objectOf returns an object, whose limits count all reads together, and all writes.
func objectOf(r Resource, service, kind, id string) *key {
	if id == "" {
		return nil
	}
	all := Resource{Account: r.Account, Region: r.Region, Product: r.Product, Op: Write}
	if r.Op == Read {
		all.Op = Read
	}
	if endpoint.IsSID(id) {
		service = "" // which a path may leave out
	}
	return &key{all, ScopeObject, service, kind + unescaped(id)}
}

// pairOf returns the receiver of a message through a channel such as WhatsApp. Messages
// without a channel have no limit for a receiver.
func pairOf(r Resource, form url.Values) *key {
	if r.Name != Messages || r.Op != Create {
		return nil
	}
	to := form.Get("To")
	if !strings.Contains(to, ":") && !strings.Contains(r.Sender, ":") {
		return nil
	}
	return receiverOf(r, "", to)
}

func receiverOf(r Resource, service, to string) *key {
	if to = canonicalParty(to); to == "" {
		return nil
	}
	return &key{r, ScopeReceiver, service, to}
}

// unescaped returns a segment of a path as it is meant.
func unescaped(segment string) string {
	if text, err := url.PathUnescape(segment); err == nil {
		return text
	}
	return segment
}

// undecided reports that answers to requests for k may leave open what they are about.
func (k *key) undecided() bool { return k.resource.Product == "verify" || k.resource.Product == "api" }
