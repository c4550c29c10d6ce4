package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

var perLane = flag.Int("per-lane", 10, "how many requests wait in each of 10,000 lanes; 100: a million in all, for which it takes a minute more")

// An asked store notes when something was read from it.
type asked struct {
	queue.Engine
	mu sync.Mutex
	at []time.Time
}

func (a *asked) note() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
}

const window = 5 * time.Second

// within returns how much was read in some time, and how much in the window of it in which most was.
func (a *asked) within(from, to time.Time) (n, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := 0
	for i, at := range a.at {
		for at.Sub(a.at[first]) >= window {
			first++
		}
		if !at.Before(from) && !at.After(to) {
			n, most = n+1, max(most, i-first+1)
		}
	}
	return n, most
}

func (a *asked) Work(ctx context.Context) ([]queue.ReadyLane, time.Duration, error) {
	a.note()
	return a.Engine.Work(ctx)
}

func (a *asked) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	a.note()
	return a.Engine.Stats(ctx)
}

func (a *asked) Holds(ctx context.Context) ([]queue.Hold, error) {
	a.note()
	return a.Engine.Holds(ctx)
}

func (a *asked) Get(ctx context.Context, id queue.ID) (queue.Job, error) {
	a.note()
	return a.Engine.Get(ctx, id)
}

func (a *asked) List(ctx context.Context, f queue.Filter, after queue.ID, most int) ([]queue.Job, error) {
	a.note()
	return a.Engine.List(ctx, f, after, most)
}

func (a *asked) Documents(ctx context.Context, names ...string) ([]queue.Document, error) {
	a.note()
	return a.Engine.Documents(ctx, names...)
}

func (a *asked) Put(ctx context.Context, name string, value []byte, version int64) error {
	a.note()
	return a.Engine.Put(ctx, name, value, version)
}

func (a *asked) Now(ctx context.Context) (time.Time, error) {
	a.note()
	return a.Engine.Now(ctx)
}

// fillLanes puts as many requests into each lane as -per-lane says, one lane after the other: each transaction has few of them.
// It returns the IDs of some.
func fillLanes(t *testing.T, e queue.Engine, lanes int) (some []string) {
	t.Helper()
	began := time.Now()
	r := queue.Request{Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json"}
	var batch []queue.Job
	for i := range lanes * *perLane {
		r.Form = map[string][]string{"To": {receiver}, "From": {fmt.Sprintf("+1500%07d", i / *perLane)}, "Body": {text}}
		j, err := queue.NewJob(r, twiliotest.AccountSid)
		must(t, err)
		if batch = append(batch, j); len(batch) == 10_000 {
			_, err := e.Add(t.Context(), batch)
			must(t, err)
			some = append(some, string(batch[0].ID))
			batch = batch[:0]
		}
	}
	t.Logf("%d requests enqueued in %d lanes in %v", lanes**perLane, lanes, time.Since(began).Round(time.Second))
	return some
}

// The pages of 10,000 lanes in which 100,000 requests wait, or a million (-per-lane 100). How long the overview takes is logged. What makes it quick is
// asserted: it has as much to draw as that of a small queue, and twenty browsers ask the store as rarely as one.
func TestDashboardInABrowserWithManyLanes(t *testing.T) {
	needBrowser(t)
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
	must(t, err)
	store := &asked{Engine: e}
	ids := fillLanes(t, e, 10_000)
	p := openPageOn(t, store)
	began := time.Now()
	p.serve(t)
	m := p.drive(t, "check.js", "large")
	if m["milliseconds"] <= 0 || m["lanes"] != 10_000 || m["waiting"] != float64(10_000**perLane) {
		t.Error(m)
	}
	if m["bytes"] > 16<<10 || m["nodes"] > 1500 {
		t.Errorf("the overview has %v bytes and %v nodes: it grows with the lanes", m["bytes"], m["nodes"])
	}
	opened := time.Now()
	m = p.drive(t, "twenty.js", ids[:min(len(ids), 20)]...)
	if m["browsers"] != 20 || m["fewest"] < 3 {
		t.Errorf("of 20 browsers one has drawn nothing: %v", m)
	}
	for name, from := range map[string]time.Time{"one browser or some": began, "twenty browsers": opened} {
		to := time.Now()
		n, most := store.within(from, to)
		t.Logf("%s: %d queries in %v, %d in the busiest %v", name, n, to.Sub(from).Round(time.Second), most, window)
		if most > 2*5+3 || n < 5 { // 11 if none is late: the first of them may be, on a busy machine
			t.Errorf("%s: %d queries in the busiest %v, expected two a second at most", name, most, window)
		}
	}
}
