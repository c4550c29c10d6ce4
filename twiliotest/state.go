package twiliotest

import (
	"net/http"
	"slices"
	"time"
)

// An account is the state of one account or sub-account. It is guarded by the
// Fake's mutex.
type account struct {
	messages, calls collection
}

// A collection holds messages or calls, oldest first.
type collection struct {
	bySID map[string]*item
	items []*item
	gone  int // how many of items are deleted
}

// An item is one message or call.
type item struct {
	seq              uint64 // the digits of its SID
	sid, account     string
	accepted         time.Time // by package time; those below: by the Fake's clock
	created, updated time.Time
	newest           time.Time // the latest created of this and all older items
	ended            time.Time // of a call
	deleted          bool
	from, to         string
	service          string // MessagingServiceSid
	body             string
	segments, media  int
	status           string
	redaction        Redaction // of a message
}

// shownTo is To as it is shown; fresh: in the answer to the creation.
func (it *item) shownTo(fresh bool) string {
	if it.redaction.Numbers && !fresh {
		return obfuscate(it.to)
	}
	return it.to
}

func (c *collection) add(it *item) {
	if c.bySID == nil {
		c.bySID = map[string]*item{}
	}
	c.bySID[it.sid] = it
	it.newest = it.created
	if n := len(c.items); n > 0 && c.items[n-1].newest.After(it.newest) {
		it.newest = c.items[n-1].newest
	}
	c.items = append(c.items, it)
}

// remove forgets an item; its place in items is freed now and then.
func (c *collection) remove(it *item) {
	delete(c.bySID, it.sid)
	it.deleted = true
	if c.gone++; c.gone > len(c.items)/2 {
		c.items = slices.DeleteFunc(c.items, func(it *item) bool { return it.deleted })
		c.gone = 0
	}
}

// A kind is what differs between messages and calls.
type kind struct {
	key     string                        // of a list, in JSON
	times   []string                      // filters on times
	filters map[string]func(*item) string // other filters, and what they compare
	create  func(*Fake, *inbound) (*item, *answer)
	update  func(*item, *inbound)
	doc     func(it *item, fresh bool) any // fresh: the answer to its creation
}

func (f *Fake) account(sid string) *account {
	a := f.accounts[sid]
	if a == nil {
		a = new(account)
		f.accounts[sid] = a
	}
	return a
}

// work does what an accepted request asks for.
func (f *Fake) work(in *inbound) *answer {
	switch in.req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return f.failure(in, http.StatusMethodNotAllowed, 20004, "Method not allowed")
	}
	product := in.req.Product
	names := in.names
	switch {
	case product == "api" && in.version == apiVersion && len(names) <= 2 && names[0] == "Messages":
		return f.stored(in, &messageKind, &f.account(in.req.Account).messages)
	case product == "api" && in.version == apiVersion && len(names) <= 2 && names[0] == "Calls":
		return f.stored(in, &callKind, &f.account(in.req.Account).calls)
	case product == "lookups" && len(names) == 2 && names[0] == "PhoneNumbers" && in.req.Method == http.MethodGet:
		return f.lookup(in, names[1])
	case product == "messaging" && len(names) == 3 && names[0] == "Services" && names[2] == "PhoneNumbers" && in.req.Method == http.MethodGet:
		return f.serviceNumbers(in, names[1])
	case product == "messaging" && len(names) == 3 && names[0] == "Services" && names[2] == "ShortCodes" && in.req.Method == http.MethodGet:
		return f.serviceShortCodes(in, names[1])
	default:
		return f.general(in)
	}
}

// stored answers a request on messages or calls.
func (f *Fake) stored(in *inbound, k *kind, c *collection) *answer {
	if len(in.names) == 1 {
		switch in.req.Method {
		case http.MethodPost:
			it, refusal := k.create(f, in)
			if refusal != nil {
				return refusal
			}
			c.add(it)
			in.req.SID = it.sid
			return success(http.StatusCreated, k.doc(it, true))
		case http.MethodGet, http.MethodHead:
			return f.list(in, k, c)
		}
		return f.failure(in, http.StatusMethodNotAllowed, 20004, "Method not allowed")
	}
	it := c.bySID[in.names[1]]
	if it == nil {
		return f.notFound(in)
	}
	switch in.req.Method {
	case http.MethodPost:
		k.update(it, in)
		it.updated = in.now
	case http.MethodDelete:
		c.remove(it)
		return success(http.StatusNoContent, nil)
	}
	return success(http.StatusOK, k.doc(it, false))
}

// newItem makes an item with what messages and calls share.
func (f *Fake) newItem(in *inbound, prefix, status string) *item {
	sid := f.newSID(prefix)
	return &item{
		seq: f.seq, sid: sid, account: in.req.Account,
		accepted: in.req.Time, created: in.now, updated: in.now,
		from: f.alter.number(in.req.Form.Get("From")), to: f.alter.number(in.req.Form.Get("To")),
		status: status,
	}
}
