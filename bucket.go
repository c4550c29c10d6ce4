package pacer

import (
	"container/list"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
	"github.com/twilio-pacer/pacer/internal/line"
	"github.com/twilio-pacer/pacer/internal/spacing"
	"github.com/twilio-pacer/pacer/internal/token"
)

// A bucket is what stands between the requests of one resource and the wire. A request
// passes its parts in the order of the fields. The limiter's lock guards all of it.
type bucket struct {
	limiter  *BucketLimiter
	resource Resource
	allowed  allowance // what the limits say
	rules    *rules    // the limits that say it

	line     line.Line       // the turnstile: who goes first
	cooldown cooldown        // Twilio has said "not now"
	tokens   token.Source    // one for each request, this process's own or a store's
	spacing  spacing.Spacing // room for late arrivals
	slots    line.Gates      // in flight: of the account, of the resource, of the bucket
	account  *sharedGate     // the first of slots
	group    *sharedGate     // the second of slots: of all senders of the resource; nil: none

	evidence   evidence      // what throttled answers have taught
	paused     time.Time     // until when no request leaves, since too many have left before; zero: never
	counts     history       // for Stats
	departures uint32        // so far
	pacedFor   time.Duration // that heads of the line have waited for a default pace, see noteWait
	place      place
}

// A place is where a bucket stands in its limiter's list of buckets, by age. Durations are from
// when the limiter was made: they are set for each request, and have no pointer, as times have.
type place struct {
	element *list.Element
	seen    time.Duration // when the bucket was last used, or looked at by sweep
	used    time.Duration // when it was last used
	left    time.Time     // when a request last left; zero: none has
}

// A sharedGate is a gate that several buckets pass.
type sharedGate struct {
	line.Gate
	key     gateKey
	learned learn.InFlight // of an account's gate
	buckets int            // how many pass it
	used    time.Duration  // from when the limiter was made until one of those that were dropped was last used
	unused  *list.Element  // in the limiter's list of those without buckets; nil: it has some
}

type gateKey struct{ account, region, resource string } // resource is "" for the account's

// adopt makes what was learned hold, and reports whether that is more than before.
func (g *sharedGate) adopt() (more bool) {
	before := g.Learned
	g.Learned = g.learned.Limit()
	return before > 0 && (g.Learned == 0 || g.Learned > before)
}

// passAtOnce lets a request through if nothing at all stands in its way.
func (b *bucket) passAtOnce(now time.Time) bool {
	if b.line.Len() > 0 || b.cooldown.on || b.paused.After(now) || (!b.evidence.Asking() && b.spacing.Opens().After(now)) || !b.slots.Free() {
		return false
	}
	b.rejoin(now)
	return b.tokens.TakeNow(now)
}

// closed returns for how long the cool-down lasts, and after what time to look again whether it is over: other buckets of the
// account may find out that an outage is.
func (b *bucket) closed(now time.Time) (delay, look time.Duration) {
	if b.cooldown.on && b.evidence.Over(b.teaches(), now) {
		b.cooldown.until = now
	}
	delay = b.cooldown.remaining(now)
	if look = delay; b.evidence.Unasked(now) {
		look = min(delay, time.Second)
	}
	return delay, look
}

// reopen ends a cool-down whose time is over, if there is one.
func (b *bucket) reopen(now time.Time) {
	if !b.cooldown.on {
		return
	}
	b.cooldown.end()
	b.evidence.Reopen(b.teaches(), b.slots.Own.InFlight(), now)
	b.adapt(now)
	// Twilio said when to try again. A rate that was lowered meanwhile must not put that
	// off: it holds from this request on.
	rested := now.Sub(b.place.left).Seconds() >= 1/b.allowed.rate
	b.tokens.Reopen(now, b.pace(), b.allowed.burst, rested)
}

// reserve reserves a token for the head of the line, and returns how long the head must
// wait before it may use it.
func (b *bucket) reserve(now time.Time) time.Duration {
	d := b.tokens.Reserve(now, b.pace())
	if d <= 0 && !b.evidence.Asking() {
		d = min(b.spacing.Hold(now), b.leased().Spare(now))
	}
	return max(d, b.paused.Sub(now))
}

