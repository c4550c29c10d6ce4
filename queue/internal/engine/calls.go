// Package engine has the logic that the engines of a queue share, so that each engine has only what its store needs.
//
// [Calls] are the calls under way until Close, and [News] ends the waits of Await. [Micros] is
// the stored form of times. [Package] checks arguments, and [HeldUntil] reads the holds of
// buckets.
package engine

import (
	"context"
	"sync"

	"github.com/twilio-pacer/pacer/queue"
)

// Calls counts the calls of an engine that are under way, so that Close can let them return first.
// It is safe for concurrent use. [NewCalls] makes one.
type Calls struct {
	open context.Context // ends when Close is called
	shut context.CancelFunc

	mu    sync.Mutex // no call begins while Close is about to refuse them
	under sync.WaitGroup
}

// NewCalls returns the calls of an engine that is open, none of which is under way.
func NewCalls() *Calls {
	c := &Calls{}
	c.open, c.shut = context.WithCancel(context.Background())
	return c
}

// Open returns a context that ends when Close is called. Work in the background takes it.
func (c *Calls) Open() context.Context { return c.open }

// Begin counts a call, which must call End when it returns. After Close it returns [queue.ErrClosed] and counts nothing.
func (c *Calls) Begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Err() != nil {
		return queue.ErrClosed
	}
	c.under.Add(1)
	return nil
}

// End counts a call that Begin has counted as returned.
func (c *Calls) End() { c.under.Done() }

// Go runs f in a goroutine that counts as a call. f gets the context of Open. After Close f is not run.
func (c *Calls) Go(f func(open context.Context)) {
	if c.Begin() != nil {
		return
	}
	go func() {
		defer c.End()
		f(c.open)
	}()
}

// Close refuses calls from now on, ends the context of Open, and returns when the calls under way have returned.
// A second Close returns [queue.ErrClosed] at once.
func (c *Calls) Close() error {
	c.mu.Lock()
	if c.open.Err() != nil {
		c.mu.Unlock()
		return queue.ErrClosed
	}
	c.shut()
	c.mu.Unlock()
	c.under.Wait()
	return nil
}
