package queue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

func (w *world) workers() []queue.WorkerStatus {
	w.t.Helper()
	all, err := w.q.Workers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestWorkersSayThatTheyLive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 2 * time.Second})
		if all := w.workers(); len(all) != 0 {
			t.Fatalf("workers %+v: expected none", all)
		}
		stop := w.work(w.client(pacer.Limit{Resource: "*", Rate: 2}), queue.WithConcurrency(3))
		w.work(w.client(unlimited), queue.WithConcurrency(7))
		synctest.Wait()
		all := w.workers()
		if len(all) != 2 || all[0].ID == all[1].ID {
			t.Fatalf("workers %+v: expected two", all)
		}
		for _, s := range all {
			if s.Host == "" || s.PID != os.Getpid() || !s.Alive || !s.Started.Equal(s.Seen) || s.Concurrency != 3 && s.Concurrency != 7 || s.Clock.Abs() > time.Second {
				t.Errorf("worker %+v", s)
			}
		}
		time.Sleep(time.Minute)
		for _, s := range w.workers() {
			if !s.Alive || s.Seen.Sub(s.Started) < 55*time.Second {
				t.Errorf("worker %+v: expected it to live after a minute", s)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if all := w.workers(); len(all) != 1 || all[0].Concurrency != 7 {
			t.Errorf("workers %+v: expected the one that was not stopped", all)
		}
	})
}

// What a worker says of its pace is what it does.
func TestWorkersSayHowFastTheySend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.campaign("spring", queue.CampaignOptions{Rate: 50}, 500)
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1.9}))
		time.Sleep(58 * time.Second) // no request leaves in the moment of the last heartbeat
		s := w.workers()[0]
		if s.Pace < 1.8 || s.Pace > 2.2 || s.Campaigns["spring"] < 1.8 || s.Campaigns["spring"] > 2.2 {
			t.Errorf("pace %v, campaigns %v: expected 1.9 a second", s.Pace, s.Campaigns)
		}
		if len(s.Buckets) != 1 || s.Buckets[0].Rate != 1.9 || s.Buckets[0].Pace > 2 || s.Buckets[0].Pace < 1.8 || s.Buckets[0].Resource.Sender == "" || s.Buckets[0].Waiting < 1 {
			t.Errorf("buckets %+v: expected one that waits for 1.9 a second", s.Buckets)
		}
	})
}

// A worker that was killed is shown as dead for an hour, also while another one works on its host.
func TestVanishedWorkerIsShownAsDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		stop := w.work(w.client(unlimited))
		time.Sleep(time.Second)
		w.kill(stop)
		if all := w.workers(); len(all) != 1 || !all[0].Alive {
			t.Errorf("workers %+v: expected one that seems to live", all)
		}
		time.Sleep(20 * time.Second)
		if all := w.workers(); len(all) != 1 || all[0].Alive {
			t.Errorf("workers %+v: expected a dead one", all)
		}
		w.work(w.client(unlimited))
		synctest.Wait()
		if all := w.workers(); len(all) != 2 || all[0].Alive || !all[1].Alive {
			t.Errorf("workers %+v: expected the dead one and the new one", all)
		}
		time.Sleep(time.Hour)
		if all := w.workers(); len(all) != 1 || !all[0].Alive {
			t.Errorf("workers %+v: expected that the dead one is shown for an hour", all)
		}
	})
}

// kill stops a worker as if it had been killed: its last heartbeat stays.
func (w *world) kill(stop func() error) {
	w.t.Helper()
	const first = queue.HeartbeatPrefix + "00"
	docs, err := w.q.Engine().Documents(w.t.Context(), first)
	if err != nil || len(docs) != 1 {
		w.t.Fatalf("documents %v, %v: expected one heartbeat", docs, err)
	}
	if err := stop(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.q.Engine().Put(w.t.Context(), first, docs[0].Value, 0); err != nil {
		w.t.Fatal(err)
	}
}

// Whoever looks is told of a worker that has vanished, first that nothing is heard of it, until another one has started.
func TestWhyTellsOfAWorkerThatHasVanished(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.campaign("spring", queue.CampaignOptions{Rate: 50}, 5000)
		slow := pacer.Limit{Resource: "*", Rate: 2}
		stop := w.work(w.client(slow))
		time.Sleep(40 * time.Second)
		w.why(queue.About{}, queue.CauseLimit)
		w.kill(stop)
		time.Sleep(9 * time.Second)
		r := w.why(queue.About{}, queue.CauseSilent)
		if r.Stops || r.Do != "" || r.Until.IsZero() || !strings.Contains(r.Text, "has said nothing for ") {
			t.Errorf("%+v: expected that it is known soon", r)
		}
		w.whyNot(queue.CauseLimit)
		w.work(w.client(slow)) // on the same host, and so in place of the other
		time.Sleep(21 * time.Second)
		w.whyNot(queue.CauseSilent)
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		stop := w.work(w.client(unlimited))
		time.Sleep(time.Second)
		w.work(w.client(unlimited))
		time.Sleep(time.Minute)
		w.whyNot(queue.CauseSilent)
		w.kill(stop)
		w.enqueue("one")
		time.Sleep(21 * time.Second)
		r := w.why(queue.About{}, queue.CauseSilent)
		if r.Stops || !r.Until.IsZero() || !strings.Contains(r.Text, "UTC) has vanished.") || !strings.HasPrefix(r.Do, "start it again") {
			t.Errorf("%+v: expected what to do", r)
		}
		time.Sleep(time.Hour)
		w.whyNot(queue.CauseSilent)
	})
}

