package sqlitequeue

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// What is done all the time takes no longer with a million jobs: SQLite finds it by an
// index, and in the order of one. A query that has changed falls back without a word.
func TestQueriesUseIndexes(t *testing.T) {
	e, err := Open(filepath.Join(t.TempDir(), "queue.db"), WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	// The writer's statements are those that it has prepared.
	ctx := t.Context()
	r := pacer.Resource{Account: "AC1"}
	j := queue.Job{ID: "1", Lane: queue.Lane{Campaign: "x", Resource: r}, Unique: "k", Request: queue.Request{Method: "GET", URL: "https://api.twilio.com/"}}
	delayed := j
	delayed.ID, delayed.Unique, delayed.Due = "2", "", time.Now().Add(time.Millisecond)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = e.Add(ctx, []queue.Job{j, delayed})
	must(err)
	time.Sleep(2 * time.Millisecond)
	_, _, err = e.Work(ctx)
	must(err)
	_, err = e.Claim(ctx, queue.Claim{Lane: j.Lane, Max: 1, Oldest: true, Lease: time.Hour})
	must(err)
	must(e.Move(ctx, queue.Move{ID: "1", From: []queue.State{queue.Sending, queue.Ready}, To: queue.Sent}))
	_, err = e.Sweep(ctx, queue.Sweep{Max: 1, Keep: time.Hour, Lease: time.Hour})
	must(err)
	_, err = e.CancelWaiting(ctx, "x", 1)
	must(err)
	queries := []string{selectDue, selectReady, selectJob, selectStats, selectPosition, selectDocument, selectSome}
	for text := range e.statements {
		if strings.HasPrefix(text, "SELECT") || strings.HasPrefix(text, "UPDATE") || strings.HasPrefix(text, "DELETE") {
			queries = append(queries, text)
		}
	}
	for _, f := range []queue.Filter{
		{Unreported: true}, {LookBefore: time.Now()}, {SID: "SM1"}, {States: []queue.State{queue.Failed}}, {States: []queue.State{queue.InDoubt}, Campaign: "x"},
	} {
		text, _, err := listing(f)
		must(err)
		queries = append(queries, text)
	}
	const atLeast = 20
	if len(queries) < atLeast {
		t.Errorf("%d queries: expected at least %d", len(queries), atLeast)
	}
	for _, q := range queries {
		n := strings.Count(q, "?")
		if strings.Contains(q, "?1") {
			n = 1
		}
		rows, err := e.readers.QueryContext(ctx, "EXPLAIN QUERY PLAN "+q, make([]any, n)...)
		must(err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			must(rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		must(rows.Err())
		for _, step := range plan {
			scans := strings.HasPrefix(step, "SCAN j") || strings.HasPrefix(step, "SCAN i") || strings.HasPrefix(step, "SCAN uniques") || strings.HasPrefix(step, "SCAN documents") || strings.HasPrefix(step, "SCAN lanes") && !strings.Contains(step, "INDEX")
			if scans && !strings.Contains(step, "USING INDEX jobs_") && !strings.Contains(step, "USING COVERING INDEX jobs_") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s\nis done by: %s", q, strings.Join(plan, "; "))
				break
			}
			if strings.Contains(step, "INTEGER PRIMARY KEY (rowid>?)") {
				t.Errorf("%s\nreads all jobs: %s", q, strings.Join(plan, "; "))
			}
		}
	}
}
