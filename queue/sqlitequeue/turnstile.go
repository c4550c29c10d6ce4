package sqlitequeue

import (
	"errors"
	"fmt"
	"os"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// A turnstile lets processes that write to the same file write one after the other. SQLite has
// no waiting line. A process that finds the file locked looks again later, and a busy process
// locks it again within microseconds. Without the turnstile, a process that wrote now and then
// got one commit in through hundreds of another's.
//
// A process that wants to write locks a file beside the queue's, and waits for SQLite's lock.
// Once it has that, it lets the turnstile go. Meanwhile no other process can begin. The
// turnstile decides who is next, and nothing else: what SQLite stores is right without it. So
// nobody waits long for a process that is stopped in it.
//
// The lock of ops guards a turnstile. Its zero value lets everybody through.
type turnstile struct {
	file  *os.File
	until time.Time // a turnstile that somebody has is not waited for before; zero: it is
}

const (
	turnstilePatience = time.Second      // how long somebody in the turnstile is waited for
	turnstileDistrust = 10 * time.Second // how long it is then not waited for, unless it is free

	// How long it takes until a lock of another process is looked at again.
	leastLook = 50 * time.Microsecond
	mostLook  = 2 * time.Millisecond
)

// sleepBetweenLooks sleeps for an eighth of the time that was waited, from leastLook to
// mostLook. A wait for a short commit must not become much longer. A wait for a long import
// must not cost a processor.
func sleepBetweenLooks(waited time.Duration) {
	time.Sleep(min(max(leastLook, waited/8), mostLook))
}

// openTurnstile opens the file that is locked. It holds nothing and stays when all engines
// are closed: a file that is removed and made anew would be two turnstiles.
func openTurnstile(path string) (turnstile, error) {
	const mine = 0o600
	f, err := os.OpenFile(path+"-turn", os.O_CREATE|os.O_RDWR, mine)
	if err != nil {
		return turnstile{}, fmt.Errorf("sqlitequeue: opening the file by which processes take turns: let this user write it, or remove it: %w", err)
	}
	return turnstile{file: f}, nil
}

// enter waits for the turnstile, and reports whether the caller has it and must leave.
func (s *turnstile) enter() bool {
	if s.file == nil {
		return false
	}
	for start := time.Now(); ; {
		locked, err := tryLock(s.file)
		now := time.Now()
		switch {
		case locked:
			s.until = time.Time{}
			return true
		case err != nil, now.Before(s.until): // a file system without such locks
			return false
		case now.Sub(start) >= turnstilePatience:
			s.until = now.Add(turnstileDistrust)
			return false
		}
		sleepBetweenLooks(now.Sub(start))
	}
}

func (s *turnstile) leave() { unlock(s.file) }

func (s *turnstile) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// patiently has the writer do what another process's lock may keep it from for a while.
// SQLite would look less and less often, up to 100 ms apart.
func patiently(do func() error) error {
	for start := time.Now(); ; {
		err := do()
		var s *sqlite.Error
		if err == nil || !errors.As(err, &s) || s.Code()&0xff != lib.SQLITE_BUSY || time.Since(start) >= busyTimeout {
			return err
		}
		sleepBetweenLooks(time.Since(start))
	}
}
