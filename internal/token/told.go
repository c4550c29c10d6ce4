package token

import "time"

// counts are of answers.
type counts struct{ accepted, throttled int }

// A report is about a cool-down. One at a time is under way.
type report struct {
	until   time.Time // the end that was told
	tooLong bool      // and that it is too long to wait for
	under   bool      // way
	more    time.Time // the end that is to be told after that; zero: none
	longer  bool      // and that it is too long to wait for
	retry   time.Time
}

// HeldByOthers notes that another process was throttled: the store may pace the bucket, and wants to
// know of answers. lately is how many were accepted here within the last second.
func (e *Leased) HeldByOthers(lately int, now time.Time) {
	e.said.paced = !e.free
	if e.tellsAnswers() && !e.tells.heeded {
		e.heed(lately)
		e.Send(e.Demand(0), now)
	}
}

// Accepted counts a request that was accepted, if the store wants to know. It does nothing for nil.
func (e *Leased) Accepted() {
	if e.tellsAnswers() && e.tells.heeded {
		e.tells.counts.accepted++
	}
}

// Throttled counts a request that was throttled, perhaps for its rate. lately is how many were
// accepted within the last second: it counts if the store did not want to know of them. It does
// nothing for nil.
func (e *Leased) Throttled(lately int) {
	if e.tellsAnswers() {
		e.heed(lately)
		e.tells.counts.throttled++
	}
}

// tellsAnswers reports that the store can be told of answers, if it wants to know. It is false for nil.
func (e *Leased) tellsAnswers() bool { return e != nil && e.learning.learns && e.link.Err == nil }

func (e *Leased) heed(lately int) {
	if !e.tells.heeded {
		e.tells.heeded = true
		e.tells.counts.accepted = lately
	}
}

// TellCounts tells the store of answers from time to time, if it wants to know. It does nothing
// for nil.
func (e *Leased) TellCounts(now time.Time) {
	if e.tellsAnswers() && e.tells.heeded && now.Sub(e.tells.told) > tellEvery {
		e.Send(e.Demand(0), now)
	}
}

// Tells has the store told at once what the learner has learned. It does nothing for nil.
func (e *Leased) Tells(now time.Time) {
	if e.Learner() && e.link.Err == nil {
		e.Send(e.Demand(0), now)
	}
}

// Held tells the store of a cool-down. retry is until when calls fail instead of waiting for
// its end; zero: they wait. What comes while a report is under way is told after it, and only
// if it is news.
func (e *Leased) Held(until, retry, now time.Time) {
	r := &e.tells.report
	tooLong := !retry.IsZero()
	if r.under {
		if until.After(r.more) {
			r.more = until
		}
		if tooLong {
			r.longer, r.retry = true, retry
		}
		return
	}
	if until.Sub(r.until) < grown && (!tooLong || r.tooLong && r.until.After(now)) {
		return
	}
	*r = report{until: until, tooLong: tooLong, under: true}
	d := e.Demand(0)
	d.CoolDownFor = until.Sub(now)
	if d.TooLong = tooLong; tooLong {
		d.CoolDownFor = retry.Sub(now)
	}
	e.Send(d, now)
}

// reported is for when a report was answered.
func (e *Leased) reported(now time.Time) {
	r := &e.tells.report
	more, longer := r.more, r.longer
	r.under, r.more, r.longer = false, time.Time{}, false
	if !more.After(now) {
		return
	}
	retry := time.Time{}
	if longer {
		retry = r.retry
	}
	e.Held(more, retry, now)
}

// Learn says whether this process may learn for all. It does nothing for nil.
func (e *Leased) Learn(may bool) {
	if e != nil {
		e.learning.learns, e.learning.learner = may, e.learning.learner && may
	}
}

// Learner reports that this process learns for all. It is false for nil.
func (e *Leased) Learner() bool { return e != nil && e.learning.learner }

// Fed returns when the learner last heard of the others' answers, and notes that it does now.
func (e *Leased) Fed(now time.Time) (last time.Time) {
	last, e.learning.fed = e.learning.fed, now
	return last
}
