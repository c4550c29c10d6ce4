package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/goredisstore.v9"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/redispacer"
)

// A cost is that of one call of a limiter's script.
type cost struct {
	Who      string  `json:"who"`
	Keys     int     `json:"keys"`
	Alone    float64 `json:"aloneMicros"` // median
	Together float64 `json:"togetherPerSecond"`
}

const together = 16

// A taker takes one token of the i-th key.
type taker struct {
	name string
	take func(ctx context.Context, key int) error
}

// costs measures for a while what a take costs with one key and with many, of all limiters in turns.
func costs(ctx context.Context, length time.Duration) (all []cost, err error) {
	dir, err := os.MkdirTemp("", "bench-fleet-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory for temporary files
	server, err := redistest.Start(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Kill()) }()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: together})
	defer rdb.Close() //nolint:errcheck // the server is killed
	takers, end, err := takersOn(rdb)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	counts := []int{1, 10_000}
	length /= time.Duration(2 * len(counts) * len(takers))
	for _, keys := range counts {
		for _, t := range takers {
			for key := range keys {
				if err := t.take(ctx, key); err != nil {
					return nil, fmt.Errorf("%s: %w", t.name, err)
				}
			}
			c := cost{Who: t.name, Keys: keys}
			if c.Alone, err = alone(ctx, t, keys, length); err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			if c.Together, err = atOnce(ctx, t, keys, length); err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// takersOn returns the limiters at a rate that never makes anyone wait.
func takersOn(rdb *redis.Client) ([]taker, func() error, error) {
	const plenty = 1e6
	limiter, err := redispacer.New(&redis.UniversalOptions{Addrs: []string{rdb.Options().Addr}, PoolSize: together, PoolTimeout: time.Second}, nil)
	if err != nil {
		return nil, nil, err
	}
	rr := redis_rate.NewLimiter(rdb)
	limit := redis_rate.Limit{Rate: plenty, Burst: plenty, Period: time.Second}
	gcra, err := goredisstore.NewCtx(rdb, "throttled:")
	if err != nil {
		return nil, nil, errors.Join(err, limiter.Close())
	}
	th, err := throttled.NewGCRARateLimiterCtx(gcra, throttled.RateQuota{MaxRate: throttled.PerSec(plenty), MaxBurst: plenty})
	if err != nil {
		return nil, nil, errors.Join(err, limiter.Close())
	}
	name := func(key int) string { return fmt.Sprintf("k%d", key) }
	return []taker{
		{"pacer", func(ctx context.Context, key int) error {
			_, err := limiter.Take(ctx, pacer.Resource{Account: "AC1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: name(key)}, pacer.Demand{N: 1, Rate: plenty, Burst: plenty})
			return err
		}},
		{"redis_rate", func(ctx context.Context, key int) error {
			_, err := rr.Allow(ctx, name(key), limit)
			return err
		}},
		{"throttled", func(ctx context.Context, key int) error {
			_, _, err := th.RateLimitCtx(ctx, name(key), 1)
			return err
		}},
	}, limiter.Close, nil
}

func alone(ctx context.Context, t taker, keys int, length time.Duration) (float64, error) {
	var took []time.Duration
	for start, i := time.Now(), 0; time.Since(start) < length; i++ {
		began := time.Now()
		if err := t.take(ctx, i*7919%keys); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Microseconds()), nil
}

func atOnce(ctx context.Context, t taker, keys int, length time.Duration) (float64, error) {
	var done, failed atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range together {
		wg.Go(func() {
			for i := w; time.Since(start) < length; i++ {
				if err := t.take(ctx, i*7919%keys); err != nil {
					failed.Add(1) // throttled gives up when others change the key at the same time
					continue
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if done.Load() == 0 {
		return 0, fmt.Errorf("all %d takes failed", failed.Load())
	}
	return float64(done.Load()) / time.Since(start).Seconds(), nil
}
