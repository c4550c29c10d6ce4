package queue_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// An otherClock is an engine whose clock is ahead of this machine's, as a Redis on another
// machine may be. Every time that goes in or comes out is of that clock.
type otherClock struct {
	queue.Engine
	ahead time.Duration
}

func (e *otherClock) shift(by time.Duration, times ...*time.Time) {
	for _, t := range times {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
}

func (e *otherClock) shown(jobs []queue.Job, err error) ([]queue.Job, error) {
	for i := range jobs {
		j := &jobs[i]
		e.shift(e.ahead, &j.Created, &j.Due, &j.Deadline, &j.Began, &j.Lease, &j.Look, &j.Finished)
	}
	return jobs, err
}

func (e *otherClock) Now(ctx context.Context) (time.Time, error) {
	t, err := e.Engine.Now(ctx)
	return t.Add(e.ahead), err
}

func (e *otherClock) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	own := append([]queue.Job(nil), jobs...)
	for i := range own {
		e.shift(-e.ahead, &own[i].Due, &own[i].Deadline)
	}
	return e.Engine.Add(ctx, own)
}

func (e *otherClock) Work(ctx context.Context) ([]queue.ReadyLane, time.Duration, error) {
	lanes, next, err := e.Engine.Work(ctx)
	for i := range lanes {
		e.shift(e.ahead, &lanes[i].Parked)
	}
	return lanes, next, err
}

func (e *otherClock) Park(ctx context.Context, p queue.Park) (time.Time, error) {
	until, err := e.Engine.Park(ctx, p)
	e.shift(e.ahead, &until)
	return until, err
}

func (e *otherClock) Holds(ctx context.Context) ([]queue.Hold, error) {
	holds, err := e.Engine.Holds(ctx)
	for i := range holds {
		e.shift(e.ahead, &holds[i].Since, &holds[i].Until)
	}
	return holds, err
}

func (e *otherClock) Claim(ctx context.Context, c queue.Claim) ([]queue.Job, error) {
	return e.shown(e.Engine.Claim(ctx, c))
}

func (e *otherClock) Get(ctx context.Context, id queue.ID) (queue.Job, error) {
	j, err := e.Engine.Get(ctx, id)
	jobs, err := e.shown([]queue.Job{j}, err)
	return jobs[0], err
}

func (e *otherClock) List(ctx context.Context, f queue.Filter, after queue.ID, max int) ([]queue.Job, error) {
	e.shift(-e.ahead, &f.LookBefore, &f.CreatedAfter, &f.CreatedBefore, &f.FinishedAfter, &f.FinishedBefore)
	return e.shown(e.Engine.List(ctx, f, after, max))
}

func (e *otherClock) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	lanes, err := e.Engine.Stats(ctx)
	for i := range lanes {
		e.shift(e.ahead, &lanes[i].Oldest, &lanes[i].Parked)
	}
	return lanes, err
}

