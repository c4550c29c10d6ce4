package pacer

import (
	"math"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer/internal/spacing"
)

// What pacer learns from throttled answers: at which rate a bucket is to send, and how
// many requests an account may have in flight. All of it is guarded by the limiter's
// lock and measured in the program's own clock.

// A congestion is one event of being throttled: all the throttled answers to requests
// that left before the cool-down which the first of them began. However many they are,
// they count once. What follows from them is decided when the cool-down ends, when
// every request that left before it has most likely been answered.
type congestion struct {
	open     bool
	lastLeft time.Time // when the last throttled request had left
	pace     float64   // at which the bucket sent then; Unlimited
	probing  bool      // the pace was above what was known to be accepted
	soon     bool      // little had been sent since the last one
	fewest   int       // requests of the account in progress with any of those throttled
	own      int       // the most of this limiter's
	onlyRate bool      // an answer said that it is about a rate
	began    time.Time // when the first of them came
	ended    time.Time // when the cool-down did
	passed   float64   // requests/s that were accepted since the last event, the cool-down included
}

// A pacing is the controller of one bucket's rate. It finds the rate at which requests
// are accepted, holds it, and asks from time to time if there is more.
//
// It has the shape of CUBIC (RFC 9438), which also the AWS SDK's adaptive mode follows:
// after a congestion the rate stays near the last one that worked, then probes slowly,
// then ever faster, and each congestion event counts once. Two things differ, because a
// throttled answer costs much more here than a lost packet does: it closes the bucket
// for a second or more.
//
//   - Where CUBIC cuts blindly, by 30 %, pacing takes what it can measure: how many
//     requests were accepted within the second that ended with the throttled one. For a
//     limiter whose window slides that is its limit, exactly. (BBR, in the same way,
//     goes by the rate of delivery: Cardwell et al., ACM Queue 14(5), 2016.) Only if
//     that, too, is throttled soon, is it cut: by 5 %, by 15 %, and then to what passed
//     in all since the last event, its cool-down included. If even that is throttled
//     soon the rate is not the cause (another program may use up the account's
//     concurrency): it is set back to what it was before the cuts, and throttled answers
//     change nothing for a minute. Cutting on would stop the bucket for nothing.
//   - It then holds for 22 s of sending, and for 50 requests at least, so that in the
//     steady state a throttled answer costs one second in twenty-five, and is one answer in
//     fifty or less. Then it asks: 3.5 % more for each of two seconds, and, if that is
//     accepted, 25 % more for each second, so that a limit that has doubled is found
//     within half a minute.
//
// A first estimate comes from a time without any pace, mostly a burst, and says little:
// from it the rate doubles each second until the next throttle ("slow start", RFC 5681).
// Only time in which calls waited for the pace counts: an idle bucket learns nothing.
type pacing struct {
	limit     float64       // requests/s found; 0: none
	busy      time.Duration // for which calls have waited for the pace since
	last      time.Time     // when one that had waited left
	strikes   int           // events in a row that came soon after the one before
	base      float64       // limit before the first of them
	blameless time.Time     // until when throttled answers do not change limit
	rough     bool          // limit is a first estimate, or of an event that may have been about concurrency
	told      int           // requests/s by X-Rate-Limit-Limit; 0: not said
	cut       time.Time     // when X-Rate-Limit-Remaining last lowered limit
}

const (
	holdTime      = 22 * time.Second
	holdRequests  = 50
	holdAtMostFor = 150 * time.Second
	blamelessFor  = time.Minute
	probeTime     = 2 * time.Second
	probeGain     = 0.035 // per second
	climbGain     = 0.25  // per second
	maxDoublings  = 30
)

// pace returns the requests/s that p allows, Unlimited if it knows nothing.
func (p *pacing) pace() float64 {
	if p.limit == 0 {
		return Unlimited
	}
	if p.rough {
		return p.limit * math.Exp2(min(p.busy.Seconds(), maxDoublings))
	}
	probe := (p.busy - p.hold()).Seconds()
	switch {
	case probe <= 0:
		return p.limit
	case probe <= probeTime.Seconds():
		return p.limit * (1 + probeGain*probe)
	}
	reached := 1 + probeGain*probeTime.Seconds()
	return p.limit * reached * math.Pow(1+climbGain, min(probe-probeTime.Seconds(), 3*maxDoublings))
}

