package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// riverStore is River with its defaults, but for how often it fetches: see work.
type riverStore struct {
	db       *sql.DB
	driver   *riversqlite.Driver
	inserter *river.Client[*sql.Tx]
}

// Kind names the job to River.
func (message) Kind() string { return "message" }

func openRiver(ctx context.Context, path string) (store, error) {
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	s := &riverStore{db: db, driver: riversqlite.New(db)}
	migrator, err := rivermigrate.New(s.driver, &rivermigrate.Config{Logger: quiet})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err == nil {
		s.inserter, err = river.NewClient(s.driver, &river.Config{Logger: quiet})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("river: %w", err), db.Close())
	}
	return s, nil
}

var quiet = slog.New(slog.DiscardHandler)

func (s *riverStore) add(ctx context.Context, m message) error {
	_, err := s.inserter.Insert(ctx, m, nil)
	return err
}

func (s *riverStore) addMany(ctx context.Context, ms []message) error {
	for some := range slices.Chunk(ms, batchSize) {
		params := make([]river.InsertManyParams, len(some))
		for i, m := range some {
			params[i] = river.InsertManyParams{Args: m}
		}
		if _, err := s.inserter.InsertManyFast(ctx, params); err != nil {
			return err
		}
	}
	return nil
}

// work fetches as often as River's own benchmark does, every 2 ms at most. With its
// default, every 100 ms, 100 workers could not do more than 1,000 jobs per second.
func (s *riverStore) work(ctx context.Context, transport http.RoundTripper) error {
	rest := plainClient(ctx, transport)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[message]) error {
		return job.Args.create(rest)
	}))
	c, err := river.NewClient(s.driver, &river.Config{
		Logger: quiet, Workers: workers,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: inFlight}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	goesOn := context.WithoutCancel(ctx) // Stop is the end that loses nothing
	if err := c.Start(goesOn); err != nil {
		return err
	}
	<-ctx.Done()
	return c.Stop(goesOn)
}

func (s *riverStore) unfinished(ctx context.Context) (n int, err error) {
	return n, s.db.QueryRowContext(ctx, `select count(*) from river_job where state <> 'completed'`).Scan(&n)
}

// claim calls the driver as River's producer does: the client has no method for it.
func (s *riverStore) claim(ctx context.Context, _ string) error {
	got, err := s.driver.GetExecutor().JobGetAvailable(ctx, &riverdriver.JobGetAvailableParams{
		ClientID: "bench", MaxAttemptedBy: 100, MaxToLock: 1, Queue: river.QueueDefault,
	})
	if err == nil && len(got.Jobs) == 0 {
		return errNothingWaits
	}
	return err
}

func (s *riverStore) close() error { return s.db.Close() }
