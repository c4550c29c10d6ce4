package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
)

// alarms makes n requests that a worker parks in doubt, with an alert for each.
func (w *world) alarms(n int) queue.WorkerOption {
	w.t.Helper()
	w.moved(n, queue.Move{To: queue.InDoubt, LookIn: -time.Minute}, func(i int) string { return fmt.Sprint(i) })
	return queue.WithInDoubt(queue.ParkInDoubt)
}

func TestAlertFunctionCannotStopTheWorker(t *testing.T) {
	for name, tt := range map[string]struct {
		function func(w *world, a queue.Alert)
		panics   bool
		ends     time.Duration // of Run, after its context
	}{
		"panics":             {function: func(*world, queue.Alert) { panic("a bug of the program's") }, panics: true},
		"ends its goroutine": {function: func(*world, queue.Alert) { runtime.Goexit() }},
		"blocks for an hour": {function: func(*world, queue.Alert) { time.Sleep(time.Hour) }, ends: time.Second},
		"calls Requeue and Enqueue": {function: func(w *world, a queue.Alert) {
			if err := w.q.Cancel(context.Background(), a.ID); err != nil {
				w.t.Error(err)
			}
			if err := w.q.Requeue(context.Background(), a.ID); err != nil {
				w.t.Error(err)
			}
			if _, err := w.q.Enqueue(context.Background(), message(sender, receiver, "another"), queue.In(24*time.Hour)); err != nil {
				w.t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w, log := newWorld(t, twiliotest.Config{}), &logbook{}
				policy := w.alarms(20)
				stop := w.work(w.client(unlimited), log.option(), policy, queue.WithAlert(func(a queue.Alert) { tt.function(w, a) }))
				time.Sleep(time.Second)
				if n := w.alerted(queue.AlertInDoubt); n != 20 { // by the function that world has given
					t.Errorf("the other function was told of %d, expected 20", n)
				}
				orphan := w.orphan(30 * time.Second)
				w.enqueue("after")
				w.leaves(orphan, queue.Sending, 31*time.Second)
				if _, ok := w.sent()["after"]; !ok {
					t.Error("what was enqueued afterwards is not sent")
				}
				start := time.Now()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d != tt.ends {
					t.Errorf("Run took %v to return, expected %v", d, tt.ends)
				}
				time.Sleep(2 * time.Hour) // for a function that blocks
				if n := log.count("has panicked"); tt.panics != (n > 0) || tt.panics && log.count("deliver_test.go") < n {
					t.Errorf("%d panics are logged, with %d stacks", n, log.count("deliver_test.go"))
				}
				if want := map[bool]int{true: 1}[tt.ends > 0]; log.count("although a function given to WithAlert has not") != want {
					t.Errorf("that a function has not returned is logged %d times", log.count("although a function given to WithAlert has not"))
				}
			})
		})
	}
}

func TestAlertFunctionMayEndRunAndWaitForIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		var stop func() error
		started, ended := make(chan struct{}), make(chan time.Duration, 1)
		stop = w.work(w.client(unlimited), w.alarms(1), queue.WithAlert(func(queue.Alert) {
			<-started
			start := time.Now()
			_ = stop()
			ended <- time.Since(start)
		}))
		close(started)
		if d := <-ended; d != time.Second {
			t.Errorf("Run returned after %v, expected a second", d)
		}
	})
}

// Alerts reach a function one at a time, in order; beyond a thousand they are logged.
func TestAlertsWaitForASlowFunctionInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, log := newWorld(t, twiliotest.Config{}), &logbook{}
		const n = 1100
		policy := w.alarms(n)
		var mu sync.Mutex
		var got []time.Time
		running, release := 0, make(chan struct{})
		slow := queue.WithAlert(func(a queue.Alert) {
			mu.Lock()
			if running++; running > 1 {
				t.Error("called while it runs")
			}
			got = append(got, a.Time)
			mu.Unlock()
			<-release
			mu.Lock()
			running--
			mu.Unlock()
		})
		stop := w.work(w.client(unlimited), policy, slow, log.option())
		time.Sleep(time.Minute)
		if told := w.alerted(queue.AlertInDoubt); told != n {
			t.Errorf("the other function was told of %d, expected %d", told, n)
		}
		if lost := log.count("alerts_not_delivered="); lost != n-1001 || log.count("alerts_not_delivered=99") != 1 {
			t.Errorf("%d alerts are said to be not delivered, expected %d", lost, n-1001)
		}
		close(release)
		time.Sleep(time.Second)
		mu.Lock()
		if len(got) != 1001 {
			t.Errorf("%d delivered, expected 1,001", len(got))
		}
		for i := 1; i < len(got); i++ {
			if got[i].Before(got[i-1]) {
				t.Errorf("alert %d comes before the one that was raised earlier", i)
			}
		}
		mu.Unlock()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A handler is a logger's of the program's.
type handler struct{ handle func() }

func (h handler) Enabled(context.Context, slog.Level) bool  { return true }
func (h handler) Handle(context.Context, slog.Record) error { h.handle(); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h handler) WithGroup(string) slog.Handler             { return h }

