package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// waited returns how long a call of Await takes that waits an hour at most, and its error.
func waited(ctx context.Context, n *News) (time.Duration, error) {
	start := time.Now()
	err := n.Await(ctx, time.Hour)
	return time.Since(start), err
}

func TestAwaitEndsByWhateverComesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*Calls, *News) // before the wait
		during func(*Calls, *News) // a minute after it has begun
		cancel bool                // ctx ends a minute after it has begun
		want   time.Duration
		err    error
	}{
		"nothing happens":          {want: time.Hour},
		"news":                     {during: func(_ *Calls, n *News) { n.Announce() }, want: time.Minute},
		"news that nobody waited":  {before: func(_ *Calls, n *News) { n.Announce() }, want: 0},
		"news that Work has taken": {before: func(_ *Calls, n *News) { n.Announce(); n.Read() }, want: tick},
		"old news that Work took":  {before: func(_ *Calls, n *News) { n.Announce(); n.Read(); time.Sleep(recent) }, want: time.Hour},
		"the engine is closed":     {during: func(c *Calls, _ *News) { _ = c.Close() }, want: time.Minute, err: queue.ErrClosed},
		"it was closed before":     {before: func(c *Calls, n *News) { n.Announce(); _ = c.Close() }, want: 0, err: queue.ErrClosed},
		"ctx ends":                 {cancel: true, want: time.Minute, err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := NewCalls()
				n := NewNews(calls, nil, func() {})
				if c.before != nil {
					c.before(calls, n)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(time.Minute, func() {
					if c.during != nil {
						c.during(calls, n)
					}
					if c.cancel {
						cancel()
					}
				})
				if took, err := waited(ctx, n); took != c.want || !errors.Is(err, c.err) {
					t.Errorf("%v, %v: expected %v, %v", took, err, c.want, c.err)
				}
			})
		})
	}
}

func TestAwaitLooksForOthersEachTickWithTheLock(t *testing.T) {
	for name, lock := range map[string]chan struct{}{"with a lock": make(chan struct{}, 1), "without": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if lock != nil {
					lock = make(chan struct{}, 1) // of this bubble
				}
				looks := 0
				var n *News
				n = NewNews(NewCalls(), lock, func() {
					if lock != nil && len(lock) != 1 {
						t.Error("it looks without the lock")
					}
					if looks++; looks == 3 {
						n.Announce()
					}
				})
				if took, err := waited(t.Context(), n); took != 3*tick || err != nil {
					t.Errorf("%v, %v after %d looks: expected three looks, %v apart", took, err, looks, tick)
				}
			})
		})
	}
}

func TestAwaitDoesNotLookWhileSomebodyElseHasTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lock := make(chan struct{}, 1)
		lock <- struct{}{}
		time.AfterFunc(time.Minute, func() { <-lock })
		var n *News
		n = NewNews(NewCalls(), lock, func() { n.Announce() })
		if took, err := waited(t.Context(), n); took != time.Minute || err != nil {
			t.Errorf("%v, %v: expected a look when the lock is free, after a minute", took, err)
		}
	})
}
