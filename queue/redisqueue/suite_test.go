//go:build unix

package redisqueue_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/queuetest"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

var names atomic.Int64

// fresh returns a name for a queue that nobody has.
func fresh() redisqueue.Option { return redisqueue.Name(freshName()) }

func freshName() string { return fmt.Sprint("test-", os.Getpid(), "-", names.Add(1)) }

func client(tb testing.TB, s *redistest.Server) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func open(tb testing.TB, rdb redis.UniversalClient, opts ...redisqueue.Option) *redisqueue.Engine {
	tb.Helper()
	e, err := redisqueue.Open(context.WithoutCancel(tb.Context()), rdb, append([]redisqueue.Option{redisqueue.WithLogger(quiet)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// suite returns the conformance suite for engines on rdb.
func suite(rdb redis.UniversalClient, opts ...redisqueue.Option) queuetest.Suite {
	var of sync.Map // of queue.Engine to its name
	at := func(tb testing.TB, name string) queue.Engine {
		tb.Helper()
		e := open(tb, rdb, append(opts, redisqueue.Name(name))...)
		of.Store(queue.Engine(e), name)
		return e
	}
	name := func(e queue.Engine) string {
		n, _ := of.Load(e)
		return n.(string)
	}
	return queuetest.Suite{
		Open:  func(tb testing.TB) queue.Engine { return at(tb, freshName()) },
		Again: func(tb testing.TB, e queue.Engine) queue.Engine { return at(tb, name(e)) },
		Damage: func(tb testing.TB, e queue.Engine, id queue.ID) {
			key := "pacer:{" + name(e) + "}:r:" + string(id)
			is, err := rdb.Get(tb.Context(), key).Result()
			if err != nil || !strings.Contains(is, "+1555") {
				tb.Fatalf("%q, %v", is, err)
			}
			// A digit of the recipient's number: what decodes, and is another request.
			if err := rdb.Set(tb.Context(), key, strings.Replace(is, "+1555", "+1565", 1), 0).Err(); err != nil {
				tb.Fatal(err)
			}
		},
	}
}

func TestEngine(t *testing.T) {
	suite(client(t, redistest.For(t))).Run(t)
}
