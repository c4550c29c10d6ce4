package token

import (
	"math"
	"time"
)

// hand has the tokens in hand.
type hand struct {
	grants []Grant   // with tokens left, in order
	count  int       // tokens in them
	size   int       // of the last grant
	due    time.Time // of the head's token
	next   time.Time // before which no further token is used, since one was used late
	wanted time.Time // since when requests wait without a break; zero: none waits
	swaps  int       // late tokens that the head has given back; after maxSwaps it uses one however late it is
}

// low reports that the tokens in hand will be used up before others come, if an answer is late once.
func (e *Shared) low(now time.Time) bool {
	if e.hand.count <= e.hand.size/4 {
		return true
	}
	g := e.hand.grants[len(e.hand.grants)-1]
	return g.From.Add(time.Duration(g.N)*g.Every).Sub(now) < askAhead
}

// first returns when the next token in hand may be used; ok is false if there is none.
// Tokens whose time has passed are dropped, unless a request has waited since then: it was delayed
// by something else. Beside other processes that is so for the last one, which can be exchanged.
func (e *Shared) first(now time.Time) (due time.Time, ok bool) {
	tolerance := late
	if e.said.pace >= brisk && e.Waiting() <= 1 {
		tolerance = spare
	}
	for len(e.hand.grants) > 0 {
		g := &e.hand.grants[0]
		waited := !e.hand.wanted.IsZero() && !g.From.Before(e.hand.wanted) && (e.said.others <= 1 || e.hand.count == 1)
		if waited || !g.From.Add(tolerance).Before(now) {
			return g.From, true
		}
		e.pop()
	}
	return time.Time{}, false
}

// pop takes the next token out.
func (e *Shared) pop() {
	g := &e.hand.grants[0]
	g.N--
	e.hand.count--
	g.From = g.From.Add(g.Every)
	if g.N == 0 {
		e.hand.grants = e.hand.grants[1:]
	}
}

func (e *Shared) use(now time.Time) {
	e.pop()
	e.usage.add(now)
}

// postpone is for a token that was used late. Those after it that have become due meanwhile are
// not used at once, but one by one.
func (e *Shared) postpone(now time.Time) {
	every := e.every()
	if now.Sub(e.hand.due) <= max(late, every) {
		return
	}
	e.hand.next = now.Add(every)
	next := e.hand.next
	for i := range e.hand.grants {
		next = e.hand.grants[i].notBefore(next)
	}
}

// every is the time between two tokens of the whole bucket.
func (e *Shared) every() time.Duration {
	return time.Duration(min(float64(time.Second)/max(e.said.pace, math.SmallestNonzeroFloat64), 1<<62))
}
