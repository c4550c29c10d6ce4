//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

// With Redis the test also kills the server, which has all that it has acknowledged on
// the disk (appendfsync always).

func init() { engines["redis"] = engine{open: openRedis, start: startRedis} }

func startRedis(dir string, shifted bool) (started, error) {
	if err := redistest.Installed(); err != nil {
		return started{}, err
	}
	var clock *shim
	if shifted {
		var err error
		if clock, err = newShim(dir, "redis-server"); err != nil {
			return started{}, err
		}
	}
	s, err := redistest.Start(dir, "--appendonly", "yes", "--appendfsync", "always")
	switch {
	case err != nil && clock != nil:
		return started{}, errors.Join(err, clock.close())
	case err != nil:
		return started{}, err
	case clock == nil:
		return started{store: s.Addr, stop: s.Kill, fails: s}, nil
	}
	stop := func() error { return errors.Join(s.Kill(), clock.close()) }
	return started{store: s.Addr, stop: stop, fails: s, clock: clock.set}, nil
}

// redisEngine closes its client, too.
type redisEngine struct {
	*redisqueue.Engine
	client *redis.Client
}

func (e redisEngine) Close() error {
	err := e.Engine.Close()
	_ = e.client.Close()
	return err
}

// openRedis has a client that is patient enough for a server that is being started again:
// a producer is not to give up.
func openRedis(t task) (queue.Engine, error) {
	c := redis.NewClient(&redis.Options{
		Addr: t.Store, MaxRetries: 20, MinRetryBackoff: 20 * time.Millisecond, MaxRetryBackoff: 300 * time.Millisecond,
	})
	e, err := redisqueue.Open(context.Background(), c)
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	return redisEngine{e, c}, nil
}
