package sqlitequeue_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// BenchmarkCycle is a worker's: claim one, move it twice.
func BenchmarkCycle(b *testing.B) {
	e := open(b)
	fill(b, e, b.N, 10)
	var next atomic.Int64
	b.SetParallelism(25) // times two processors
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			jobs, err := e.Claim(b.Context(), queue.Claim{Lane: job(0, int(next.Add(1)%10)).Lane, Max: 1, Lease: time.Hour})
			if err != nil {
				b.Error(err)
				return
			}
			for _, j := range jobs {
				for _, to := range []queue.State{queue.Sending, queue.Sent} {
					if err := e.Move(b.Context(), queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: to, Lease: time.Hour}); err != nil {
						b.Error(err)
						return
					}
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkClaim claims one of few and of many waiting jobs.
func BenchmarkClaim(b *testing.B) {
	for _, size := range []struct{ jobs, lanes int }{{1000, 10}, {1_000_000, 10_000}} {
		e := open(b, sqlitequeue.WithoutSync())
		fill(b, e, size.jobs, size.lanes)
		name := fmt.Sprintf("%d jobs in %d lanes", size.jobs, size.lanes)
		b.Run("one of "+name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				jobs, err := e.Claim(b.Context(), queue.Claim{Lane: job(0, i%size.lanes).Lane, Max: 1, Lease: time.Hour, Oldest: i%10 == 0})
				if err != nil {
					b.Fatal(err)
				}
				for _, j := range jobs { // so that as many wait as before
					if err := e.Move(b.Context(), queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, To: queue.Ready}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run("Work with "+name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := e.Work(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Stats of "+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := e.Stats(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill adds n jobs to as many lanes as told.
func fill(b *testing.B, e *sqlitequeue.Engine, n, lanes int) {
	b.Helper()
	for at := 0; at < n; at += 500 {
		jobs := make([]queue.Job, min(500, n-at))
		for i := range jobs {
			jobs[i] = job(at+i, (at+i)%lanes)
		}
		if _, err := e.Add(b.Context(), jobs); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRetention deletes what was finished.
func BenchmarkRetention(b *testing.B) {
	e := open(b)
	fill(b, e, b.N, 10)
	for i := range b.N {
		if err := e.Move(b.Context(), queue.Move{ID: job(i, 0).ID, From: []queue.State{queue.Ready}, To: queue.Sent}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for {
		s, err := e.Sweep(b.Context(), queue.Sweep{Keep: time.Microsecond, Max: 500})
		if err != nil {
			b.Fatal(err)
		}
		if s.Deleted == 0 {
			break
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}
