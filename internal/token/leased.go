package token

import (
	"math"
	"time"

	"github.com/twilio-pacer/pacer/internal/line"
	"github.com/twilio-pacer/pacer/internal/spacing"
)

const (
	grantTime    = 50 * time.Millisecond  // of tokens taken at once
	foresight    = 100 * time.Millisecond // of tokens used, as a forecast of those that will be
	maxGrant     = 50                     // tokens
	brisk        = 200                    // tokens per second of a bucket from which they are taken by forecast
	askAway      = 500 * time.Millisecond // between attempts while the store does not answer
	countedAfter = 10 * time.Second       // from rejoining
	maxSwaps     = 3                      // so that no head starves
	askAhead     = 40 * time.Millisecond  // of the end of the tokens in hand others are asked for
	tellEvery    = 400 * time.Millisecond // at least, answers are told to a store that heeds them
	grown        = 50 * time.Millisecond  // a cool-down that is longer by less is not told again
	quietAtFirst = 500 * time.Millisecond // what others still have in hand is used up by then
	awayShare    = 0.9                    // of the rate, all processes together, meanwhile
	unknownShare = 0.1                    // of that, for one process that never had an answer
)

// late is how long after its time a token may be used without more ado. All processes keep 2 %
// below the rate, so that a request that is late by less than that does not crowd the window of
// the one that follows it a second later.
const late = time.Duration(0.75 * spacing.MaxSlack * float64(time.Second))

// spare is the same for tokens of a fast bucket that were taken before anyone needed
// them: while there are such the window is not full.
const spare = 2 * foresight

// Leased are tokens of a bucket that several processes share, taken from a store. While
// the store does not answer, or while it does not pace the bucket, the process has a
// bucket of its own.
type Leased struct {
	User
	common *Link // of all buckets
	link   *Link // common, or the bucket's own while the store cannot serve it

	own     Own
	burst   int
	grants  []Grant   // with tokens left, in order
	left    int       // tokens in them
	due     time.Time // of the head's token
	unused  int       // to be given back, of the grant numbered last
	last    int64
	size    int       // of the last grant
	next    time.Time // before which no further token is used, since one was used late
	wanted  time.Time // since when requests wait without a break; zero: none waits
	swaps   int       // late tokens that the head has given back; after maxSwaps it uses one however late it is
	asking  bool
	again   time.Time // before which it is no use to ask
	free    bool      // the program said that it is not to be paced
	counts  counts    // answers that the store has not been told
	told    time.Time // when it last was told anything
	heeded  bool      // the store wants to know of answers
	learns  bool      // this process may learn for all
	learner bool      // it does
	fed     time.Time // when the learner last heard of the others' answers
	report  report    // about a cool-down
	paced   bool      // the store paces it, whether or not a limit does
	pace    float64   // of the whole bucket; 0: not known
	learned float64
	quiet   time.Time // until when it keeps still since the store does not answer
	others  int       // processes, this one included; 0: not known
	usage   usage
}

// NewLeased returns the tokens of a bucket about which the store has not been asked yet.
func NewLeased(link *Link, burst int, user User) *Leased {
	e := &Leased{User: user, common: link, link: link, burst: burst}
	e.own.bucket = full(e.Share(e.Rate()), e.burst)
	return e
}

// Shared reports that tokens come from the store. It is false for nil.
func (e *Leased) Shared() bool {
	return e != nil && e.link.Err == nil && (e.paced || e.Rate() < Unlimited)
}

// Pace is that of the whole bucket by the store's last answer; 0: not known.
func (e *Leased) Pace() float64 { return e.pace }

// Learned is the limit that the store has learned by its last answer; 0: none.
func (e *Leased) Learned() float64 { return e.learned }

// Paced reports that the store paces the bucket, whether or not a limit does. It is
// false for nil.
func (e *Leased) Paced() bool { return e != nil && e.paced }

// Free says whether the program said that the bucket is not to be paced. Then the store does not
// pace it either. It does nothing for nil.
func (e *Leased) Free(free bool) {
	if e != nil {
		e.free, e.paced = free, e.paced && !free
	}
}

// TakeNow implements [Source].
func (e *Leased) TakeNow(now time.Time) bool {
	if !e.Shared() {
		return !e.isQuiet(now) && e.own.TakeNow(now)
	}
	due, ok := e.first(now)
	if !ok || due.After(now) {
		return false
	}
	e.use(now)
	if n := e.forecast(now); n > 1 && e.left <= n/4 {
		e.ask(now)
	}
	return true
}

