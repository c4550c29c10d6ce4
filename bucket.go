package pacer

import (
	"container/list"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
	"github.com/twilio-pacer/pacer/internal/line"
	"github.com/twilio-pacer/pacer/internal/spacing"
	"github.com/twilio-pacer/pacer/internal/token"
)

// common is what all buckets of one limiter have in common. Its mutex guards every field of it
// and every bucket and gate; it is locked for nanoseconds. start and store do not change.
type common struct {
	mu      sync.Mutex
	start   time.Time // when the limiter was made; counts begin there
	fixed   bool      // nothing is learned
	buckets map[Resource]*bucket
	store   *storeLink // nil: the buckets are this process's own
	notices notices
}

// A bucket is what stands between the requests of one resource and the wire. A request
// passes its parts in the order of the fields. The mutex of common guards all of it.
type bucket struct {
	common   *common
	resource Resource
	allowed  allowance // what the limits say

	line     line.Line       // the requests that wait, in order
	cooldown cooldown        // Twilio has said "not now"
	tokens   token.Source    // one for each request: this process's own, or granted by a store
	spacing  spacing.Spacing // room for late arrivals
	permits  permits         // in flight

	evidence   evidence      // what throttled answers have taught
	counts     history       // for Stats
	departures uint32        // requests that have left so far
	pacedFor   time.Duration // for which heads of the line have waited for a default pace, see noteWait
	place      place
}

// permits are those of the account, of all senders of the resource, and of the bucket. A request in
// flight has one of each.
type permits struct {
	line.Gates
	account *sharedGate
	group   *sharedGate // of all senders of the resource; nil: the resource has no senders
}

// evidence is what answers have taught about a bucket. Package learn decides. The methods of
// bucket in learn.go apply its decisions to the bucket's other parts.
type evidence struct {
	learn.Evidence
	allowed int       // requests/s by the header X-Rate-Limit-Limit; 0: no answer had it
	lowered time.Time // when X-Rate-Limit-Remaining last lowered the pace; zero: never
	pause   time.Time // until when no request leaves, as too many have left before; zero: never
	forAll  bool      // it has the answers of all processes, and learns for them
}

// A place is where a bucket stands in its limiter's list of buckets, by age. Durations are from
// when the limiter was made: they are set for each request, and have no pointer, as times have.
type place struct {
	element *list.Element
	seen    time.Duration // when the bucket was last used, or looked at by sweep
	used    time.Duration // when it was last used
	left    time.Time     // when a request last left; zero: none has
}

// reserve reserves a token for the head of the line, and returns how long the head must
// wait before it may use it.
func (b *bucket) reserve(now time.Time) time.Duration {
	d := b.tokens.Reserve(now, b.pace())
	if d <= 0 && !b.evidence.Asking() {
		d = min(b.spacing.Delay(now), b.shared().Spare(now))
	}
	return max(d, b.evidence.pause.Sub(now))
}

// queue makes w, the head of the line, wait at the first gate that does not admit it. It reports
// false if all gates do. It raises the account's learned limit if it is time to ask for more.
func (b *bucket) queue(w *line.Waiter, now time.Time) bool {
	g := b.permits.Closed(w)
	if g == &b.permits.account.Gate && g.InFlight() >= g.Learned && b.permits.account.learned.Probe(now) {
		b.permits.account.adopt()
		g = b.permits.Closed(w)
	}
	if g == nil {
		return false
	}
	b.permits.Wait(w, g, now)
	return true
}

// hopeless returns an error for a waiter that cannot leave before its deadline. It judges by how
// many are ahead of the waiter and by the present pace. ahead below 0 is not known.
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

// leave takes w out of line and gate: its request leaves, or it has given up.
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
	late     time.Duration // for how long its token had been due by then; atOnce: it did not wait
	number   uint64        // in arrivals
	serial   uint32        // of the bucket's departures
	inFlight int32         // requests of the account, itself included
}

// atOnce is how late a request is that nothing stood in the way of.
const atOnce time.Duration = -1

