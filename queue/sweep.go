package queue

import (
	"context"
	"time"
)

// How often, and how many at a time.
const (
	sweepEvery  = time.Second
	sweepAtOnce = 500
)

// sweep lets time do its work on the store. It waits for nothing of the program's.
func (w *Worker) sweep(ctx context.Context) error {
	store := &trouble{w: w, kind: AlertStore, advice: adviceStore, what: "the sweep of leases, deadlines and old results"}
	// First at once: a worker that keeps crashing lives for less than a second, too.
	for on := true; on; on = pause(ctx, min(sweepEvery, w.lease())) {
		for {
			done, err := w.q.engine.Sweep(ctx, Sweep{Lease: w.lease(), Keep: w.retention, Max: sweepAtOnce, Report: w.onResult != nil})
			if fatal(err) {
				return err
			}
			if err != nil {
				store.failed(ctx, err)
				break
			}
			store.worked()
			if max(done.InDoubt, done.Expired, done.Deleted) < sweepAtOnce {
				break
			}
		}
	}
	return nil
}
