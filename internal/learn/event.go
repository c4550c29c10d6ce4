package learn

import "time"

// A Throttle is a throttled answer.
type Throttle struct {
	Left       time.Time     // when the request left
	RetryAfter time.Duration // for how long Twilio said that it should wait; 0: it did not say
	InProgress int           // requests of the account, this one included
	Local      int           // of these, this limiter's
	Rate       bool          // the answer says that it is about a rate
	Stubborn   bool          // it was not its call's first attempt, and others wait
	Overtook   bool          // the bucket has requests in flight that left before this one
}

// An event is throttled answers that belong together: those that come within a second, or
// before the bucket opens again.
type event struct {
	began  time.Time // zero: there is none
	left   time.Time // when the last throttled request left
	rate   bool      // an answer said that it is about a rate
	asked  bool      // more was asked for than a limit that is kept, which explains it
	fewest int       // requests of the account in progress with any of them
	local  int       // the most of this limiter's
}

const (
	together   = time.Second      // throttled answers that come within it are one event
	soundAfter = 10 * time.Second // a bucket in which nothing was throttled for so long is sound
	quiet      = 3 * time.Second  // after which the account's trouble may be over
	inARow     = 3                // accepted, that may mean the same
)

// add takes a throttled answer into the event, which begins with it if there is none.
func (v *event) add(t Throttle, now time.Time) {
	if v.began.IsZero() {
		*v = event{began: now, fewest: t.InProgress}
	}
	v.fewest, v.local = min(v.fewest, t.InProgress), max(v.local, t.Local)
	v.rate = v.rate || t.Rate
	if t.Left.After(v.left) {
		v.left = t.Left
	}
}

// settle ends an event that has not closed the bucket, if a second has passed.
func (e *Evidence) settle(account *InFlight, now time.Time) {
	if e.event.began.IsZero() || e.cooling.closed || now.Sub(e.event.began) <= together {
		return
	}
	if !e.blames(account, now) && !e.triesLess(account, now) {
		e.weigh(account != nil && account.limit > 0, now)
	}
	e.event.began = time.Time{}
}

// Failed takes in that a request failed after Twilio had let it pass, as an answer with a status of 5xx says. It
// is neither an acceptance nor a throttle: no trouble ends by it. But it took its part of a limit. So it counts in
// what passes per time, and among the answers of which a share is throttled.
func (e *Evidence) Failed(left time.Time, inProgress int, account *InFlight, now time.Time) {
	if e.lessons == nil {
		return
	}
	e.log.Add(left)
	account.failed(inProgress, left)
	if c := &e.cooling; c.closed || !left.Before(c.opened) {
		c.note(0, left, e.since, now)
		e.Rate.failed(left)
	}
}

// concerns reports that the event may be about the account's requests in progress.
func (e *Evidence) concerns(account *InFlight) bool {
	return account != nil && (!account.alone() || account.several()) && !e.event.rate && !e.event.asked
}

// blames reports that the event was about the number of the account's requests in progress.
func (e *Evidence) blames(account *InFlight, now time.Time) bool {
	if !e.concerns(account) || !account.several() && !e.Rate.setup.frozen && (e.noise.share > heavyNoise || e.tally.share() > heavy) {
		return false
	}
	shown, first := account.conclude(e.event.local, now)
	switch {
	case first || shown && (e.phase == seeking || e.phase == trying):
		e.become(free, 0, now) // it was not the rate
	case shown:
		e.begin(now)
	}
	return shown
}

// triesLess begins a trial of fewer requests in flight, if that is what requests wait for and they
// are throttled again and again.
func (e *Evidence) triesLess(account *InFlight, now time.Time) bool {
	if !e.concerns(account) || e.phase == trying || e.Asking() || !e.tally.recurs() || e.noise.covers(&e.tally, now) {
		return false
	}
	if account.limit > 0 && account.noise.covers(&e.tally, now) {
		e.noise = account.noise // a trial has shown that
		return true
	}
	if !account.try(e.event.fewest, e.tally.share(), e.event.left, now) {
		return false
	}
	e.begin(now)
	return true
}
