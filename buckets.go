package pacer

import (
	"time"

	"github.com/twilio-pacer/pacer/internal/token"
)

// bucket returns r's bucket, and makes it if need be.
func (l *BucketLimiter) bucket(r Resource, now time.Time) *bucket {
	b, ok := l.buckets[r]
	if ok {
		b.place.seen = now.Sub(l.start)
		b.place.used = b.place.seen
		l.byAge.MoveToBack(b.place.element)
		if b.allowed.rules != l.rules { // SetLimits has not come to it yet
			l.apply(b, now)
		}
		return b
	}
	b = &bucket{common: &l.common, resource: r, allowed: l.allow(r)}
	b.place.used = now.Sub(l.start)
	b.place.seen = b.place.used
	b.tokens = l.source(b)
	b.permits.account = l.gate(gateKey{r.Account, r.Region, ""})
	if r.Sender == "" {
		b.permits.Share(&b.permits.account.Gate, nil)
	} else {
		b.permits.group = l.gate(gateKey{r.Account, r.Region, r.String()})
		b.permits.Share(&b.permits.account.Gate, &b.permits.group.Gate)
	}
	l.apply(b, now)
	b.place.element = l.byAge.PushBack(b)
	l.buckets[r] = b
	l.peak = max(l.peak, len(l.buckets))
	if l.sweeper == nil {
		l.sweeper = time.AfterFunc(idleAfter, l.sweep)
	}
	return b
}

// source returns the tokens of a new bucket.
func (l *BucketLimiter) source(b *bucket) token.Source {
	if l.store != nil {
		return l.store.source(b)
	}
	return token.NewLocal(b.allowed.rate, b.allowed.burst)
}

// gate returns the gate with the key, for one bucket more.
func (l *BucketLimiter) gate(key gateKey) *sharedGate {
	g, ok := l.gates[key]
	if !ok {
		g = &sharedGate{key: key}
		l.gates[key] = g
	}
	if g.unused != nil {
		l.unused.Remove(g.unused)
		g.unused = nil
	}
	g.buckets++
	return g
}

// apply gives b what the limits say about it; its head feels it at once.
func (l *BucketLimiter) apply(b *bucket, now time.Time) { l.give(b, l.rules.allow(b.resource), now) }

// give is apply where it is known what l.rules alone say.
func (l *BucketLimiter) give(b *bucket, byRules allowance, now time.Time) {
	b.tokens.Return(now)
	before := b.allowed.rate
	b.allowed = l.withPool(byRules, b.resource)
	b.allowed.rules = l.rules
	if b.allowed.rate != before {
		b.evidence.Forget() // a new limit is there to be tried
	}
	b.configure()
	b.tokens.Reshape(now, b.pace(), b.allowed.burst)
	b.spacing.Fit(b.allowed.rate, b.allowed.burst, true)
	b.permits.account.Limit = b.allowed.accountInFlight
	b.permits.Bucket.Limit = b.allowed.senderInFlight
	if b.permits.group == nil {
		b.permits.Bucket.Limit = b.allowed.resourceInFlight
	} else {
		b.permits.group.Limit = b.allowed.resourceInFlight
	}
	b.line.WakeHead()
}