// Of two workers only the one is accused that Twilio has refused, and nobody once that is stopped.
func TestWhyNamesTheWorkerThatTwilioHasRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003, Times: 1})
		w.enqueue("one")
		stop := w.work(w.client(unlimited), queue.WithCredentialsFrom("WRONG", false))
		time.Sleep(time.Second)
		w.work(w.client(unlimited), queue.WithCredentialsFrom("RIGHT", false))
		time.Sleep(9 * time.Second)
		if r := w.why(queue.About{}, queue.CauseUnauthorized); !strings.Contains(r.Do, "set WRONG ") || strings.Contains(r.Do, "RIGHT") {
			t.Errorf("%q: expected the worker that was refused, and no other", r.Do)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if r := w.why(queue.About{}, queue.CauseUnauthorized); !strings.HasPrefix(r.Do, "end the hold") {
			t.Errorf("%q: expected that nobody has to be mended", r.Do)
		}
	})
}

// whyNot fails if the queue has a reason of a cause.
func (w *world) whyNot(cause queue.Cause) {
	w.t.Helper()
	reasons, err := w.q.Why(w.t.Context(), queue.About{})
	if err != nil || slices.ContainsFunc(reasons, func(r queue.Reason) bool { return r.Kind == cause }) {
		w.t.Errorf("reasons %+v, %v: expected no %q", reasons, err, cause)
	}
}

func TestManyWorkersHaveASlotEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		const n = 70
		for range n {
			w.work(w.client(unlimited))
		}
		synctest.Wait()
		time.Sleep(12 * time.Second)
		if all := w.workers(); len(all) != n {
			t.Errorf("%d workers: expected %d", len(all), n)
		}
	})
}

// A worker that ends again and again at its start does not fill the store with heartbeats.
func TestVanishedWorkersTakeABoundedNumberOfSlots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		now, err := w.q.Engine().Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for slot := range 63 {
			seen := now.Add(-time.Duration(60+slot) * time.Second)
			value := fmt.Appendf(nil, `{"v": "1.0", "id": "dead %02d", "host": "h", "started": %q, "seen": %q, "onWire": 3, "pace": 20}`, slot, seen.Format(time.RFC3339Nano), seen.Format(time.RFC3339Nano))
			if err := w.q.Engine().Put(t.Context(), fmt.Sprintf("%s%02d", queue.HeartbeatPrefix, slot), value, 0); err != nil {
				t.Fatal(err)
			}
		}
		w.work(w.client(unlimited))
		synctest.Wait()
		all, alive := w.workers(), 0
		for _, s := range all {
			if s.Alive {
				alive++
			} else if s.OnWire != 0 || s.Pace != 0 || s.ID == "dead 62" {
				t.Errorf("%+v: expected no live figures, and that the oldest one has made room", s)
			}
		}
		if len(all) != 63 || alive != 1 {
			t.Errorf("%d workers, of which %d live", len(all), alive)
		}
	})
}

func TestWatchTellsThatNobodyWorks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- w.q.Watch(ctx, func(a queue.Alert) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.alerts = append(w.alerts, a)
			})
		}()
		tell := func(what string, want int) {
			t.Helper()
			if n := w.alerted(queue.AlertNoWorker); n != want {
				t.Errorf("%s: %d alerts, expected %d", what, n, want)
			}
		}
		time.Sleep(2 * time.Minute)
		tell("nothing waits", 0)
		w.enqueue("one")
		time.Sleep(29 * time.Second)
		tell("for a moment nobody works", 0)
		time.Sleep(time.Minute)
		tell("nobody works", 1)
		stop := w.work(w.client(unlimited))
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		w.enqueue("two")
		time.Sleep(time.Minute)
		tell("again nobody works", 2)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
		if err := w.q.Watch(t.Context(), nil); err == nil {
			t.Error("Watch without a function: expected an error")
		}
	})
}

func TestWatchEndsWithTheStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if err := q.Watch(t.Context(), func(queue.Alert) {}); err == nil {
			t.Error("Watch of a closed queue: expected an error")
		}
	})
}
