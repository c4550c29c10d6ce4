package pacer

import (
	"context"
	"time"

	"github.com/twilio-pacer/pacer/internal/line"
)

// Acquire implements [Limiter]. Uncontended it takes no more than a mutex and one
// allocation.
func (l *BucketLimiter) Acquire(ctx context.Context, r Resource) (func(Outcome), error) {
	if err := ctx.Err(); err != nil {
		return nil, &WaitError{RateLimit: notSent(r), Err: err}
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(r, now)
	if b.passAtOnce(now) {
		b.pacedFor = 0
		return b.doneFunc(b.enter(atOnce, now)), nil
	}

	deadline, _ := ctx.Deadline()
	came, _ := ctx.Value(arrivalKey{}).(arrival)
	if came.at.IsZero() {
		came.at = time.Now()
	}
	w := line.NewWaiter(classOf(ctx), deadline, came.at)
	w.Tries = came.tries
	b.line.Join(w)
	ahead := 0
	if !deadline.IsZero() {
		ahead = b.line.Ahead(w)
	}
	d, err := l.wait(ctx, b, w, ahead)
	if err != nil {
		return nil, err
	}
	h := b.counts.now(l.start, d.left)
	h.waits++
	h.waited += d.left.Sub(now)
	b.noteWait(w, now, d)
	return b.doneFunc(d), nil
}

// wait makes w wait in b's line, with so many requests ahead of it. l.mu is locked when it is
// called and when it returns.
func (l *BucketLimiter) wait(ctx context.Context, b *bucket, w *line.Waiter, ahead int) (d departure, err error) {
	defer b.leave(w)
	for {
		now := time.Now()
		if err := b.hopeless(w, ahead, now); err != nil {
			return d, err
		}
		ahead = -1 // known on arrival only
		sleep := line.UntilWoken
		if b.line.Head() == w {
			delay, look := b.closed(now)
			if delay <= 0 {
				b.reopen(now)
				b.rejoin(now)
				delay = b.reserve(now)
				look = delay
			}
			switch {
			case b.line.Head() != w: // another one, which is awake, asks whether an outage is over
			case delay > 0:
				w.LeaveGate()
				if delay != line.UntilWoken && !w.Deadline().IsZero() && now.Add(delay).After(w.Deadline()) {
					return d, b.tooLate(delay, now)
				}
				sleep = look
			case !b.queue(w, now):
				if due, ok := b.tokens.Take(now); ok {
					b.line.Admit(w)
					b.permits.Admit(w)
					b.evidence.Departed(due, now)
					return b.enter(max(0, now.Sub(due)), now), nil
				}
			}
		} else {
			w.LeaveGate() // it was the head
		}
		if err := w.Sleep(ctx, &l.mu, sleep); err != nil {
			return d, &WaitError{RateLimit: notSent(b.resource), Err: err}
		}
	}
}

// passAtOnce takes a token for a request if nothing at all stands in its way.
func (b *bucket) passAtOnce(now time.Time) bool {
	if b.line.Len() > 0 || b.cooldown.on || b.evidence.pause.After(now) || (!b.evidence.Asking() && b.spacing.Opens().After(now)) || !b.permits.Free() {
		return false
	}
	b.rejoin(now)
	return b.tokens.TakeNow(now)
}

// closed returns how much longer the cool-down lasts, and after what time to look again. Other
// buckets of the account may find out earlier that an outage is over.
func (b *bucket) closed(now time.Time) (delay, look time.Duration) {
	if b.cooldown.on && b.evidence.Over(b.teaches(), now) {
		b.cooldown.until = now
	}
	delay = b.cooldown.remaining(now)
	if look = delay; b.evidence.Unasked(now) {
		look = min(delay, time.Second)
	}
	return delay, look
}

// reopen ends a cool-down whose time is over, if there is one.
func (b *bucket) reopen(now time.Time) {
	if !b.cooldown.on {
		return
	}
	b.cooldown.end()
	b.evidence.Reopen(b.teaches(), b.permits.Bucket.InFlight(), now)
	b.adapt(now)
	// Twilio said when to try again. A pace that was lowered meanwhile must not delay that: it
	// counts from this request on.
	rested := now.Sub(b.place.left).Seconds() >= 1/b.allowed.rate
	b.tokens.Reopen(now, b.pace(), b.allowed.burst, rested)
}

// doneFunc returns what ends the request that departed as d.
func (b *bucket) doneFunc(d departure) func(Outcome) {
	return func(o Outcome) {
		b.common.mu.Lock()
		defer b.common.mu.Unlock()
		now := time.Now()
		b.permits.Exit()
		if o.Unused {
			return
		}
		b.count(o, now)
		if o.Failed && o.Passed {
			b.failed(d, o, now)
		}
		if o.Failed || o.Narrow {
			return
		}
		b.spacing.Arrived(d.number, d.left, now)
		if d.late != atOnce { // only then is the bucket run at its rate
			b.spacing.Waited(now.Sub(d.due()))
		}
		if o.Throttled {
			b.throttled(d, o, now)
		} else {
			b.accepted(d, o, now)
		}
		b.shared().TellCounts(now)
		if o.Allowed > 0 && !b.common.fixed {
			b.heed(o, now)
		}
		b.adapt(now)
	}
}

// pacedByDefault reports whether the pace of b is a default. It is none if the program, throttled
// answers or an outage of the store have set the pace.
func (b *bucket) pacedByDefault() bool {
	if b.allowed.byDefault == nil || b.evidence.Pace() < b.allowed.rate {
		return false
	}
	shared := b.shared()
	if shared == nil {
		return true
	}
	return shared.FromStore() && (shared.Learned() == 0 || shared.Learned() >= b.allowed.rate)
}

// noteWait takes in how long w has waited for b's pace while it was the head of the line. It
// arrived at a time and left as d. Its wait for a cool-down, for a permit or behind others does not
// count.
func (b *bucket) noteWait(w *line.Waiter, arrived time.Time, d departure) {
	if !b.pacedByDefault() {
		b.pacedFor = 0
		return
	}
	if w.WaitedAtGate() {
		return
	}
	since := arrived
	if until := b.cooldown.until; until.After(since) {
		since = until
	}
	interval := time.Duration(float64(time.Second) / b.allowed.rate)
	b.pacedFor += max(0, min(d.due().Sub(since), interval))
	if b.pacedFor >= noticeAfter {
		b.pacedFor = 0
		b.common.notices.add(notice{b.resource, b.allowed.byDefault, b.line.Len(), false})
	}
}

// refusedByPace notes that a call of r was refused for the pace of its bucket.
func (l *BucketLimiter) refusedByPace(r Resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[r]; b != nil && b.pacedByDefault() {
		l.notices.add(notice{r, b.allowed.byDefault, b.line.Len(), true})
	}
}
