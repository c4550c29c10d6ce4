package sqlitequeue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

func open(tb testing.TB, opts ...sqlitequeue.Option) *sqlitequeue.Engine {
	tb.Helper()
	e, err := sqlitequeue.Open(filepath.Join(tb.TempDir(), "queue.db"), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() })
	return e
}

func job(n, lane int) queue.Job {
	return queue.Job{
		ID:   queue.ID(fmt.Sprintf("job-%09d", n)),
		Lane: queue.Lane{Resource: pacer.Resource{Account: "AC1", Region: "us1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: fmt.Sprint(lane)}},
		Request: queue.Request{
			Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json",
			Form: map[string][]string{"To": {"+15550001234"}, "From": {"+15550009999"}, "Body": {strings.Repeat("x", 300)}},
		},
		Unique: fmt.Sprintf("key-%d", n),
	}
}

func TestSmoke(t *testing.T) {
	e := open(t)
	ctx := context.Background()
	if a, err := e.Add(ctx, []queue.Job{job(1, 0), job(2, 0), job(1, 0)}); err != nil {
		t.Fatal(a, err)
	}
	lanes, next, err := e.Work(ctx)
	t.Log(lanes, next, err)
	js, err := e.Claim(ctx, queue.Claim{Lane: lanes[0].Lane, Max: 10, Lease: time.Second, Oldest: true})
	t.Log(js, err)
	for _, j := range js {
		if err := e.Move(ctx, queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: 1, To: queue.Sent, Outcome: &queue.Outcome{SID: "SM1"}}); err != nil {
			t.Fatal(err)
		}
		g, err := e.Get(ctx, j.ID)
		t.Log(g, err)
	}
	l, err := e.List(ctx, queue.Filter{States: []queue.State{queue.Sent}, SID: "SM1"}, "", 10)
	t.Log(len(l), err)
	st, err := e.Stats(ctx)
	t.Log(st, err)
	w, err := e.Sweep(ctx, queue.Sweep{Max: 10, Keep: time.Nanosecond, Lease: time.Second})
	t.Log(w, err)
	f, err := e.Reserve(ctx, "x", 3, 2)
	t.Log(f, err)
	t.Log(e.Put(ctx, "a", []byte("b"), 0), e.Put(ctx, "a", []byte("b"), 0), e.Park(ctx, lanes[0].Lane.Resource, time.Now().Add(time.Hour)))
	t.Log(e.Documents(ctx))
	t.Log(e.CancelWaiting(ctx, "c", 10))
	t.Log(e.Await(ctx, time.Second), e.Await(ctx, time.Millisecond))
}

func BenchmarkAdd(b *testing.B) {
	e := open(b)
	for i := 0; b.Loop(); i++ {
		if _, err := e.Add(b.Context(), []queue.Job{job(i, 0)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdd500(b *testing.B) {
	e := open(b)
	n := 0
	for b.Loop() {
		jobs := make([]queue.Job, 500)
		for i := range jobs {
			jobs[i] = job(n, n%10)
			n++
		}
		if _, err := e.Add(b.Context(), jobs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "jobs/s")
}
