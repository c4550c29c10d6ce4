package pacer

import (
	"errors"
	"math"
	"time"
)

// NewSharedLimiter returns a BucketLimiter whose tokens come from store, where other
// processes get theirs as well. Cool-downs and learned rates of buckets hold for all processes;
// the order of those who wait, priorities and in-flight limits are each process's own.
//
// A process asks for several tokens at a time, as a schedule. It asks for as many as wait for them,
// or as it has used within a tenth of a second. Those of 50 ms are the most. While the store does not
// answer, each process goes on with an equal share of nine tenths of the last known rate. It asks
// again twice a second.
//
// The error is as from [Limits.Validate].
func NewSharedLimiter(limits Limits, store BucketStore) (*BucketLimiter, error) {
	if store == nil {
		return nil, errors.New("pacer: NewSharedLimiter: nil store: expected a BucketStore")
	}
	l, err := NewLimiter(limits)
	if err != nil {
		return nil, err
	}
	l.store = &storeLink{store: store}
	return l, nil
}

// OnAlert implements [AlertLimiter]: it raises [AlertNotShared] when the store stops answering, or if
// it does not answer now. A limiter without a store raises nothing.
func (l *BucketLimiter) OnAlert(f func(Alert)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.store == nil {
		return func() {}
	}
	if l.store.alerts == nil {
		l.store.alerts = map[*func(Alert)]struct{}{}
	}
	l.store.alerts[&f] = struct{}{}
	if link := &l.store.link; link.Err != nil {
		go f(notShared(Resource{}, link.Err, link.Since))
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.store.alerts, &f)
	}
}

// Hold makes a bucket pause as a throttled answer may do: for o.RetryAfter, and with
// o.TooLong so that calls fail at once. It is for a [BucketStore], when another process
// was throttled. It does nothing if the bucket is not in use here.
func (l *BucketLimiter) Hold(r Resource, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[r]
	if !ok {
		return
	}
	now := time.Now()
	if l.store != nil {
		b.shared().CooledByOthers(int(math.Round(b.evidence.PerSecond(now))), now)
		if o.RetryAfter > b.cooldown.remaining(now) {
			b.evidence.PausedByOthers(o.RetryAfter, now)
		}
	}
	b.coolDown(o, now)
}
