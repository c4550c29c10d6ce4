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

// late is how long after its time a token may be used without more ado. All processes keep 2 % below
// the rate. So a request that is late by less does not crowd the window of the one that follows it a
// second later.
const late = time.Duration(0.75 * spacing.MaxSlack * float64(time.Second))

// spare is the same for tokens of a fast bucket that were taken before anyone needed
// them: while there are such the window is not full.
const spare = 2 * foresight

// Shared are tokens of a bucket that several processes share, taken from a store. While
// the store does not answer, or while it does not pace the bucket, the process has a
// bucket of its own.
type Shared struct {
	User
	common *Link // of all buckets
	link   *Link // common, or the bucket's own while the store cannot serve it

	local    Local
	burst    int
	hand     hand
	tells    tells
	asking   bool
	again    time.Time // before which it is no use to ask
	free     bool      // the program said that it is not to be paced
	learning learning
	said     said
	quiet    time.Time // until when it pauses since the store does not answer
	usage    usage
}

// tells is what the store is to be told.
type tells struct {
	unused int   // tokens to be given back, of the grant numbered last
	grant  int64 // number of that grant
	counts counts
	at     time.Time // when it last was told anything
	heeded bool      // the store wants to know of answers
	report report    // about a cool-down
}

// learning is about the process that learns for all.
type learning struct {
	learns  bool      // this process may
	learner bool      // it does
	fed     time.Time // when it last heard of the others' answers
}

// said is what the store said in its last answer.
type said struct {
	paced   bool    // it paces the bucket, whether or not a limit does
	pace    float64 // of the whole bucket; 0: not known
	learned float64
	others  int // processes, this one included; 0: not known
}

// NewShared returns the tokens of a bucket about which the store has not been asked yet.
func NewShared(link *Link, burst int, user User) *Shared {
	e := &Shared{User: user, common: link, link: link, burst: burst}
	e.local.bucket = full(e.Share(e.Rate()), e.burst)
	return e
}

// FromStore reports that tokens come from the store. It is false for nil.
func (e *Shared) FromStore() bool {
	return e != nil && e.link.Err == nil && (e.said.paced || e.Rate() < Unlimited)
}

// Pace is that of the whole bucket by the store's last answer; 0: not known.
func (e *Shared) Pace() float64 { return e.said.pace }

// Learned is the limit that the store has learned by its last answer; 0: none.
func (e *Shared) Learned() float64 { return e.said.learned }

// Paced reports that the store paces the bucket, whether or not a limit does. It is
// false for nil.
func (e *Shared) Paced() bool { return e != nil && e.said.paced }

// Free says whether the program said that the bucket is not to be paced. Then the store does not
// pace it either. It does nothing for nil.
func (e *Shared) Free(free bool) {
	if e != nil {
		e.free, e.said.paced = free, e.said.paced && !free
	}
}

// TakeNow implements [Source].
func (e *Shared) TakeNow(now time.Time) bool {
	if !e.FromStore() {
		return !e.isQuiet(now) && e.local.TakeNow(now)
	}
	due, ok := e.first(now)
	if !ok || due.After(now) {
		return false
	}
	e.use(now)
	if n := e.forecast(now); n > 1 && e.hand.count <= n/4 {
		e.ask(now)
	}
	return true
}

// Reserve implements [Source]. It asks for more tokens in time.
func (e *Shared) Reserve(now time.Time, pace float64) time.Duration {
	if !e.FromStore() {
		if e.isQuiet(now) {
			return e.quiet.Sub(now)
		}
		return e.local.Reserve(now, pace)
	}
	if e.hand.wanted.IsZero() {
		e.hand.wanted = now
	}
	due, ok := e.first(now)
	if !ok || (e.low(now) && e.hand.count < min(e.Waiting(), e.hand.count/2+e.most())) {
		e.ask(now)
	}
	switch {
	case ok:
		e.hand.due = due
		return due.Sub(now)
	case e.again.After(now):
		return e.again.Sub(now)
	default:
		return line.UntilWoken
	}
}

// Reserved implements [Source].
func (e *Shared) Reserved() (due time.Time, ok bool) { return e.local.Reserved() }

// Take implements [Source]. A token may be late since the head had to wait for something else.
// If no other process uses the bucket it is as good as before. Otherwise it goes back, and the
// head asks for another one: the next request of the others may be due already.
func (e *Shared) Take(now time.Time) (due time.Time, ok bool) {
	if !e.FromStore() {
		return e.local.Take(now)
	}
	e.local.Unreserve(now)
	if e.said.others > 1 && e.hand.swaps < maxSwaps && now.Sub(e.hand.due) > late {
		e.hand.swaps++
		e.Return(now)
		e.ask(now)
		return time.Time{}, false
	}
	e.hand.swaps = 0
	e.use(now)
	e.postpone(now)
	return e.hand.due, true
}

// Spare returns for how long the head's token may wait before Take exchanges it.
func (e *Shared) Spare(now time.Time) time.Duration {
	if !e.FromStore() || e.said.others <= 1 {
		return math.MaxInt64
	}
	return max(0, e.hand.due.Add(late).Sub(now))
}

