package pacer

import (
	"math"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
)

// configure tells the evidence what the limits and Twilio's headers say.
//
//   - If the program said that the resource is not to be paced, throttled answers change no pace.
//   - The rate of a shared bucket is learned by one process.
//   - Where nothing is learned, each throttled answer begins a cool-down.
func (b *bucket) configure() {
	may, fixed, shared := !b.common.fixed && !b.allowed.never(), b.common.fixed, b.shared()
	shared.Free(b.allowed.never())
	shared.Learn(may)
	b.evidence.forAll = shared.Learner()
	b.evidence.Configure(b.configured(), may && (shared == nil || shared.Learner()), !fixed)
}

// accepted takes in that a request was accepted.
func (b *bucket) accepted(d departure, o Outcome, now time.Time) {
	b.evidence.Accepted(d.left, inProgress(d, o), b.teaches(), now)
	b.shared().Accepted()
}

// failed takes in that a request failed after Twilio had let it pass.
func (b *bucket) failed(d departure, o Outcome, now time.Time) {
	b.spacing.Failed(d.number, d.left)
	b.evidence.Failed(d.left, inProgress(d, o), b.teaches(), now)
}

// inProgress returns how many requests of the account were in progress with one that was not throttled.
func inProgress(d departure, o Outcome) int {
	if o.ConcurrentRequests > 0 {
		return o.ConcurrentRequests
	}
	return int(d.inFlight)
}

// throttled takes in a throttled answer, and begins a cool-down if the evidence says so. Otherwise
// only the throttled call waits.
func (b *bucket) throttled(d departure, o Outcome, now time.Time) {
	t := learn.Throttle{
		Left: d.left, RetryAfter: o.RetryAfter, Rate: o.Rate,
		InProgress: o.ConcurrentRequests, Local: max(int(d.inFlight), b.permits.account.InFlight()+1),
		Stubborn: o.Retry && b.line.Len() > 0,
		Overtook: b.permits.Bucket.InFlight() > int(b.departures-d.serial),
	}
	if t.InProgress == 0 {
		t.InProgress = t.Local
	}
	switch {
	case o.Step:
		t.RetryAfter = 0
	case o.TooLong:
		t.RetryAfter = min(t.RetryAfter, coolDownAtMost)
	}
	if shared := b.shared(); shared != nil && (o.Rate || !b.permits.account.learned.Exceeds(t.InProgress, now)) {
		shared.Throttled(int(math.Round(b.evidence.PerSecond(now))))
	}
	v := b.evidence.Throttled(t, b.teaches(), now)
	if !v.Close {
		return
	}
	if !o.TooLong {
		o.RetryAfter = v.CoolDown
	}
	b.close(o, now)
}

// adapt makes the bucket's other parts follow what was learned.
func (b *bucket) adapt(now time.Time) {
	if b.permits.account.adopt() {
		b.permits.account.WakeHead()
	}
	b.line.Spare(b.evidence.Scouting())
	if n := b.evidence.AtOnce(); b.permits.Bucket.Learned != n {
		b.permits.Bucket.Learned = n
		b.permits.Bucket.WakeHead()
	}
	news := b.evidence.News()
	if news.Pause > 0 {
		b.evidence.pause = now.Add(news.Pause)
	}
	if news.Crowded {
		b.spacing.Crowded()
	}
	if news.Changed {
		b.shared().TellLearned(now)
		b.spacing.Fit(b.evidence.Pace(), b.allowed.burst, !b.evidence.Known())
		b.repace(now)
	}
}

// repace makes the head of the line reserve its token anew, at the present pace.
func (b *bucket) repace(now time.Time) {
	b.tokens.Unreserve(now)
	b.tokens.Reshape(now, b.pace(), b.allowed.burst)
	b.line.WakeHead()
}

// heed takes in what X-Rate-Limit-Limit and -Remaining say. If nothing remains although this
// limiter has used clearly less, others use the resource, too. Then it lowers the pace before
// anything is throttled. In a shared bucket others are expected, and nothing is lowered.
func (b *bucket) heed(o Outcome, now time.Time) {
	if b.allowed.never() {
		return
	}
	if b.evidence.allowed != o.Allowed {
		b.evidence.allowed = o.Allowed
		b.configure()
		b.repace(now)
	}
	if b.common.store != nil || o.Remaining != 0 || o.Throttled || now.Sub(b.evidence.lowered) < time.Second {
		return
	}
	if b.evidence.PerSecond(now) < 0.9*float64(o.Allowed) {
		b.evidence.NothingRemains(now)
		b.evidence.lowered = now
	}
}
