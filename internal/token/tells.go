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
	retryAt time.Time // and until when calls fail; zero: they wait
}

// CooledByOthers notes that another process was throttled: the store may pace the bucket, and wants to
// know of answers. lately is how many were accepted here within the last second.
func (e *Shared) CooledByOthers(lately int, now time.Time) {
	e.said.paced = !e.free
	if e.tellsAnswers() && !e.tells.heeded {
		e.heed(lately)
		e.Send(e.Demand(0), now)
	}
}

// Accepted counts a request that was accepted, if the store wants to know. It does nothing for nil.
func (e *Shared) Accepted() {
	if e.tellsAnswers() && e.tells.heeded {
		e.tells.counts.accepted++
	}
}

// Throttled counts a request that was throttled, perhaps for its rate. lately is how many were
// accepted within the last second: it counts if the store did not want to know of them. It does
// nothing for nil.
func (e *Shared) Throttled(lately int) {
	if e.tellsAnswers() {
		e.heed(lately)
		e.tells.counts.throttled++
	}
}

// tellsAnswers reports that the store can be told of answers, if it wants to know. It is false for nil.
func (e *Shared) tellsAnswers() bool { return e != nil && e.learning.learns && e.link.Err == nil }

func (e *Shared) heed(lately int) {
	if !e.tells.heeded {
		e.tells.heeded = true
		e.tells.counts.accepted = lately
	}
}

// TellCounts tells the store of answers from time to time, if it wants to know. It does nothing
// for nil.
func (e *Shared) TellCounts(now time.Time) {
	if e.tellsAnswers() && e.tells.heeded && now.Sub(e.tells.at) > tellEvery {
		e.Send(e.Demand(0), now)
	}
}

// TellLearned has the store told at once what the learner has learned. It does nothing for nil.
func (e *Shared) TellLearned(now time.Time) {
	if e.Learner() && e.link.Err == nil {
		e.Send(e.Demand(0), now)
	}
}

// CoolsDown tells the store of a cool-down. retry is until when calls fail instead of waiting for
// its end; if it is zero or has passed, they wait. What comes while a report is under way is told after it, and only
// if it is news.
func (e *Shared) CoolsDown(until, retry, now time.Time) {
	r := &e.tells.report
	tooLong := retry.After(now)
	if r.under {
		if until.After(r.more) {
			r.more = until
		}
		if tooLong {
			r.retryAt = retry
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
func (e *Shared) reported(now time.Time) {
	r := &e.tells.report
	more, retry := r.more, r.retryAt
	r.under, r.more, r.retryAt = false, time.Time{}, time.Time{}
	if more.After(now) {
		e.CoolsDown(more, retry, now)
	}
}

// Learn says whether this process may learn for all. It does nothing for nil.
func (e *Shared) Learn(may bool) {
	if e != nil {
		e.learning.learns, e.learning.learner = may, e.learning.learner && may
	}
}

// Learner reports that this process learns for all. It is false for nil.
func (e *Shared) Learner() bool { return e != nil && e.learning.learner }

// Fed returns when the learner last heard of the others' answers, and notes that it does now.
func (e *Shared) Fed(now time.Time) (last time.Time) {
	last, e.learning.fed = e.learning.fed, now
	return last
}