// queue has w, the head, wait at the first gate that does not admit it. It reports false
// if all do. An account's gate is opened further if it is time to ask for more.
func (b *bucket) queue(w *line.Waiter, now time.Time) bool {
	g := b.slots.Closed(w)
	if g == &b.account.Gate && g.InFlight() >= g.Learned && b.account.learned.Probe(now) {
		b.account.adopt()
		g = b.slots.Closed(w)
	}
	if g == nil {
		return false
	}
	b.slots.Wait(w, g, now)
	return true
}

// hopeless returns an error for a waiter that cannot leave in time, judged by how many
// are ahead of it and the present rate.
func (b *bucket) hopeless(w *line.Waiter, ahead int, now time.Time) error {
	if b.cooldown.refuses(now) {
		rl := notSent(b.resource)
		rl.RetryAfter = b.cooldown.retryAt.Sub(now)
		return &WaitError{RateLimit: rl, Err: ErrWaitTooLong}
	}
	if w.Deadline().IsZero() {
		return nil
	}
	need := max(b.cooldown.remaining(now), 0)
	if perSecond := b.pace(); ahead >= 0 && perSecond < Unlimited {
		if due, ok := b.tokens.Reserved(); ok {
			need = max(need, due.Sub(now))
		}
		need += time.Duration(min(float64(ahead)/perSecond, 1e9) * float64(time.Second)) // 1e9: no overflow
	}
	if now.Add(need).After(w.Deadline()) {
		return b.tooLate(need, now)
	}
	return nil
}

// leave takes w, which has passed or given up, out of turnstile and gate.
func (b *bucket) leave(w *line.Waiter) {
	w.LeaveGate()
	b.line.Leave(w)
	if b.line.Len() == 0 {
		b.tokens.Unreserve(time.Now())
	}
	b.line.WakeHead()
}

// A departure is what is remembered of a request while it is on the wire. Each request
// allocates one, so it is kept small.
type departure struct {
	left     time.Time     // when it left
	late     time.Duration // for how long its token had been due by then; atOnce: it had not to queue
	number   uint64        // in arrivals
	serial   uint32        // of the bucket's departures
	inFlight int32         // requests of the account, itself included
}

// atOnce is how late a request is that nothing stood in the way of.
const atOnce time.Duration = -1

// due returns when the request, which had to queue, was to leave.
func (d departure) due() time.Time { return d.left.Add(-d.late) }

// enter counts a request that leaves at now, so late.
func (b *bucket) enter(late time.Duration, now time.Time) departure {
	b.slots.Enter()
	b.place.left = now
	b.departures++
	return departure{left: now, late: late, number: b.spacing.Leave(now), serial: b.departures, inFlight: int32(b.account.InFlight())}
}

// coolDown makes the whole bucket pause: of several throttled answers the one
// that asks for most counts.
func (b *bucket) coolDown(o Outcome, now time.Time) {
	c := cooldown{}
	c.begin(o, now)
	b.keepStill(c.until, c.retryAt, now)
}

// keepStill makes the whole bucket pause until a time. retryAt, if it is not zero, is until when
// Twilio has asked for that, and is too long to wait.
func (b *bucket) keepStill(until, retryAt, now time.Time) {
	refusing := b.cooldown.refuses(now)
	b.cooldown.last(until, retryAt)
	b.tokens.Return(now)
	b.line.WakeHead()
	if b.cooldown.refuse && !refusing {
		b.line.WakeAll() // all leave now; who comes later is refused on arrival
	}
	b.line.WakeEnding(b.cooldown.until)
}

// pace is the rate at which the head's token is reserved; Unlimited. What is configured leaves
// room for jitter. What was learned was measured with the jitter in it.
func (b *bucket) pace() float64 {
	perSecond := b.configured()
	if perSecond < Unlimited {
		perSecond /= 1 + b.spacing.Slack()
	}
	return b.tokens.Share(min(perSecond, b.evidence.Pace()))
}

// idle reports that a new bucket would do as well.
func (b *bucket) idle(now time.Time) bool {
	learned := b.evidence.Known() || (b.leased().Paced() && b.allowed.rate >= Unlimited)
	return b.line.Len() == 0 && b.slots.Own.InFlight() == 0 && now.After(b.cooldown.until) &&
		b.tokens.Full(now, b.allowed.burst) && !(learned && now.Sub(b.limiter.start)-b.place.used < learnedFor)
}
