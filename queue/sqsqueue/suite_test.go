package sqsqueue_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/queuetest"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

// TestEngine has the suite work with an engine with a ledger, as a worker does.
func TestEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("in real time")
	}
	suite(t, false).Run(t)
}

// TestThroughSQS has each job of the suite travel through SQS.
func TestThroughSQS(t *testing.T) {
	if testing.Short() {
		t.Skip("in real time")
	}
	suite(t, true).Run(t)
}

type place struct {
	path, url string
	ledger    *shared // of those who send through SQS
}

// shared is a ledger that several engines use, as one on a server would be. With a file's
// connection for each they would spend the test waiting for each other's locks.
type shared struct {
	queue.Engine
	users atomic.Int64
}

func (l *shared) Close() error {
	if l.users.Add(-1) > 0 {
		return nil
	}
	return l.Engine.Close()
}

func suite(t *testing.T, sends bool) queuetest.Suite {
	emulator(t)
	var places sync.Map // of queue.Engine to place
	at := func(tb testing.TB, p place) queue.Engine {
		tb.Helper()
		if !sends {
			e := openAt(tb, p.url, p.path, quiet, sqsqueue.WithOperations("*"))
			places.Store(queue.Engine(e), p)
			return e
		}
		if p.ledger == nil || p.ledger.users.Load() == 0 {
			p.ledger = &shared{Engine: ledgerAt(tb, p.path)}
		}
		p.ledger.users.Add(1)
		e := &through{openOn(tb, p.url, p.ledger, quiet, sqsqueue.WithWindow(10_000), sqsqueue.WithOperations("*")), p.path}
		places.Store(queue.Engine(e), p)
		return e
	}
	where := func(e queue.Engine) place {
		p, _ := places.Load(e)
		return p.(place)
	}
	return queuetest.Suite{
		Open: func(tb testing.TB) queue.Engine {
			tb.Helper()
			url, _ := newQueue(tb, 10)
			return at(tb, place{path: newFile(tb), url: url})
		},
		Again: func(tb testing.TB, e queue.Engine) queue.Engine {
			tb.Helper()
			return at(tb, where(e))
		},
		Damage: func(tb testing.TB, e queue.Engine, id queue.ID) {
			tb.Helper()
			r, err := raw(tb, where(e).path).Exec("UPDATE jobs SET request = cast(replace(cast(request AS TEXT), '+1555', '+1565') AS BLOB) WHERE id = ?", string(id))
			if err != nil {
				tb.Fatal(err)
			}
			if n, _ := r.RowsAffected(); n != 1 {
				tb.Fatalf("damaged %d jobs", n)
			}
		},
	}
}

func raw(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// through adds by sending to SQS and waiting until the jobs are in the ledger. What SQS
// cannot do, and the suite wants, it does itself: it looks into the ledger's file for
// keys, refuses IDs that are there, lets one call of a file be at a time, and waits
// between lanes, as SQS keeps the order within a lane only. Jobs with a deadline of
// milliseconds, which the trip could take on a busy machine, it gives to the ledger.
type through struct {
	*sqsqueue.Engine
	path string
}

var adding sync.Map // of path to *sync.Mutex

func (e *through) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	mu, _ := adding.LoadOrStore(e.path, new(sync.Mutex))
	mu.(*sync.Mutex).Lock()
	defer mu.(*sync.Mutex).Unlock()
	for _, j := range jobs {
		if !j.Deadline.IsZero() && time.Until(j.Deadline) < time.Second {
			return e.Engine.Add(ctx, jobs)
		}
	}
	db, err := sql.Open("sqlite", "file:"+e.path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	added := make([]queue.Added, len(jobs))
	var fresh []queue.Job
	keys, ids := map[string]queue.ID{}, map[queue.ID]bool{}
	for i, j := range jobs {
		added[i].ID = j.ID
		if j.Unique != "" {
			holder, ok := keys[j.Unique]
			if !ok {
				err := db.QueryRowContext(ctx, "SELECT id FROM uniques WHERE key = ?", j.Unique).Scan(&holder)
				if err != nil && !errors.Is(err, sql.ErrNoRows) {
					return nil, err
				}
				ok = err == nil
			}
			if ok {
				added[i] = queue.Added{ID: holder, Known: true}
				continue
			}
			keys[j.Unique] = j.ID
		}
		if _, err := e.Get(ctx, j.ID); err == nil || ids[j.ID] {
			return nil, fmt.Errorf("job %s is there", j.ID)
		} else if !errors.Is(err, queue.ErrNotFound) {
			return nil, err
		}
		ids[j.ID] = true
		fresh = append(fresh, j)
	}
	for len(fresh) > 0 {
		n := 1
		for n < len(fresh) && fresh[n].Lane == fresh[0].Lane {
			n++
		}
		if _, err := e.Send(ctx, fresh[:n]); err != nil {
			return nil, err
		}
		for _, j := range fresh[:n] {
			for {
				_, err := e.Get(ctx, j.ID)
				if err == nil {
					break
				}
				if !errors.Is(err, queue.ErrNotFound) {
					return nil, err
				}
				time.Sleep(time.Millisecond)
			}
		}
		fresh = fresh[n:]
	}
	return added, nil
}
