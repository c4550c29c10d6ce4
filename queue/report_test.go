package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A diary notes when each result was told, by the label "name".
type diary struct {
	mu   sync.Mutex
	told map[string][]time.Time
	now  map[string]int // calls that run
	most int            // calls for one result at the same time
}

func newDiary() *diary { return &diary{told: make(map[string][]time.Time), now: make(map[string]int)} }

// begin notes that a call begins, and returns what notes its end.
func (d *diary) begin(name string) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told[name] = append(d.told[name], time.Now())
	d.now[name]++
	d.most = max(d.most, d.now[name])
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.now[name]--
	}
}

func (d *diary) of(name string) []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.told[name])
}

// names returns how many results were told at least once.
func (d *diary) names() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.told)
}

// A logbook is a log that a test reads while others write.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func (l *logbook) option() queue.WorkerOption {
	return queue.WithLogger(slog.New(slog.NewTextHandler(l, nil)))
}

func label(s string) queue.EnqueueOption { return queue.Label("name", s) }

// moved enqueues n requests and moves them as m says.
func (w *world) moved(n int, m queue.Move, name func(i int) string) {
	w.t.Helper()
	items := func(yield func(queue.Item) bool) {
		for i := range n {
			if !yield(queue.Item{Build: message(sender, receiver, fmt.Sprint(i)), Options: []queue.EnqueueOption{queue.In(24 * time.Hour), label(name(i))}}) {
				return
			}
		}
	}
	if _, err := w.q.EnqueueMany(w.t.Context(), items); err != nil {
		w.t.Fatal(err)
	}
	var ids []queue.ID
	for j, err := range w.q.List(w.t.Context(), queue.Filter{States: []queue.State{queue.Delayed}}) {
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, j.ID)
	}
	m.From = []queue.State{queue.Delayed}
	var moving sync.WaitGroup
	for part := range slices.Chunk(ids, 1+len(ids)/16) {
		moving.Go(func() {
			for _, id := range part {
				m := m
				m.ID = id
				if err := w.q.Engine().Move(context.Background(), m); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	moving.Wait()
}

// unreported makes n results that no worker has told.
func (w *world) unreported(n int, name func(i int) string) {
	w.t.Helper()
	w.moved(n, queue.Move{To: queue.Sent}, name)
}

// expires enqueues a request that waits in a parked lane until its deadline is over.
func (w *world) expires(in time.Duration, name string) queue.ID {
	w.t.Helper()
	id := w.enqueueFrom("+15005550007", "late", queue.Deadline(time.Now().Add(in)), label(name))
	j, err := w.q.Engine().Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.q.Engine().Park(w.t.Context(), queue.Park{Resource: j.Lane.Resource, For: time.Hour}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// orphan returns a request that a worker which has vanished holds for so long.
func (w *world) orphan(lease time.Duration) queue.ID {
	w.t.Helper()
	id := w.enqueue("orphan", queue.In(24*time.Hour))
	if err := w.q.Engine().Move(w.t.Context(), queue.Move{ID: id, From: []queue.State{queue.Delayed}, To: queue.Sending, Lease: lease}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) leaves(id queue.ID, state queue.State, within time.Duration) {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		r, err := w.q.Result(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if r.State != state {
			return
		}
		if d := time.Since(start); d > within {
			w.t.Fatalf("%s is still %q after %v", id, state, d)
		}
	}
}

func TestOnResultThatFailsIsToldAgainAfterGrowingPauses(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error": func() error { return errors.New("the web hook is down") },
		"a panic":  func() error { panic("a bug of the program's") },
		"a nil map": func() error {
			var m map[string]int
			m["x"]++ //nolint:staticcheck // it is to panic
			return nil
		},
		"runtime.Goexit, as t.FailNow": func() error { runtime.Goexit(); return nil },
	} {
		if testing.Short() && name != "an error" && name != "a panic" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w, log, d := newWorld(t, twiliotest.Config{}), &logbook{}, newDiary()
				times := 5
				if name == "an error" && !testing.Short() { // up to the longest pause
					times = 9
				}
				stop := w.work(w.client(unlimited), log.option(), queue.WithResultConcurrency(1), queue.WithOnResult(func(_ context.Context, r queue.Result) error {
					defer d.begin(r.Labels["name"])()
					if r.Labels["name"] == "bad" && len(d.of("bad")) < times {
						return fail()
					}
					return nil
				}))
				w.enqueue("bad", label("bad"))
				for i := range 10 {
					w.enqueue("good", label(fmt.Sprint("good ", i)))
					time.Sleep(time.Minute)
				}
				time.Sleep(time.Duration(times-5)*30*time.Minute + 5*time.Minute)
				for i := range 10 {
					if n := len(d.of(fmt.Sprint("good ", i))); n != 1 {
						t.Fatalf("a result beside it was told %d times", n)
					}
				}
				told := d.of("bad")
				if len(told) != times {
					t.Fatalf("told %d times, expected %d: the last was taken", len(told), times)
				}
				for i, wait := 1, 30*time.Second; i < len(told); i, wait = i+1, min(2*wait, time.Hour) {
					if gap := told[i].Sub(told[i-1]); gap < wait || gap > wait+40*time.Second {
						t.Errorf("pause %d was %v, expected %v to 40 s more", i, gap, wait)
					}
				}
				if n := w.alerted(queue.AlertResults); n != 1 {
					t.Errorf("%d alerts, expected 1", n)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if strings.Contains(name, "a panic") && (log.count("WithOnResult has panicked") != times-1 || log.count("report_test.go") == 0) {
					t.Errorf("%d panics are logged, and the stack %d times", log.count("WithOnResult has panicked"), log.count("report_test.go"))
				}
				if s, err := w.q.Stats(t.Context()); err != nil || s.Total.Sent != 11 {
					t.Errorf("%+v, %v", s.Total, err)
				}
			})
		})
	}
}

// While OnResult does not return, requests are sent, leases end, deadlines pass.
func TestOnResultThatBlocksDelaysNothing(t *testing.T) {
	if testing.Short() && slower > 1 {
		t.Skip("takes long: run without -short or -race")
	}
	bubble(t, func(t *testing.T) {
		w, d := newWorld(t, twiliotest.Config{}), newDiary()
		late := w.expires(30*time.Second, "late")
		w.work(w.client(unlimited), queue.WithConcurrency(2), queue.WithOnResult(func(_ context.Context, r queue.Result) error {
			defer d.begin(r.Labels["name"])()
			time.Sleep(20 * time.Minute)
			return nil
		}))
		for i := range 30 {
			w.enqueue(fmt.Sprint(i), label(fmt.Sprint(i)))
		}
		orphan := w.orphan(time.Minute)
		time.Sleep(2 * time.Second)
		w.once(30)
		w.leaves(late, queue.Ready, 30*time.Second)
		w.leaves(orphan, queue.Sending, 31*time.Second)
		if n := d.names(); n != 16 {
			t.Errorf("%d calls at a time, expected 16", n)
		}
		time.Sleep(time.Hour)
		if n := d.names(); n != 31 {
			t.Errorf("%d results told, expected 31", n)
		}
		for i := range 30 {
			if n := len(d.of(fmt.Sprint(i))); n != 1 {
				t.Fatalf("result %d was told %d times, expected once: neither an error nor a crash", i, n)
			}
		}
		if n := w.alerted(queue.AlertResults); n != 1 {
			t.Errorf("%d alerts of calls that do not return, expected one an hour", n)
		}
	})
}

// An engine that counts how often the unreported results are read.
type counting struct {
	queue.Engine
	mu    sync.Mutex
	pages int
}

func (c *counting) List(ctx context.Context, f queue.Filter, after queue.ID, n int) ([]queue.Job, error) {
	if f.Unreported {
		c.mu.Lock()
		c.pages++
		c.mu.Unlock()
	}
	return c.Engine.List(ctx, f, after, n)
}

func (c *counting) read() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pages
}

// Ten thousand results that are never taken: leases are swept, new results and those of
// dead workers are told, and the store is not read all the time.
func TestManyUnreportedResultsDelayNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, faulty := newFaulty(t, twiliotest.Config{})
		c := &counting{Engine: faulty}
		w, d := f, newDiary()
		q, err := queue.Open(c, queue.WithAccount(twiliotest.AccountSid))
		if err != nil {
			t.Fatal(err)
		}
		w.q = q
		many := unlessShort(10_000, 300)
		w.unreported(many, func(i int) string {
			if i == many-1 {
				return "dead"
			}
			return "bad"
		})
		time.Sleep(time.Minute)
		w.work(w.client(unlimited), queue.WithOnResult(func(_ context.Context, r queue.Result) error {
			name := r.Labels["name"]
			defer d.begin(name)()
			if name == "bad" {
				time.Sleep(100 * time.Millisecond)
				return errors.New("not this one")
			}
			return nil
		}))
		orphan := w.orphan(time.Minute)
		w.leaves(orphan, queue.Sending, 65*time.Second)
		start := time.Now()
		w.enqueue("new", label("new"))
		for len(d.of("new")) == 0 && time.Since(start) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("a new result was told after %v", d)
		}
		time.Sleep(3 * time.Minute)
		if n := len(d.of("dead")); n != 1 {
			t.Errorf("the result of a dead worker behind them was told %d times", n)
		}
		before, told := c.read(), len(d.of("bad"))
		time.Sleep(5 * time.Minute)
		if n := c.read() - before; n > 5*60 {
			t.Errorf("%d pages read in five minutes, expected one a second at most", n)
		}
		if n := len(d.of("bad")) - told; n > 2*many {
			t.Errorf("%d told again in five minutes", n)
		}
	})
}

