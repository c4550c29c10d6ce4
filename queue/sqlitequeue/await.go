package sqlitequeue

import (
	"context"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

const (
	// tick is how often other processes' commits are looked for while somebody waits.
	tick = 50 * time.Millisecond
	// recent is how long news is repeated to those who begin to wait: it may have come
	// between their call of Work and that of Await, while another caller's Work has seen
	// it.
	recent = 250 * time.Millisecond
)

// announce ends the calls of Await.
func (e *Engine) announce() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.news)
	e.news = make(chan struct{})
	e.newsAt = time.Now()
	e.pending = true
}

// Await implements [queue.Engine]. Commits of this process end it at once, those of
// others after 50 ms. A Delayed job that becomes due does not: d is to end when Work has
// said that it is.
func (e *Engine) Await(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return queue.ErrClosed
	}
	if e.pending {
		e.pending = false
		e.mu.Unlock()
		return nil
	}
	if time.Since(e.newsAt) < recent {
		d = min(d, tick)
	}
	news := e.news
	e.mu.Unlock()
	end := time.NewTimer(d)
	defer end.Stop()
	look := time.NewTicker(tick)
	defer look.Stop()
	var turn chan<- struct{} // nil: not wanted
	for {
		select {
		case <-news:
			return nil
		case <-end.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-e.closing:
			return queue.ErrClosed
		case <-look.C:
			turn = e.turn
		case turn <- struct{}{}:
			e.lookAround()
			<-e.turn
			turn = nil
		}
	}
}

// lookAround announces that another connection has committed. It asks the connection that
// writes, as what that has committed does not count, and so needs the turn.
func (e *Engine) lookAround() {
	v, err := e.version()
	if err != nil {
		e.announce() // Work tells
		return
	}
	if v != e.seen {
		e.seen = v
		e.announce()
	}
}

// version returns a number that changes with other connections' commits.
func (e *Engine) version() (v int64, err error) {
	t := tx{e: e}
	_, err = t.one("PRAGMA data_version", nil, &v)
	return v, err
}
