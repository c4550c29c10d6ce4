package sqlitequeue_test

import (
	"database/sql"
	"path/filepath"
	"sync"
	"testing"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/queuetest"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

// suite returns the conformance suite for engines opened with opts.
func suite(opts ...sqlitequeue.Option) queuetest.Suite {
	var paths sync.Map // of queue.Engine to string
	at := func(tb testing.TB, path string) queue.Engine {
		tb.Helper()
		e, err := sqlitequeue.Open(path, opts...)
		if err != nil {
			tb.Fatal(err)
		}
		paths.Store(queue.Engine(e), path)
		return e
	}
	path := func(e queue.Engine) string {
		p, _ := paths.Load(e)
		return p.(string)
	}
	return queuetest.Suite{
		Open: func(tb testing.TB) queue.Engine { return at(tb, filepath.Join(tb.TempDir(), "queue.db")) },
		Again: func(tb testing.TB, e queue.Engine) queue.Engine {
			tb.Helper()
			return at(tb, path(e))
		},
		Damage: func(tb testing.TB, e queue.Engine, id queue.ID) {
			tb.Helper()
			db, err := sql.Open("sqlite", path(e))
			if err != nil {
				tb.Fatal(err)
			}
			defer db.Close()
			// A digit of the recipient's number: what decodes, and is another request.
			r, err := db.Exec("UPDATE jobs SET request = cast(replace(cast(request AS TEXT), '+1555', '+1565') AS BLOB) WHERE id = ?", string(id))
			if err != nil {
				tb.Fatal(err)
			}
			if n, _ := r.RowsAffected(); n != 1 {
				tb.Fatalf("damaged %d jobs", n)
			}
		},
	}
}

func TestEngineVirtual(t *testing.T) {
	s := suite(sqlitequeue.WithoutSync())
	s.Virtual = true
	s.Run(t)
}

func TestEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("in real time, on the disk")
	}
	suite().Run(t)
}
