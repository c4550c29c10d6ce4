package queue_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	verify "github.com/twilio/twilio-go/rest/verify/v2"
)

// A queue of a subaccount, and a worker with the parent's credentials: Verify is charged to
// the parent, and so shares a limit with what the parent's client sends itself.
func TestWorkerIsChargedByItsCredentials(t *testing.T) {
	const sub = "AC00000000000000000000000000000002"
	bubble(t, func(t *testing.T) {
		e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		q, err := queue.Open(e, queue.WithAccount(sub))
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		w := &world{t: t, q: q, start: time.Now(), fake: twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "verify/Verifications", Rate: 5}}})}
		c := w.client(pacer.Limit{Resource: "verify/Verifications", Rate: 5})
		var ids []queue.ID
		for i := range 30 {
			id, err := q.Enqueue(t.Context(), verification(fmt.Sprintf("1%03d", i)))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		stop := w.work(c)
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				p := new(verify.CreateVerificationParams).SetTo(fmt.Sprintf("+15005552%03d", i)).SetChannel("sms")
				if _, err := c.VerifyV2.CreateVerification("VA0123456789abcdef0123456789abcdef", p); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			w.want(id, queue.Sent)
		}
		if n := w.fake.Stats().Throttled; n != 0 {
			t.Errorf("%d throttled at a known limit: it was used twice", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
