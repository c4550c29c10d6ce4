package queue

import (
	"context"
	"time"
)

// This file has the engine end leases and deadlines, and delete old results.

const (
	sweepEvery  = time.Second // unless a lease is shorter
	sweepAtOnce = 500         // jobs of each kind
)

// sweep has the engine do what time brings, until ctx ends: leases and deadlines end, old
// results go. It waits for no function of the program's.
func (b *base) sweep(ctx context.Context) error {
	store := &trouble{n: &b.notifier, kind: AlertStore, advice: adviceStore, what: "the sweep of leases, deadlines and old results"}
	late := lateness{b: b}
	// The first sweep comes at once: a worker that keeps crashing may live for less than a second.
	for on := true; on; on = pause(ctx, min(sweepEvery, b.lease())) {
		for {
			done, err := b.engine.Sweep(ctx, Sweep{Lease: b.lease(), Keep: b.retention, Max: sweepAtOnce, Report: b.onResult != nil})
			if fatal(err) {
				return err
			}
			if err != nil {
				store.failed(ctx, err)
				break
			}
			store.worked()
			late.n += done.Expired
			if max(done.InDoubt, done.Expired, done.Deleted) < sweepAtOnce {
				break
			}
		}
		late.tell()
	}
	return nil
}

// lateEvery is how often the log says at most that deadlines have passed.
const lateEvery = time.Minute

// A lateness has the log say how many requests were not sent before their deadlines.
type lateness struct {
	b    *base
	n    int       // not yet told
	told time.Time // zero: never
}

// tell warns, at once and then at most once a minute.
func (l *lateness) tell() {
	if l.n == 0 || !l.told.IsZero() && time.Since(l.told) < lateEvery {
		return
	}
	l.b.warn("requests were not sent before their deadlines, and have failed", "requests", l.n)
	l.n, l.told = 0, time.Now()
}
