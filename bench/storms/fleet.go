package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/internal/token"
	"github.com/twilio-pacer/pacer/internal/token/storemodel"
	"github.com/twilio/twilio-go"
)

// usualStore is how the store of a fleet answers: 2 ms is a network's way and back, and one answer in twenty is late.
var usualStore = storemodel.Trouble{Latency: 2 * time.Millisecond, Late: 0.05, LateBy: 300 * time.Millisecond}

// sharing is pacer in n processes that share their limits in a store.
func sharing(n int) func(context.Context, clients.Setup, float64) []*twilio.RestClient {
	return func(ctx context.Context, s clients.Setup, told float64) []*twilio.RestClient {
		store := storemodel.New[pacer.Resource]()
		store.Change(func(t *storemodel.Trouble) { *t = usualStore })
		var all []*twilio.RestClient
		for i := range n {
			way := &process{}
			limiter, err := pacer.NewSharedLimiter(limitsOf(told), way)
			if err != nil {
				panic(err)
			}
			way.store = store.Join(fmt.Sprint("process ", i), func(r pacer.Resource, hold time.Duration, tooLong bool) {
				limiter.Hold(r, pacer.Outcome{Throttled: true, RetryAfter: hold, TooLong: tooLong})
			})
			all = append(all, paced(ctx, s, pacer.WithLimiter(limiter)))
		}
		return all
	}
}

// A process is one process's way to the store.
type process struct {
	store *storemodel.Member[pacer.Resource]
}

// Take implements [pacer.BucketStore].
func (p *process) Take(_ context.Context, r pacer.Resource, d pacer.Demand) (pacer.Grant, error) {
	g, err := p.store.Take(r, token.Demand(d))
	return pacer.Grant(g), err
}
