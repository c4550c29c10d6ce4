package queue_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// EnqueueMany, from the function that makes the request to the disk.
func BenchmarkEnqueueMany(b *testing.B) {
	e, err := sqlitequeue.Open(filepath.Join(b.TempDir(), "queue.db"))
	if err != nil {
		b.Fatal(err)
	}
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	b.ReportAllocs()
	_, err = q.EnqueueMany(b.Context(), func(yield func(queue.Item) bool) {
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
