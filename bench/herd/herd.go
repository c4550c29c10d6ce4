package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// A herd sends n messages from some goroutines, as fast as the client lets it.
// Its counters can be read while it runs.
type herd struct {
	n, workers      int
	wire            *wire
	next            atomic.Int64
	delivered, lost atomic.Int64

	mu    sync.Mutex
	took  []time.Duration // of each call, lost ones too
	first error           // of a lost call
}

// run returns the time from the first call's start to the last one's end. When
// ctx ends, no further call begins.
func (h *herd) run(ctx context.Context, send func(text string) error) time.Duration {
	start := time.Now()
	var wg sync.WaitGroup
	for range min(h.workers, h.n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := h.next.Add(1)
				if i > int64(h.n) {
					return
				}
				// A text of its own, by which the server knows a double.
				began := time.Now()
				err := send(fmt.Sprintf("message %d", i))
				h.ended(time.Since(began), err)
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

func (h *herd) ended(took time.Duration, err error) {
	if err == nil {
		h.delivered.Add(1)
	} else {
		h.lost.Add(1)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took = append(h.took, took)
	if h.first == nil {
		h.first = err
	}
}

// firstError is that of the first call that was lost; nil: none was.
func (h *herd) firstError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first
}

// row is what came of a herd that has ended.
func (h *herd) row(seconds time.Duration) row {
	r := row{
		Messages:  h.n,
		Delivered: int(h.delivered.Load()),
		Lost:      int(h.lost.Load()),
		Throttled: int(h.wire.throttled.Load()),
		Requests:  int(h.wire.requests.Load()),
		Seconds:   seconds.Seconds(),
		P99:       output.Percentile(h.took, 99).Seconds(),
	}
	if err := h.firstError(); err != nil {
		r.Error = err.Error()
	}
	return r
}
