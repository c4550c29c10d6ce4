package learn

import (
	"math/bits"
	"time"
)

// An InFlight is the controller of how many requests of one account are in flight. 20429
// proper is about that: "too many concurrent requests" for the account
// (https://www.twilio.com/docs/errors/20429). The number is not published.
//
// A throttled answer that does not say what it is about may mean a rate, this, or nothing. They
// differ in what is accepted meanwhile. Noise throttles a request whatever is in progress, and a
// rate does so too, as long as requests leave one by one. Only a limit of requests in progress
// throttles most of those above it and few of those below. So the InFlight counts, for each
// number in progress, how many requests were accepted and throttled. Each 10 s it halves these counts.
//
// A burst proves nothing. One that meets a limit of 20 requests per second looks just like one that
// meets a limit of 20 in progress. It only makes that number suspect. What proves it is that requests
// which leave at a pace are throttled above it as well. That must be new evidence. Of several buckets,
// what was throttled when one found a limit of its rate, or asked for more, is explained by that.
//
//	from       to         when
//	unlimited  suspected  requests of a burst are throttled
//	suspected  limited    so are requests that leave at a pace, above a number and not below it
//	limited    limited    asking for a tenth more, or a trial of less, has shown another limit
//	limited    unlimited  the account was not used for an hour
//
// The limit is one below the number in progress. That is Twilio's where the answer has
// Twilio-Concurrent-Requests, and so counts other processes. Else it is this limiter's. What others
// had in progress when it was found is taken off where answers are compared with it. Where nothing is
// known of the numbers just below, it is the highest one that was accepted. While requests wait for
// the limit, probes raise it. Unlike a limit derived from response times (Netflix's
// concurrency-limits) it does not drift when Twilio is slow. The zero InFlight has no limit.
type InFlight struct {
	limit     int       // 0: none
	good      int       // the last limit that was not a probe
	others    int       // requests of others in progress, when the limit was found
	changed   time.Time // when the limit last was
	found     time.Time // when there first was one
	probes    probes
	back      int // limit to go back to if a trial finds noise; 0: there is no trial
	trial     trial
	noise     noise
	suspicion suspicion

	counts *[cells]count // by number in progress; nil: nothing was throttled
	halved time.Time     // when all of counts were last
	high   high
	seen   seen
}

// A suspicion is a number in progress that may be the limit.
type suspicion struct {
	suspect int       // the fewest in progress when requests of a burst were throttled; 0: none were
	since   time.Time // when that was
}

// high is how many were in progress with requests that were accepted.
type high struct {
	highest [2]int    // the most in this half minute, and in the last
	half    time.Time // when this half minute began
}

// seen is what happened in the buckets of the account.
type seen struct {
	buckets        uint8     // that were throttled, ever: the next one's number
	who            [2]uint64 // the numbers, modulo 64, of those that were in these ten seconds and in the last
	sound, unsound int       // requests accepted in sound buckets (see soundAfter), and in others; halved each 10 s
	answered       time.Time // when a request was last accepted
	resumed        time.Time // when one was last accepted after an outage of several buckets; zero: never
}

// A count is of requests with about the same number in progress.
// Those that failed after Twilio had let them pass are among the accepted.
type count struct{ accepted, throttled uint8 }

func (n *count) halve() { n.accepted, n.throttled = n.accepted/2, n.throttled/2 }

// add counts one request more in which, a part of n. A count that is full is halved instead.
func (n *count) add(which *uint8) {
	if *which < full {
		*which++
	} else {
		n.halve()
	}
}

const (
	suspectFor = 10 * time.Minute

	exactly   = 64 // numbers in progress below that have a cell each
	perOctave = 8
	cells     = exactly + 8*perOctave
	full      = 32               // answers that a cell remembers, about
	halving   = 10 * time.Second // of all cells
	enough    = 4                // throttled answers that prove a limit
)

// cell returns where n is counted.
func cell(n int) int {
	if n < exactly {
		return max(n, 0)
	}
	octave := bits.Len(uint(n)) - 1
	return min(exactly+(octave-6)*perOctave+n>>(octave-3)&(perOctave-1), cells-1)
}

// lowest returns the lowest number that is counted in a cell.
func lowest(cell int) int {
	if cell < exactly {
		return cell
	}
	octave, part := (cell-exactly)/perOctave+6, (cell-exactly)%perOctave
	return 1<<octave + part<<(octave-3)
}

