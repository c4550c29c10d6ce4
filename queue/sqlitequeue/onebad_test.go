package sqlitequeue_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

// statements damages a closed file past the engine. STRICT is left out meanwhile: what the
// disk changes does not ask for types either.
func statements(t *testing.T, path string, all ...string) {
	t.Helper()
	lax := func(from, to string) {
		t.Helper()
		db := raw(t, path)
		db.SetMaxOpenConns(1)
		for _, s := range []string{"PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = replace(sql, '" + from + "', '" + to + "') WHERE name IN ('jobs', 'lanes')"} {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	lax(") STRICT", ") ")
	db := raw(t, path)
	for _, s := range all {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	db.Close()
	lax(") ", ") STRICT")
}

// row returns where the row of a job has its state, in the bytes of a file.
func row(t *testing.T, file []byte, id queue.ID, state queue.State) int {
	t.Helper()
	for at := 0; ; {
		i := bytes.Index(file[at:], []byte(id))
		if i < 0 {
			t.Fatalf("job %s is not in the file", id)
		}
		at += i + len(id)
		rest := file[at:min(at+1000, len(file))]
		if next := bytes.Index(rest, []byte("job-")); next >= 0 {
			rest = rest[:next]
		}
		if n := bytes.Index(rest, []byte(state)); n >= 0 && bytes.Contains(rest[:n], []byte("Messages.json")) {
			return at + n
		}
	}
}

// One row that the disk or somebody has changed is condemned, wherever it is met first,
// and stops nobody.
func TestADamagedJobIsCondemnedAndStopsNobody(t *testing.T) {
	bad, good, lease := job(1, 0), job(2, 0), time.Hour
	update := func(set string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			statements(t, path, "UPDATE jobs SET "+set+" WHERE id = '"+string(bad.ID)+"'")
		}
	}
	flip := func(offset int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			state := queue.Ready
			if !rowHas(file, bad.ID, state) {
				state = queue.Sending
			}
			at := row(t, file, bad.ID, state)
			file[at+offset] ^= 1
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, damage := range map[string]func(*testing.T, string){
		"another state":            update("state = 'flying'"),
		"a due before all time":    update("due = -9223372036854775808"),
		"a due after all time":     update("due = 9223372036854775807"),
		"a due of words":           update("due = 'never'"),
		"a priority of 99":         update("priority = 99"),
		"a priority of words":      update("priority = 'x'"),
		"attempts of words":        update("attempts = 'x'"),
		"a claim of words":         update("claim = 'x', lease = 'y'"),
		"a lane that is not there": update("lane = 999"),
		"no request":               update("request = x''"),
		"a request of a number":    update("request = 7, labels = 8, mark = 0"),
		"a mark of 0":              update("mark = 0"),
		"a bit of its state":       flip(1),
		"a bit of its due":         flip(len("ready") + 6),
	} {
		for where, stage := range map[string]struct {
			before func(*testing.T, *sqlitequeue.Engine)
			after  func(*testing.T, *sqlitequeue.Engine)
		}{
			"ready": {func(*testing.T, *sqlitequeue.Engine) {}, func(t *testing.T, e *sqlitequeue.Engine) {
				for range 2 {
					jobs, err := e.Claim(t.Context(), queue.Claim{Lane: good.Lane, Max: 9, Lease: lease})
					if err != nil {
						t.Fatal(err)
					}
					for _, j := range jobs {
						if j.ID != good.ID {
							t.Fatalf("claimed %s: expected the other one alone", j.ID)
						}
					}
				}
			}},
			"sending, then moved": {claimAll, func(t *testing.T, e *sqlitequeue.Engine) {
				err := e.Move(t.Context(), queue.Move{ID: bad.ID, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Ready})
				var state *queue.StateError
				if err != nil && !errors.As(err, &state) {
					t.Fatalf("got %v: expected a StateError", err)
				}
			}},
			"sending, then recorded as sent": {claimAll, func(t *testing.T, e *sqlitequeue.Engine) {
				err := e.Move(t.Context(), queue.Move{ID: bad.ID, From: []queue.State{queue.Sending, queue.InDoubt}, To: queue.Sent, Outcome: &queue.Outcome{SID: "SM1"}})
				if err != nil {
					t.Fatal(err)
				}
			}},
			"sending, then swept": {claimAll, func(t *testing.T, e *sqlitequeue.Engine) {
				time.Sleep(2 * time.Millisecond)
			}},
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "queue.db")
				e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
				if err != nil {
					t.Fatal(err)
				}
				ctx := t.Context()
				if _, err := e.Add(ctx, []queue.Job{bad, good}); err != nil {
					t.Fatal(err)
				}
				stage.before(t, e)
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				damage(t, path)
				if e, err = sqlitequeue.Open(path, sqlitequeue.WithoutSync()); err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				work := func() []queue.ReadyLane {
					t.Helper()
					lanes, _, err := e.Work(ctx)
					if err != nil {
						t.Fatal(err)
					}
					return lanes
				}
				work()
				if _, err := e.List(ctx, queue.Filter{}, "", 9); err != nil {
					t.Fatal(err)
				}
				stage.after(t, e)
				for _, s := range []queue.Sweep{{Lease: lease, Keep: time.Hour, Max: 10}, {Lease: time.Microsecond, Keep: time.Hour, Max: 10}} {
					if _, err := e.Sweep(ctx, s); err != nil {
						t.Fatal(err)
					}
				}
				again, err := e.Claim(ctx, queue.Claim{Lane: good.Lane, Max: 9, Lease: lease})
				if err != nil || slices.ContainsFunc(again, func(j queue.Job) bool { return j.ID == bad.ID }) {
					t.Fatalf("claimed %v, %v: expected that it is never claimed", again, err)
				}
				if lanes := work(); len(lanes) != 0 {
					t.Errorf("lanes %v: expected that nothing is ready", lanes)
				}
				if _, err := e.Stats(ctx); err != nil {
					t.Error(err)
				}
				next := job(3, 0)
				if _, err := e.Add(ctx, []queue.Job{next}); err != nil {
					t.Fatal(err)
				}
				jobs, err := e.Claim(ctx, queue.Claim{Lane: next.Lane, Max: 9, Lease: lease})
				if err != nil || len(jobs) != 1 || jobs[0].ID != next.ID {
					t.Fatalf("claimed %v, %v: expected the next one", jobs, err)
				}
			})
		}
	}
}