// OnResult may call what it likes.
func TestOnResultMayCallTheQueue(t *testing.T) {
	t.Run("Enqueue", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			w.work(w.client(unlimited), queue.WithConcurrency(1), queue.WithResultConcurrency(1), queue.WithOnResult(func(ctx context.Context, r queue.Result) error {
				if n := len(r.Labels["name"]); n < 20 {
					_, err := w.q.Enqueue(ctx, message(sender, receiver, fmt.Sprint(n)), label(r.Labels["name"]+"x"))
					return err
				}
				return nil
			}))
			w.enqueue("first", label("x"))
			time.Sleep(time.Minute)
			w.once(20)
		})
	})
	t.Run("Requeue", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w, log, d := newWorld(t, twiliotest.Config{}), &logbook{}, newDiary()
			w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21211, Times: 3})
			w.work(w.client(unlimited), log.option(), queue.WithOnResult(func(ctx context.Context, r queue.Result) error {
				defer d.begin(string(r.State))()
				if r.State == queue.Failed {
					return w.q.Requeue(ctx, r.ID)
				}
				return nil
			}))
			id := w.enqueue("stubborn")
			time.Sleep(10 * time.Minute)
			w.want(id, queue.Sent)
			if failed, sent := len(d.of("failed")), len(d.of("sent")); failed != 3 || sent != 1 {
				t.Errorf("told %d times of a failure and %d times of success, expected 3 and 1", failed, sent)
			}
			if log.count("not taken") != 0 {
				t.Error("a result that OnResult has requeued is said to be not taken")
			}
			w.once(1)
		})
	})
	t.Run("the end of Run", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			var stop func() error
			ended := make(chan time.Duration, 1)
			stop = w.work(w.client(unlimited), queue.WithOnResult(func(context.Context, queue.Result) error {
				start := time.Now()
				err := stop()
				ended <- time.Since(start)
				return err
			}))
			w.enqueue("last")
			if d := <-ended; d > 37*time.Second {
				t.Errorf("Run returned after %v, expected its grace of 35 s and a second", d)
			}
		})
	})
}

func TestResultIsToldByOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, d := newWorld(t, twiliotest.Config{}), newDiary()
		slow := queue.WithOnResult(func(_ context.Context, r queue.Result) error {
			defer d.begin(r.Labels["name"])()
			time.Sleep(100 * time.Second)
			return nil
		})
		for range 2 { // two workers of one process
			w.work(w.client(unlimited), slow)
		}
		n := unlessShort(20, 4)
		w.unreported(n, func(i int) string { return fmt.Sprint("old ", i) })
		for i := range n {
			w.enqueue(fmt.Sprint(i), label(fmt.Sprint(i)))
		}
		time.Sleep(time.Duration(n) * 3 * time.Minute)
		if d.most != 1 || d.names() != 2*n {
			t.Errorf("up to %d calls for one result at a time, %d results", d.most, d.names())
		}
		for name, told := range d.told {
			if len(told) != 1 {
				t.Errorf("%s was told %d times, though all was taken", name, len(told))
			}
		}
	})
}

// Results that no sender has recorded are told, too.
func TestEveryKindOfResultIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, d := newWorld(t, twiliotest.Config{}), newDiary()
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1})
		w.expires(time.Minute, "past its deadline")
		w.work(w.client(unlimited), queue.WithOnResult(func(_ context.Context, r queue.Result) error {
			defer d.begin(r.Labels["name"] + " " + string(r.State))()
			return nil
		}))
		w.enqueue("dropped", label("found at Twilio"))
		orphan := w.enqueue("orphan", queue.In(24*time.Hour), label("confirmed"))
		if err := w.q.Engine().Move(t.Context(), queue.Move{ID: orphan, From: []queue.State{queue.Delayed}, To: queue.InDoubt}); err != nil {
			t.Fatal(err)
		}
		if err := w.q.Confirm(t.Context(), orphan, "SM00000000000000000000000000000001"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		for _, name := range []string{"found at Twilio sent", "past its deadline failed", "confirmed sent"} {
			if n := len(d.of(name)); n != 1 {
				t.Errorf("%s: told %d times, expected once", name, n)
			}
		}
	})
}

