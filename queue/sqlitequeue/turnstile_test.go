package sqlitequeue

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// writes is an engine of a process whose commits are counted.
type writes struct {
	*Engine
	commits atomic.Int64
	last    *tx // guarded by the engine's turn
}

func openWrites(t *testing.T, path string, opts ...Option) *writes {
	t.Helper()
	e, err := Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // it may be closed already
	return &writes{Engine: e}
}

// write writes something, in a transaction that others may share.
func (w *writes) write(t *testing.T) {
	t.Helper()
	w.writeRows(t, 1)
}

func (w *writes) writeRows(t *testing.T, n int) {
	t.Helper()
	err := w.Engine.write(context.Background(), 1, func(tx *tx) error {
		if tx != w.last {
			w.last = tx
			w.commits.Add(1)
		}
		for range n {
			if err := tx.exec("INSERT INTO schedules(name, next, at) VALUES('x', 1, 1) ON CONFLICT DO UPDATE SET next = next + 1"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A process that writes now and then gets its share of the commits beside one that always
// has something to write. Two engines are to SQLite, and to the turnstile, as two processes.
func TestAQuietProcessGetsItsShareOfTheCommits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	busy, quiet := openWrites(t, path, WithoutSync()), openWrites(t, path, WithoutSync())
	var stop atomic.Bool
	var producers sync.WaitGroup
	for range 8 {
		producers.Go(func() {
			for !stop.Load() {
				busy.writeRows(t, 20) // so that it has the file locked nearly all the time
			}
		})
	}
	for busy.commits.Load() < 10 {
		time.Sleep(time.Millisecond)
	}
	const own = 50
	var between int64
	for range own {
		time.Sleep(time.Millisecond) // it has nothing to write
		before := busy.commits.Load()
		quiet.write(t)
		between += busy.commits.Load() - before
	}
	stop.Store(true)
	producers.Wait()
	t.Logf("%d commits of the busy process while the quiet one waited for %d of its own", between, own)
	if between > 10*own {
		t.Errorf("%d commits of the busy process while the quiet one waited for %d of its own: expected at most ten for each", between, own)
	}
}

// Somebody who was stopped in the turnstile is waited for once in a while, and not at each
// commit. When it is free again it is used again.
func TestAProcessStoppedInTheTurnstileIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	synctest.Test(t, func(t *testing.T) {
		e := openWrites(t, path, WithoutSync())
		stopped, err := os.OpenFile(path+"-turn", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := tryLock(stopped); !ok {
			t.Fatal("nobody has the turnstile, and it cannot be locked: ", err)
		}
		start := time.Now()
		waits := func(what string, least, most time.Duration) {
			t.Helper()
			before := time.Since(start)
			for range 100 {
				e.write(t)
			}
			if d := time.Since(start) - before; d < least || d > most {
				t.Errorf("%s: 100 commits have waited %v in all: expected %v to %v", what, d, least, most)
			}
		}
		waits("stopped", turnstilePatience, turnstilePatience+mostLook)
		waits("stopped for longer", 0, 0)
		time.Sleep(turnstileDistrust)
		waits("after a while", turnstilePatience, turnstilePatience+mostLook)
		if err := stopped.Close(); err != nil { // as the end of its process does
			t.Fatal(err)
		}
		waits("gone", 0, 0)
		if !e.others.until.IsZero() {
			t.Error("the turnstile is still not trusted")
		}
		other, err := os.OpenFile(path+"-turn", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if ok, err := tryLock(other); !ok {
			t.Error("the turnstile was not left: ", err)
		}
		waits("stopped again", turnstilePatience, turnstilePatience+mostLook)
	})
}

// A process that is stopped within a commit has the file locked. Others wait for it for a
// while, and then say so.
func TestAProcessStoppedInACommitIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	synctest.Test(t, func(t *testing.T) {
		e, stopped := openWrites(t, path, WithoutSync()), openWrites(t, path, WithoutSync())
		if _, err := stopped.writer.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := e.Put(t.Context(), "d", []byte("x"), 0)
		if err == nil || !strings.Contains(err.Error(), "another process has kept it locked") {
			t.Errorf("got %v: expected that the file is locked", err)
		}
		if d := time.Since(start); d < busyTimeout || d > busyTimeout+mostLook {
			t.Errorf("said after %v: expected %v", d, busyTimeout)
		}
		if _, err := stopped.writer.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if err := e.Put(t.Context(), "d", []byte("x"), 0); err != nil {
			t.Error(err)
		}
	})
}

// Who waits for the file itself leaves the turnstile to nobody; who has it, to the next.
func TestTheTurnstileIsLeftAtTheBeginningOfATransaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	one, two := openWrites(t, path, WithoutSync()), openWrites(t, path, WithoutSync())
	other, err := os.OpenFile(path+"-turn", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	free := func() bool {
		ok, err := tryLock(other)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			unlock(other)
		}
		return ok
	}
	inside, goOn := make(chan bool), make(chan bool)
	var wrote sync.WaitGroup
	wrote.Go(func() {
		if err := one.Engine.write(context.Background(), 1, func(*tx) error { inside <- true; <-goOn; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-inside
	if !free() {
		t.Error("a process in its transaction has the turnstile")
	}
	wrote.Go(func() { two.write(t) })
	for looks := 0; free(); looks++ { // until the second one is in it
		if time.Sleep(time.Millisecond); looks == 10_000 {
			t.Error("a process that waits for the file is not in the turnstile")
			break
		}
	}
	goOn <- true
	wrote.Wait()
	if !free() {
		t.Error("the turnstile was not left")
	}
}

// An engine works where files cannot be locked.
func TestWithoutATurnstile(t *testing.T) {
	e := openWrites(t, filepath.Join(t.TempDir(), "queue.db"), WithoutSync())
	if err := e.others.close(); err != nil { // so that locking it is an error
		t.Fatal(err)
	}
	e.write(t)
	e.others.file = nil
	e.write(t)
	if n := e.commits.Load(); n != 2 {
		t.Errorf("%d commits: expected 2", n)
	}
}