// hold is how long the rate stays.
func (p *pacing) hold() time.Duration {
	return min(holdAtMostFor, max(holdTime, time.Duration(holdRequests/max(p.limit, 1e-6)*float64(time.Second))))
}

// probing reports that the pace is above what is known to be accepted.
func (p *pacing) probing() bool { return p.limit > 0 && p.pace() > p.limit }

// paced counts the time since the last call that had waited for the pace left.
func (p *pacing) paced(now time.Time, interval time.Duration) {
	if p.limit == 0 {
		return
	}
	p.busy += min(now.Sub(p.last), 2*interval)
	p.last = now
}

// congested takes in an event. accepted is how many requests were accepted within the
// second before it, about; mixed: it may have been about concurrency instead.
func (p *pacing) congested(ev congestion, accepted float64, listed, mixed bool, now time.Time) {
	old := p.limit
	first := old == 0 && !listed
	switch {
	case ev.pace < Unlimited:
		p.limit = min(max(accepted, ev.pace/2), ev.pace) // an event when little was sent says little
	default:
		p.limit = max(accepted, 1)
	}
	if ev.probing && !p.rough {
		p.limit = max(p.limit, old) // it was accepted for all of the hold
	}
	p.rough = first || mixed
	if ev.soon && !ev.probing {
		p.struck(old, ev)
	} else {
		p.strikes = 0
	}
	p.busy, p.last = 0, now
}

// struck lowers a limit that was throttled soon after it had been found, up to three
// times in a row.
func (p *pacing) struck(old float64, ev congestion) {
	p.strikes++
	switch p.strikes {
	case 1:
		p.base = old
		p.limit = min(p.limit, 0.95*old)
	case 2:
		p.limit = min(p.limit, 0.85*old)
	case 3:
		p.limit = max(min(p.limit, ev.passed), p.base/100)
	default:
		p.limit, p.strikes, p.rough = p.base, 0, false
		p.blameless = ev.ended.Add(blamelessFor)
	}
}

// forget drops what was learned, but not what Twilio says itself.
func (p *pacing) forget() { *p = pacing{told: p.told} }

// A concurrency is the controller of how many requests of one account are in flight.
// 20429 proper is about that: "too many concurrent requests" for the account
// (https://www.twilio.com/docs/errors/20429); the number is not published.
//
// There is no limit until a request is throttled with more in progress than were ever
// accepted in the last minute. From then on it is one below that number, which is
// Twilio's where the answer has Twilio-Concurrent-Requests, and so counts other
// processes, else this limiter's. It probes, while requests wait for it, by a tenth and
// at least one: 30 s after the event, after twice as long each time that the probe was
// throttled (5 min at most), and after half as long each time that it was not. Unlike a
// limit derived from response times (Netflix's concurrency-limits) it does not drift
// when Twilio is slow: it is Twilio's, and fewer requests per second go through it then.
type concurrency struct {
	limit     int           // 0: none known
	proven    bool          // a rate was found not to have been the cause
	good      int           // the last limit that was not a probe
	interval  time.Duration // between probes
	probed    time.Time     // the last one, or the event
	concluded time.Time     // when the last event was
	highest   [2]int        // in progress with requests that were accepted, in this half minute and the last
	half      time.Time     // when this half minute began
}

const (
	probeAfter   = 30 * time.Second
	probeAtLeast = time.Second
	againWithin  = 10 * time.Second
	probeAtMost  = 5 * time.Minute
)

// accepted notes that a request was accepted with n in progress, itself included.
func (c *concurrency) accepted(n int, now time.Time) {
	c.age(now)
	c.highest[0] = max(c.highest[0], n)
}

func (c *concurrency) age(now time.Time) {
	switch age := now.Sub(c.half); {
	case age >= time.Minute:
		c.highest, c.half = [2]int{}, now
	case age >= time.Minute/2:
		c.highest, c.half = [2]int{0, c.highest[0]}, now
	}
}

// suspect reports that n in progress are more than were accepted of late.
func (c *concurrency) suspect(n int, now time.Time) bool {
	c.age(now)
	return n > 1 && n > max(c.highest[0], c.highest[1])
}

