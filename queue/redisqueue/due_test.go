package redisqueue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

// Of many that are due at once each call of Work makes Ready a part, and tells of all else that
// is Ready: who looks for work is not kept until the last one is.
func TestWorkMakesReadyAPartOfVeryManyThatAreDue(t *testing.T) {
	e := open(t, shared(t), redisqueue.Name(freshName()))
	job := func(i int, sender string) queue.Job {
		return queue.Job{
			ID:      queue.ID(fmt.Sprintf("job-%d", i)),
			Lane:    queue.Lane{Resource: pacer.Resource{Account: "AC1", Region: "us1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: sender}},
			Request: queue.Request{Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"},
		}
	}
	const many, most = 4000, 2000
	jobs := make([]queue.Job, many)
	for i := range jobs {
		jobs[i] = job(i, "+15005550006")
		jobs[i].Due = time.Now().Add(3 * time.Second)
	}
	for some := range slices.Chunk(jobs, 1000) {
		if _, err := e.Add(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(3 * time.Second)
	urgent := job(many, "+15005550001")
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
}
