package sqlitequeue

import (
	"context"
	"time"
)

// This file notices what other processes have committed.

// Await implements [queue.Engine]. Commits of this process end it at once, those of others
// after 50 ms. A Delayed job that becomes due does not end it, so the caller gives a d that
// ends then.
func (e *Engine) Await(ctx context.Context, d time.Duration) error { return e.news.Await(ctx, d) }

// lookAround announces that another connection has committed. It asks the connection that
// writes, as what that has committed does not count. So it needs the lock.
func (e *Engine) lookAround() {
	v, err := e.version()
	if err != nil {
		e.news.Announce() // Work tells
		return
	}
	if v != e.seen {
		e.seen = v
		e.news.Announce()
	}
}

// version returns a number that changes with other connections' commits.
func (e *Engine) version() (v int64, err error) {
	t := tx{e: e}
	_, err = t.one("PRAGMA data_version", nil, &v)
	return v, err
}
