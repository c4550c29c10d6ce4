package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
)

func (w *world) progress(c *queue.Campaign) queue.Progress {
	w.t.Helper()
	p, err := c.Progress(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// The README's campaign: 20 a second by one long code, which may send one a second.
func TestProgressSaysThatTheSenderLimitsACampaign(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		c := w.campaign("spring", queue.CampaignOptions{Rate: 20}, 200)
		w.work(w.client(pacer.Limit{Resource: pacer.Messages, Rate: 1}))
		for _, after := range []time.Duration{10 * time.Second, 50 * time.Second} {
			time.Sleep(after)
			p := w.progress(c)
			if p.LimitedBy != queue.LimitedBySender || p.Pace < 0.9 || p.Pace > 1.3 {
				t.Errorf("after %v: limited by %q at %v a second", after, p.LimitedBy, p.Pace)
			}
			if left, want := time.Until(p.ETA), time.Duration(p.Waiting)*time.Second; left < want*9/10 || left > want*11/10 {
				t.Errorf("after %v: it ends in %v, expected about %v", after, left, want)
			}
		}
	})
}

func TestProgressSaysWhatLimitsACampaign(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		c := w.campaign("spring", queue.CampaignOptions{Rate: 5}, 900)
		limited := func(what string, by queue.CampaignLimit, until time.Time) queue.Progress {
			t.Helper()
			p := w.progress(c)
			if p.LimitedBy != by || p.LimitedUntil.Sub(until).Abs() > time.Second {
				t.Errorf("%s: limited by %q until %v, expected %q until %v", what, p.LimitedBy, p.LimitedUntil, by, until)
			}
			return p
		}
		var never time.Time
		limited("no worker", queue.LimitedByWorker, never)
		w.work(w.client(unlimited), queue.WithConcurrency(2))
		time.Sleep(40 * time.Second)
		if p := limited("at its rate", queue.LimitedByRate, never); p.Pace < 4.5 || p.Pace > 5.5 {
			t.Errorf("pace %v, expected 5", p.Pace)
		}
		account := pacer.Resource{Account: twiliotest.AccountSid}
		until, err := w.q.Hold(t.Context(), account, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if p := limited("held", queue.LimitedByHold, until); p.ETA.Before(until) {
			t.Errorf("it ends at %v, although it is held until %v", p.ETA, until)
		}
		if err := w.q.EndHold(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		if err := c.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		limited("paused", queue.LimitedByPause, never)
		if err := c.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		opens := time.Now().Add(time.Hour).Truncate(time.Minute)
		window := &queue.Window{From: opens.UTC().Format("15:04"), To: opens.Add(time.Hour).UTC().Format("15:04"), Zone: "UTC"}
		if err := c.Update(t.Context(), queue.CampaignOptions{Rate: 5, Window: window}); err != nil {
			t.Fatal(err)
		}
		limited("outside its window", queue.LimitedByWindow, opens)
		if err := c.Update(t.Context(), queue.CampaignOptions{Rate: 10000}); err != nil {
			t.Fatal(err)
		}
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 201, Delay: 20 * time.Second}) // all that may be on the wire is
		time.Sleep(18 * time.Second)
		limited("the worker is busy", queue.LimitedByWorker, never)
		if err := c.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		limited("cancelled", "", never)
	})
}

// A sender that may send a little less than the campaign is what limits it, and the only reason.
func TestOnlyTheLowerOfTwoLimitsIsAReason(t *testing.T) {
	for rate, want := range map[float64]queue.Cause{10: queue.CauseLimit, 5: queue.CauseRate} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			c := w.campaign("spring", queue.CampaignOptions{Rate: rate}, 900)
			w.work(w.client(pacer.Limit{Resource: pacer.Messages, Rate: 9.8}))
			time.Sleep(40 * time.Second)
			reasons, err := w.q.Why(t.Context(), queue.About{Campaign: "spring"})
			if err != nil || len(reasons) != 1 || reasons[0].Kind != want {
				t.Errorf("at %v a second: %+v, %v: expected %q alone", rate, reasons, err, want)
			}
			if p := w.progress(c); (p.LimitedBy == queue.LimitedBySender) != (want == queue.CauseLimit) {
				t.Errorf("at %v a second: limited by %q", rate, p.LimitedBy)
			}
			if err := c.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			if reasons, err = w.q.Why(t.Context(), queue.About{}); err != nil || len(reasons) != 1 || reasons[0].Kind != queue.CausePaused {
				t.Errorf("paused: %+v, %v: expected no limit, as none is in its way", reasons, err)
			}
		})
	}
}

// Neither a pause nor credentials that are wrong make a time of which nobody knows anything.
func TestTheEndOfACampaignIsNotInvented(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		c := w.campaign("spring", queue.CampaignOptions{Rate: 5}, 2000)
		w.work(w.client(unlimited))
		time.Sleep(40 * time.Second)
		if err := c.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if err := c.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second)
		p := w.progress(c)
		if left, want := time.Until(p.ETA), time.Duration(p.Waiting)*time.Second/5; left < want*9/10 || left > want*11/10 {
			t.Errorf("after the pause: pace %v, it ends in %v, expected about %v", p.Pace, left, want)
		}
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003})
		time.Sleep(30 * time.Second)
		if p := w.progress(c); !p.ETA.IsZero() || p.LimitedBy != queue.LimitedByHold {
			t.Errorf("with credentials that are wrong: it ends at %v, limited by %q", p.ETA, p.LimitedBy)
		}
	})
}

func TestResultsAndFailuresNameTheirRecipient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		told := make(chan queue.Result, 10)
		w.work(w.client(unlimited), queue.WithOnResult(func(_ context.Context, r queue.Result) error { told <- r; return nil }))
		id := w.enqueue("one", queue.Unique("order-1234"))
		if r := <-told; r.ID != id || r.Recipient != receiver || r.Key != "order-1234" {
			t.Errorf("result %+v: expected its recipient and key", r)
		}
		if r := w.want(id, queue.Sent); r.Recipient != receiver || r.Key != "order-1234" {
			t.Errorf("result %+v: expected its recipient and key", r)
		}
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21211})
		c, err := w.q.Campaign(t.Context(), "spring", queue.CampaignOptions{Rate: 5})
		if err != nil {
			t.Fatal(err)
		}
		member := func(yield func(queue.Recipient) bool) { yield(queue.Recipient{ID: "member|7"}) }
		if _, err := c.Enqueue(t.Context(), member, func(tw *twilio.RestClient, r queue.Recipient) error {
			return message(sender, receiver, r.ID)(tw)
		}); err != nil {
			t.Fatal(err)
		}
		r := <-told
		if r.Recipient != "member|7" || r.Key != "" {
			t.Errorf("result %+v: expected the campaign's recipient", r)
		}
		for f, err := range c.Failures(t.Context()) {
			if err != nil || f.Recipient != "member|7" || f.Lane != r.Lane || f.Code != 21211 || time.Since(f.Finished) > time.Minute {
				t.Errorf("failure %+v, %v", f, err)
			}
		}
	})
}

func TestLaneIDTellsNothing(t *testing.T) {
	a := queue.Lane{Resource: pacer.Resource{Account: twiliotest.AccountSid, Product: "api", Sender: sender}}
	b := a
	b.Campaign = "spring"
	if a.ID() == b.ID() || len(a.ID()) != 12 {
		t.Errorf("IDs %s and %s: expected 12 digits, and another one for another lane", a.ID(), b.ID())
	}
}
