package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer/otelqueue"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// enqueue is the part of the program that keeps what it sends in a durable queue, with a
// worker beside it. wait returns when it has ended, after ctx.
func enqueue(ctx context.Context, c *pacer.Client) (wait func(), err error) {
	dir, err := os.MkdirTemp("", "observability")
	if err != nil {
		return nil, err
	}
	engine, err := sqlitequeue.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return nil, errors.Join(err, engine.Close(), os.RemoveAll(dir))
	}
	unregister, err := otelqueue.Instrument(q) // all that the queue's metrics need
	if err != nil {
		return nil, errors.Join(err, q.Close(), os.RemoveAll(dir))
	}
	alerts, err := otelqueue.CountAlerts() // and those of the worker's alerts
	if err != nil {
		return nil, errors.Join(err, unregister(), q.Close(), os.RemoveAll(dir))
	}
	worker, err := queue.NewWorker(q, c, alerts, queue.WithGrace(time.Second))
	if err != nil {
		return nil, errors.Join(err, unregister(), q.Close(), os.RemoveAll(dir))
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := worker.Run(ctx); err != nil {
			slog.Error("the worker has ended", "error", err)
		}
	})
	running.Go(func() {
		every := time.NewTicker(500 * time.Millisecond)
		defer every.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			_, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error {
				p := &api.CreateMessageParams{}
				p.SetTo("+15005550009").SetFrom("+15005550010").SetBody(fmt.Sprint("order ", n, " is on its way"))
				_, err := tw.Api.CreateMessage(p)
				return err
			}, queue.Unique(fmt.Sprint("order-", n)))
			if err != nil && ctx.Err() == nil {
				slog.Error("not enqueued", "error", err)
			}
		}
	})
	return func() {
		running.Wait()
		if err := errors.Join(unregister(), q.Close(), os.RemoveAll(dir)); err != nil {
			slog.Error("closing the queue", "error", err)
		}
	}, nil
}
