package sqlitequeue_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

// A file of the first version, with jobs in every state, is used.
func TestMigrateFromVersion1(t *testing.T) {
	dump, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	db := raw(t, path)
	if _, err := db.Exec(string(dump)); err != nil {
		t.Fatal(err)
	}
	db.Close()
	e, err := sqlitequeue.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx := t.Context()
	jobs, err := e.List(ctx, queue.Filter{}, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(ctx); err != nil {
		t.Fatal(err)
	}
	states := map[queue.State]int{}
	var sid string
	var ready queue.Job
	for _, j := range jobs {
		if j.Outcome.Reason == queue.ReasonDamaged || j.Request.Form["Body"] == nil || j.Labels["order"] == "" {
			t.Fatalf("job %s is not as it was stored", j.ID)
		}
		states[j.State]++
		if j.Outcome.SID != "" {
			sid = j.Outcome.SID
		}
		if j.State == queue.Ready {
			ready = j
		}
	}
	if len(jobs) != 21 || len(states) != 7 {
		t.Fatalf("%d jobs, of states %v: expected 21 of all states", len(jobs), states)
	}
	if found, err := e.List(ctx, queue.Filter{SID: sid}, "", 10); err != nil || len(found) != 1 {
		t.Fatalf("by SID: %d, %v: expected one", len(found), err)
	}
	if _, err := e.Park(ctx, queue.Park{Resource: ready.Lane.Resource, For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	claimed, err := e.Claim(ctx, queue.Claim{Lane: ready.Lane, Max: 100, Lease: time.Hour})
	if err != nil || len(claimed) == 0 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	for _, j := range claimed {
		if err := e.Move(ctx, queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.Sent}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Check(ctx); err != nil {
		t.Fatal(err)
	}
}
