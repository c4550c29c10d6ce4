package sqlitequeue_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

// Of many that are due at once each call of Work makes Ready a part, and tells of all else that
// is Ready: who looks for work is not kept until the last one is.
func TestWorkMakesReadyAPartOfVeryManyThatAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		const many, most = 4000, 2000
		jobs := make([]queue.Job, many)
		due := time.Now().Add(time.Second)
		for i := range jobs {
			jobs[i] = job(i, 1)
			jobs[i].Due = due
		}
		if _, err := e.Add(t.Context(), jobs); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		urgent := job(many, 2)
		if _, err := e.Add(t.Context(), []queue.Job{urgent}); err != nil {
			t.Fatal(err)
		}
		ready := int64(0)
		for calls := 1; ready < many; calls++ {
			lanes, next, err := e.Work(t.Context())
			if err != nil || len(lanes) != 2 {
				t.Fatalf("%v, %v: expected the lane of what is due, and the other", lanes, err)
			}
			now := lanes[0].Ready
			if lanes[0].Lane == urgent.Lane {
				now = lanes[1].Ready
			}
			if now <= ready || now-ready > most {
				t.Fatalf("call %d has made %d Ready, expected 1 to %d", calls, now-ready, most)
			}
			if ready = now; (ready < many) != (next == 0) || ready == many && next != queue.Never {
				t.Fatalf("next is %v with %d of %d Ready", next, ready, many)
			}
		}
	})
}
