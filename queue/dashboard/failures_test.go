package dashboard

import (
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// A list of recipients may have anything for an ID, and so may the text of an error. No spreadsheet may take it for a formula.
func TestNoCellOfFailuresIsAFormula(t *testing.T) {
	s, ctx := open(t), t.Context()
	c, err := s.q.Campaign(ctx, "spring", queue.CampaignOptions{Rate: 20})
	if err != nil {
		t.Fatal(err)
	}
	one := func(yield func(queue.Recipient) bool) { yield(queue.Recipient{ID: "+A1"}) }
	if _, err := c.Enqueue(ctx, one, func(tw *twilio.RestClient, _ queue.Recipient) error {
		p := &api.CreateMessageParams{}
		_, err := tw.Api.CreateMessage(p.SetTo(receiver).SetFrom(sender).SetBody(text))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	e := s.q.Engine()
	lanes, _, err := e.Work(ctx)
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	jobs, err := e.Claim(ctx, queue.Claim{Lane: lanes[0].Lane, Max: 1, Lease: time.Minute})
	if err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	m := queue.Move{ID: jobs[0].ID, From: []queue.State{queue.Sending}, To: queue.Failed, Outcome: &queue.Outcome{Code: 21211, Status: 400, Reason: "=A2 of " + receiver}}
	if err := e.Move(ctx, m); err != nil {
		t.Fatal(err)
	}
	s.d.view.changed() // what was read before is not valid any more
	w := s.do("GET", "/api/failures.csv?name=spring", "")
	if text := w.Body.String(); !strings.Contains(text, "\n'+A1,failed,21211,'=A2 of ") || strings.Contains(text, receiver) {
		t.Error(text)
	}
}
