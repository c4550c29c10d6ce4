//go:build unix

package redisqueue_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/queuetest"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

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

func TestEngine(t *testing.T) { suite(shared(t)).Run(t) }

func TestEngineOnDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("the same as TestEngine, slower")
	}
	suite(client(t, redistest.For(t, "--appendonly", "yes", "--appendfsync", "always"))).Run(t)
}

func TestEngineOnCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts three servers")
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: redistest.Addrs(redistest.ClusterFor(t))})
	defer c.Close()
	suite(c).Run(t)
}
