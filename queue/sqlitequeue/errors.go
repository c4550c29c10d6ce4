package sqlitequeue

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/twilio-pacer/pacer/queue"
)

// This file says what errors of SQLite mean for the queue.

// explain says what an error of SQLite's means for the queue, and what to do. SQLite's
// own texts hold no values of rows.
func (e *Engine) explain(err error) error {
	var s *sqlite.Error
	if !fatal(err) || !errors.As(err, &s) {
		return err
	}
	const extended = 8 // bits above those of the primary code
	primary := s.Code() & (1<<extended - 1)
	switch {
	case primary == lib.SQLITE_FULL, s.Code() == lib.SQLITE_IOERR_SHMSIZE:
		return fmt.Errorf("sqlitequeue: %s: %w: make room on its disk; nothing of this call was stored: %w", e.path, queue.ErrFull, err)
	case primary == lib.SQLITE_CORRUPT, primary == lib.SQLITE_NOTADB:
		return e.damaged("SQLite cannot read it", err)
	case primary == lib.SQLITE_READONLY, primary == lib.SQLITE_CANTOPEN, primary == lib.SQLITE_PERM:
		return fmt.Errorf("sqlitequeue: %s cannot be written: let this user write the file and its directory, where SQLite keeps %s-wal and -shm: %w", e.path, e.path, err)
	case primary == lib.SQLITE_BUSY, primary == lib.SQLITE_LOCKED:
		return fmt.Errorf("sqlitequeue: %s: another process has kept it locked for %v: end what holds it (a shell of sqlite3, a backup): %w", e.path, busyTimeout, err)
	}
	return fmt.Errorf("sqlitequeue: %s: %w", e.path, err)
}

// damaged returns an error that wraps ErrDamaged. Of cause, only what SQLite says is
// passed on: errors of database/sql quote values.
func (e *Engine) damaged(what string, cause error) error {
	const advice = "stop what works with it, copy it with its -wal, and run: sqlite3 FILE .recover | sqlite3 NEW"
	var s *sqlite.Error
	if errors.As(cause, &s) {
		return fmt.Errorf("sqlitequeue: %s: %w: %s: %s: %w", e.path, queue.ErrDamaged, what, advice, cause)
	}
	return fmt.Errorf("sqlitequeue: %s: %w: %s: %s", e.path, queue.ErrDamaged, what, advice)
}

// unread is for what came of reading a row: a value of a type that was never stored is
// damage.
func (e *Engine) unread(err error) error {
	var s *sqlite.Error
	if errors.As(err, &s) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return e.damaged("a row holds what was never stored", nil)
}

// fatal reports whether err is of the transaction and not of one operation in it.
func fatal(err error) bool {
	var s *sqlite.Error
	return errors.As(err, &s) && s.Code()&0xff != lib.SQLITE_CONSTRAINT
}