// Reserve implements [Source]. It asks for more tokens in time.
func (e *Leased) Reserve(now time.Time, pace float64) time.Duration {
	if !e.Shared() {
		if e.isQuiet(now) {
			return e.quiet.Sub(now)
		}
		return e.own.Reserve(now, pace)
	}
	if e.wanted.IsZero() {
		e.wanted = now
	}
	due, ok := e.first(now)
	if !ok || (e.low(now) && e.left < min(e.Waiting(), e.left/2+e.most())) {
		e.ask(now)
	}
	switch {
	case ok:
		e.due = due
		return due.Sub(now)
	case e.again.After(now):
		return e.again.Sub(now)
	default:
		return line.UntilWoken
	}
}

// Reserved implements [Source].
func (e *Leased) Reserved() (due time.Time, ok bool) { return e.own.Reserved() }

// Take implements [Source]. A token may be late since the head had to wait for something else.
// If no other process uses the bucket it is as good as before. Otherwise it goes back, and the
// head asks for another one: the next request of the others may be due already.
func (e *Leased) Take(now time.Time) (due time.Time, ok bool) {
	if !e.Shared() {
		return e.own.Take(now)
	}
	e.own.Unreserve(now)
	if e.others > 1 && e.swaps < maxSwaps && now.Sub(e.due) > late {
		e.swaps++
		e.Return(now)
		e.ask(now)
		return time.Time{}, false
	}
	e.swaps = 0
	e.use(now)
	e.postpone(now)
	return e.due, true
}

// Spare returns for how long the head's token may be held before Take exchanges it.
func (e *Leased) Spare(now time.Time) time.Duration {
	if !e.Shared() || e.others <= 1 {
		return math.MaxInt64
	}
	return max(0, e.due.Add(late).Sub(now))
}

// postpone is for a token that was used late. Those after it that have become due meanwhile are
// not used at once, but one by one.
func (e *Leased) postpone(now time.Time) {
	every := e.every()
	if now.Sub(e.due) <= max(late, every) {
		return
	}
	e.next = now.Add(every)
	next := e.next
	for i := range e.grants {
		next = e.grants[i].notBefore(next)
	}
}

// every is the time between two tokens of the whole bucket.
func (e *Leased) every() time.Duration {
	return time.Duration(min(float64(time.Second)/max(e.pace, math.SmallestNonzeroFloat64), 1<<62))
}

// Unreserve implements [Source].
func (e *Leased) Unreserve(now time.Time) {
	e.own.Unreserve(now)
	if e.Waiting() == 0 {
		e.wanted, e.swaps = time.Time{}, 0
	}
}

// Return implements [Source]. Only tokens of the last grant are of use to others.
func (e *Leased) Return(now time.Time) {
	e.own.Unreserve(now)
	if n := len(e.grants); n > 0 {
		e.unused, e.last = e.grants[n-1].N, e.grants[n-1].Number
	}
	e.grants, e.left, e.again = nil, 0, time.Time{}
}

// Reshape implements [Source].
func (e *Leased) Reshape(now time.Time, pace float64, burst int) {
	e.burst = burst
	e.own.Reshape(now, pace, burst)
}

// Reopen implements [Source].
func (e *Leased) Reopen(now time.Time, pace float64, burst int, rested bool) {
	e.own.Reopen(now, pace, burst, rested)
}

// Full implements [Source].
func (e *Leased) Full(now time.Time, burst int) bool { return e.own.Full(now, burst) }

// low reports that the tokens in hand will be used up before others come, if an answer is late once.
func (e *Leased) low(now time.Time) bool {
	if e.left <= e.size/4 {
		return true
	}
	g := e.grants[len(e.grants)-1]
	return g.From.Add(time.Duration(g.N)*g.Every).Sub(now) < askAhead
}

// first returns when the next token in hand may be used; ok is false if there is none.
// Tokens whose time has passed are dropped, unless a request has waited since then: it was held
// by something else. Beside other processes that is so for the last one, which can be exchanged.
func (e *Leased) first(now time.Time) (due time.Time, ok bool) {
	tolerance := late
	if e.pace >= brisk && e.Waiting() <= 1 {
		tolerance = spare
	}
	for len(e.grants) > 0 {
		g := &e.grants[0]
		waited := !e.wanted.IsZero() && !g.From.Before(e.wanted) && (e.others <= 1 || e.left == 1)
		if waited || !g.From.Add(tolerance).Before(now) {
			return g.From, true
		}
		e.pop()
	}
	return time.Time{}, false
}

