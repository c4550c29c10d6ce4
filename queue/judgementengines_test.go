//go:build unix

package queue_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

// realSecond is what a trial in real time takes for a second.
const realSecond = 30 * time.Millisecond

// The trials on engines that are servers are in real time.
func TestNothingIsDoubledOrLostOnRedis(t *testing.T) {
	server := redistest.For(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	realTrials(t, trialsOr(16, 4), func(t *testing.T, number uint64) queue.Engine {
		e, err := redisqueue.Open(context.Background(), rdb, redisqueue.WithLogger(slog.New(slog.DiscardHandler)), redisqueue.Name(fmt.Sprint("trial-", number)))
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}

// Messages come through SQS.
func TestNothingIsDoubledOrLostOnSQS(t *testing.T) {
	server := sqstest.For(t)
	dir := memoryDir(t)
	realTrials(t, trialsOr(8, 2), func(t *testing.T, number uint64) queue.Engine {
		url, _, err := server.Queue(t.Context(), fmt.Sprint("trial", number), 1000)
		if err != nil {
			t.Fatal(err)
		}
		ledger, err := sqlitequeue.Open(filepath.Join(dir, fmt.Sprint(number)), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		e, err := sqsqueue.Open(context.Background(), sqstest.Client(server.URL), url, ledger,
			sqsqueue.WithAddToSQS(), sqsqueue.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}

// realTrials runs so many trials, some at a time: they mostly wait.
func realTrials(t *testing.T, n int, open func(*testing.T, uint64) queue.Engine) {
	var all tally
	slots := make(chan struct{}, 16)
	t.Run("trials", func(t *testing.T) {
		for i := range uint64(n) {
			number := *firstTrial + i
			t.Run(fmt.Sprint(number), func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				e := open(t, number)
				tr := newTrial(number, realSecond)
				tr.run(t, e)
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				all.add(tr)
			})
		}
	})
	all.print(t)
}
