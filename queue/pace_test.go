package queue_test

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
)

const service = "MG" + "0123456789abcdef0123456789abcdef"

// enqueueAll stores n messages from one sender.
func (w *world) enqueueAll(n int, from string) {
	w.t.Helper()
	items := func(yield func(queue.Item) bool) {
		for i := range n {
			if !yield(queue.Item{Build: message(from, receiver, fmt.Sprintf("%s %d", from, i))}) {
				return
			}
		}
	}
	if done, err := w.q.EnqueueMany(w.t.Context(), items); err != nil || done.New != n {
		w.t.Fatal(done, err)
	}
}

// numbers are n of them, each with another number.
func numbers(n int) iter.Seq[queue.Recipient] {
	return func(yield func(queue.Recipient) bool) {
		for i := range n {
			if !yield(queue.Recipient{ID: fmt.Sprintf("+1500555%04d", i)}) {
				return
			}
		}
	}
}

func greet(tw *twilio.RestClient, r queue.Recipient) error {
	return message(service, r.ID, "hello "+r.ID)(tw)
}

func (w *world) campaign(name string, opts queue.CampaignOptions, n int) *queue.Campaign {
	w.t.Helper()
	c, err := w.q.Campaign(w.t.Context(), name, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	if done, err := c.Enqueue(w.t.Context(), numbers(n), greet); err != nil || done.New != n {
		w.t.Fatal(done, err)
	}
	return c
}

// accepted is how many messages of each sender were accepted in [from, to) after the start.
func (w *world) accepted(from, to time.Duration) map[string]int {
	n := make(map[string]int)
	for _, m := range w.fake.Messages() {
		if at := m.Time.Sub(w.start); at >= from && at < to {
			n[m.Sender]++
		}
	}
	return n
}

// A campaign of 50/s beside 100 lanes of 1/s: all hold their rates within 2 %, over a
// minute, with 250 ms for each answer.
func TestCampaignAndLanesHoldTheirRates(t *testing.T) {
	minute := unlessShort(time.Minute, 10*time.Second)
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 250 * time.Millisecond})
		seconds := int(minute / time.Second)
		lanes := unlessShort(100, 40)
		for i := range lanes {
			w.enqueueAll(seconds+10, fmt.Sprintf("+1500555%04d", i))
		}
		w.campaign("spring", queue.CampaignOptions{Rate: 50}, 60*(seconds+10))
		w.work(w.client(pacer.Limit{Resource: "Messages", Rate: 1}, pacer.Limit{Resource: "Messages", Sender: service, Rate: pacer.Unlimited}), queue.WithConcurrency(200))
		const warm = 8 * time.Second
		time.Sleep(warm + minute)
		n := w.accepted(warm, warm+minute)
		if rate := float64(n[service]) / minute.Seconds(); math.Abs(rate-50) > 1 {
			t.Errorf("the campaign went at %.2f/s, expected 50 within 2 %%", rate)
		}
		delete(n, service)
		if len(n) != lanes {
			t.Errorf("%d lanes were served, expected %d", len(n), lanes)
		}
		for from, sent := range n {
			// A bucket of pacer's lags its rate by up to 2 % (see BucketLimiter).
			if rate := float64(sent) / minute.Seconds(); math.Abs(rate-1) > 0.02+1/minute.Seconds() {
				t.Errorf("%s went at %.3f/s, expected 1 within 2 %%, and one", from, rate)
			}
		}
	})
}

// A changed rate is followed within a second, a pause at once, and what was enqueued
// again is sent once.
func TestCampaignFollowsItsSettings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 50 * time.Millisecond})
		const n = 2000
		c := w.campaign("spring", queue.CampaignOptions{Rate: 20}, n)
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Second)
		if err := c.SetRate(t.Context(), 200); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if err := c.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if sent := w.accepted(2*time.Second, 10*time.Second)[service]; sent < 157 || sent > 163 {
			t.Errorf("%d in 8 s at 20/s", sent)
		}
		if sent := w.accepted(11*time.Second, 15*time.Second)[service]; sent < 784 || sent > 816 {
			t.Errorf("%d in 4 s at 200/s, from a second after the change", sent)
		}
		if sent := w.accepted(16*time.Second, 25*time.Second)[service]; sent != 0 {
			t.Errorf("%d sent more than a second after the pause", sent)
		}
		if again, err := c.Enqueue(t.Context(), numbers(n), greet); err != nil || again.Known != n {
			t.Errorf("enqueued again: %+v, %v", again, err)
		}
		if err := c.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if p, err := c.Progress(t.Context()); err != nil || p.State != queue.CampaignDone || p.Sent != n {
			t.Errorf("progress %+v, %v", p, err)
		}
		w.once(n)
	})
}

// Two workers of two processes keep one campaign's rate between them.
func TestCampaignRateIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 20 * time.Millisecond})
		w.campaign("spring", queue.CampaignOptions{Rate: 30}, 1000)
		w.work(w.client(unlimited))
		w.work(w.client(unlimited))
		time.Sleep(22 * time.Second)
		if sent := w.accepted(2*time.Second, 22*time.Second)[service]; sent < 588 || sent > 612 {
			t.Errorf("%d in 20 s at 30/s", sent)
		}
	})
}

// Senders that are slower than the campaign leave its places to those that are not.
func TestSlowSendersDoNotSlowTheCampaign(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		c, err := w.q.Campaign(t.Context(), "spring", queue.CampaignOptions{Rate: 40})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		_, err = c.Enqueue(t.Context(), numbers(1500), func(tw *twilio.RestClient, r queue.Recipient) error {
			n++
			return message(fmt.Sprintf("+1500555%04d", n%60), r.ID, "hello "+r.ID)(tw)
		})
		if err != nil {
			t.Fatal(err)
		}
		w.work(w.client(pacer.Limit{Resource: "Messages", Rate: 1}))
		time.Sleep(25 * time.Second)
		total := 0
		for _, sent := range w.accepted(5*time.Second, 25*time.Second) {
			total += sent
		}
		if total < 780 || total > 816 { // 800
			t.Errorf("%d in 20 s of 60 senders at 1/s each in a campaign of 40/s", total)
		}
	})
}

// What somebody waits for goes before the campaign from the same sender, on the bucket
// that both share.
func TestHighOvertakesACampaign(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.campaign("spring", queue.CampaignOptions{Rate: 100}, 500)
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 10}))
		time.Sleep(5 * time.Second)
		var waits []time.Duration
		for i := range 10 {
			enqueued := time.Since(w.start)
			body := fmt.Sprintf("otp %d", i)
			w.want(w.enqueueFrom(service, body, queue.High), queue.Sent)
			waits = append(waits, w.sent()[body]-enqueued)
			time.Sleep(700 * time.Millisecond)
		}
		if worst := slices.Max(waits); worst > 250*time.Millisecond {
			t.Errorf("one-time passwords waited for %v, expected one turn of 100 ms or two", waits)
		}
	})
}

// What a throttle sends back to its place after its campaign was cancelled is cancelled,
// too.
func TestCancelledCampaignLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 2 * time.Second})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "5", Delay: 2 * time.Second, Match: isMessage})
		c := w.campaign("spring", queue.CampaignOptions{Rate: 10}, 100)
		w.work(w.client(unlimited))
		time.Sleep(time.Second)
		if err := c.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if p, err := c.Progress(t.Context()); err != nil || p.Cancelled != 100 || p.Waiting != 0 {
			t.Errorf("%+v, %v: expected all 100 cancelled", p, err)
		}
		w.once(0)
	})
}
