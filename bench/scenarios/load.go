package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A load is an open schedule with callers that may be busy. Message i is begun
// at i/offered, or later, when a caller is free. A client that lets
// its callers wait is therefore not buried in them, and one that fails at once
// cannot spin.
type load struct {
	offered float64    // messages per second
	callers int        // at most so many messages are under way
	sends   []sendFunc // of the clients, among which callers are divided evenly

	next            atomic.Int64
	delivered, lost atomic.Int64

	mu    sync.Mutex
	calls []call
	first error // of a lost call
}

// A call is one that ended.
type call struct {
	end, took time.Duration // end: since the start
	lost      bool
}

// run sends until ctx ends, and returns when every call has. Those that ctx cut
// are left out: they are neither delivered nor lost.
func (l *load) run(ctx context.Context, start time.Time) {
	var wg sync.WaitGroup
	for k := range l.callers {
		wg.Go(func() {
			timer := time.NewTimer(time.Hour)
			defer timer.Stop()
			for {
				// A text of its own, by which the server knows a double.
				i := l.next.Add(1) - 1
				timer.Reset(time.Until(start.Add(l.due(i))))
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
				if ctx.Err() != nil {
					return
				}
				began := time.Now()
				err := l.sends[k%len(l.sends)](fmt.Sprintf("message %d", i))
				now := time.Now()
				if err != nil && ctx.Err() != nil {
					return
				}
				l.ended(call{end: now.Sub(start), took: now.Sub(began), lost: err != nil}, err)
			}
		})
	}
	wg.Wait()
}

func (l *load) due(i int64) time.Duration {
	return time.Duration(float64(i) / l.offered * float64(time.Second))
}

func (l *load) ended(c call, err error) {
	if err == nil {
		l.delivered.Add(1)
	} else {
		l.lost.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	if l.first == nil {
		l.first = err
	}
}
