package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A WorkerStatus is what one Run of a [Worker] says of itself every 5 s, in the store. Its times are of the
// engine's clock.
type WorkerStatus struct {
	ID      string // of the Run: another one each time
	Host    string
	PID     int    // of its process
	Version string // of package queue; "": not known
	Started time.Time
	Seen    time.Time // when it has said this
	Alive   bool      // that was less than 20 s ago

	// The zero values of OnWire, Pace, Campaigns and Buckets are also those of a worker that is not Alive.

	Concurrency int     // requests on the wire at most: see WithConcurrency
	OnWire      int     // requests on the wire
	Pace        float64 // requests per second that it has sent over the last 30 s

	Clock  time.Duration // by how much its machine's clock is ahead of the engine's; below 0: behind
	Twilio time.Duration // by how much Twilio's clock is ahead of the engine's at least; below 0: behind; 0: not known, or it is right

	// CredentialsFrom is where its credentials come from, by [WithCredentialsFrom]; "": it has not said so.
	CredentialsFrom string
	// Refusals are what it has read while it runs and has not taken, see [Worker.Refuse].
	Refusals []Refusal

	// Campaigns has the requests per second of each campaign over the last 30 s, or since it began.
	// Those are left out of which nothing was sent.
	Campaigns map[string]float64
	// Buckets are those in whose line a request waits now, or has waited for most of the last minute. They
	// are 50 at most, the slowest ones.
	Buckets []BucketPace
}

// A BucketPace is how fast a worker's client may send for one bucket, and whether requests wait for that.
// Rates are requests per second.
type BucketPace struct {
	Resource pacer.Resource // Sender may be a phone number
	Pace     float64        // at which it may send now
	Rate     float64        // as configured, or pacer's default; 0: there is none
	Learned  float64        // the limit that throttled answers have shown; 0: none
	Waiting  int            // lanes, and calls of the program's, that wait for it in this moment
}

// deadShown is for how long a worker that has vanished is shown.
const deadShown = time.Hour

// Workers returns the workers that live, and those that have vanished within the last hour without
// saying so. They are sorted by host and process. Any process may call it.
func (q *Queue) Workers(ctx context.Context) ([]WorkerStatus, error) {
	all, now, err := q.workers(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: workers: %w", err)
	}
	workers := make([]WorkerStatus, 0, len(all))
	for i := range all {
		if all[i].shownFor(now) > 0 {
			workers = append(workers, all[i].status(now))
		}
	}
	return workers, nil
}

// workers returns all heartbeats, and the time by the engine's clock.
func (q *Queue) workers(ctx context.Context) ([]heartbeat, time.Time, error) {
	used, err := beats(ctx, q.engine)
	if err != nil {
		return nil, time.Time{}, err
	}
	now, err := q.engine.Now(ctx)
	return sortedBeats(used), now, err
}

// status returns the heartbeat as people see it.
func (b *heartbeat) status(now time.Time) WorkerStatus {
	s := WorkerStatus{
		ID: b.ID, Host: b.Host, PID: b.PID, Version: b.Version, Started: b.Started, Seen: b.Seen, Alive: b.alive(now),
		Concurrency: b.Concurrency, OnWire: b.OnWire, Pace: b.Pace, Clock: b.Clock, Twilio: b.Twilio, Campaigns: b.Campaigns,
		CredentialsFrom: b.Credentials,
	}
	for _, r := range b.Refusals {
		s.Refusals = append(s.Refusals, Refusal(r))
	}
	if !s.Alive {
		s.OnWire, s.Pace, s.Campaigns = 0, 0, nil
		return s
	}
	for _, of := range b.Buckets {
		if l, err := ParseLane("|" + of.Key); err == nil {
			s.Buckets = append(s.Buckets, BucketPace{l.Resource, of.Pace, of.Rate, of.Learned, of.Waiting})
		}
	}
	return s
}

const (
	watchEvery    = 10 * time.Second
	noWorkerAfter = 30 * time.Second // so long may a restart take
)

// Watch raises [AlertNoWorker] when work waits and no worker lives for half a minute, and again each hour
// while that lasts. It is for a process without a worker of its own, since a worker that is dead can tell
// nobody. [AlertStore] says that the store fails. Watch returns nil when ctx ends, and an error if the
// store is closed, gone, damaged or of a newer version. alert is called as [WithAlert]'s function.
func (q *Queue) Watch(ctx context.Context, alert func(Alert)) error {
	if alert == nil {
		return errors.New("queue: Watch: nil: expected a function")
	}
	tell := &listener{tell: alert}
	n := &notifier{alerts: []*listener{tell}}
	n.loud = newLogger(&n.logs, nil)
	defer tell.flush(farewell)
	store := &trouble{n: n, kind: AlertStore, advice: adviceStore, what: "looking for workers"}
	var since, told time.Time // since when nobody works, and when that was told
	for pause(ctx, watchEvery) {
		waits, alive, err := q.attended(ctx)
		switch now := time.Now(); {
		case fatal(err):
			return fmt.Errorf("queue: watch: %w", err)
		case err != nil:
			store.failed(ctx, err)
			continue
		case waits == 0 || alive:
			since, told = time.Time{}, time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) >= noWorkerAfter && (told.IsZero() || now.Sub(told) >= alarmEvery):
			told = now
			n.raise(Alert{Kind: AlertNoWorker, Advice: adviceNoWorker, Err: fmt.Errorf("%d requests wait, and no worker has lived for %v", waits, now.Sub(since).Round(time.Second))})
		}
		store.worked()
	}
	return nil
}

// attended returns how much is ready, and whether a worker lives.
func (q *Queue) attended(ctx context.Context) (ready int64, alive bool, err error) {
	lanes, err := q.engine.Stats(ctx)
	if err != nil {
		return 0, false, err
	}
	for _, l := range lanes {
		ready += l.Ready
	}
	if ready == 0 {
		return 0, false, nil
	}
	all, now, err := q.workers(ctx)
	for i := range all {
		alive = alive || all[i].alive(now)
	}
	return ready, alive, err
}