// congested takes in that a request that left at the given time was throttled with n in
// progress, of which own are this limiter's: if others have more than those, the limit
// is one below its own, but half of all at least. Requests of many buckets may be
// throttled in one event, which counts once.
func (c *concurrency) congested(n, own int, left, now time.Time) {
	if left.Before(c.concluded) {
		return
	}
	again := now.Sub(c.concluded) < againWithin
	c.concluded = now
	limit := max(1, n-1)
	if n > own+1 { // one more is an answer on its way
		limit = max(1, min(limit, max(own-1, n/2)))
	}
	switch {
	case c.limit == 0:
		c.interval = probeAfter
	case c.limit > c.good: // a probe has failed
		limit, c.interval = min(c.good, limit), min(2*c.interval, probeAtMost)
	case again:
		limit, c.interval = max(1, min(limit, c.limit-1)), probeAfter
	default: // perhaps one that was sent while Twilio still counted the one before
		limit = min(limit, c.limit)
	}
	c.limit, c.good, c.probed = limit, limit, now
}

// probe raises the limit if it is time to: a request waits for it now.
func (c *concurrency) probe(now time.Time) (raised bool) {
	if c.limit == 0 || now.Sub(c.probed) < c.interval {
		return false
	}
	if c.limit > c.good { // the last probe has held for a whole interval
		c.interval = max(c.interval/2, probeAtLeast)
	}
	c.good = c.limit
	c.limit += max(1, c.limit/10)
	c.probed = now
	return true
}

// innocent forgets a limit that nothing has confirmed: a request was throttled although
// far fewer were in progress.
func (c *concurrency) innocent() { c.limit, c.good = 0, 0 }

// An acceptance log knows how many requests left, and were accepted, within a second.
type acceptances struct {
	ring []time.Time
	next int // the oldest once the ring is full
}

// maxAcceptances bounds the log; above so many a second the count is of the last ones.
const maxAcceptances = 1024

func (a *acceptances) add(left time.Time) {
	switch n := len(a.ring); {
	case n > 0 && a.ring[a.next].Before(left.Add(-2*time.Second)), n == maxAcceptances:
		a.ring[a.next] = left
		a.next = (a.next + 1) % n
	default:
		if a.next > 0 {
			a.ring, a.next = slices.Concat(a.ring[a.next:], a.ring[:a.next]), 0
		}
		a.ring = append(a.ring, left)
	}
}

// until counts those that left within the second that ended at end, and says when the
// first of them did.
func (a *acceptances) until(end time.Time) (n int, first time.Time) {
	start := end.Add(-time.Second)
	for _, t := range a.ring {
		if t.After(start) && !t.After(end) {
			if n++; n == 1 || t.Before(first) {
				first = t
			}
		}
	}
	return n, first
}

// evidence is what throttled answers have taught about a bucket.
type evidence struct {
	acceptances acceptances
	run         int // requests accepted since the last event
	learned     pacing
	event       *congestion // nil: there is none, so that a bucket which is not throttled has no room for it
	concluded   time.Time   // when the last event was
	mixed       bool        // learned is of an event that may have been about concurrency
	concurrent  bool        // that is what it was about
}

