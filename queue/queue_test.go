package queue_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// A faulty engine fails, where the test says so.
type faulty struct {
	queue.Engine
	mu              sync.Mutex
	add, work, move error
}

func (f *faulty) set(change func(*faulty)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faulty) err(of func(*faulty) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return of(f)
}

func (f *faulty) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	if err := f.err(func(f *faulty) error { return f.add }); err != nil {
		return nil, err
	}
	return f.Engine.Add(ctx, jobs)
}

func (f *faulty) Work(ctx context.Context) ([]queue.ReadyLane, time.Duration, error) {
	if err := f.err(func(f *faulty) error { return f.work }); err != nil {
		return nil, 0, err
	}
	return f.Engine.Work(ctx)
}

func (f *faulty) Move(ctx context.Context, m queue.Move) error {
	if err := f.err(func(f *faulty) error { return f.move }); err != nil {
		return err
	}
	return f.Engine.Move(ctx, m)
}

func newFaulty(t *testing.T, cfg twiliotest.Config) (*world, *faulty) {
	t.Helper()
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Engine: e}
	q, err := queue.Open(f, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return &world{t: t, q: q, fake: twiliotest.New(cfg), start: time.Now()}, f
}

// The disk is full when a result is to be recorded: it is tried until there is room, and
// the message is not sent again.
func TestResultIsRecordedWhenTheStoreWorksAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, f := newFaulty(t, twiliotest.Config{Latency: time.Second})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		time.Sleep(500 * time.Millisecond)
		full := fmt.Errorf("disk: %w", queue.ErrFull)
		f.set(func(f *faulty) { f.move, f.work, f.add = full, full, full })
		time.Sleep(20 * time.Second)
		if _, err := w.q.Enqueue(t.Context(), message(sender, receiver, "two")); !errors.Is(err, queue.ErrFull) {
			t.Errorf("enqueuing on a full disk: %v", err)
		}
		if n := w.alerted(queue.AlertStore); n != 2 { // one of the result, one of the dispatcher
			t.Errorf("%d alerts, expected 2", n)
		}
		f.set(func(f *faulty) { f.move, f.work, f.add = nil, nil, nil })
		if r := w.want(id, queue.Sent); r.SID == "" {
			t.Errorf("%+v", r)
		}
		w.want(w.enqueue("two"), queue.Sent)
		w.once(2)
	})
}

// A store that is gone ends the worker, with the reason.
func TestRunEndsWithTheStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, f := newFaulty(t, twiliotest.Config{})
		worker, err := queue.NewWorker(w.q, w.client(unlimited), queue.WithAlert(func(queue.Alert) {}))
		if err != nil {
			t.Fatal(err)
		}
		f.set(func(f *faulty) { f.work = fmt.Errorf("queue.db: %w", queue.ErrGone) })
		if err := worker.Run(t.Context()); !errors.Is(err, queue.ErrGone) {
			t.Errorf("Run returned %v", err)
		}
		f.set(func(f *faulty) { f.work = nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := worker.Run(ctx); err != nil {
			t.Errorf("run again: %v", err)
		}
	})
}

// A clock that jumps ahead makes leases look over while their requests are on the wire.
// The worker, which knows better, has the last word.
func TestClockJumpsAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 10 * time.Second})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		time.Sleep(time.Second)
		// What a sweep with such a clock does.
		j, err := w.q.Engine().Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.q.Engine().Move(t.Context(), queue.Move{ID: id, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.InDoubt,
			LookIn: time.Minute, Outcome: &queue.Outcome{Reason: queue.ReasonLease}}); err != nil {
			t.Fatal(err)
		}
		if r := w.want(id, queue.Sent); r.SID != w.fake.Messages()[0].SID || time.Since(w.start) > 11*time.Second {
			t.Errorf("%+v after %v, expected the answer to decide", r, time.Since(w.start))
		}
		time.Sleep(10 * time.Minute)
		w.once(1)
	})
}

func TestEnqueueMany(t *testing.T) {
	w, f := newFaulty(t, twiliotest.Config{})
	items := func(n, bad int) func(func(queue.Item) bool) {
		return func(yield func(queue.Item) bool) {
			for i := range n {
				item := queue.Item{Build: message(sender, receiver, fmt.Sprint(i)), Options: []queue.EnqueueOption{queue.Unique(fmt.Sprint(i))}}
				if i == bad {
					item.Build = func(*twilio.RestClient) error { return nil }
				}
				if !yield(item) {
					return
				}
			}
		}
	}
	done, err := w.q.EnqueueMany(t.Context(), items(1300, 1200))
	if done != (queue.Enqueued{New: 1200}) || err == nil || !strings.Contains(err.Error(), "item 1200: queue: the function made no request") {
		t.Errorf("%+v, %v", done, err)
	}
	done, err = w.q.EnqueueMany(t.Context(), items(1300, -1))
	if done != (queue.Enqueued{New: 100, Known: 1200}) || err != nil {
		t.Errorf("again: %+v, %v", done, err)
	}
	f.set(func(f *faulty) { f.add = queue.ErrFull })
	done, err = w.q.EnqueueMany(t.Context(), items(2000, -1))
	if done != (queue.Enqueued{}) || !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), "from item 0 on") {
		t.Errorf("on a full disk: %+v, %v", done, err)
	}
	f.set(func(f *faulty) { f.add = nil })
	if s, err := w.q.Stats(t.Context()); err != nil || s.Total.Ready != 1300 {
		t.Errorf("%+v, %v", s.Total, err)
	}
}