// Limit returns how many may be in flight; 0: there is no limit.
func (c *InFlight) Limit() int { return c.limit }

// asking reports that n in progress are more than is known to be accepted, by intent.
func (c *InFlight) asking(n int) bool { return c.limit > c.good && n > c.good+c.others }

// exceeds reports that a request left with more in progress than is known to be accepted: by intent,
// or before that was known. It is false for nil.
func (c *InFlight) exceeds(n int, left time.Time) bool {
	return c != nil && c.limit > 0 && n > c.good+c.others && (c.limit > c.good || left.Before(c.changed))
}

// accepted notes that a request was accepted with n in progress, itself included. sound: nothing
// was throttled in its bucket for soundAfter.
func (c *InFlight) accepted(n int, sound bool, left, now time.Time) {
	c.age(now)
	c.high.highest[0] = max(c.high.highest[0], n)
	if now.Sub(c.seen.answered) > heard && c.several() {
		c.seen.resumed = now
	}
	c.seen.answered = now
	if sound {
		c.seen.sound++
	} else {
		c.seen.unsound++
	}
	if c.counts == nil {
		return
	}
	at := &c.counts[cell(n)]
	at.add(&at.accepted)
	if c.back > 0 && !left.Before(c.changed) {
		c.find(c.trial.add(false, left, now), now)
	}
}

// failed is Evidence.Failed. It does nothing for nil.
func (c *InFlight) failed(n int, left time.Time) {
	if c == nil || c.counts == nil {
		return
	}
	at := &c.counts[cell(n)]
	at.add(&at.accepted)
	if c.back > 0 && !left.Before(c.changed) {
		c.trial.pass()
	}
}

// throttled notes the same of a throttled request. burst: it left without a pace. It reports
// whether that has ended a probe.
func (c *InFlight) throttled(n int, burst bool, left, now time.Time) (refuted bool) {
	if c.counts == nil {
		c.counts = new([cells]count)
	}
	c.age(now)
	if c.back > 0 && !left.Before(c.changed) {
		c.find(c.trial.add(true, left, now), now)
	}
	if burst && c.limit == 0 {
		if c.suspicion.suspect == 0 || n < c.suspicion.suspect || now.Sub(c.suspicion.since) > suspectFor {
			c.suspicion.suspect = n
		}
		c.suspicion.since = now
		return false
	}
	at := &c.counts[cell(n)]
	at.add(&at.throttled)
	return c.asking(n) && c.refute(3, now)
}

// alone reports that most of what the account sends is accepted, in sound buckets: then the
// one that is throttled has a limit of its own.
func (c *InFlight) alone() bool { return c.seen.sound > c.seen.unsound }

// several reports that more than one bucket was throttled in the last 10 to 20 s. It is false for nil.
func (c *InFlight) several() bool {
	return c != nil && bits.OnesCount64(c.seen.who[0]|c.seen.who[1]) > 1
}

// saw notes that the bucket of a number was throttled. turned: that was sound until then.
func (c *InFlight) saw(bucket uint8, turned bool, now time.Time) {
	c.age(now)
	c.seen.who[0] |= 1 << (bucket % 64)
	if turned {
		c.seen.sound, c.seen.unsound = 0, 0
	}
}

func (c *InFlight) age(now time.Time) {
	if c.counts != nil && now.Sub(c.halved) >= halving {
		for i := range c.counts {
			c.counts[i].halve()
		}
		c.seen.sound, c.seen.unsound = c.seen.sound/2, c.seen.unsound/2
		c.seen.who = [2]uint64{0, c.seen.who[0]}
		c.halved = now
	}
	switch age := now.Sub(c.high.half); {
	case age >= time.Minute:
		c.high.highest, c.high.half = [2]int{}, now
	case age >= time.Minute/2:
		c.high.highest, c.high.half = [2]int{0, c.high.highest[0]}, now
	}
}

// Exceeds reports that n in progress are more than were accepted within the last minute.
func (c *InFlight) Exceeds(n int, now time.Time) bool {
	c.age(now)
	return n > 1 && n > max(c.high.highest[0], c.high.highest[1])
}