// due returns when the token of a request was due that had to wait.
func (d departure) due() time.Time { return d.left.Add(-d.late) }

// enter counts a request that leaves at now, so late.
func (b *bucket) enter(late time.Duration, now time.Time) departure {
	b.permits.Enter()
	b.place.left = now
	b.departures++
	return departure{left: now, late: late, number: b.spacing.Leave(now), serial: b.departures, inFlight: int32(b.permits.account.InFlight())}
}

// coolDown makes the whole bucket pause: of several throttled answers the one
// that asks for most counts.
func (b *bucket) coolDown(o Outcome, now time.Time) {
	c := cooldown{}
	c.begin(o, now)
	b.pauseUntil(c.until, c.retryAt, now)
}

// pauseUntil makes the whole bucket pause until a time. retryAt is until when Twilio has asked for
// that, if it is too long to wait; zero: calls wait.
func (b *bucket) pauseUntil(until, retryAt, now time.Time) {
	refusing := b.cooldown.refuses(now)
	b.cooldown.extend(until, retryAt)
	b.tokens.Return(now)
	b.line.WakeHead()
	if b.cooldown.refuses(now) && !refusing {
		b.line.WakeAll() // all leave now; who comes later is refused on arrival
	}
	b.line.WakeEnding(b.cooldown.until)
}

// pace returns the tokens per second at which the bucket sends now; Unlimited. It is below a
// configured rate, to leave room for jitter. A learned rate was measured with the jitter in it.
func (b *bucket) pace() float64 {
	perSecond := b.configured()
	if perSecond < Unlimited {
		perSecond /= 1 + b.spacing.Slack()
	}
	return b.tokens.Share(min(perSecond, b.evidence.Pace()))
}

// idle reports that nothing is lost if the bucket is dropped and made anew.
func (b *bucket) idle(now time.Time) bool {
	learned := b.evidence.Known() || (b.shared().Paced() && b.allowed.rate >= Unlimited)
	return b.line.Len() == 0 && b.permits.Bucket.InFlight() == 0 && now.After(b.cooldown.until) &&
		b.tokens.Full(now, b.allowed.burst) && !(learned && now.Sub(b.common.start)-b.place.used < learnedFor)
}

// learnedFor is how long something learned is remembered when it is not used.
const learnedFor = time.Hour

// teaches returns what the bucket's answers teach about its account's requests in progress;
// nil if nothing is learned.
func (b *bucket) teaches() *learn.InFlight {
	if b.common.fixed {
		return nil
	}
	return &b.permits.account.learned
}

// configured returns the rate that limits and Twilio's headers allow; Unlimited.
func (b *bucket) configured() float64 {
	if allowed := b.evidence.allowed; allowed > 0 && !b.allowed.never() {
		return min(b.allowed.rate, float64(allowed))
	}
	return b.allowed.rate
}

// shared returns the bucket's tokens if a store grants them; nil: they are this process's own.
func (b *bucket) shared() *token.Shared {
	shared, _ := b.tokens.(*token.Shared)
	return shared
}

// close makes the bucket pause, in all processes.
func (b *bucket) close(o Outcome, now time.Time) {
	before, refused := b.cooldown.until, b.cooldown.refuses(now)
	b.coolDown(o, now)
	if b.common.store == nil || !b.cooldown.until.After(before) && b.cooldown.refuses(now) == refused {
		return
	}
	b.shared().CoolsDown(b.cooldown.until, b.cooldown.retryAt, now)
}

// tooLate refuses a wait in the bucket that would outlast the context's deadline.
func (b *bucket) tooLate(need time.Duration, now time.Time) *WaitError {
	refused := tooLate(b.resource, need)
	refused.byPace = b.cooldown.remaining(now) <= 0
	return refused
}

// count takes in a request that has ended.
func (b *bucket) count(o Outcome, now time.Time) {
	h := b.counts.now(b.common.start, now)
	h.requests++
	if o.Throttled {
		h.throttled++
	}
	if o.Retry {
		h.retries++
	}
}
