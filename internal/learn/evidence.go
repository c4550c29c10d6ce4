package learn

import (
	"math"
	"time"

	"github.com/twilio-pacer/pacer/internal/steps"
)

// Evidence is what the answers to one bucket's requests have taught. It decides who pauses
// when a request was throttled, and has the controller of the bucket's pace. The zero
// Evidence knows nothing; Configure makes it ready.
type Evidence struct {
	ceiling  float64 // as configured; Unlimited
	frozen   bool    // no pace is learned
	literal  bool    // each throttled answer closes the bucket
	log      Log
	*lessons // nil: nothing was throttled, and a bucket that is not has no room for them
}

// lessons are what throttled answers have taught.
type lessons struct {
	Rate
	accepted time.Time // when the last request that was accepted left
	answered time.Time // when a request was last accepted
	cooling  cooling
	event    event
	trouble  trouble
	others   float64 // requests/s of other processes that are accepted, about
	number   uint8   // of the bucket, among those of its account that were throttled; 0: none
	doubted  bool    // the pace may have been taught by a trouble of the account
}

// A Verdict is what the bucket must do about a throttled answer.
type Verdict struct {
	Close    bool          // pause; false: only the throttled call waits
	CoolDown time.Duration // with Close: for so long, from now on
}

// Configure sets the configured pace, in requests per second; [Unlimited]. If paces is false no
// pace is learned, and one that was is forgotten. If decides is false each throttled answer
// closes the bucket.
func (e *Evidence) Configure(ceiling float64, paces, decides bool) {
	e.ceiling, e.frozen, e.literal = ceiling, !paces, !decides
	if e.lessons != nil {
		e.Rate.setup.ceiling, e.Rate.setup.frozen = e.ceiling, e.frozen
	}
	if !paces {
		e.Forget()
	}
}

// Pace returns the requests per second that may leave; Unlimited.
func (e *Evidence) Pace() float64 {
	if e.lessons == nil {
		return e.ceiling
	}
	return e.Rate.Pace()
}

// Learned returns the limit as far as throttling has shown it, in requests/s; 0: it has not.
func (e *Evidence) Learned() float64 {
	if e.lessons == nil {
		return 0
	}
	return e.Rate.Learned()
}

// Known reports that something was learned about the pace.
func (e *Evidence) Known() bool { return e.lessons != nil && e.phase != free }

// Asking reports that the pace is above what is known to be accepted.
func (e *Evidence) Asking() bool { return e.lessons != nil && e.Rate.Asking() }

// News returns what has changed since it was last called.
func (e *Evidence) News() (n News) {
	if e.lessons != nil {
		n, e.news = e.news, News{}
	}
	return n
}

// Departed takes in that a request that had to wait leaves at now. due is until when it has waited
// for the pace: what else it waited for is no reason to ask for more.
func (e *Evidence) Departed(due, now time.Time) {
	if e.lessons == nil {
		return
	}
	if now.Sub(e.answered) > heard+time.Duration(3*e.sharers()/e.Pace()*float64(time.Second)) {
		due = e.Rate.last // nothing is accepted, or all fails: that is no reason to ask for more
	}
	e.Rate.departed(due, now)
}

// NothingRemains takes in that Twilio says that nothing remains, although fewer requests of this
// bucket than it allows were accepted within the last second. So others use the rest.
func (e *Evidence) NothingRemains(now time.Time) {
	e.learn(now)
	e.nothingRemains(e.log.Until(now), now)
}

// Forget drops what was learned about the pace.
func (e *Evidence) Forget() {
	if e.lessons != nil {
		e.Rate.forget()
	}
}

// learn makes room for lessons, if there is none.
func (e *Evidence) learn(now time.Time) {
	if e.lessons != nil {
		return
	}
	e.lessons = &lessons{Rate: Rate{setup: setup{ceiling: e.ceiling, frozen: e.frozen}}}
	if accepted := e.log.Until(now); accepted > 0 {
		e.accepted, e.answered = e.log.last(), now
		e.cooling.accepted = int(accepted)
		e.tally = tally{from: now.Add(-time.Second), sent: int(accepted)}
	}
}