// sum adds up the cells of the numbers from and up to below to.
func (c *InFlight) sum(from, to int) (accepted, throttled int) {
	if c.counts == nil {
		return 0, 0
	}
	for i := cell(from); i < cells && lowest(i) < to; i++ {
		accepted += int(c.counts[i].accepted)
		throttled += int(c.counts[i].throttled)
	}
	return accepted, throttled
}

// unsure reports that n in progress may be too many, and that a few more throttled answers would
// show whether they are.
func (c *InFlight) unsure(n int) bool {
	if c.limit > 0 || n < 2 {
		return false
	}
	accepted, throttled := c.sum(n, n+n/4+1)
	return throttled < enough && 2*accepted <= throttled
}

// shown returns the lowest number in progress at which requests are throttled, while with fewer
// they are accepted; 0: there is none.
func (c *InFlight) shown() int {
	for i := 2; c.counts != nil && i < cells; i++ {
		if c.counts[i].throttled == 0 || c.counts[i].accepted > c.counts[i].throttled {
			continue
		}
		n := lowest(i)
		accepted, throttled := c.sum(n, n+n/4+1)
		if throttled < enough || throttled < 2*accepted {
			continue
		}
		accepted, throttled = c.sum(n/2, n)
		if accepted >= 2*enough && 4*throttled <= accepted {
			return n
		}
	}
	return 0
}

// conclude looks at an event of which own requests, of this limiter's, were in progress at most.
// It reports whether that has shown a limit of requests in progress, and whether that is the
// first one.
func (c *InFlight) conclude(own int, now time.Time) (shown, first bool) {
	if c.back > 0 || c.limit > c.good {
		return false, false
	}
	n := c.shown()
	switch {
	case n == 0:
		return false, false
	case c.limit == 0:
		if c.suspicion.suspect == 0 || now.Sub(c.suspicion.since) > suspectFor || n < c.suspicion.suspect/2 || n > 2*c.suspicion.suspect {
			c.suspicion.suspect, c.suspicion.since = n, now
			c.explained() // a burst may be the cause: another event must show it by itself
			return false, false
		}
	case n > c.limit+c.others:
		return false, false
	}
	limit := n - 1
	if n > own+1 { // others have some of those in progress, too; one more is an answer on its way
		limit = min(limit, max(own-1, n/2))
	}
	if first = c.limit == 0; first {
		c.found = now
	}
	c.others = n - 1 - limit
	c.narrow(max(1, min(limit, c.sound(n)-c.others)), limit+1, now)
	return true, first
}

// explained takes in that something else explains what was throttled up to now, unless a limit was found.
func (c *InFlight) explained() {
	if c.limit == 0 && c.counts != nil {
		*c.counts = [cells]count{}
	}
}

// set makes it the limit, and forgets what was counted above it.
func (c *InFlight) set(limit int, now time.Time) {
	c.limit, c.good, c.back, c.probes.probed, c.changed = limit, limit, 0, now, now
	for i := cell(c.others + limit + 1); c.counts != nil && i < cells; i++ {
		c.counts[i] = count{}
	}
}

// try begins a trial of fewer requests in flight, if the limit was reached: a share of the
// requests that left until then was throttled, with n in progress at least. It reports whether
// there is one.
func (c *InFlight) try(n int, share float64, left, now time.Time) bool {
	switch {
	case c.back > 0, c.limit > 0 && left.Before(c.changed):
		return true
	case c.limit < 2 || n < c.limit-1-c.limit/4:
		return false
	case c.limit > c.good:
		c.narrow(c.good, c.limit, now)
		return true
	}
	c.back, c.limit, c.changed = c.limit, less(c.limit, share), now
	c.trial = newTrial(share, float64(c.back), float64(c.limit), c.noise.share > 0, now)
	return true
}

// less returns a limit to try after a share of the requests was throttled.
func less(limit int, share float64) int {
	return max(1, min(limit-1, int(float64(limit)*(1-min(share, mostNoise)))))
}

// find does what follows from a trial's finding.
func (c *InFlight) find(f finding, now time.Time) {
	switch f {
	case perhaps:
		c.limit, c.changed = less(c.limit, c.trial.tally.share()), now
		c.trial = c.trial.next(float64(c.limit), now)
	case limited:
		c.narrow(c.limit, c.back, now)
	case noisy:
		c.noise.is(c.trial.share, now)
		c.set(c.back, now)
	}
}