// clockScenarios are what a worker does in time. Each returns how long things took.
var clockScenarios = []struct {
	name string
	run  func(*world) []time.Duration
}{
	{"a campaign's rate", func(w *world) (at []time.Duration) {
		w.campaign("spring", queue.CampaignOptions{Rate: 10}, 300)
		w.work(w.client(unlimited))
		time.Sleep(20 * time.Second)
		for _, n := range []int{10, 50, 100, 150} { // of 200
			at = append(at, w.fake.Messages()[n].Time.Sub(w.start))
		}
		return at
	}},
	{"a hold for as long as Twilio says, of all workers", func(w *world) []time.Duration {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 20429, RetryAfter: "20", Times: 1})
		first := w.enqueue("first")
		w.work(w.client(unlimited))
		time.Sleep(time.Second)
		w.work(w.client(unlimited)) // with a limiter of its own
		second := w.enqueue("second")
		w.want(first, queue.Sent)
		w.want(second, queue.Sent)
		return []time.Duration{w.sent()["first"], w.sent()["second"]}
	}},
	{"a hold that is lifted", func(w *world) []time.Duration {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 20429, RetryAfter: "600", Times: 1})
		id := w.enqueue("held")
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 100}))
		time.Sleep(10 * time.Second)
		j, err := w.q.Engine().Get(w.t.Context(), id)
		if err != nil || j.State != queue.Ready {
			w.t.Fatal(j, err)
		}
		s, err := w.q.Stats(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		return []time.Duration{s.Lanes[0].Parked.Sub(s.Time), s.Lanes[0].OldestAge}
	}},
	{"In", func(w *world) []time.Duration {
		w.work(w.client(unlimited))
		w.want(w.enqueue("soon", queue.In(5*time.Second)), queue.Sent)
		return []time.Duration{w.sent()["soon"]}
	}},
	{"a request in doubt", func(w *world) []time.Duration {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Times: 1})
		id := w.enqueue("doubtful")
		w.work(w.client(unlimited))
		r := w.want(id, queue.Sent)
		return []time.Duration{w.sent()["doubtful"], r.Finished.Sub(r.Enqueued)}
	}},
	{"a request that is found at Twilio", func(w *world) []time.Duration {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1})
		told := make(chan queue.Result, 1)
		w.enqueue("found")
		w.work(w.client(unlimited), queue.WithOnResult(func(_ context.Context, r queue.Result) error { told <- r; return nil }))
		r := <-told
		return []time.Duration{time.Since(w.start), r.Finished.Sub(r.Enqueued)}
	}},
	{"a request that is sent again without a look", func(w *world) []time.Duration {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Times: 1})
		id := w.enqueue("again")
		told := make(chan queue.Result, 1)
		w.work(w.client(unlimited), queue.WithInDoubt(queue.Resend), queue.WithOnResult(func(_ context.Context, r queue.Result) error { told <- r; return nil }))
		w.want(id, queue.Sent)
		r := <-told
		return []time.Duration{w.sent()["again"], r.Finished.Sub(r.Enqueued)}
	}},
	{"a result that a dead worker has not told", func(w *world) []time.Duration {
		id := w.enqueue("untold")
		if err := w.q.Engine().Move(w.t.Context(), queue.Move{ID: id, From: []queue.State{queue.Ready}, To: queue.Failed, Outcome: &queue.Outcome{Reason: "x"}}); err != nil {
			w.t.Fatal(err)
		}
		told := make(chan bool, 1)
		w.work(w.client(unlimited), queue.WithOnResult(func(context.Context, queue.Result) error { told <- true; return nil }))
		<-told
		return []time.Duration{time.Since(w.start)}
	}},
}

// An engine's clock that is off changes nothing of what a worker does, or says of how long
// it took. A pause has a random part of a second at most.
func TestEngineClockDiffersFromThisMachines(t *testing.T) {
	for _, s := range clockScenarios {
		t.Run(s.name, func(t *testing.T) {
			run := func(ahead time.Duration) (took []time.Duration) {
				t.Run(fmt.Sprint(ahead), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
						if err != nil {
							t.Fatal(err)
						}
						w := worldOn(t, &otherClock{e, ahead}, twiliotest.Config{Latency: 50 * time.Millisecond})
						took = s.run(w)
					})
				})
				return took
			}
			want := run(0)
			clocks := []time.Duration{3 * time.Hour, -30 * time.Second, 300 * time.Millisecond, time.Second, time.Minute, -5 * time.Second, -3 * time.Hour}
			for _, ahead := range clocks[:unlessShort(len(clocks), 2)] {
				for i, d := range run(ahead) {
					if off := (d - want[i]).Abs(); off > 1100*time.Millisecond {
						t.Errorf("with the engine's clock %v ahead number %d took %v: expected %v, as with the same clock", ahead, i, d, want[i])
					}
				}
			}
		})
	}
}

// A producer that cannot ask for the engine's clock goes by its own.
func TestInWithoutTheEnginesClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		w := worldOn(t, clockless{e}, twiliotest.Config{})
		j, err := e.Get(t.Context(), w.enqueue("soon", queue.In(5*time.Second)))
		if err != nil || time.Until(j.Due) != 5*time.Second {
			t.Errorf("due at %v, %v: expected 5 s from now", j.Due, err)
		}
	})
}

type clockless struct{ queue.Engine }

func (clockless) Now(context.Context) (time.Time, error) { return time.Time{}, errors.New("no clock") }