// conclude ends an event with the cool-down that it began.
//
// A throttle that does not say what it is about may mean either controller. It is about
// the rate if as many requests in progress were accepted within the last minute. Else
// both take it in, and what follows tells them apart: if more requests per second are
// then accepted than the rate that was learned, it was about concurrency, and the rate
// is forgotten; if a request is throttled with half as many in progress, it was about
// the rate, and the in-flight limit is forgotten.
func (b *bucket) conclude(now time.Time) {
	var ev congestion
	if b.event != nil {
		ev, b.event = *b.event, nil
	}
	b.concluded = now
	if !ev.open {
		return
	}
	account := &b.account.learned
	defer b.account.adopt()
	mixed := false
	if !ev.onlyRate && account.suspect(ev.fewest, now) {
		account.congested(ev.fewest, ev.own, ev.lastLeft, now)
		if b.concurrent {
			return
		}
		mixed = true
	} else {
		b.concurrent = false
		if !account.proven && ev.fewest <= account.limit/2 {
			account.innocent()
		}
	}
	run := b.run
	b.run = 0
	switch {
	case b.limiter.shared != nil: // the store learns
		return
	case b.allowed.never(): // "not to be paced" is the program's word
		return
	case ev.began.Before(b.learned.blameless):
		b.learned.busy, b.learned.last = 0, now
		return
	}
	ev.ended = now
	ev.passed = float64(run) / (b.learned.busy + b.cooldown.until.Sub(ev.began)).Seconds()
	atPace := !ev.probing && ev.pace < Unlimited
	n, since := b.acceptances.until(ev.lastLeft)
	accepted := float64(n)
	if span := ev.lastLeft.Sub(since).Seconds(); b.allowed.listed && b.learned.limit == 0 && n > 0 && span > 0 {
		// A bucket that keeps its configured rate may be throttled just after it began,
		// by a server that is a little stricter: that is no reason to halve the rate.
		accepted = max(accepted, accepted/span)
	}
	b.learned.congested(ev, accepted, b.allowed.listed, mixed, now)
	b.mixed = mixed
	b.spacing.Fit(min(b.learned.limit, b.allowed.rate), b.allowed.burst)
	if atPace {
		b.spacing.Crowded()
	}
}

// throttled takes in one throttled answer, to a request with n of the account in progress.
func (b *bucket) throttled(d departure, n int, o Outcome, now time.Time) {
	if d.left.Before(b.concluded) {
		return // of an event that is over
	}
	if b.event == nil {
		b.event = &congestion{}
	}
	ev := b.event
	if !ev.open {
		known := b.learned.limit > 0 && !b.learned.rough
		*ev = congestion{
			open: true, pace: min(b.ceiling(), Unlimited), probing: b.learned.probing(),
			soon: known && b.learned.busy < b.learned.hold()/2, fewest: n, own: d.inFlight, began: now,
		}
	}
	if d.left.After(ev.lastLeft) {
		ev.lastLeft = d.left
	}
	ev.fewest, ev.own = min(ev.fewest, n), max(ev.own, d.inFlight)
	ev.onlyRate = ev.onlyRate || o.Rate
}

// passed takes in that a request was accepted with n of the account in progress.
func (b *bucket) passed(d departure, n int, now time.Time) {
	b.acceptances.add(d.left)
	b.run++
	account := &b.account.learned
	account.accepted(n, now)
	if !b.mixed || !b.learned.rough {
		return
	}
	if recent, _ := b.acceptances.until(now); float64(recent) > 1.25*b.learned.limit+1 {
		b.concurrent, b.mixed, account.proven = true, false, account.limit > 0
		b.unlearn()
	}
}

// paced takes in that a request's turn has come. held: a gate was what it waited for last,
// and not the pace.
func (b *bucket) paced(held bool, now time.Time) {
	if held || b.learned.limit == 0 {
		b.learned.last = now
		return
	}
	b.learned.paced(now, time.Duration(float64(time.Second)/b.ceiling()))
	if b.allowed.listed && !b.learned.rough && b.learned.pace() > b.allowed.rate*(1+spacing.MaxSlack) {
		b.unlearn() // it has grown back
	}
}

// unlearn goes back to the rate that is configured.
func (b *bucket) unlearn() {
	b.learned.forget()
	b.spacing.Fit(b.allowed.rate, b.allowed.burst)
}

// told takes in what X-Rate-Limit-Limit and -Remaining say. If nothing remains although
// this limiter has used clearly less, others use it too: that is a congestion before
// anything was throttled. Of a shared bucket others are to use it.
func (b *bucket) told(o Outcome, now time.Time) {
	if b.allowed.never() {
		return
	}
	if b.learned.told != o.Allowed {
		b.learned.told = o.Allowed
		b.tokens.Unreserve(now)
		b.tokens.Reshape(now, b.pace(), b.allowed.burst)
		b.line.WakeHead()
	}
	allowed := float64(o.Allowed)
	if b.limiter.shared != nil || o.Remaining != 0 || o.Throttled || now.Sub(b.learned.cut) < time.Second {
		return
	}
	if used, _ := b.acceptances.until(now); float64(used) < 0.9*allowed {
		b.learned.congested(congestion{pace: b.ceiling()}, float64(used), true, false, now)
		b.learned.cut = now
	}
}
