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

// lessons are the pace and the limit that were learned for all.
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

// away has the bucket go on by itself.
func (b *bucket) away(now time.Time) {
	b.shared().Away(now, b.pace())
	b.configure()
}

// rejoin has all buckets go back to the store after an outage, if it is over. While it is
// not the bucket asks the store, once in a while.
func (b *bucket) rejoin(now time.Time) {
	if b.common.store == nil || !b.shared().Rejoin(now) {
		return
	}
	for _, other := range b.common.buckets {
		other.tokens.Unreserve(now) // what it had meanwhile
		other.line.WakeHead()
	}
}

// ownGrowth is by how much a cool-down must be longer than the bucket's own for it to be another
// process's.
const othersGrowth = 50 * time.Millisecond

// heldByOthers makes the bucket pause as the store says. Cool-downs of this process come back
// from there, too.
func (b *bucket) pausedByOthers(until, retryAt, now time.Time) {
	if until.Sub(b.cooldown.until) > othersGrowth {
		b.evidence.PausedByOthers(until.Sub(now), now)
	}
	b.pauseUntil(until, retryAt, now)
}

// learnForAll has the bucket learn from the answers of all processes if it is the learner, and
// follow those who do if it is not.
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

// othersSpan is in how much time the other processes' requests have left, at least: each tells of its
// answers from time to time.
const othersSpan = 800 * time.Millisecond
