package queue_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// Enqueue, one after the other: a commit for each.
func BenchmarkEnqueue(b *testing.B) {
	q := onDisk(b)
	b.ReportAllocs()
	for i := range b.N {
		if _, err := q.Enqueue(b.Context(), message(sender, receiver, fmt.Sprint("hello ", i))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// EnqueueMany, from the function that makes the request to the disk.
func BenchmarkEnqueueMany(b *testing.B) {
	q := onDisk(b)
	b.ReportAllocs()
	_, err := q.EnqueueMany(b.Context(), func(yield func(queue.Item) bool) {
		for i := range b.N {
			if !yield(queue.Item{Build: message(sender, receiver, fmt.Sprint("hello ", i))}) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

func onDisk(b *testing.B) *queue.Queue {
	b.Helper()
	e, err := sqlitequeue.Open(filepath.Join(b.TempDir(), "queue.db"))
	if err != nil {
		b.Fatal(err)
	}
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := q.Close(); err != nil {
			b.Error(err)
		}
	})
	return q
}
