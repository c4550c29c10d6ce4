package queue

import (
	"context"
	"time"
)

// The worker's other loops.
const (
	sweepEvery  = time.Second
	sweepAtOnce = 500
	reportEvery = 30 * time.Second
)

// sweep lets time do its work on the store, and tells of results that nobody was told of.
func (w *Worker) sweep(ctx context.Context) error {
	reported := time.Now()
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
		if w.onResult != nil && time.Since(reported) >= reportEvery {
			w.reportOld(ctx)
			reported = time.Now()
		}
	}
	return nil
}

// reportOld tells of results whose worker has ended before it could, or whose report was
// not taken.
func (w *Worker) reportOld(ctx context.Context) {
	for j, err := range w.q.List(ctx, Filter{States: []State{Sent, Failed}, Unreported: true}) {
		if err != nil || ctx.Err() != nil {
			return
		}
		if time.Since(j.Finished) >= reportEvery {
			w.report(ctx, j)
		}
	}
}
