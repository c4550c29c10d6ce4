package token

import (
	"time"

	"golang.org/x/time/rate"
)

type Link struct {
	Err   error     // why it does not answer; nil: it does
	Since time.Time // since when; zero if it does
	Asked int64     // round trips, ever

	answered time.Time // when it last did
	again    time.Time // when to try again
	back     bool      // it answers again
	trying   bool
	rejoined time.Time
	others   int // the most processes that any bucket had, this one included; 0: not known
}

func (e *Leased) Share(perSecond float64) float64 {
	if e.paced {
		perSecond = min(perSecond, e.pace)
	}
	switch {
	case e.link.Err == nil:
		return perSecond
	case perSecond >= Unlimited:
		return Unlimited
	case e.others > 0:
		return awayShare / float64(e.others) * perSecond
	case e.link.others > 0:
		return awayShare / float64(e.link.others) * perSecond
	}
	return awayShare * unknownShare * perSecond
}

func (e *Leased) Rejoin(now time.Time) bool {
	l := e.link
	if l.Err == nil || l.trying || l.again.After(now) || (!e.paced && e.Rate() >= Unlimited) {
		return false
	}
	if l.back {
		l.Err, l.Since, l.back, l.rejoined = nil, time.Time{}, false, now
		e.link = e.common
		return true
	}
	l.trying = true
	d := e.Demand(0)
	d.Back = true
	e.Send(d, now)
	return false
}

func (e *Leased) Failed(d Demand, err error, only bool, sent, now time.Time) (news, alone bool) {
	e.replied(d, now)
	if e.link == e.common && e.link.Err == nil && (only || e.link.answered.After(sent)) {
		e.link = &Link{others: e.common.others}
	}
	l := e.link
	news = l.Err == nil
	l.Err, l.again, l.back = err, now.Add(askAway), false
	if news {
		l.Since = now
	}
	return news, l != e.common
}

func (e *Leased) Away(now time.Time, pace float64) {
	e.Return(now)
	e.unused, e.counts, e.learner = 0, counts{}, false
	e.quiet = now.Add(quietAtFirst)
	e.own.bucket = rate.NewLimiter(limit(pace), e.burst)
	e.own.bucket.AllowN(now, e.burst)
}

func (e *Leased) isQuiet(now time.Time) bool {
	return e.link.Err != nil && now.Before(e.quiet) && e.Share(e.Rate()) < Unlimited
}
