package token

import (
	"time"
)

type counts struct{ accepted, throttled int }

type report struct {
	until   time.Time // the end that was told
	tooLong bool      // and that it is too long to wait for
	under   bool      // way
	more    time.Time // the end that is to be told after that; zero: none
	longer  bool      // and that it is too long to wait for
	retry   time.Time
}

func (e *Leased) HeldByOthers(lately int, now time.Time) {
	e.paced = !e.free
	if !e.heeded && e.learns && e.link.Err == nil {
		e.heed(lately)
		e.Send(e.Demand(0), now)
	}
}

func (e *Leased) Accepted() {
	if e != nil && e.heeded && e.learns && e.link.Err == nil {
		e.counts.accepted++
	}
}

func (e *Leased) Throttled(lately int) {
	if e != nil && e.learns && e.link.Err == nil {
		e.heed(lately)
		e.counts.throttled++
	}
}

func (e *Leased) heed(lately int) {
	if !e.heeded {
		e.heeded = true
		e.counts.accepted = lately
	}
}

func (e *Leased) TellCounts(now time.Time) {
	if e != nil && e.heeded && e.learns && e.link.Err == nil && now.Sub(e.told) > tellEvery {
		e.Send(e.Demand(0), now)
	}
}

func (e *Leased) Tells(now time.Time) {
	if e.Learner() && e.link.Err == nil {
		e.Send(e.Demand(0), now)
	}
}

func (e *Leased) Held(until, retry, now time.Time) {
	r := &e.report
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
	d.Hold = until.Sub(now)
	if d.TooLong = tooLong; tooLong {
		d.Hold = retry.Sub(now)
	}
	e.Send(d, now)
}

func (e *Leased) reported(now time.Time) {
	r := &e.report
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

func (e *Leased) Learn(may bool) {
	if e != nil {
		e.learns, e.learner = may, e.learner && may
	}
}

func (e *Leased) Learner() bool { return e != nil && e.learner }

func (e *Leased) Fed(now time.Time) (last time.Time) {
	last, e.fed = e.fed, now
	return last
}