// pop takes the next token out.
func (e *Leased) pop() {
	g := &e.grants[0]
	g.N--
	e.left--
	g.From = g.From.Add(g.Every)
	if g.N == 0 {
		e.grants = e.grants[1:]
	}
}

func (e *Leased) use(now time.Time) {
	e.pop()
	e.usage.add(now)
}

// most is how many tokens are taken at once at most.
func (e *Leased) most() int {
	perSecond := e.Rate()
	if e.pace > 0 {
		perSecond = min(perSecond, e.pace)
	}
	return int(min(maxGrant, max(1, perSecond*grantTime.Seconds())))
}

// forecast is how many tokens are likely to be used soon.
func (e *Leased) forecast(now time.Time) int {
	if e.pace < brisk {
		return 0
	}
	return int(e.usage.perSecond(now) * foresight.Seconds())
}

// ask asks the store for tokens, unless that is under way or would be in vain.
func (e *Leased) ask(now time.Time) {
	if e.asking || e.again.After(now) {
		return
	}
	e.asking = true
	e.Send(e.Demand(min(e.most(), max(1, e.Waiting()-e.left, e.forecast(now)-e.left))), now)
}

// Demand returns a demand for n tokens, which is to be told.
func (e *Leased) Demand(n int) Demand {
	d := Demand{N: n, Rate: e.Rate(), Burst: e.burst, Unused: e.unused, Last: e.last, Learn: e.learns, Pace: -1}
	if d.Rate < Unlimited {
		d.Rate /= 1 + spacing.MaxSlack
	}
	if e.learner {
		d.Pace, d.Learned = e.Lessons()
	}
	d.Accepted, d.Throttled = e.counts.accepted, e.counts.throttled
	e.unused, e.counts = 0, counts{}
	return d
}

// Send sends a demand to the store.
func (e *Leased) Send(d Demand, now time.Time) {
	e.common.Asked++
	e.told = now
	e.Tell(d, now)
}

// Others is how many processes use the bucket, this one included; at least 1.
func (e *Leased) Others() int { return max(e.others, 1) }

// replied takes in that the store has answered a demand, or that it will not.
func (e *Leased) replied(d Demand, now time.Time) {
	if d.N > 0 {
		e.asking = false
	}
	if d.Hold > 0 {
		e.reported(now)
	}
	if e.link.Err != nil {
		e.link.trying = false
	}
}

// Granted takes in the store's answer to a demand. It reports that the bucket must keep still:
// until g.Hold. A cool-down leaves no tokens.
func (e *Leased) Granted(d Demand, g Grant, now time.Time) (held bool) {
	l := e.link
	e.common.answered = now
	if l.Err != nil {
		l.again, l.back = g.Again, d.Back
	}
	if e.free {
		g.Pace, g.Learned, g.Heeded, g.Learner = Unlimited, 0, false, false
	}
	e.pace, e.learned, e.paced = g.Pace, g.Learned, g.Pace < Unlimited
	e.heeded = g.Heeded
	if e.learner != g.Learner {
		e.learner, e.fed = g.Learner && e.learns && l.Err == nil, now
	}
	if l.Err == nil && (g.Processes > e.others || now.Sub(l.rejoined) > countedAfter) { // all come back, but not at once
		e.others = max(g.Processes, 1)
		l.others = max(l.others, e.others)
	}
	e.replied(d, now)
	if g.Hold.After(now) {
		e.Return(now)
		e.unused = 0
		return true
	}
	if l.Err != nil {
		return false
	}
	e.again = time.Time{}
	if g.N == 0 {
		if d.N > 0 {
			e.again = g.Again
		}
		return false
	}
	e.left += g.N
	e.size = g.N
	next := e.next
	if n := len(e.grants); n > 0 {
		next = e.grants[n-1].notBefore(next)
	}
	g.notBefore(next)
	// An answer that is late must not lead to more at once than the bucket holds.
	g.notBefore(now.Add(-late - time.Duration(min(float64(e.burst)*float64(g.Every), 1<<62))))
	if past := now.Sub(g.From); past > 0 && g.Every > 0 {
		// What may be used at once is late only from now on.
		n := min(g.N, 1+int(past/g.Every))
		e.grants = append(e.grants, Grant{N: n, Number: g.Number, From: now})
		g.From, g.N = g.From.Add(time.Duration(n)*g.Every), g.N-n
	}
	if g.N > 0 {
		e.grants = append(e.grants, g)
	}
	return false
}
