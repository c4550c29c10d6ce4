package sqlitequeue

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// bubble runs a test with an engine in virtual time, and ends it with Close: a goroutine
// that outlives it fails the test.
func bubble(t *testing.T, run func(t *testing.T, e *Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, err := Open(filepath.Join(t.TempDir(), "queue.db"), WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		run(t, e)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// busy keeps the writer busy until the function it returns is called.
func busy(t *testing.T, e *Engine) (release func()) {
	t.Helper()
	held := make(chan struct{})
	go e.write(context.Background(), 1, func(*tx) error { <-held; return nil })
	synctest.Wait()
	return func() { close(held) }
}

func put(name string) func(*tx) error {
	return func(t *tx) error {
		return t.exec("INSERT INTO schedules(name, next, at) VALUES(?, 0, 0)", name)
	}
}

func names(t *testing.T, e *Engine) string {
	t.Helper()
	var all []string
	if err := e.read(t.Context(), "SELECT name FROM schedules ORDER BY name", nil, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		all = append(all, s)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// together has the writer do operations as one batch, and returns their errors.
func together(t *testing.T, e *Engine, ops ...func(*tx) error) []error {
	t.Helper()
	release := busy(t, e)
	errs := make([]error, len(ops))
	done := make(chan struct{})
	for i, op := range ops {
		go func() { errs[i] = e.write(context.Background(), 1, op); done <- struct{}{} }()
		synctest.Wait() // so that their order is this
	}
	release()
	for range ops {
		<-done
	}
	return errs
}

func TestWriterFailureOfOne(t *testing.T) {
	bubble(t, func(t *testing.T, e *Engine) {
		mine := errors.New("mine")
		errs := together(t, e, put("a"), func(tx *tx) error {
			if err := put("b")(tx); err != nil {
				return err
			}
			tx.count(1, counts{1})
			return mine
		}, func(tx *tx) error {
			if err := put("c")(tx); err != nil {
				return err
			}
			panic("bug")
		}, put("a"), put("d"))
		if errs[0] != nil || errs[1] != mine || errs[2] == nil || !strings.Contains(errs[2].Error(), "panic: bug") || errs[3] == nil || errs[4] != nil {
			t.Errorf("errors %v", errs)
		}
		if got := names(t, e); got != "a d" {
			t.Errorf("stored %q: expected what has not failed", got)
		}
	})
}

func TestWriterFailureOfAll(t *testing.T) {
	bubble(t, func(t *testing.T, e *Engine) {
		errs := together(t, e, put("a"), func(*tx) error { return &queue.StateError{} }, func(tx *tx) error { return tx.exec("not SQL") }, put("b"))
		for i, err := range errs {
			var state *queue.StateError
			if err == nil || errors.As(err, &state) {
				t.Errorf("operation %d: got %v: expected what has ended the transaction", i, err)
			}
		}
		if got := names(t, e); got != "" {
			t.Errorf("stored %q: expected nothing", got)
		}
		if errs := together(t, e, put("a")); errs[0] != nil || names(t, e) != "a" {
			t.Errorf("afterwards: %v", errs)
		}
	})
}

func TestWriterAlone(t *testing.T) {
	bubble(t, func(t *testing.T, e *Engine) {
		mine := errors.New("mine")
		if err := e.write(t.Context(), 1, func(tx *tx) error {
			if err := put("a")(tx); err != nil {
				return err
			}
			return mine
		}); err != mine {
			t.Errorf("got %v: expected the operation's own error", err)
		}
		if err := e.write(t.Context(), 1, func(tx *tx) error {
			if err := put("b")(tx); err != nil {
				return err
			}
			panic("bug")
		}); err == nil || !strings.Contains(err.Error(), "panic: bug") {
			t.Errorf("got %v: expected the panic", err)
		}
		if got := names(t, e); got != "" {
			t.Errorf("stored %q: expected nothing", got)
		}
		if err := e.write(t.Context(), 1, put("c")); err != nil {
			t.Error(err)
		}
	})
}

func TestWriterContext(t *testing.T) {
	bubble(t, func(t *testing.T, e *Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		begun, go1 := make(chan struct{}), make(chan struct{})
		first := make(chan error, 1)
		go func() {
			first <- e.write(ctx, 1, func(tx *tx) error { close(begun); <-go1; return put("begun")(tx) })
		}()
		<-begun
		second := make(chan error, 1)
		go func() { second <- e.write(ctx, 1, put("queued")) }()
		synctest.Wait()
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("queued: got %v: expected context.Canceled", err)
		}
		synctest.Wait()
		select {
		case err := <-first:
			t.Fatalf("begun: returned %v before the commit", err)
		default:
		}
		close(go1)
		if err := <-first; err != nil {
			t.Errorf("begun: got %v", err)
		}
		if err := e.write(ctx, 1, put("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("late: got %v: expected context.Canceled", err)
		}
		if got := names(t, e); got != "begun" {
			t.Errorf("stored %q: expected what had begun", got)
		}
	})
}

func TestWriterTakesBoundedBatches(t *testing.T) {
	e := &Engine{}
	for range 300 {
		e.waiting = append(e.waiting, &op{rows: 1})
	}
	e.waiting = append(e.waiting, &op{rows: 1500}, &op{rows: 501}, &op{rows: 5000}, &op{rows: 1})
	var got []int
	for len(e.waiting) > 0 {
		got = append(got, len(e.take()))
	}
	want := []int{256, 45, 1, 1, 1}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("batches of %v: expected %v", got, want)
		}
	}
}

// What this engine commits is announced where it is news, and only there.
func TestAwaitIsNotEndedByMoves(t *testing.T) {
	bubble(t, func(t *testing.T, e *Engine) {
		time.Sleep(time.Hour)
		woken := make(chan struct{})
		go func() {
			defer close(woken)
			if err := e.Await(context.Background(), time.Hour); err != nil {
				t.Error(err)
			}
		}()
		for range 10 {
			if err := e.write(t.Context(), 1, func(tx *tx) error {
				return tx.exec("INSERT INTO schedules(name, next, at) VALUES('x', 0, 0) ON CONFLICT DO UPDATE SET next = next + 1")
			}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			select {
			case <-woken:
				t.Fatal("a commit that is no news has ended Await")
			default:
			}
		}
		if _, err := e.Park(t.Context(), queue.Park{For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case <-woken:
		default:
			t.Fatal("a parked bucket has not ended Await")
		}
	})
}

func TestMicros(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 1000), time.Date(2026, 11, 24, 1, 2, 3, 456789000, time.FixedZone("x", 3600)), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		var got time.Time
		if err := (stored{&got}).Scan(engine.Micros(at)); err != nil || !got.Equal(at) || got.Location() != time.UTC {
			t.Errorf("%v is read as %v, %v", at, got, err)
		}
	}
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(0, 999), time.Unix(-1, 0)} {
		if engine.Micros(at) != 1 {
			t.Errorf("%v is stored as %d: expected 1, which is a time that has passed", at, engine.Micros(at))
		}
	}
	if err := (stored{new(time.Time)}).Scan("2026"); err == nil {
		t.Error("a text was taken for a time")
	}
}

// Values that differ have sums that differ, however they are divided into fields.
func TestSumsKeepFieldsApart(t *testing.T) {
	seen := map[int64]bool{}
	for _, s := range []sums{
		sums{}.text("ab").text("c"), sums{}.text("a").text("bc"), sums{}.text("abc").text(""), sums{}.text("").text("abc"),
		sums{}.int(1, 0), sums{}.int(0, 1), sums{}.int(1), sums{}.int(-1), sums{}.int(1 << 40),
	} {
		if seen[s.sum()] {
			t.Errorf("two have the sum %d", s.sum())
		}
		seen[s.sum()] = true
	}
}