// Code that calls twilio-go and ignores the results enqueues without a change.
func TestRestClient(t *testing.T) {
	w, _ := newFaulty(t, twiliotest.Config{})
	tw := w.q.RestClient(queue.Label("from", "old code"))
	p := &api.CreateMessageParams{}
	p.SetTo(receiver).SetFrom(sender).SetBody("hello")
	m, err := tw.Api.CreateMessage(p)
	if err != nil || m.Sid != nil || m.Status == nil || *m.Status != "queued" {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := tw.Api.DeleteMessage("SM0123456789abcdef0123456789abcdef", nil); err != nil {
		t.Error(err)
	}
	_, err = tw.Api.FetchMessage("SM0123456789abcdef0123456789abcdef", nil)
	if err == nil || !strings.Contains(err.Error(), "api/Messages:read: a client of Queue.RestClient only enqueues, it cannot read") {
		t.Errorf("reading: %v", err)
	}
	var methods []string
	for j, err := range w.q.List(t.Context(), queue.Filter{Label: "from", Value: "old code"}) {
		if err != nil {
			t.Fatal(err)
		}
		methods = append(methods, j.Request.Method)
	}
	if !slices.Equal(methods, []string{"POST", "DELETE"}) {
		t.Errorf("enqueued %v", methods)
	}
}

func TestOptionErrors(t *testing.T) {
	w, _ := newFaulty(t, twiliotest.Config{})
	for want, opt := range map[string]queue.EnqueueOption{
		"Unique: text of 0 bytes":            queue.Unique(""),
		"Label: text of 0 bytes":             queue.Label("", "x"),
		`Label "k": value of 600 bytes`:      queue.Label("k", strings.Repeat("v", 600)),
		"has passed: expected a time ahead":  queue.Deadline(time.Now().Add(-time.Second)),
		"Unique: text of 513 bytes: expecte": queue.Unique(strings.Repeat("x", 513)),
	} {
		if _, err := w.q.Enqueue(t.Context(), message(sender, receiver, "x"), opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, expected %q", err, want)
		}
	}
	for want, opt := range map[string]queue.WorkerOption{
		"WithConcurrency: 0":                           queue.WithConcurrency(0),
		"WithAttemptTimeout: 0s":                       queue.WithAttemptTimeout(0),
		"WithLeaseMargin: -1ns":                        queue.WithLeaseMargin(-1),
		"WithGrace: -1ns":                              queue.WithGrace(-1),
		"WithSettle: 0s":                               queue.WithSettle(0),
		"WithRetention: -1ns":                          queue.WithRetention(-1),
		`WithInDoubt: "hope"`:                          queue.WithInDoubt("hope"),
		`Reconcile for "video/Rooms:create": expected`: queue.WithInDoubt(queue.Reconcile, "video/Rooms:create"),
		"WithOnResult: nil":                            queue.WithOnResult(nil),
		"WithAlert: nil":                               queue.WithAlert(nil),
		"WithLogger: nil":                              queue.WithLogger(nil),
	} {
		if _, err := queue.NewWorker(w.q, w.client(), opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, expected %q", err, want)
		}
	}
	if _, err := queue.Open(nil); err == nil {
		t.Error("a queue without an engine was opened")
	}
	if _, err := queue.Open(w.q.Engine(), queue.WithAccount("me")); err == nil || !strings.Contains(err.Error(), `"me": expected an account SID`) {
		t.Errorf("account: %v", err)
	}
	if _, err := queue.NewWorker(nil, nil); err == nil {
		t.Error("a worker without a queue was made")
	}
}

// Rates are those of the last half minute to minute.
func TestStatsRates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.enqueueAll(650, sender)
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 5}))
		for range 12 {
			time.Sleep(10 * time.Second)
			if _, err := w.q.Stats(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s, err := w.q.Stats(t.Context())
		if err != nil || len(s.Lanes) != 1 {
			t.Fatal(s, err)
		}
		l := s.Lanes[0]
		if l.DepartureRate < 4.85 || l.DepartureRate > 5.05 || l.ArrivalRate != 0 {
			t.Errorf("departure %.2f/s, arrival %.2f/s, expected 5 and 0", l.DepartureRate, l.ArrivalRate)
		}
		if l.OldestAge < 119*time.Second || l.OldestAge > 121*time.Second {
			t.Errorf("the oldest has waited for %v, expected 120 s", l.OldestAge)
		}
	})
}

// More arrives than is sent: an alert after a minute, one, and another only after the
// queue had shrunk.
func TestGrowthAlert(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
		grow := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Second) {
				w.enqueueAll(10, sender) // 2/s
			}
		}
		time.Sleep(2 * time.Second) // so that nothing is enqueued at the moment of a look
		grow(50 * time.Second)
		if n := w.alerted(queue.AlertGrowing); n != 0 {
			t.Errorf("%d alerts after 50 s", n)
		}
		grow(4 * time.Minute)
		if n := w.alerted(queue.AlertGrowing); n != 1 {
			t.Errorf("%d alerts after 5 minutes, expected 1", n)
		}
		time.Sleep(10 * time.Minute)
		grow(2 * time.Minute)
		if n := w.alerted(queue.AlertGrowing); n != 2 {
			t.Errorf("%d alerts after it grew again, expected 2", n)
		}
	})
}

func TestWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		id := w.enqueue("nobody sends it")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if r, err := w.q.Wait(ctx, id); !errors.Is(err, context.DeadlineExceeded) || r.State != queue.Ready {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := w.q.Wait(t.Context(), "no such"); !errors.Is(err, queue.ErrNotFound) {
			t.Error(err)
		}
	})
}
