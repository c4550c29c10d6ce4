package pacer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
	"github.com/twilio-pacer/pacer/internal/token"
)

// source returns the tokens of a new bucket.
func (s *storeLink) source(b *bucket) *token.Shared {
	return token.NewShared(&s.link, b.allowed.burst, token.User{Rate: b.configured, Waiting: b.line.Len, Tell: b.tell, Lessons: b.lessons})
}

// lessons returns the pace and the limit that were learned for all processes; Unlimited and 0: none.
func (b *bucket) lessons() (pace, learned float64) {
	if !b.evidence.Known() {
		return Unlimited, 0
	}
	return b.evidence.Pace(), b.evidence.Learned()
}

// tell sends a demand to the store, and takes in the answer when it comes.
func (b *bucket) tell(d token.Demand, sent time.Time) {
	l := b.common
	go func() {
		g, err := l.store.store.Take(context.Background(), b.resource, Demand(d))
		raise := func() func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			return b.answered(d, token.Grant(g), err, sent, time.Now())
		}()
		raise()
	}()
}

// answered takes in what the store has answered. The function that it returns raises the alert of an
// outage that has begun, and must be called without the limiter's mutex.
func (b *bucket) answered(d token.Demand, g token.Grant, err error, sent, now time.Time) (raise func()) {
	defer b.line.WakeHead()
	if err == nil {
		if b.shared().Granted(d, g, now) {
			b.pausedByOthers(g.CoolDownUntil, g.RetryAt, now)
		}
		b.learnForAll(g, now)
		return func() {}
	}
	news, alone := b.shared().Failed(d, err, errors.Is(err, ErrBucketOnly), sent, now)
	switch {
	case !news:
		return func() {}
	case alone:
		b.away(now)
		return b.common.store.outage(b.resource, err, now)
	}
	for _, other := range b.common.buckets {
		other.away(now)
		other.line.WakeHead()
	}
	return b.common.store.outage(Resource{}, err, now)
}

// notShared is the alert of an outage: of one bucket, or, for the zero Resource, of all.
func notShared(r Resource, err error, since time.Time) Alert {
	return Alert{Kind: AlertNotShared, Time: since, Resource: r, Err: err, Advice: adviceNotShared}
}

// outage returns a function that raises the alert of an outage: of one bucket, or, for the zero
// Resource, of all.
func (s *storeLink) outage(r Resource, err error, now time.Time) (raise func()) {
	a := notShared(r, err, now)
	listeners := slices.Collect(maps.Keys(s.alerts))
	return func() {
		for _, f := range listeners {
			(*f)(a)
		}
	}
}

// away makes the bucket go on without the store.
func (b *bucket) away(now time.Time) {
	b.shared().Away(now, b.pace())
	b.configure()
}

// rejoin makes all buckets go back to the store if an outage is over. During an outage it asks the
// store once in a while.
func (b *bucket) rejoin(now time.Time) {
	if b.common.store == nil || !b.shared().Rejoin(now) {
		return
	}
	for _, other := range b.common.buckets {
		other.tokens.Unreserve(now) // those that it reserved during the outage
		other.line.WakeHead()
	}
}

// othersGrowth is by how much a cool-down must be longer than the bucket's own for it to be another
// process's.
const othersGrowth = 50 * time.Millisecond

// pausedByOthers makes the bucket pause as the store says. The store also repeats the cool-downs of
// this process.
func (b *bucket) pausedByOthers(until, retryAt, now time.Time) {
	if until.Sub(b.cooldown.until) > othersGrowth {
		b.evidence.PausedByOthers(until.Sub(now), now)
	}
	b.pauseUntil(until, retryAt, now)
}

// learnForAll makes the bucket learn from the answers of all processes, if this process is the
// learner. Otherwise the bucket follows what the learner has found.
func (b *bucket) learnForAll(g token.Grant, now time.Time) {
	shared := b.shared()
	if shared.Learner() != b.evidence.forAll {
		b.configure()
		if b.evidence.forAll {
			b.evidence.Adopt(g.Learned, now)
		}
		b.adapt(now)
	}
	if !shared.Learner() {
		return
	}
	since := now.Sub(shared.Fed(now))
	span := max(since, othersSpan)
	b.evidence.Shared(shared.Others(), g.Accepted, since)
	if n := g.Accepted + g.Throttled; n > 0 {
		for i := range n {
			left := now.Add(-span + span*time.Duration(i)/time.Duration(n))
			if (i+1)*g.Throttled/n == i*g.Throttled/n {
				b.evidence.Accepted(left, 0, nil, now)
				continue
			}
			v := b.evidence.Throttled(learn.Throttle{Left: left, Rate: true}, nil, now)
			if v.Close {
				b.close(Outcome{RetryAfter: v.CoolDown}, now)
			}
		}
		b.adapt(now)
	}
}

// othersSpan is the least time in which the other processes' requests have left. Each process tells
// the store of its answers from time to time only.
const othersSpan = 800 * time.Millisecond
