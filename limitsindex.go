package pacer

import (
	"iter"
	"slices"
	"strings"
)

// rules are Limits with an index, so that those about one resource are found without a look
// at the others: there may be one for each of 10,000 senders. They do not change.
type rules struct {
	limits Limits
	at     map[scope][]int32 // where in limits the rules with a scope stand, in order
	kinds  [1 << 3]bool      // which kinds of scope there are
	words  int               // the most words that the name of any resource in limits has
}

// A scope is what a rule is about. product is "*" for all of them, name is "*" for all of a
// product; "" of the others is every one.
type scope struct {
	product, name   string
	sender, account string
	op              Op
}

// index makes rules of limits, of which the caller keeps nothing.
func index(limits Limits) *rules {
	rs := &rules{limits: limits, at: make(map[scope][]int32, len(limits))}
	for i := range limits {
		l := &limits[i]
		s := scope{"*", "*", l.Sender, l.Account, l.Op}
		if l.Resource != "*" {
			s.product, s.name = splitRule(l.Resource)
		}
		rs.at[s] = append(rs.at[s], int32(i)) // more than one only if a resource is written in two ways
		rs.kinds[s.kind()] = true
		rs.words = max(rs.words, 1+strings.Count(s.name, "/"))
	}
	return rs
}

// The kinds of scope are sets of these: what is not for every one.
const (
	oneSender = 1 << iota
	oneAccount
	oneOp
)

func (s scope) kind() (k int) {
	if s.sender != "" {
		k |= oneSender
	}
	if s.account != "" {
		k |= oneAccount
	}
	if s.op != "" {
		k |= oneOp
	}
	return k
}

// about returns where in the limits those rules stand that may match r, in order. It looks
// for each scope that r is in.
func (rs *rules) about(r Resource) (found []int32) {
	for kind, used := range rs.kinds {
		if !used {
			continue
		}
		var s scope
		if kind&oneSender != 0 {
			s.sender = r.Sender
		}
		if kind&oneAccount != 0 {
			s.account = r.Account
		}
		if kind&oneOp != 0 {
			s.op = r.Op
		}
		s.product, s.name = "*", "*"
		found = append(found, rs.at[s]...)
		s.product = r.Product
		found = append(found, rs.at[s]...)
		for name := range lastWords(r.Name, rs.words) {
			s.name = name
			found = append(found, rs.at[s]...)
		}
	}
	slices.Sort(found) // of two rules that are equally specific the first one counts
	return found
}

// lastWords yields the last word of a name, the last two, and so on, at most max.
func lastWords(name string, max int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for end, n := len(name), 0; n < max && end >= 0; n++ {
			end = strings.LastIndexByte(name[:end], '/')
			if !yield(name[end+1:]) {
				return
			}
		}
	}
}
