package engine

import (
	"context"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// Tick is how often an engine that somebody waits at looks for what other processes have written. An idle hour is 72,000 looks.
// Tests in virtual time, in which no other process writes, make it longer, before they open an engine.
var Tick = tick

const (
	tick = 50 * time.Millisecond
	// recent is how long news is repeated to callers that begin to wait. The news may have come between
	// their call of Work and that of Await, and another caller's Work may have taken it already.
	recent = 250 * time.Millisecond
)

// News ends the waits of an engine's Await when Work may have something new. It is safe for concurrent use.
// [NewNews] makes one.
type News struct {
	calls *Calls
	lock  chan struct{} // room for one; nil: look needs no lock
	look  func()        // looks for what other processes have written, and announces it

	mu     sync.Mutex
	next   chan struct{} // closed by the next Announce, which makes another one
	at     time.Time     // when there was news last; zero: never
	unread bool          // no call of Work has begun since then
}

// NewNews returns the news of an engine. While somebody waits, look is called every 50 ms. It must not block, and must call
// Announce if another process has written. If lock is not nil, look is called while a value of its caller's is in lock.
func NewNews(calls *Calls, lock chan struct{}, look func()) *News {
	return &News{calls: calls, lock: lock, look: look, next: make(chan struct{})}
}

// Announce ends the calls of Await. If none waits, the next one returns at once, unless Work is called before.
func (n *News) Announce() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
	n.at = time.Now()
	n.unread = true
}

// Read notes that a call of Work begins, which will find all that was announced before.
func (n *News) Read() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unread = false
}

// Await returns nil when there is news, and at the latest after d. It returns the error of ctx if ctx ends first, and
// [queue.ErrClosed] if the engine is closed.
func (n *News) Await(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	closed := n.calls.Open().Done()
	select {
	case <-closed:
		return queue.ErrClosed
	default:
	}
	n.mu.Lock()
	if n.unread {
		n.unread = false
		n.mu.Unlock()
		return nil
	}
	if time.Since(n.at) < recent {
		d = min(d, tick)
	}
	news := n.next
	n.mu.Unlock()
	end := time.NewTimer(d)
	defer end.Stop()
	ticks := time.NewTicker(Tick)
	defer ticks.Stop()
	var lock chan<- struct{} // nil: it is not time to look
	for {
		select {
		case <-news:
			return nil
		case <-end.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return queue.ErrClosed
		case <-ticks.C:
			if lock = n.lock; lock == nil {
				n.look()
			}
		case lock <- struct{}{}:
			n.look()
			<-n.lock
			lock = nil
		}
	}
}