func rowHas(file []byte, id queue.ID, s queue.State) bool {
	for at := 0; ; {
		i := bytes.Index(file[at:], []byte(id))
		if i < 0 {
			return false
		}
		at += i + len(id)
		rest := file[at:min(at+1000, len(file))]
		if next := bytes.Index(rest, []byte("job-")); next >= 0 {
			rest = rest[:next]
		}
		if n := bytes.Index(rest, []byte(s)); n >= 0 && bytes.Contains(rest[:n], []byte("Messages.json")) {
			return true
		}
	}
}

func claimAll(t *testing.T, e *sqlitequeue.Engine) {
	t.Helper()
	if jobs, err := e.Claim(t.Context(), queue.Claim{Lane: job(0, 0).Lane, Max: 9, Lease: time.Hour}); err != nil || len(jobs) != 2 {
		t.Fatalf("claimed %v, %v: expected two", jobs, err)
	}
}

// What waits in a lane whose row is damaged is not sent as another lane's, and stops
// nobody; the lane itself can be used again.
func TestADamagedLaneIsCondemnedAndStopsNobody(t *testing.T) {
	for _, set := range []string{"key = 'x'", "key = replace(key, 'AC1', 'AC2')", "sum = 0", "sum = 'x'", "bucket = 7, sum = 1", "high = 'x', sum = 0"} {
		t.Run(set, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if _, err := e.Add(ctx, []queue.Job{job(1, 0), job(2, 1)}); err != nil {
				t.Fatal(err)
			}
			e.Close()
			statements(t, path, "UPDATE lanes SET "+set+" WHERE id = 1")
			if e, err = sqlitequeue.Open(path, sqlitequeue.WithoutSync()); err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			for range 2 {
				lanes, _, err := e.Work(ctx)
				if err != nil || len(lanes) != 1 || lanes[0].Lane != job(2, 1).Lane {
					t.Fatalf("lanes %v, %v: expected the other one", lanes, err)
				}
			}
			j, err := e.Get(ctx, job(1, 0).ID)
			if err != nil || j.State != queue.Failed || j.Outcome.Reason != queue.ReasonDamaged || j.Lane != (queue.Lane{}) {
				t.Fatalf("got %+v, %v: expected it to have failed", j, err)
			}
			if stats, err := e.Stats(ctx); err != nil || len(stats) != 1 {
				t.Errorf("Stats %v, %v: expected one lane", stats, err)
			}
			if _, err := e.Add(ctx, []queue.Job{job(3, 0)}); err != nil {
				t.Fatal(err)
			}
			jobs, err := e.Claim(ctx, queue.Claim{Lane: job(3, 0).Lane, Max: 9, Lease: time.Hour})
			if err != nil || len(jobs) != 1 || jobs[0].ID != job(3, 0).ID {
				t.Fatalf("claimed %v, %v: expected the next one", jobs, err)
			}
		})
	}
}

// A document that is damaged does not hide the others.
func TestADamagedDocumentHasNoValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, name := range []string{"a", "b"} {
		if err := e.Put(t.Context(), name, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := raw(t, path).Exec("UPDATE documents SET value = 'y' WHERE name = 'a'"); err == nil {
		t.Fatal("a BLOB column has taken a text")
	}
	if _, err := raw(t, path).Exec("UPDATE documents SET value = x'79' WHERE name = 'a'"); err != nil {
		t.Fatal(err)
	}
	docs, err := e.Documents(t.Context())
	if err != nil || len(docs) != 2 || docs[0].Value != nil || string(docs[1].Value) != "x" {
		t.Fatalf("documents %+v, %v: expected the first without a value", docs, err)
	}
}
