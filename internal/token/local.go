// Package token has the tokens that requests use up, one each: where they come from, and
// when the next one may be used. It does not lock: the caller does.
package token

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Unlimited requests per second are as many as wanted.
const Unlimited = math.MaxFloat64

// A Source gives tokens to the requests of one bucket. Its pace, in requests per second,
// is an argument where it matters, since it depends on what else the bucket knows.
type Source interface {
	// TakeNow takes a token for a request that nothing is ahead of, if one may be used
	// at once.
	TakeNow(now time.Time) bool
	// Reserve makes sure that the head of the line has, or will have, a token, and
	// returns in how much time it may be used. [line.UntilWoken]: not known yet, the head will
	// be woken.
	Reserve(now time.Time, pace float64) time.Duration
	// Reserved returns when the head's token may be used; ok is false if it is not known.
	Reserved() (due time.Time, ok bool)
	// Take uses the head's token up, and returns when it was due. If ok is false it was too
	// late to be used. The head will be woken when there is another one.
	Take(now time.Time) (due time.Time, ok bool)
	// Unreserve gives the head's token back: nobody waits, or it is due at another time.
	Unreserve(now time.Time)
	// Return gives back what is reserved or in hand.
	Return(now time.Time)
	// Reshape changes pace and burst.
	Reshape(now time.Time, pace float64, burst int)
	// Reopen is for the end of a cool-down. What collected meanwhile would leave as a
	// herd, and is dropped: the first request finds a token, and those after it find none.
	// If rested is false the first one must wait, too, where it would have to wait anyway.
	Reopen(now time.Time, pace float64, burst int, rested bool)
	// Full reports that the bucket is as it was when it was made.
	Full(now time.Time, burst int) bool
	// Share is the part of perSecond that this process may use now.
	Share(perSecond float64) float64
}

// Local are the tokens of this process's own bucket, a [rate.Limiter].
type Local struct {
	bucket      *rate.Limiter
	reservation *rate.Reservation // the head's; it passes to the next head if the head gives up
	due         time.Time         // when the reserved token may be used
}

// NewLocal returns a full bucket.
func NewLocal(pace float64, burst int) *Local { return &Local{bucket: full(pace, burst)} }

func full(pace float64, burst int) *rate.Limiter { return rate.NewLimiter(limit(pace), burst) }

func limit(pace float64) rate.Limit {
	if pace >= Unlimited {
		return rate.Inf
	}
	return rate.Limit(pace)
}

// TakeNow implements [Source].
func (o *Local) TakeNow(now time.Time) bool { return o.bucket.AllowN(now, 1) }

// Reserve implements [Source].
func (o *Local) Reserve(now time.Time, pace float64) time.Duration {
	if o.reservation == nil {
		o.bucket.SetLimitAt(now, limit(pace))
		o.reservation = o.bucket.ReserveN(now, 1)
		o.due = now.Add(o.reservation.DelayFrom(now))
	}
	return o.due.Sub(now)
}

// Reserved implements [Source].
func (o *Local) Reserved() (due time.Time, ok bool) { return o.due, o.reservation != nil }

// Take implements [Source].
func (o *Local) Take(time.Time) (due time.Time, ok bool) {
	o.reservation = nil
	return o.due, true
}

// Unreserve implements [Source].
func (o *Local) Unreserve(now time.Time) {
	if o.reservation != nil {
		o.reservation.CancelAt(now)
		o.reservation = nil
	}
}

// Return implements [Source].
func (o *Local) Return(now time.Time) { o.Unreserve(now) }

// Reshape implements [Source].
func (o *Local) Reshape(now time.Time, pace float64, burst int) {
	o.bucket.SetLimitAt(now, limit(pace))
	o.bucket.SetBurstAt(now, burst)
}

// Reopen implements [Source].
func (o *Local) Reopen(now time.Time, pace float64, burst int, rested bool) {
	o.bucket.SetLimitAt(now, limit(pace))
	if n := int(o.bucket.TokensAt(now)) - 1; n > 0 {
		o.bucket.AllowN(now, n)
	} else if n < 0 && rested {
		o.bucket = full(pace, burst)
		o.bucket.AllowN(now, burst-1)
	}
}

// Full implements [Source].
func (o *Local) Full(now time.Time, burst int) bool {
	return o.bucket.TokensAt(now) >= float64(burst)
}

// Share implements [Source].
func (o *Local) Share(perSecond float64) float64 { return perSecond }
