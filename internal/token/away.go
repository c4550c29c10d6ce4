package token

import (
	"time"

	"golang.org/x/time/rate"
)

// A Link is what is known about a store. All buckets of one limiter have the same Link, but for
// those that the store cannot serve: each of these has one of its own. The zero Link is that of
// a store that answers.
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

// Share implements [Source]. It is an equal part while the store does not answer.
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

// Rejoin asks again, once in a while, while the store does not answer, and rejoins the
// other processes when it does. It reports that this has happened: all buckets of the
// limiter then have tokens of the store again, and must unreserve what is their own.
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

// Failed takes in that the store has not answered a demand, which was sent at the given time. It
// reports that this is news, and whether only this bucket is concerned: the store says so, or has
// answered others since. The bucket, or else all of the limiter, must go on by itself then: see
// Away.
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

// Away has the bucket go on by itself, at its share of the rate. It begins empty, and
// after a while: the window may be full, and others use up what they have in hand.
func (e *Leased) Away(now time.Time, pace float64) {
	e.Return(now)
	e.unused, e.counts, e.learner = 0, counts{}, false
	e.quiet = now.Add(quietAtFirst)
	e.own.bucket = rate.NewLimiter(limit(pace), e.burst)
	e.own.bucket.AllowN(now, e.burst)
}

// isQuiet reports that the bucket keeps still since the store does not answer.
func (e *Leased) isQuiet(now time.Time) bool {
	return e.link.Err != nil && now.Before(e.quiet) && e.Share(e.Rate()) < Unlimited
}