// PerSecond returns how many of the requests that left within the last second were accepted.
func (e *Evidence) PerSecond(now time.Time) float64 { return e.log.Until(now) }

// Accepted takes in that a request which left at the given time was accepted, with so many of
// its account's requests in progress. account is nil if that is not to be learned from.
func (e *Evidence) Accepted(left time.Time, inProgress int, account *InFlight, now time.Time) {
	if inProgress > 0 { // else another process sent it
		e.log.Add(left)
	}
	if account != nil {
		account.accepted(inProgress, e.lessons == nil || now.Sub(e.event.left) > soundAfter, left, now)
	}
	if e.lessons == nil {
		return
	}
	if left.After(e.accepted) {
		e.accepted = left
	}
	e.answered = now
	if account != nil && e.phase != free && e.strayed.Before(account.found) {
		e.become(free, 0, now) // it was the account's limit, which another bucket has found
	}
	c := &e.cooling
	if !c.closed && left.Before(c.opened) {
		e.bursts.empty &^= 1
		return
	}
	c.note(0, left, e.since, now)
	e.noise.doubt(c.acceptedInARow(), now)
	c.accepted++
	c.step, c.asked = 0, time.Time{}
	if e.phase == keeping && !account.several() && (e.trouble.empty >= troubled || e.outage()) {
		e.busy = max(e.busy, e.keepFor()) // it may ask at once: what was learned last may be the outage's
	}
	if e.trouble.empty >= troubled {
		e.resume(max(e.trouble.before, 1), now)
		e.bursts.empty = 0 // that was no noise
	}
	e.trouble.empty, e.trouble.scouting = 0, false
	if e.phase == bursting && e.recently() >= min(notSlow, math.Ceil(e.ceiling)) {
		e.become(free, 0, now)
	}
	e.Rate.accepted(left, now)
	e.settle(account, now)
	e.hurry(now)
}

// hurry has more asked for at once than a slow pace that is doubted, if the account's trouble may be over.
// Else the other buckets would have all permits of the account until then.
func (e *Evidence) hurry(now time.Time) {
	c := &e.cooling
	if !e.doubted || now.Sub(e.event.left) < quiet || c.answers < inARow || c.throttled(inARow) > 0 {
		return
	}
	switch {
	case e.Rate.limit >= tooSlow, e.phase == keeping && e.Asking():
	case e.phase == trying:
		e.become(keeping, e.Rate.limit, now)
		e.busy = e.keepFor()
	case e.phase == keeping:
		e.busy = e.keepFor()
	}
}

// Throttled takes in a throttled answer, and decides who pauses.
func (e *Evidence) Throttled(t Throttle, account *InFlight, now time.Time) Verdict {
	e.learn(now)
	c := &e.cooling
	if !c.closed && t.Left.Before(c.opened) {
		return Verdict{} // it belongs to the event that closed the bucket, which is over
	}
	exceeds := account.exceeds(t.InProgress, t.Left)
	e.tell(account, t, now)
	e.event.add(t, now)
	e.event.asked = e.event.asked || e.phase == keeping && e.Asking() && account.several()
	c.ask(t.RetryAfter, now)
	if c.closed {
		return Verdict{Close: t.RetryAfter > 0, CoolDown: t.RetryAfter}
	}
	c.note(1, t.Left, e.since, now)
	asking := exceeds || e.Asking()
	// A pace that is doubted is not refuted by a single answer.
	unsure := account != nil && !t.Rate && (account.unsure(t.InProgress) || account.asking(t.InProgress)) ||
		e.phase == seeking && c.throttled(window) < quarter || e.doubted && e.tally.throttled == 0
	e.doubt(account, t.InProgress)
	sought := e.phase == seeking
	e.Rate.throttled(t.Left, e.recently(), c.lately(), unsure, now)
	if sought && e.phase == keeping && account.several() {
		account.explained() // by a limit of the rate; of one bucket alone either would do
	}
	c.mostly = !e.since.After(c.paced) && c.most(e.noise.share, e.Pace() < tooSlow)
	single := !asking && !now.Before(c.spared) && !now.Before(e.noise.until)
	outage := e.outage()
	if outage {
		c.accepted, c.answers, c.recent = 0, 0, 0
	}
	hold, step := c.length(t, now)
	cheap := e.Pace()*hold.Seconds() <= cheapest || e.phase == bursting || e.phase == free && e.Pace() < tooSlow
	if !e.literal && !c.mostly && !outage && !(e.none(now) && !t.Overtook) && !single && !cheap {
		e.settle(account, now)
		return Verdict{}
	}
	e.news.Pause = 0 // the cool-down is one
	if single {
		c.spared = now.Add(hold + sparedFor*hold)
	}
	c.step, c.closed, c.since, e.bursts.rest = step, true, now, t.RetryAfter
	return Verdict{Close: true, CoolDown: hold}
}