// That a result was told, and could not be noted because the store failed, is no reason
// to tell it again.
func TestStoreThatCannotNoteATellingIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, f := newFaulty(t, twiliotest.Config{})
		d := newDiary()
		stop := w.work(w.client(unlimited), queue.WithOnResult(func(_ context.Context, r queue.Result) error {
			defer d.begin("it")()
			f.set(func(f *faulty) { f.move = errors.New("the store is away") })
			return nil
		}))
		id := w.enqueue("one")
		time.Sleep(5 * time.Minute)
		f.set(func(f *faulty) { f.move = nil })
		time.Sleep(10 * time.Minute)
		if n := len(d.of("it")); n != 1 {
			t.Errorf("told %d times, expected once", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if j, err := w.q.Engine().Get(t.Context(), id); err != nil || !j.Reported {
			t.Errorf("%v, %v: it is not noted as told", j, err)
		}
	})
}

func TestRunReturnsAfterItsGraceWhateverOnResultDoes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		onResult func(ctx context.Context, release chan struct{}) error
		grace    time.Duration
		from, to time.Duration // when Run returns
		left     string
	}{
		{"it ends with its context", func(ctx context.Context, _ chan struct{}) error { <-ctx.Done(); return ctx.Err() },
			10 * time.Second, 10 * time.Second, 10 * time.Second, ""},
		{"it ignores its context", func(_ context.Context, release chan struct{}) error { <-release; return nil },
			10 * time.Second, 11 * time.Second, 11 * time.Second, "0 requests on the wire were cut off, 1 calls of OnResult still run"},
		{"it ignores its context, no grace", func(_ context.Context, release chan struct{}) error { <-release; return nil },
			0, time.Second, time.Second, "1 calls of OnResult still run"},
		{"it ends within the grace", func(context.Context, chan struct{}) error { time.Sleep(5 * time.Second); return nil },
			10 * time.Second, 3 * time.Second, 5 * time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w, d, release := newWorld(t, twiliotest.Config{}), newDiary(), make(chan struct{})
				onResult := queue.WithOnResult(func(ctx context.Context, r queue.Result) error {
					defer d.begin("it")()
					return tt.onResult(ctx, release)
				})
				stop := w.work(w.client(unlimited), queue.WithGrace(tt.grace), onResult)
				id := w.enqueue("one")
				time.Sleep(time.Second)
				start := time.Now()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d < tt.from || d > tt.to {
					t.Errorf("Run returned after %v, expected %v to %v", d, tt.from, tt.to)
				}
				want := 1
				if tt.left == "" {
					want = 0
				}
				if n := w.alerted(queue.AlertStopped); n != want || want > 0 && !strings.Contains(w.alerts[len(w.alerts)-1].String(), tt.left) {
					t.Errorf("%d alerts %v, expected %d that says %q", n, w.alerts, want, tt.left)
				}
				if tt.from < tt.grace || tt.left == "" {
					return
				}
				// The next Run does not tell it at the same time, and not again once it is taken.
				w.work(w.client(unlimited), onResult)
				time.Sleep(5 * time.Minute)
				close(release)
				time.Sleep(5 * time.Minute)
				if n := len(d.of("it")); n != 1 {
					t.Errorf("told %d times, expected once", n)
				}
				if j, err := w.q.Engine().Get(t.Context(), id); err != nil || !j.Reported {
					t.Errorf("%v, %v: it is not noted as told", j, err)
				}
			})
		})
	}
}

func TestRunSaysHowManyRequestsItHasCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: time.Minute})
		stop := w.work(w.client(unlimited), queue.WithGrace(time.Second))
		for i := range 3 {
			w.enqueue(fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := w.alerted(queue.AlertStopped); n != 1 || !strings.Contains(w.alerts[0].String(), "3 requests on the wire were cut off") {
			t.Errorf("%d alerts: %v", n, w.alerts)
		}
	})
}
