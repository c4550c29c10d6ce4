package pacer

import "time"

// maxListed bounds what Stats copies while the limiter's mutex is locked.
const maxListed = 1000

// Stats implements [StatsLimiter].
func (l *BucketLimiter) Stats() (s LimiterStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	s.BucketsInAll = len(l.buckets)
	if l.store != nil {
		store := l.storeStats()
		s.Store = &store
	}
	for e := l.byAge.Back(); e != nil && len(s.Buckets) < maxListed; e = e.Prev() {
		b := e.Value.(*bucket)
		pace, learned := b.pace(), b.evidence.Learned()
		if shared := b.shared(); shared.FromStore() {
			pace, learned = shared.Pace(), shared.Learned()
		}
		s.Buckets = append(s.Buckets, BucketStats{
			Resource: b.resource,
			Counts:   b.counts.counts(l.start, now),
			Waiting:  b.line.Len(),
			InFlight: b.permits.Bucket.InFlight(),
			Rate:     finite(b.allowed.rate),
			Pace:     finite(pace),
			Learned:  learned,
			CoolDown: max(0, b.cooldown.remaining(now)),
		})
	}
	for key, g := range l.gates {
		if key.resource == "" {
			s.Accounts = append(s.Accounts, AccountStats{
				Account: key.account, Region: key.region,
				InFlight: g.InFlight(), MaxInFlight: g.Limit, Learned: g.Learned, Waiting: g.Waiting(),
			})
		}
	}
	return s
}

// finite is a rate as Stats has it: 0 where there is none. Unlimited is a number that says
// nothing to people, and JSON has no infinity.
func finite(rate float64) float64 {
	if rate >= Unlimited {
		return 0
	}
	return rate
}

// Store returns how it stands between the limiter and its store; all is zero for a limiter
// that has none.
func (l *BucketLimiter) Store() StoreStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.store == nil {
		return StoreStats{}
	}
	return l.storeStats()
}

func (l *BucketLimiter) storeStats() StoreStats {
	return StoreStats{Err: l.store.link.Err, Since: l.store.link.Since, Asked: l.store.link.Asked}
}