// tell has the account's controller take in a throttled answer.
func (e *Evidence) tell(account *InFlight, t Throttle, now time.Time) {
	if account == nil {
		return
	}
	if e.number == 0 {
		account.seen.buckets++
		e.number = max(account.seen.buckets, 1)
		e.setup.later = 0.2 * math.Mod(float64(e.number-1)*math.Phi, 1)
	}
	account.saw(e.number, now.Sub(e.event.left) > soundAfter, now)
	burst := !e.Rate.setup.frozen && e.phase == free && e.ceiling == Unlimited && e.noise.share == 0 && !e.trouble.scouting
	if !t.Rate && e.phase != bursting && account.throttled(t.InProgress, burst, t.Left, now) {
		e.begin(now)
	}
	if e.phase == free && account.changed.After(e.tally.from) {
		e.tally = tally{from: account.changed}
	}
}

// doubt takes in a request that was throttled with n in progress. If several buckets of an account
// with a limit were, the pace is doubted.
func (e *Evidence) doubt(account *InFlight, n int) {
	switch {
	case account == nil || account.limit == 0:
		e.doubted = false
	case account.asking(n):
	case !e.Asking():
		e.doubted = e.doubted || account.several()
	case float64(e.tally.throttled+1) <= heavy*float64(e.tally.sent+1):
		e.doubted = false // most was accepted until more was asked for
	}
}

// none reports that nothing was accepted since the bucket opened, and that this is more than
// noise.
func (e *Evidence) none(now time.Time) bool {
	if e.cooling.accepted > 0 {
		return false
	}
	return !now.Before(e.noise.until) || math.Pow(e.noise.share, float64(e.cooling.answers)) < unlikely
}

// PausedByOthers takes in that another process has closed the bucket for so long, which has a rule of its own for
// single throttled answers.
func (e *Evidence) PausedByOthers(hold time.Duration, now time.Time) {
	e.learn(now)
	c := &e.cooling
	if end := now.Add(hold + sparedFor*hold); end.After(c.spared) {
		c.spared = end
	}
	if !c.closed {
		c.closed, c.byOthers, c.since = true, true, now
	}
}

// Adopt has this process go on with a limit that another one has learned; 0: none.
func (e *Evidence) Adopt(limit float64, now time.Time) {
	e.learn(now)
	if limit > 0 {
		e.become(keeping, limit, now)
	}
}

// Shared takes in that so many processes send at the pace, this one included. It also takes in that
// so many requests of the others were accepted since a time.
func (e *Evidence) Shared(processes, accepted int, since time.Duration) {
	if e.lessons == nil {
		return
	}
	e.setup.processes = processes
	if s := since.Seconds(); s > 0 && !e.cooling.closed {
		e.others += (float64(accepted)/s - e.others) * -math.Expm1(-s)
	}
}

// recently returns how many requests were accepted within the last second in which there were any, of
// all processes.
func (e *Evidence) recently() float64 { return e.log.Until(e.accepted) + e.others }

