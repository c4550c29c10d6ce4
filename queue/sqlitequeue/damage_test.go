package sqlitequeue_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

// mixed fills an engine with jobs of every state, and returns them.
func mixed(t *testing.T, e *sqlitequeue.Engine, n int) map[queue.ID]queue.Job {
	t.Helper()
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	all := []queue.State{queue.Ready, queue.Delayed, queue.Sending, queue.InDoubt, queue.Sent, queue.Failed, queue.Cancelled}
	var jobs []queue.Job
	for i := range n {
		j := job(i, i%3)
		j.Priority = pacer.Priority(i%3 - 1)
		j.Labels = map[string]string{"order": fmt.Sprint(i)}
		if i%5 == 0 {
			j.Lane.Campaign = "spring"
		}
		if i%7 == 0 {
			j.Deadline = time.Now().Add(100 * time.Hour)
		}
		if i%11 == 0 {
			j.Due = time.Now().Add(time.Hour)
		}
		jobs = append(jobs, j)
	}
	_, err := e.Add(ctx, jobs)
	ok(err)
	_, err = e.Claim(ctx, queue.Claim{Lane: jobs[1].Lane, Max: n / 10, Lease: time.Hour})
	ok(err)
	for i, j := range jobs {
		to := all[i%len(all)]
		if to == queue.Ready {
			continue
		}
		m := queue.Move{ID: j.ID, From: all, To: to, Attempt: true, Lease: time.Hour, DueIn: time.Hour, Reported: i%2 == 0}
		if to == queue.Sent || to == queue.Failed {
			m.Outcome = &queue.Outcome{SID: fmt.Sprint("SM", i), Status: 201, Response: []byte(`{"sid": "x"}`)}
		}
		ok(e.Move(ctx, m))
	}
	ok(e.Put(ctx, "campaign/spring", []byte(`{"rate": 10}`), 0))
	stored := map[queue.ID]queue.Job{}
	list, err := e.List(ctx, queue.Filter{}, "", n+1)
	ok(err)
	for _, j := range list {
		stored[j.ID] = j
	}
	if len(stored) != n {
		t.Fatalf("%d jobs: expected %d", len(stored), n)
	}
	return stored
}

// The disk changes bytes. A job is what it was, or is said to be damaged; it is never
// another, and never sent as another.
func TestFlippedBytes(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 30
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.db")
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	stored := mixed(t, e, 70)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for seed := range seeds {
		outcomes[flip(t, dir, file, stored, seed)]++
	}
	t.Log(outcomes)
	if outcomes["a job is said to be damaged"] == 0 || outcomes["an error"] == 0 {
		t.Error("no damage was seen: the test does not do what it is to do")
	}
}

func flip(t *testing.T, dir string, file []byte, stored map[queue.ID]queue.Job, seed uint64) string {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	damaged := append([]byte(nil), file...)
	for range 1 + rnd.IntN(8) {
		damaged[rnd.IntN(len(damaged))] ^= byte(1 + rnd.IntN(255))
	}
	path := filepath.Join(dir, fmt.Sprintf("%d.db", seed))
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			os.Remove(path + suffix)
		}
	}()
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		return "not opened"
	}
	defer e.Close()
	ctx := t.Context()
	outcome := "nothing seen"
	// saw takes note of an error: any is a report, but that there is no such job.
	saw := func(err error) bool {
		if err != nil {
			outcome = "an error"
		}
		return err != nil
	}
	missing := 0
	for id, want := range stored {
		got, err := e.Get(ctx, id)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			missing++
		case saw(err):
		case got.Outcome.Reason == queue.ReasonDamaged:
			outcome = "a job is said to be damaged"
		case !reflect.DeepEqual(got, want):
			t.Fatalf("seed %d: Get returns another job:\n got %+v\nwant %+v", seed, got, want)
		}
	}
	checked := e.Check(ctx)
	if missing > 0 && checked == nil {
		t.Fatalf("seed %d: %d jobs are missing, and Check says nothing", seed, missing)
	}
	saw(checked)
	jobs, err := e.List(ctx, queue.Filter{}, "", 1000)
	saw(err)
	for _, got := range jobs {
		if want, ok := stored[got.ID]; got.Outcome.Reason != queue.ReasonDamaged && (!ok || !reflect.DeepEqual(got, want)) {
			t.Fatalf("seed %d: List returns another job:\n got %+v\nwant %+v", seed, got, want)
		}
	}
	docs, err := e.Documents(ctx)
	if !saw(err) && len(docs) > 0 && string(docs[0].Value) != `{"rate": 10}` {
		t.Fatalf("seed %d: another document: %+v", seed, docs)
	}
	_, _, err = e.Work(ctx)
	saw(err)
	_, err = e.Stats(ctx)
	saw(err)
	_, err = e.Sweep(ctx, queue.Sweep{Max: 100, Lease: time.Hour, Keep: time.Hour})
	saw(err)
	lanes := map[queue.Lane]bool{}
	for _, j := range stored {
		lanes[j.Lane] = true
	}
	for l := range lanes {
		for {
			claimed, err := e.Claim(ctx, queue.Claim{Lane: l, Max: 10, Lease: time.Hour})
			if saw(err) || len(claimed) == 0 {
				break
			}
			for _, got := range claimed {
				want := stored[got.ID]
				if want.State != queue.Ready || got.Claim != want.Claim+1 || !reflect.DeepEqual(got.Request, want.Request) || got.Lane != want.Lane || got.Priority != want.Priority ||
					!got.Due.Equal(want.Due) || !got.Deadline.Equal(want.Deadline) || !reflect.DeepEqual(got.Labels, want.Labels) {
					t.Fatalf("seed %d: claimed another job:\n got %+v\nwant %+v", seed, got, want)
				}
			}
		}
	}
	return outcome
}

// A lane whose flag says that it has nothing is not seen by Work; Check tells.
func TestCheckSeesAWrongFlag(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	mixed(t, e, 70)
	if err := e.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	defer db.Close()
	if _, err := db.Exec("UPDATE lanes SET ready = 0"); err != nil {
		t.Fatal(err)
	}
	if err := e.Check(t.Context()); !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("got %v: expected queue.ErrDamaged", err)
	}
}
