package sqlitequeue_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