// Unasked reports that the bucket pauses for a step that Twilio has not asked for, and that is
// longer than the first one.
func (e *Evidence) Unasked(now time.Time) bool {
	return e.lessons != nil && !e.literal && e.cooling.closed && e.cooling.step > steps.First && !e.cooling.asked.After(now)
}

// Over reports that an unasked step need not last to its end. Since this bucket was closed a request was
// accepted in another one. And the account had an outage, or its limit of requests in progress explains the step.
func (e *Evidence) Over(account *InFlight, now time.Time) bool {
	if account == nil || !e.Unasked(now) {
		return false
	}
	a, since := &account.seen, e.cooling.since
	return a.resumed.After(since) || account.limit > 0 && now.Sub(since) >= steps.First && a.answered.After(since)
}

// Reopen takes in that the cool-down is over, with so many of the bucket's requests in flight.
func (e *Evidence) Reopen(account *InFlight, inFlight int, now time.Time) {
	if e.lessons == nil || !e.cooling.closed {
		return
	}
	c := &e.cooling
	// Only time in which the bucket was open counts, unless it is too slow for that to matter.
	if closed := now.Sub(c.since); e.Pace()*closed.Seconds() > 5 {
		e.tally.from = e.tally.from.Add(closed)
		e.trying.trial.from = e.trying.trial.from.Add(closed)
	}
	switch {
	case c.byOthers && c.answers == 0: // nothing is known
	case c.accepted == 0 && account != nil && account.seen.answered.After(c.opened) && e.blames(account, now):
		// Others were accepted meanwhile, and have taken the permits.
		c.step, e.trouble.empty, e.trouble.scouting = 0, 0, false
	case c.accepted == 0: // that teaches nothing
		e.tally.forget(c.answers)
		e.trying.trial.forget(c.answers)
		e.trouble.empty++
		e.trouble.scouting = e.trouble.empty > 1
	case e.phase == bursting:
	case e.Pace() < Unlimited && e.tally.stuck() && e.tally.since.Sub(c.opened) > soon:
		e.tally.forget(e.tally.run) // an outage, it seems: a limit would show again at once
	case e.blames(account, now), e.triesLess(account, now):
	default:
		e.conclude(account != nil && account.limit > 0, now)
	}
	if e.phase == bursting {
		e.burst(now)
	}
	e.event.began = time.Time{}
	c.closed, c.byOthers, c.opened, c.out = false, false, now, inFlight
	c.accepted, c.recent, c.answers, c.mostly = 0, 0, 0, false
	if e.since.Before(now) {
		e.since = now
	}
}

// conclude takes in an event that has closed the bucket, and in which something was accepted.
// paced: requests wait for something else than a pace.
func (e *Evidence) conclude(paced bool, now time.Time) {
	c := &e.cooling
	accepted := e.recently()
	e.trouble.before = max(accepted, 1)
	e.kept.peak = max(e.kept.peak, accepted)
	switch {
	case now.Before(e.noise.until) && !c.mostly:
	case e.phase == free && e.ceiling == Unlimited && paced && (!c.mostly || accepted < tooSlow):
	case e.phase == free && e.ceiling == Unlimited:
		e.become(seeking, max(accepted, 1), now)
	case c.mostly && (e.phase == free || e.phase == keeping && !e.Asking()) && accepted > 0:
		share := float64(c.throttled(window)) / float64(min(window, c.answers))
		e.try(share, min(max(accepted, e.Pace()/4), 0.95*e.Pace()), true, now)
	default:
		e.consider(true, now)
	}
}

// weigh takes in an event that has not closed the bucket. paced is as for conclude. What leaves says
// little of a pace then, and a trial of a slow one would take minutes.
func (e *Evidence) weigh(paced bool, now time.Time) {
	if paced && e.phase == free && e.ceiling == Unlimited && e.lower(&e.tally, now) < tooSlow {
		return
	}
	e.consider(false, now)
}
