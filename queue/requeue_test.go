package queue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A request that was requeued in a campaign that is over would wait for ever.
func TestRequeueIsRefusedOfACampaignThatIsOver(t *testing.T) {
	for name, want := range map[string]error{"expired": queue.ErrCampaignExpired, "cancelled": queue.ErrCampaignCancelled} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				c := w.campaign("spring", queue.CampaignOptions{Rate: 0.0001, Expires: time.Now().Add(time.Hour)}, 4)
				var ids []queue.ID
				for j, err := range w.q.List(t.Context(), queue.Filter{Campaign: "spring"}) {
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, j.ID)
				}
				for i, to := range []queue.State{queue.Cancelled, queue.Cancelled, queue.InDoubt} {
					if err := w.q.Engine().Move(t.Context(), queue.Move{ID: ids[i], From: []queue.State{queue.Ready}, To: to}); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.q.Requeue(t.Context(), ids[0]); err != nil {
					t.Errorf("while the campaign runs: %v", err)
				}
				w.is(ids[0], queue.Ready, 0)
				if want == queue.ErrCampaignCancelled {
					if err := c.Cancel(t.Context()); err != nil {
						t.Fatal(err)
					}
				} else {
					time.Sleep(2 * time.Hour)
					w.work(w.client(unlimited))
					time.Sleep(2 * time.Second)
				}
				if r, err := w.q.Result(t.Context(), ids[0]); err != nil || !r.State.Final() {
					t.Errorf("requeued in time: %v, %v: expected that it is over with its campaign", r.State, err)
				}
				for _, id := range ids[1:3] {
					if err := w.q.Requeue(t.Context(), id); !errors.Is(err, want) {
						t.Errorf("%v: expected %v", err, want)
					}
					cause := queue.CauseCancelled
					if id == ids[2] {
						cause = queue.CauseInDoubt
					}
					if r := w.why(queue.About{ID: id}, cause); !r.Over || !strings.Contains(r.Do, "its campaign is over") {
						t.Errorf("%+v: expected that its campaign is over", r)
					}
				}
				if err := c.Resume(t.Context()); !errors.Is(err, want) {
					t.Errorf("resume: %v: expected %v", err, want)
				}
			})
		})
	}
}
