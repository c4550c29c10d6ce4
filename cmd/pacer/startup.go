package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
)

// startsWithin is how long the worker waits for a store that is being started, as after a power failure. It is not for ever,
// as an address may be wrong, too.
const startsWithin = 2 * time.Minute

// awaitQueue opens the queue. As long as its store cannot be reached it tries again, and says so.
func (a *app) awaitQueue(ctx context.Context, log *slog.Logger) (*queue.Queue, error) {
	pauses := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond), backoff.WithMaxInterval(10*time.Second), backoff.WithMaxElapsedTime(startsWithin))
	q, err := backoff.RetryNotifyWithData(func() (*queue.Queue, error) {
		q, err := a.openQueue(ctx, false, log)
		if err != nil && !away(err) {
			err = backoff.Permanent(err)
		}
		return q, err
	}, backoff.WithContext(pauses, ctx), func(err error, in time.Duration) {
		log.Warn("pacer worker: the store cannot be reached, and is tried again: start it, or correct --queue", "error", err, "in", in.Round(time.Millisecond))
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = errors.New("stopped while the store could not be reached")
	}
	return q, err
}

// starting are the beginnings of Redis' errors while a server or a Cluster is not ready.
var starting = []string{"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"}

// away reports whether an error may end by itself: nobody listens yet, or the server is still reading its data.
func away(err error) bool {
	var network net.Error
	return errors.As(err, &network) || slices.ContainsFunc(starting, func(prefix string) bool { return redis.HasErrorPrefix(err, prefix) })
}
