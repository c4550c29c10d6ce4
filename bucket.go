package pacer

import (
	"container/list"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A bucket paces the requests of one resource.
type bucket struct {
	limiter *BucketLimiter
	Resource
	allowance
	age      *list.Element
	was      time.Time // when it was last used, or looked at by sweep
	used     time.Time
	departed time.Time // when a request last left

	tokens   *rate.Limiter
	reserved *rate.Reservation // the head's token; it passes to the next head if the head is cancelled
	due      time.Time         // when reserved may be used
	lease    *lease            // of a shared bucket; nil: it is this process's own
	queue    line              // the turnstile

	until   time.Time // the cool-down's end
	cooled  bool      // a cool-down has begun since a request last left
	refuse  bool      // the cool-down is too long to wait for: calls fail at once
	retryAt time.Time // with refuse: what Twilio asked for

	gates    [3]*gate // of the account, the resource, and the bucket itself
	own      gate
	jitter   jitter
	arrivals arrivals
	caution  float64 // slack that throttles have added; forgotten with the bucket
	history  history

	acceptances acceptances
	run         int // requests accepted since the last event
	learned     pacing
	event       congestion
	concluded   time.Time // when the last event was
	mixed       bool      // learned is of an event that may have been about concurrency
	concurrent  bool      // that is what it was about
}

// A gate counts requests in flight and holds back those above its limit.
type gate struct {
	limit    int // as configured; 0: none
	inFlight int
	queue    line        // heads of turnstiles whose token is due
	buckets  int         // how many buckets pass through it
	learned  concurrency // of an account's gate
}

// room is how many more may enter.
func (g *gate) room() int {
	limit := g.limit
	if n := g.learned.limit; n > 0 && (limit == 0 || n < limit) {
		limit = n
	}
	if limit == 0 {
		return math.MaxInt
	}
	return limit - g.inFlight
}

type gateKey struct{ account, region, resource string } // resource is "" for the account's

// A waiter is a call in a turnstile.
type waiter struct {
	wake     chan struct{} // buffered, 1: look again
	class    int           // its priority, see line
	place    *list.Element // in the turnstile
	gate     *gate         // that it queues for, as a head
	atGate   *list.Element
	held     bool      // it has waited for a gate
	deadline time.Time // of its context; zero: none
}

func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// passAtOnce lets a request through if nothing at all stands in its way.
func (b *bucket) passAtOnce(now time.Time) bool {
	if b.queue.len() > 0 || b.cooled || (!b.learned.probing() && b.arrivals.opens().After(now)) {
		return false
	}
	for _, g := range b.gates {
		if g != nil && !g.free() {
			return false
		}
	}
	b.retry(now)
	if b.byLease() {
		return b.passByLease(now)
	}
	return !b.quiet(now) && b.tokens.AllowN(now, 1)
}

// obstacle returns what keeps the head from leaving: a delay after which it is to
// look again, or a gate, in whose queue it then is. Neither: it may leave.
func (b *bucket) obstacle(w *waiter, now time.Time) (delay time.Duration, _ *gate) {
	if d := b.until.Sub(now); d > 0 {
		w.leaveGate()
		return d, nil
	}
	if b.cooled {
		b.cooled, b.refuse = false, false
		b.conclude(now)
		// What collected in the bucket during the cool-down would leave it as a
		// herd, and be throttled together.
		b.tokens.SetLimitAt(now, b.pace())
		if n := int(b.tokens.TokensAt(now)) - 1; n > 0 {
			b.tokens.AllowN(now, n)
		} else if n < 0 && now.Sub(b.departed).Seconds() >= 1/b.rate {
			// Twilio said when to try again. A rate that was lowered meanwhile must not
			// put that off: it holds from this request on.
			b.tokens = rate.NewLimiter(b.pace(), b.burst)
			b.tokens.AllowN(now, b.burst-1)
		}
	}
	d := b.turn(now)
	if d <= 0 && !b.learned.probing() {
		d = b.arrivals.hold(now)
	}
	if d > 0 {
		w.leaveGate()
		return d, nil
	}
	for _, g := range b.gates {
		if g != nil && !g.admits(w) && !(g.learned.probe(now) && g.admits(w)) {
			if w.gate != g {
				w.leaveGate()
				w.gate, w.atGate, w.held = g, g.queue.push(w), true
			}
			return 0, g
		}
	}
	return 0, nil
}

// turn returns how long the head's token is not due yet.
func (b *bucket) turn(now time.Time) time.Duration {
	b.retry(now)
	if b.byLease() {
		return b.turnByLease(now)
	}
	if b.quiet(now) {
		return b.lease.quiet.Sub(now)
	}
	if b.reserved == nil {
		b.tokens.SetLimitAt(now, b.pace())
		b.reserved = b.tokens.ReserveN(now, 1)
		b.due = now.Add(b.reserved.DelayFrom(now))
	}
	return b.due.Sub(now)
}

// spend uses the head's token up.
func (b *bucket) spend(now time.Time) {
	if b.byLease() {
		b.lease.take(now)
	}
	b.reserved = nil
}

// hopeless returns an error for a waiter that cannot leave in time, judged by how many
// are ahead of it and the present rate.
func (b *bucket) hopeless(w *waiter, ahead int, now time.Time) error {
	hold := b.until.Sub(now)
	if hold > 0 && b.refuse {
		rl := notSent(b.Resource)
		rl.RetryAfter = b.retryAt.Sub(now)
		return &WaitError{RateLimit: rl, Err: ErrWaitTooLong}
	}
	if w.deadline.IsZero() {
		return nil
	}
	need := max(hold, 0)
	if perSecond := float64(b.pace()); ahead >= 0 && perSecond < Unlimited {
		if b.reserved != nil {
			need = max(need, b.due.Sub(now))
		}
		need += time.Duration(min(float64(ahead)/perSecond, 1e9) * float64(time.Second)) // 1e9: no overflow
	}
	if now.Add(need).After(w.deadline) {
		return tooLate(b.Resource, need)
	}
	return nil
}

// leave takes w, which has passed or given up, out of turnstile and gate.
func (b *bucket) leave(w *waiter) {
	w.leaveGate()
	b.queue.remove(w, w.place)
	if b.queue.len() == 0 {
		b.unreserve(time.Now())
	}
	b.queue.wakeHead()
}

// unreserve gives the head's token back: nobody waits, or it is due at another time.
func (b *bucket) unreserve(now time.Time) {
	if b.reserved != nil {
		b.reserved.CancelAt(now)
		b.reserved = nil
	}
}

func (w *waiter) leaveGate() {
	if w.gate == nil {
		return
	}
	g := w.gate
	g.queue.remove(w, w.atGate)
	w.gate, w.atGate = nil, nil
	if g.room() > 0 {
		g.queue.wakeHead()
	}
}

// free reports room for a request that comes past: those who queue go first.
func (g *gate) free() bool { return g.room() > g.queue.len() }

func (g *gate) admits(w *waiter) bool {
	if g.room() <= 0 {
		return false
	}
	first := g.queue.head()
	return first == nil || first == w || (w.class < first.class && g.queue.passed[first.class] < starvesAfter)
}

// A departure is what is remembered of a request while it is on the wire.
type departure struct {
	due, left time.Time // when it was to leave, and did
	number    uint64    // in arrivals
	inFlight  int       // requests of the account, itself included
}

// enter counts a request that leaves at now.
func (b *bucket) enter(due, now time.Time) departure {
	for _, g := range b.gates {
		if g != nil {
			g.inFlight++
		}
	}
	b.departed = now
	return departure{due: due, left: now, number: b.arrivals.leave(now), inFlight: b.gates[0].inFlight}
}

// holdAtMost bounds a cool-down that no call waits for, so that one bad header cannot
// close a bucket for a day: when it ends one request is let through to ask again.
const holdAtMost = 5 * time.Minute

// coolDown makes the whole bucket keep still: of several throttled answers the one
// that asks for most counts.
func (b *bucket) coolDown(o Outcome, now time.Time) {
	hold := o.RetryAfter
	if o.TooLong {
		hold = min(hold, holdAtMost)
		b.refuse, b.retryAt = true, now.Add(o.RetryAfter)
	}
	if until := now.Add(hold); until.After(b.until) {
		b.until = until
	}
	b.cooled = true
	b.unreserve(now)
	b.giveBack()
	b.queue.wakeHead()
	for w := range b.queue.all {
		if b.refuse || (!w.deadline.IsZero() && w.deadline.Before(b.until)) {
			w.notify()
		}
	}
}

// pace is the rate at which the head's token is reserved.
func (b *bucket) pace() rate.Limit {
	perSecond := b.allowed()
	if b.lease != nil {
		perSecond = b.lease.share(b, perSecond)
	}
	if perSecond >= Unlimited {
		return rate.Inf
	}
	return rate.Limit(perSecond / (1 + b.slack()))
}

// allowed is the rate by what is configured and learned.
func (b *bucket) allowed() float64 {
	perSecond := min(b.rate, b.learned.pace())
	if told := b.learned.told; told > 0 {
		perSecond = min(perSecond, float64(told))
	}
	return perSecond
}

// maxSlack is how far below its rate a bucket may stay.
const maxSlack = 0.02

// slack is the share by which the bucket's intervals are stretched. Twilio's window
// slides: of two requests that leave exactly one second apart the second is too early
// whenever it travels faster than the first. A bucket that ran at exactly its rate
// would be throttled about every other time; the cure is to leave room for as much as
// arrivals vary. It is 0 where they do not, as in virtual time.
func (b *bucket) slack() float64 {
	const window = float64(time.Second)
	if b.jitter.mean == 0 {
		return 0
	}
	return min(maxSlack, slackPerJitter*float64(b.jitter.mean)/window) + b.caution
}

// A bucket that is throttled although it keeps its rate needs more room, and gets it
// step by step, within bounds: a throttled answer costs it a second or more.
const (
	cautionStep = 0.01
	maxCaution  = 0.05
)

// slackPerJitter: the tail of a network's delays is far longer than their mean
// deviation.
const slackPerJitter = 50

// jitter estimates by how much the times of arrival vary, as RTP does (RFC 3550,
// section 6.4.1): the mean deviation between one request's transit and the next one's.
type jitter struct {
	last, mean time.Duration
	known      bool
}

func (j *jitter) add(transit time.Duration) {
	if j.known {
		j.mean += ((transit - j.last).Abs() - j.mean) / 16
	}
	j.last, j.known = transit, true
}

// arrivals absorbs what slack cannot: the single request that is much slower than the
// others, because it opens a connection or the machine stalls. A window of the server
// that has room for n requests has room for one more when the n-th before it has
// slid out, and that one may have arrived as late as it was answered, less the time
// that the fastest takes. Until then the bucket holds.
//
// A request can also be slow because the server takes its time after it has counted
// it. What is held is therefore paid from a credit, which bounds the loss of rate to
// 5 % in the long run.
type arrivals struct {
	window  time.Duration // in which the server has room for len(last) requests
	last    []passage     // a ring
	number  uint64        // of the next request
	fastest time.Duration // transit, of late
	known   int           // transits that fastest is from
	credit  time.Duration
	paid    time.Time // until when credit has been paid in
}

type passage struct {
	number     uint64
	left, done time.Time // done is zero until it has been answered
	held       time.Time // until when its successor a window later is held; zero: not decided
}

const (
	creditShare   = 0.05
	maxCredit     = time.Second
	minTransits   = 4    // before that many the fastest is not known
	maxArrivals   = 1000 // of which a bucket keeps the times
	fastestDecays = 1024 // a route that gets longer is noticed within some 1,000 requests
)

// fit makes a for a rate and burst; the window is one second, or the time for one
// request where that is more.
func (a *arrivals) fit(rate float64, burst int) {
	if rate > maxArrivals { // requests less than a millisecond apart: nothing can be timed
		a.last = nil
		return
	}
	n := int(max(rate, 1))
	window := time.Duration(float64(n) / rate * float64(time.Second))
	if n = min(n+burst-1, maxArrivals); n != len(a.last) || window != a.window {
		a.window, a.last = window, make([]passage, n)
	}
}

// keepDistance is for a bucket that is throttled although it keeps its rate: the
// server may count in windows shorter than thought, down to that of one request.
func (a *arrivals) keepDistance() {
	if n := len(a.last); n > 1 {
		a.window, a.last = a.window/time.Duration(n), make([]passage, 1)
	}
}

// slot is where the passage of a request stands, or of its predecessor a window ago.
func (a *arrivals) slot(number uint64) *passage { return &a.last[number%uint64(len(a.last))] }

func (a *arrivals) leave(now time.Time) uint64 {
	number := a.number
	if len(a.last) > 0 {
		*a.slot(number) = passage{number: number, left: now}
		a.number++
	}
	return number
}

func (a *arrivals) arrived(number uint64, now time.Time) {
	if len(a.last) == 0 {
		return
	}
	p := a.slot(number)
	if p.number != number || p.left.IsZero() {
		return // its successor has left
	}
	p.done = now
	transit := now.Sub(p.left)
	if a.known++; a.known == 1 || transit < a.fastest {
		a.fastest = transit
	} else {
		a.fastest += (transit - a.fastest) / fastestDecays
	}
}

// opens returns when the next request finds room; the zero time if that is not known.
func (a *arrivals) opens() time.Time {
	if len(a.last) == 0 {
		return time.Time{}
	}
	p := a.slot(a.number)
	if p.done.IsZero() {
		return time.Time{}
	}
	late := p.done.Sub(p.left)
	if a.known >= minTransits {
		late = max(0, late-a.fastest)
	}
	return p.left.Add(a.window + late)
}

// hold returns how much longer the next request, whose token is due, is to be held.
func (a *arrivals) hold(now time.Time) time.Duration {
	opens := a.opens()
	if !opens.After(now) {
		return 0
	}
	p := a.slot(a.number)
	if p.held.IsZero() {
		if a.paid.IsZero() {
			a.paid, a.credit = now, maxCredit
		}
		a.credit = min(maxCredit, a.credit+time.Duration(creditShare*float64(now.Sub(a.paid))))
		a.paid = now
		hold := min(opens.Sub(now), a.credit)
		a.credit -= hold
		p.held = now.Add(hold)
	}
	return p.held.Sub(now)
}
