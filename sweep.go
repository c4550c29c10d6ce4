package pacer

import "time"

const (
	idleAfter  = time.Minute // a bucket that was not used for so long is looked at
	sweepBatch = 4096        // buckets looked at, at a time, with the mutex locked
)

// sweep drops buckets that have been idle for a minute and would be the same if made anew. It also
// drops what is remembered of accounts that have had no bucket for an hour. It runs in a
// timer's goroutine, and only while there is something to drop.
func (l *BucketLimiter) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	next := min(l.sweepBuckets(now), l.sweepGates(now))
	if len(l.buckets) < l.peak/4 {
		// A map keeps the memory of all that it ever held.
		buckets := make(map[Resource]*bucket, len(l.buckets))
		for r, b := range l.buckets {
			buckets[r] = b
		}
		l.buckets, l.peak = buckets, len(buckets)
	}
	l.sweeper = nil
	if l.byAge.Len() > 0 || l.unused.Len() > 0 {
		l.sweeper = time.AfterFunc(next, l.sweep)
	}
}

// sweepBuckets returns when to sweep again.
func (l *BucketLimiter) sweepBuckets(now time.Time) time.Duration {
	for range sweepBatch {
		e := l.byAge.Front()
		if e == nil {
			return idleAfter
		}
		b := e.Value.(*bucket)
		if age := now.Sub(l.start) - b.place.seen; age < idleAfter {
			return idleAfter - age
		}
		if b.idle(now) {
			l.drop(b, now)
			continue
		}
		b.place.seen = now.Sub(l.start)
		l.byAge.MoveToBack(e)
	}
	return time.Millisecond
}

// sweepGates returns when to sweep again.
func (l *BucketLimiter) sweepGates(now time.Time) time.Duration {
	for range sweepBatch {
		e := l.unused.Front()
		if e == nil || now.Sub(l.start)-e.Value.(*sharedGate).used < learnedFor {
			return idleAfter
		}
		delete(l.gates, e.Value.(*sharedGate).key)
		l.unused.Remove(e)
	}
	return time.Millisecond
}

func (l *BucketLimiter) drop(b *bucket, now time.Time) {
	l.byAge.Remove(b.place.element)
	delete(l.buckets, b.resource)
	l.release(b.permits.account, b, now)
	if b.permits.group != nil {
		l.release(b.permits.group, b, now)
	}
}

// release is for when b, one of g's buckets, was dropped. What an account has taught
// outlives its buckets: it is forgotten an hour after they were used.
func (l *BucketLimiter) release(g *sharedGate, b *bucket, now time.Time) {
	g.used = max(g.used, b.place.used)
	if g.buckets--; g.buckets > 0 {
		return
	}
	if g.learned.Limit() == 0 || now.Sub(l.start)-g.used >= learnedFor {
		delete(l.gates, g.key)
		return
	}
	g.unused = l.unused.PushBack(g)
}
