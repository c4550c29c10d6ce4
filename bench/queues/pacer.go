package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// pacerStore is pacer's queue with its defaults, and with a client that knows no limits.
type pacerStore struct {
	queue  *queue.Queue
	engine queue.Engine
}

// slots are those of pacer's worker. Of so many the messages of three senders may have
// inFlight, and those of many senders two more. The worker keeps the others for what else
// comes.
const slots = 116

func openPacer(_ context.Context, path string) (store, error) {
	e, err := sqlitequeue.Open(path)
	if err != nil {
		return nil, err
	}
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return &pacerStore{q, e}, nil
}

func (s *pacerStore) add(ctx context.Context, m message) error {
	_, err := s.queue.Enqueue(ctx, m.create)
	return err
}

func (s *pacerStore) addMany(ctx context.Context, ms []message) error {
	_, err := s.queue.EnqueueMany(ctx, func(yield func(queue.Item) bool) {
		for _, m := range ms {
			if !yield(queue.Item{Build: m.create}) {
				return
			}
		}
	})
	return err
}

func (s *pacerStore) work(ctx context.Context, transport http.RoundTripper) error {
	set := credentials(transport)
	c, err := pacer.New(pacer.ClientParams{Username: set.User, Password: set.Password},
		pacer.WithHTTPClient(clients.HTTPClient(transport)),
		pacer.WithLimits(pacer.Limits{{Resource: "*", Rate: pacer.Unlimited}}),
	)
	if err != nil {
		return err
	}
	worker, err := queue.NewWorker(s.queue, c, queue.WithConcurrency(slots))
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}

func (s *pacerStore) unfinished(ctx context.Context) (int, error) {
	lanes, err := s.engine.Stats(ctx)
	var n int64
	for _, l := range lanes {
		n += l.Ready + l.Delayed + l.Sending + l.InDoubt
		if l.Failed > 0 {
			err = errors.Join(err, fmt.Errorf("%d messages of %s have failed", l.Failed, l.Lane))
		}
	}
	return int(n), err
}

func (s *pacerStore) find(ctx context.Context) error {
	_, _, err := s.engine.Work(ctx)
	return err
}

func (s *pacerStore) claim(ctx context.Context, sender string) error {
	lane := queue.Lane{Resource: pacer.Resource{Account: twiliotest.AccountSid, Region: "us1", Product: "api", Name: pacer.Messages, Op: pacer.Create, Sender: sender}}
	got, err := s.engine.Claim(ctx, queue.Claim{Lane: lane, Max: 1, Lease: time.Minute})
	if err == nil && len(got) == 0 {
		return errNothingWaits
	}
	return err
}

func (s *pacerStore) close() error { return s.queue.Close() }

var _ finder = (*pacerStore)(nil)