func TestLoggerCannotStopTheWorker(t *testing.T) {
	for name, tt := range map[string]struct {
		handle func()
		ends   time.Duration
	}{
		"panics":             {func() { panic("a bug of the program's") }, 0},
		"ends its goroutine": {runtime.Goexit, 0},
		"blocks for an hour": {func() { time.Sleep(time.Hour) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				defaults := &logbook{}
				defer slog.SetDefault(slog.Default())
				slog.SetDefault(slog.New(slog.NewTextHandler(defaults, nil)))
				w := newWorld(t, twiliotest.Config{})
				policy := w.alarms(20)
				stop := w.work(w.client(unlimited), policy, queue.WithLogger(slog.New(handler{tt.handle})))
				w.enqueue("sent")
				time.Sleep(time.Second)
				w.once(1)
				if n := w.alerted(queue.AlertInDoubt); n != 20 {
					t.Errorf("%d alerts, expected 20", n)
				}
				start := time.Now()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d != tt.ends {
					t.Errorf("Run took %v to return, expected %v", d, tt.ends)
				}
				time.Sleep(2 * time.Hour) // for a handler that blocks
				if n := defaults.count("the logger given to WithLogger has panicked"); name == "panics" != (n > 0) {
					t.Errorf("slog.Default is told %d times of a logger that panics", n)
				}
			})
		})
	}
}

// Loops that a failing store ends early tell of it once, and say when they work again.
func TestLoopsOfAStoreThatFailsAreNotSilent(t *testing.T) {
	for name, tt := range map[string]struct {
		fail  func(*unreadable, error)
		about string
		after time.Duration
	}{
		"Sweep":              {func(u *unreadable, err error) { u.sweep = err }, "the sweep of leases", 10 * time.Second},
		"Stats":              {func(u *unreadable, err error) { u.stats = err }, "reading how much waits", time.Minute},
		"List of unreported": {func(u *unreadable, err error) { u.list = err }, "looking for results", 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w, f := newFaulty(t, twiliotest.Config{})
				log, u := &logbook{}, &unreadable{Engine: f}
				q, err := queue.Open(u, queue.WithAccount(twiliotest.AccountSid))
				if err != nil {
					t.Fatal(err)
				}
				w.q = q
				w.work(w.client(unlimited), log.option(), queue.WithOnResult(func(context.Context, queue.Result) error { return nil }))
				for round := 1; round <= 2; round++ {
					u.set(func() { tt.fail(u, errors.New("the disk is away")) })
					time.Sleep(tt.after)
					if n := w.alerted(queue.AlertStore); n != round || !strings.Contains(w.alerts[round-1].String(), tt.about) {
						t.Errorf("%d alerts, expected %d about %q: %v", n, round, tt.about, w.alerts)
					}
					u.set(func() { tt.fail(u, nil) })
					time.Sleep(tt.after)
					if n := log.count("works again"); n != round {
						t.Errorf("%d times in the log that it works again, expected %d", n, round)
					}
				}
				if n := log.count("is tried again"); n < 6 {
					t.Errorf("%d failures are logged, expected the first three of each round", n)
				}
			})
		})
	}
}

// An unreadable engine fails where the test says so.
type unreadable struct {
	queue.Engine
	mu                 sync.Mutex
	sweep, stats, list error
}

func (u *unreadable) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

func (u *unreadable) Sweep(ctx context.Context, s queue.Sweep) (queue.Swept, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sweep != nil {
		return queue.Swept{}, u.sweep
	}
	return u.Engine.Sweep(ctx, s)
}

func (u *unreadable) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stats != nil {
		return nil, u.stats
	}
	return u.Engine.Stats(ctx)
}

func (u *unreadable) List(ctx context.Context, f queue.Filter, after queue.ID, n int) ([]queue.Job, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.list != nil && f.Unreported {
		return nil, u.list
	}
	return u.Engine.List(ctx, f, after, n)
}

// What EnqueueMany calls may panic, block and call the queue: nothing is left locked or
// running, and what was stored is there.
func TestIteratorCannotStopTheQueue(t *testing.T) {
	item := func(i int) queue.Item { return queue.Item{Build: message(sender, receiver, fmt.Sprint(i))} }
	for name, tt := range map[string]struct {
		items  func(w *world, yield func(queue.Item) bool)
		stored int64
		panics bool
	}{
		"the iterator panics": {func(_ *world, yield func(queue.Item) bool) {
			for i := range 1500 {
				yield(item(i))
			}
			panic("a bug of the program's")
		}, 1000, true},
		"a build function panics": {func(_ *world, yield func(queue.Item) bool) {
			for i := range 1500 {
				yield(item(i))
			}
			yield(queue.Item{Build: func(*twilio.RestClient) error { panic("a bug of the program's") }})
		}, 1000, true},
		"the iterator calls the queue": {func(w *world, yield func(queue.Item) bool) {
			for i := range 1500 {
				if i%100 == 0 {
					w.enqueue(fmt.Sprint("inside ", i))
				}
				yield(item(i))
			}
		}, 1515, false},
		"a build function calls the queue": {func(w *world, yield func(queue.Item) bool) {
			yield(queue.Item{Build: func(tw *twilio.RestClient) error {
				w.enqueue("inside")
				return message(sender, receiver, "outside")(tw)
			}})
		}, 2, false},
		"the iterator blocks for an hour": {func(w *world, yield func(queue.Item) bool) {
			for i := range 1500 {
				yield(item(i))
			}
			start := time.Now()
			w.enqueue("meanwhile")
			if time.Since(start) > time.Second {
				w.t.Error("another Enqueue waits for the iterator")
			}
			time.Sleep(time.Hour)
		}, 1501, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { // a goroutine that is left fails the bubble
				w := newWorld(t, twiliotest.Config{})
				func() {
					defer func() {
						if p := recover(); (p != nil) != tt.panics {
							t.Errorf("panic %v", p)
						}
					}()
					done, err := w.q.EnqueueMany(t.Context(), func(yield func(queue.Item) bool) { tt.items(w, yield) })
					if err != nil {
						t.Errorf("%+v, %v", done, err)
					}
				}()
				if s, err := w.q.Stats(t.Context()); err != nil || s.Total.Ready != tt.stored {
					t.Errorf("%d are stored (%v), expected %d", s.Total.Ready, err, tt.stored)
				}
				w.enqueue("afterwards")
			})
		})
	}
}
