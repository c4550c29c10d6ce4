package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/twilio-pacer/pacer/queue"
)

// This file puts calls that write into transactions, many calls into one.

// An op is one call's part of a transaction.
type op struct {
	do   func(*tx) error
	rows int // about how many it writes
	err  error
	done chan struct{}
}

// ops are the calls of this process that wait to write, and the right to write.
type ops struct {
	lock   chan struct{} // has room for one: whoever is in it uses the writer and the turnstile
	others turnstile     // between processes

	mu      sync.Mutex
	waiting []*op
}

// What one transaction holds at most: so that it ends soon for those who wait for the
// next, and for other processes.
const (
	maxOps  = 256
	maxRows = 2000
)

// write has do run in a transaction and returns when that has been committed: many
// callers share one, and so one fsync. An error of do undoes what do has done, and
// nothing else. Once do has begun, ctx is not looked at any more: an answer before the
// commit would be a guess.
//
// There is no goroutine that writes: whoever gets the lock commits what waits, also for
// the others. A lone caller so waits for the disk alone, and for no other goroutine.
func (e *Engine) write(ctx context.Context, rows int, do func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.calls.Begin(); err != nil {
		return err
	}
	defer e.calls.End()
	o := &op{do: do, rows: rows, done: make(chan struct{})}
	e.mu.Lock()
	e.waiting = append(e.waiting, o)
	e.mu.Unlock()
	for {
		select {
		case <-o.done:
			return o.err
		case e.lock <- struct{}{}:
			e.lead()
			continue
		case <-ctx.Done():
		}
		if e.withdraw(o) {
			return ctx.Err()
		}
		<-o.done
		return o.err
	}
}

// withdraw takes an operation back that has not begun.
func (e *Engine) withdraw(o *op) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(e.waiting, o)
	if i >= 0 {
		e.waiting = slices.Delete(e.waiting, i, i+1)
	}
	return i >= 0
}

// lead commits the next batch and gives the lock back.
func (e *Engine) lead() {
	defer func() { <-e.lock }()
	e.mu.Lock()
	batch := e.take()
	e.mu.Unlock()
	if len(batch) > 0 {
		e.commit(batch)
	}
}

// take removes from those that wait what the next transaction will hold.
func (e *Engine) take() []*op {
	n, rows := 0, 0
	for n < len(e.waiting) && n < maxOps && (n == 0 || rows+e.waiting[n].rows <= maxRows) {
		rows += e.waiting[n].rows
		n++
	}
	batch := slices.Clone(e.waiting[:n])
	e.waiting = slices.Delete(e.waiting, 0, n)
	return batch
}

// commit answers the callers of a batch.
func (e *Engine) commit(batch []*op) {
	news, err := e.transact(batch)
	var s *sqlite.Error
	if errors.As(err, &s) && s.Code() == lib.SQLITE_CORRUPT_INDEX {
		// The disk has changed an index, or a row in it. The rows have checksums, and the
		// index can be made anew: one row must not end the work on all others.
		t := &tx{e: e}
		if t.exec("REINDEX") == nil {
			news, err = e.transact(batch)
		}
	}
	if err != nil {
		// Also for those that had failed by themselves: they may have seen what others
		// of the batch had done, and that is undone.
		err = e.explain(err)
		for _, o := range batch {
			o.err = err
		}
	}
	if news {
		e.news.Announce()
	}
	for _, o := range batch {
		close(o.done)
	}
}

// transact runs a batch as one transaction.
func (e *Engine) transact(batch []*op) (news bool, err error) {
	t := &tx{e: e, batch: map[int64]counts{}}
	if err := t.begin(); err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			t.exec("ROLLBACK") //nolint:errcheck // SQLite may have rolled back by itself, and says so
		}
	}()
	if err := t.current(); err != nil {
		return false, err
	}
	run := t.run
	if len(batch) == 1 {
		run = t.runAlone
	}
	for _, o := range batch {
		if err := run(o); err != nil {
			return false, err
		}
	}
	if err := t.flush(); err != nil {
		return false, err
	}
	if err := t.exec("COMMIT"); err != nil {
		return false, err
	}
	return t.news, e.present()
}

// begin begins a transaction as soon as other processes let this one.
func (t *tx) begin() error {
	if t.e.others.enter() {
		defer t.e.others.leave()
	}
	return t.exec("BEGIN IMMEDIATE")
}

// current returns an error if another program has changed the version of the file since it
// was opened. The first page, which says so, is at hand in every transaction.
func (t *tx) current() error {
	var version int
	if _, err := t.one("PRAGMA user_version", nil, &version); err != nil {
		return err
	}
	switch {
	case version > len(migrations):
		return t.e.outdated(version)
	case version < len(migrations):
		return fmt.Errorf("sqlitequeue: %s is of version %d, and was of version %d when it was opened: %w: restart this program", t.e.path, version, len(migrations), queue.ErrGone)
	}
	return nil
}

// A tx is a transaction under way, and what the operation at work in it does.
type tx struct {
	e     *Engine
	now   time.Time // of the operation
	batch map[int64]counts
	own   map[int64]counts // the operation's; nil: none
	news  bool             // Work may have something new
}

// runAlone runs an operation that has the transaction for itself, and so needs no
// savepoint, which costs a copy of every page that it changes.
func (t *tx) runAlone(o *op) error { return t.attempt(o.do) }

// run runs one operation of several. The error it returns is the transaction's; the
// operation's own is put into o.
func (t *tx) run(o *op) error {
	if err := t.exec("SAVEPOINT op"); err != nil {
		return err
	}
	news := t.news
	if o.err = t.attempt(o.do); o.err == nil {
		return t.exec("RELEASE op")
	}
	if fatal(o.err) {
		return o.err
	}
	t.news = news
	if err := t.exec("ROLLBACK TO op"); err != nil {
		return err
	}
	return t.exec("RELEASE op")
}

// attempt does what an operation does. A panic is its own caller's, not of whoever leads.
func (t *tx) attempt(do func(*tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sqlitequeue: panic: %v: report this", p)
		}
	}()
	t.now = clock()
	t.own = nil
	if err := do(t); err != nil {
		return err
	}
	for lane, c := range t.own {
		t.batch[lane] = t.batch[lane].plus(c)
	}
	return nil
}

// prepared returns the statement of a text.
func (t *tx) prepared(query string) (*sql.Stmt, error) {
	if s := t.e.statements[query]; s != nil {
		return s, nil
	}
	var s *sql.Stmt
	err := patiently(func() (err error) {
		s, err = t.e.writer.PrepareContext(context.Background(), query)
		return err
	})
	if err != nil {
		return nil, err
	}
	t.e.statements[query] = s
	return s, nil
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.affect(query, args...)
	return err
}

// affect executes and returns how many rows have changed.
func (t *tx) affect(query string, args ...any) (int64, error) {
	s, err := t.prepared(query)
	if err != nil {
		return 0, err
	}
	var r sql.Result
	if err := patiently(func() (err error) { r, err = s.Exec(args...); return err }); err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// one scans the only row of a query into dest, and reports whether there is one.
func (t *tx) one(query string, args []any, dest ...any) (bool, error) {
	s, err := t.prepared(query)
	if err != nil {
		return false, err
	}
	switch err := patiently(func() error { return s.QueryRow(args...).Scan(dest...) }); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, t.e.unread(err)
	}
}
