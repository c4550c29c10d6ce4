//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A full store tells the time, and takes nothing new.
func TestDoctorSaysThatTheStoreIsFull(t *testing.T) {
	redistest.Need(t)
	addr := redistest.For(t).Addr
	look := func() (printed, finding) {
		p := do(t, "doctor", "--offline", "--json", "--queue", "redis://"+addr+"/0")
		return p, findingOf(t, decode[[]finding](t, p.out), "queue")
	}
	if _, f := look(); f.Result != fine {
		t.Errorf("%+v", f)
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	must(t, rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	if p, f := look(); p.code != exitPerson || f.Result != bad || !strings.Contains(f.Text, "raise maxmemory") {
		t.Errorf("%d: %+v", p.code, f)
	}
}

// A fullStore is an engine of which only this is used: it takes documents, or is full.
type fullStore struct {
	queue.Engine
	full bool
	puts int
}

func (*fullStore) Now(context.Context) (time.Time, error) { return time.Now(), nil }
func (*fullStore) Documents(context.Context, ...string) ([]queue.Document, error) {
	return nil, nil
}
func (*fullStore) Close() error { return nil }
func (s *fullStore) Put(_ context.Context, _ string, value []byte, _ int64) error {
	if value == nil {
		return nil
	}
	s.puts++
	if s.full {
		return fmt.Errorf("/var/lib/pacer/queue.db: %w", queue.ErrFull)
	}
	return nil
}

// A worker whose store is full is not ready. A store that is not is rarely written to for that.
func TestNotReadyWhileTheStoreIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fullStore{}
		q, err := queue.Open(store, queue.WithAccount(twiliotest.AccountSid))
		must(t, err)
		h := &health{q: q}
		h.running.Store(true)
		ask := func(seconds int) (err error) {
			for range seconds * 10 {
				err = h.ready()
				time.Sleep(time.Second / 10)
			}
			return err
		}
		if err := ask(60); err != nil || store.puts > 4 {
			t.Errorf("%v, and %d documents in a minute", err, store.puts)
		}
		store.full = true
		if err := ask(20); !errors.Is(err, queue.ErrFull) {
			t.Errorf("%v: expected that the store is full", err)
		}
		store.full = false
		if err := ask(6); err != nil {
			t.Error(err)
		}
	})
}
