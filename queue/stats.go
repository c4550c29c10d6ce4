package queue

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Stats is the depth of a queue: how much waits, and how fast it comes and goes.
type Stats struct {
	Time  time.Time   // when it was read, by the engine's clock, as are all times of the lanes
	Lanes []LaneDepth // of all lanes that have or had jobs
	Total LaneDepth   // its Lane is the zero Lane
}

// A LaneDepth is the depth of one lane, or of all.
type LaneDepth struct {
	LaneStats
	// OldestAge is how long the first of the Ready ones has been waiting for its turn;
	// 0: none is ready.
	OldestAge time.Duration
	// ArrivalRate and DepartureRate are requests a second over the last 30 to 60 s, or since
	// the Queue was opened. They are 0 as long as Stats has been called only once.
	ArrivalRate, DepartureRate float64
}

// A depth remembers two samples of the counts, from which rates are computed.
type depth struct {
	mu            sync.Mutex
	before, since counts
}

// counts are how many jobs of each lane had arrived and departed at a time.
type counts struct {
	at    time.Time
	lanes map[Lane][2]int64
}

// rateOver is how old the older of the two samples is at least. It is twice as old at most.
const rateOver = 30 * time.Second

// Stats returns the depth now. It costs some milliseconds for each hundred lanes, whatever
// waits in them. Call it every few seconds, not for each request. It may be called by any
// process, worker or not.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	lanes, err := q.engine.Stats(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("queue: stats: %w", err)
	}
	at, err := q.engine.Now(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("queue: stats: %w", err)
	}
	now := time.Now() // for the rates
	s := Stats{Time: at, Lanes: make([]LaneDepth, len(lanes))}
	q.depth.mu.Lock()
	defer q.depth.mu.Unlock()
	q.depth.sample(lanes, now)
	before := &q.depth.before
	over := now.Sub(before.at).Seconds()
	for i, l := range lanes {
		d := &s.Lanes[i]
		d.LaneStats = l
		if !l.Oldest.IsZero() {
			d.OldestAge = max(0, at.Sub(l.Oldest))
		}
		if over > 0 {
			was := before.lanes[l.Lane]
			d.ArrivalRate = float64(max(0, l.Arrived-was[0])) / over
			d.DepartureRate = float64(max(0, l.Departed-was[1])) / over
		}
		s.Total.Add(d)
	}
	return s, nil
}

// Add adds the depth of another lane to t, for sums over some of the lanes; t keeps its
// Lane and Parked.
func (t *LaneDepth) Add(d *LaneDepth) {
	t.Ready += d.Ready
	t.Delayed += d.Delayed
	t.Sending += d.Sending
	t.InDoubt += d.InDoubt
	t.Sent += d.Sent
	t.Failed += d.Failed
	t.Cancelled += d.Cancelled
	t.Arrived += d.Arrived
	t.Departed += d.Departed
	t.ArrivalRate += d.ArrivalRate
	t.DepartureRate += d.DepartureRate
	t.OldestAge = max(t.OldestAge, d.OldestAge)
	if !d.Oldest.IsZero() && (t.Oldest.IsZero() || d.Oldest.Before(t.Oldest)) {
		t.Oldest = d.Oldest
	}
}

// sample takes a sample of the counts if the last one is old enough.
func (d *depth) sample(lanes []LaneStats, now time.Time) {
	if !d.since.at.IsZero() && now.Sub(d.since.at) < rateOver {
		return
	}
	c := counts{now, make(map[Lane][2]int64, len(lanes))}
	for _, l := range lanes {
		c.lanes[l.Lane] = [2]int64{l.Arrived, l.Departed}
	}
	if d.before = d.since; d.before.at.IsZero() {
		d.before = c
	}
	d.since = c
}