// Unreserve implements [Source].
func (e *Shared) Unreserve(now time.Time) {
	e.local.Unreserve(now)
	if e.Waiting() == 0 {
		e.hand.wanted, e.hand.swaps = time.Time{}, 0
	}
}

// Return implements [Source]. Only tokens of the last grant are of use to others.
func (e *Shared) Return(now time.Time) {
	e.local.Unreserve(now)
	if n := len(e.hand.grants); n > 0 {
		e.tells.unused, e.tells.grant = e.hand.grants[n-1].N, e.hand.grants[n-1].Number
	}
	e.hand.grants, e.hand.count, e.again = nil, 0, time.Time{}
}

// Reshape implements [Source].
func (e *Shared) Reshape(now time.Time, pace float64, burst int) {
	e.burst = burst
	e.local.Reshape(now, pace, burst)
}

// Reopen implements [Source].
func (e *Shared) Reopen(now time.Time, pace float64, burst int, rested bool) {
	e.local.Reopen(now, pace, burst, rested)
}

// Full implements [Source].
func (e *Shared) Full(now time.Time, burst int) bool { return e.local.Full(now, burst) }

// most is how many tokens are taken at once at most.
func (e *Shared) most() int {
	perSecond := e.Rate()
	if e.said.pace > 0 {
		perSecond = min(perSecond, e.said.pace)
	}
	return int(min(maxGrant, max(1, perSecond*grantTime.Seconds())))
}

// forecast is how many tokens are likely to be used soon.
func (e *Shared) forecast(now time.Time) int {
	if e.said.pace < brisk {
		return 0
	}
	return int(e.usage.perSecond(now) * foresight.Seconds())
}

// ask asks the store for tokens, unless that is under way or would be in vain.
func (e *Shared) ask(now time.Time) {
	if e.asking || e.again.After(now) {
		return
	}
	e.asking = true
	e.Send(e.Demand(min(e.most(), max(1, e.Waiting()-e.hand.count, e.forecast(now)-e.hand.count))), now)
}

// Demand returns a demand for n tokens, which is to be told.
func (e *Shared) Demand(n int) Demand {
	d := Demand{N: n, Rate: e.Rate(), Burst: e.burst, Unused: e.tells.unused, Last: e.tells.grant, Learn: e.learning.learns, Pace: -1}
	if d.Rate < Unlimited {
		d.Rate /= 1 + spacing.MaxSlack
	}
	if e.learning.learner {
		d.Pace, d.Learned = e.Lessons()
	}
	d.Accepted, d.Throttled = e.tells.counts.accepted, e.tells.counts.throttled
	e.tells.unused, e.tells.counts = 0, counts{}
	return d
}

// Send sends a demand to the store.
func (e *Shared) Send(d Demand, now time.Time) {
	e.common.Asked++
	e.tells.at = now
	e.Tell(d, now)
}

// Others is how many processes use the bucket, this one included; at least 1.
func (e *Shared) Others() int { return max(e.said.others, 1) }

// replied takes in that the store has answered a demand, or that it will not.
func (e *Shared) replied(d Demand, now time.Time) {
	if d.N > 0 {
		e.asking = false
	}
	if d.CoolDownFor > 0 {
		e.reported(now)
	}
	if e.link.Err != nil {
		e.link.trying = false
	}
}

// Granted takes in the store's answer to a demand. It reports that the bucket must pause:
// until g.CoolDownUntil. A cool-down leaves no tokens.
func (e *Shared) Granted(d Demand, g Grant, now time.Time) (pauses bool) {
	l := e.link
	e.common.answered = now
	if l.Err != nil {
		l.again, l.back = g.Again, d.Back
	}
	if e.free {
		g.Pace, g.Learned, g.Heeded, g.Learner = Unlimited, 0, false, false
	}
	e.said.pace, e.said.learned, e.said.paced = g.Pace, g.Learned, g.Pace < Unlimited
	e.tells.heeded = g.Heeded
	if e.learning.learner != g.Learner {
		e.learning.learner, e.learning.fed = g.Learner && e.learning.learns && l.Err == nil, now
	}
	if l.Err == nil && (g.Processes > e.said.others || now.Sub(l.rejoined) > countedAfter) { // all come back, but not at once
		e.said.others = max(g.Processes, 1)
		l.others = max(l.others, e.said.others)
	}
	e.replied(d, now)
	if g.CoolDownUntil.After(now) {
		e.Return(now)
		e.tells.unused = 0
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
	e.hand.count += g.N
	e.hand.size = g.N
	next := e.hand.next
	if n := len(e.hand.grants); n > 0 {
		next = e.hand.grants[n-1].notBefore(next)
	}
	g.notBefore(next)
	// An answer that is late must not lead to more at once than the bucket holds.
	g.notBefore(now.Add(-late - time.Duration(min(float64(e.burst)*float64(g.Every), 1<<62))))
	if past := now.Sub(g.From); past > 0 && g.Every > 0 {
		// What may be used at once is late only from now on.
		n := min(g.N, 1+int(past/g.Every))
		e.hand.grants = append(e.hand.grants, Grant{N: n, Number: g.Number, From: now})
		g.From, g.N = g.From.Add(time.Duration(n)*g.Every), g.N-n
	}
	if g.N > 0 {
		e.hand.grants = append(e.hand.grants, g)
	}
	return false
}
