package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"maragu.dev/goqite"
)

// goqiteStore is goqite with a worker as its README has it: receive, work, delete. Its
// jobs package would do the same.
type goqiteStore struct {
	db    *sql.DB
	queue *goqite.Queue
}

func openGoqite(ctx context.Context, path string) (store, error) {
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, goqiteSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("goqite's schema: %w", err), db.Close())
	}
	return &goqiteStore{db, goqite.New(goqite.NewOpts{DB: db, Name: "messages"})}, nil
}

// goqiteSchema is v0.4.0's schema_sqlite.sql, which its module does not export, but
// for "if not exists".
//
//go:embed goqite.sql
var goqiteSchema string

func (s *goqiteStore) add(ctx context.Context, m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.queue.Send(ctx, goqite.Message{Body: body})
}

func (s *goqiteStore) addMany(ctx context.Context, ms []message) error {
	for some := range slices.Chunk(ms, batchSize) {
		if err := s.addBatch(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (s *goqiteStore) addBatch(ctx context.Context, ms []message) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	for _, m := range ms {
		body, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := s.queue.SendTx(ctx, tx, goqite.Message{Body: body}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *goqiteStore) work(ctx context.Context, transport http.RoundTripper) error {
	rest := plainClient(ctx, transport)
	errs := make([]error, inFlight)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = s.workOne(ctx, func(m message) error { return m.create(rest) })
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *goqiteStore) workOne(ctx context.Context, send func(message) error) error {
	got, err := s.queue.ReceiveAndWait(ctx, 10*time.Millisecond)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	var m message
	if err := json.Unmarshal(got.Body, &m); err != nil {
		return err
	}
	if err := send(m); err != nil {
		return err
	}
	return s.queue.Delete(context.WithoutCancel(ctx), got.ID)
}

func (s *goqiteStore) unfinished(ctx context.Context) (n int, err error) {
	return n, s.db.QueryRowContext(ctx, `select count(*) from goqite`).Scan(&n)
}

func (s *goqiteStore) claim(ctx context.Context, _ string) error {
	m, err := s.queue.Receive(ctx)
	if err == nil && m == nil {
		return errNothingWaits
	}
	return err
}

func (s *goqiteStore) close() error { return s.db.Close() }
