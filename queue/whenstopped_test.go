package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
)

// A claiming engine sees claims, and can keep a process still after one.
type claiming struct {
	queue.Engine
	mu    sync.Mutex
	most  int           // jobs of one claim
	still time.Duration // after the next claim
}

func (c *claiming) Claim(ctx context.Context, claim queue.Claim) ([]queue.Job, error) {
	jobs, err := c.Engine.Claim(ctx, claim)
	c.mu.Lock()
	c.most = max(c.most, len(jobs))
	still := c.still
	if len(jobs) > 0 {
		c.still = 0
	}
	c.mu.Unlock()
	if len(jobs) > 0 {
		time.Sleep(still)
	}
	return jobs, err
}

// newClaiming returns a world whose engine is a claiming one.
func newClaiming(t *testing.T) (*world, *claiming) {
	t.Helper()
	w, f := newFaulty(t, twiliotest.Config{})
	c := &claiming{Engine: f}
	q, err := queue.Open(c, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	w.q = q
	return w, c
}

// claim does what a worker does that is killed right afterwards.
func (w *world) claim() {
	w.t.Helper()
	lanes, _, err := w.q.Engine().Work(w.t.Context())
	if err != nil || len(lanes) != 1 {
		w.t.Fatal(lanes, err)
	}
	jobs, err := w.q.Engine().Claim(w.t.Context(), queue.Claim{Lane: lanes[0].Lane, Max: 1, Lease: time.Minute})
	if err != nil || len(jobs) != 1 {
		w.t.Fatal(jobs, err)
	}
}

// between checks how long after the world's beginning it is.
func (w *world) between(from, to time.Duration) {
	w.t.Helper()
	if d := time.Since(w.start); d < from || d > to {
		w.t.Errorf("it is so after %v, expected after %v to %v", d, from, to)
	}
}

// What stops, dies, or is stopped.
var whenStopped = map[string]row{
	"worker stopped (Run's context ends)": {test: func(t *testing.T) {
		t.Run("all ends in time", alone(func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{Latency: 34 * time.Second})
			told := newDiary()
			onWire := w.enqueue("on the wire", label("x"))
			stop := w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}), queue.WithOnResult(func(_ context.Context, r queue.Result) error {
				defer told.begin(r.Labels["name"])()
				time.Sleep(time.Second / 2)
				return nil
			}))
			time.Sleep(100 * time.Millisecond)
			waiting := w.enqueue("waiting")
			if err := stop(); err != nil {
				t.Error(err)
			}
			w.between(34500*time.Millisecond, 35*time.Second)
			w.is(onWire, queue.Sent, 1)
			w.is(waiting, queue.Ready, 0)
			if n := len(told.of("x")); n != 1 {
				t.Errorf("told %d times, expected once", n)
			}
			w.raised(nil)
		}))
		t.Run("the grace period ends", alone(func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{Latency: 30 * time.Second})
			id := w.enqueue("on the wire")
			stop := w.work(w.client(unlimited), queue.WithGrace(3*time.Second))
			time.Sleep(time.Second)
			if err := stop(); err != nil {
				t.Error(err)
			}
			w.between(4*time.Second, 4*time.Second)
			w.is(id, queue.InDoubt, 1)
			w.raised(map[queue.AlertKind]int{queue.AlertStopped: 1})
		}))
		t.Run("by default after 35 s, and 8 more", alone(func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{Latency: time.Hour})
			id := w.enqueue("on the wire")
			stop := w.work(w.client(unlimited), queue.WithAttemptTimeout(time.Hour), queue.WithOnResult(func(context.Context, queue.Result) error { return nil }))
			time.Sleep(time.Second)
			if err := stop(); err != nil {
				t.Error(err)
			}
			w.between(36*time.Second, 44*time.Second)
			w.is(id, queue.InDoubt, 1)
		}))
	}},

	"worker killed before it claims": {shown: []string{"killtest TestKill"}, test: alone(func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		first, second := w.enqueue("one"), w.enqueue("two")
		stop := w.work(w.client(pacer.Limit{Resource: "*", Rate: 0.01}), queue.WithGrace(0))
		w.want(first, queue.Sent)
		time.Sleep(time.Second) // it waits for the turn of the second
		if err := stop(); err != nil {
			t.Error(err)
		}
		if j := w.is(second, queue.Ready, 0); j.Claim != 0 {
			t.Errorf("claimed %d times, expected never", j.Claim)
		}
		w.work(w.client(unlimited))
		w.want(second, queue.Sent)
		w.once(2)
	})},

	"worker killed after it claimed, before the first byte": {shown: []string{"killtest TestKill"}, test: alone(func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		id := w.enqueue("one")
		w.claim()
		w.work(w.client(unlimited))
		time.Sleep(59 * time.Second)
		w.is(id, queue.Sending, 0)
		time.Sleep(32 * time.Second)
		w.is(id, queue.InDoubt, 0)
		w.want(id, queue.Sent)
		w.between(210*time.Second, 220*time.Second)
		w.once(1)
		w.raised(nil)
	})},

	"worker killed after the first byte, or after the answer and before it is recorded": {shown: []string{"killtest TestKill"}, test: func(t *testing.T) {
		t.Run("after the first byte", alone(func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			id := w.enqueue("one")
			w.claim()
			w.other(sender, receiver, "one")
			w.work(w.client(unlimited))
			r := w.want(id, queue.Sent)
			w.between(93*time.Second, 98*time.Second)
			w.once(1)
			if r.SID != w.fake.Messages()[0].SID {
				t.Errorf("SID %q", r.SID)
			}
			w.raised(nil)
		}))
		t.Run("before the answer is recorded", alone(func(t *testing.T) {
			w, f := newFaulty(t, twiliotest.Config{})
			id := w.enqueue("one")
			f.set(func(f *faulty) { f.move = errors.New("the process is being killed") })
			stop := w.work(w.client(unlimited), queue.WithGrace(0))
			time.Sleep(time.Second)
			if err := stop(); err != nil {
				t.Error(err)
			}
			w.is(id, queue.Sending, 0)
			f.set(func(f *faulty) { f.move = nil })
			w.work(w.client(unlimited))
			w.want(id, queue.Sent)
			w.between(93*time.Second, 98*time.Second)
			w.once(1)
		}))
		t.Run("up to 8 are claimed at once", alone(func(t *testing.T) {
			w, c := newClaiming(t)
			for i := range 50 {
				w.enqueue(fmt.Sprint(i))
			}
			w.work(w.client(unlimited))
			time.Sleep(time.Second)
			w.once(50)
			if c.most != 8 {
				t.Errorf("%d were claimed at once, expected 8", c.most)
			}
		}))
	}},

	"worker killed after the result is recorded, before WithOnResult": {shown: []string{"killtest TestKill"}, test: alone(func(t *testing.T) {
		w, d := newWorld(t, twiliotest.Config{}), newDiary()
		w.unreported(1, func(int) string { return "x" })
		w.work(w.client(unlimited), queue.WithOnResult(func(_ context.Context, r queue.Result) error { d.begin(r.Labels["name"])(); return nil }))
		time.Sleep(time.Minute)
		if n := len(d.of("x")); n != 1 {
			t.Errorf("told %d times, expected once", n)
		}
	})},

	"the function of WithOnResult returns an error or panics": {shown: []string{"TestOnResultThatFailsIsToldAgainAfterGrowingPauses"}},
	"the function of WithOnResult blocks, or takes long":      {shown: []string{"TestOnResultThatBlocksDelaysNothing", "TestRunReturnsAfterItsGraceWhateverOnResultDoes"}},
	"a function of WithAlert, or the logger, blocks or panics": {shown: []string{
		"TestAlertFunctionCannotStopTheWorker", "TestAlertsWaitForASlowFunctionInOrder", "TestLoggerCannotStopTheWorker"}},

	"process stopped (SIGSTOP) and continued": {shown: []string{"TestSentTwiceIsTold", "TestClockJumpsAhead", "TestRequestIsLateByEitherClock"}, test: each(map[string]struct {
		still    time.Duration
		claims   int64
		doubtful bool
	}{
		"for less than half of the margin": {12 * time.Second, 1, false},
		"for more than half of the margin": {13 * time.Second, 2, false},
		"for longer than the lease":        {2 * time.Minute, 2, false},
	}, func(t *testing.T, c struct {
		still    time.Duration
		claims   int64
		doubtful bool
	}) {
		w, engine := newClaiming(t)
		engine.still = c.still
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		w.want(id, queue.Sent)
		if j := w.is(id, queue.Sent, 1); j.Claim != c.claims {
			t.Errorf("sent at claim %d, expected at %d", j.Claim, c.claims)
		}
		w.between(c.still, c.still+time.Second)
		w.once(1)
		w.raised(nil)
	})},

	"producer killed in the middle of EnqueueMany or Campaign.Enqueue": {shown: []string{"killtest TestKill", "TestIteratorCannotStopTheQueue", "TestEnqueueMany"}, test: func(t *testing.T) {
		const all, dies = 1200, 1100
		t.Run("EnqueueMany", alone(func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			items := func(until int) func(func(queue.Item) bool) {
				return func(yield func(queue.Item) bool) {
					for i := range all {
						if i == until {
							panic("killed")
						}
						if !yield(queue.Item{Build: message(sender, receiver, fmt.Sprint(i)), Options: []queue.EnqueueOption{queue.Unique(fmt.Sprint(i))}}) {
							return
						}
					}
				}
			}
			func() {
				defer func() { _ = recover() }()
				_, _ = w.q.EnqueueMany(t.Context(), items(dies))
			}()
			w.stored(1000)
			if _, err := w.q.EnqueueMany(t.Context(), items(all)); err != nil {
				t.Error(err)
			}
			w.stored(all)
		}))
		t.Run("Campaign.Enqueue", alone(func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			c, err := w.q.Campaign(t.Context(), "autumn", queue.CampaignOptions{Rate: 1})
			if err != nil {
				t.Fatal(err)
			}
			people := func(until int) func(func(queue.Recipient) bool) {
				return func(yield func(queue.Recipient) bool) {
					for i := range all {
						if i == until {
							panic("killed")
						}
						if !yield(queue.Recipient{ID: fmt.Sprint(i)}) {
							return
						}
					}
				}
			}
			build := func(tw *twilio.RestClient, r queue.Recipient) error { return message(sender, receiver, r.ID)(tw) }
			func() {
				defer func() { _ = recover() }()
				_, _ = c.Enqueue(t.Context(), people(dies), build)
			}()
			w.stored(1000)
			if n, err := c.Enqueue(t.Context(), people(all), build); err != nil || n.New != all-1000 || n.Known != 1000 {
				t.Errorf("%+v, %v", n, err)
			}
			w.stored(all)
		}))
	}},
}
