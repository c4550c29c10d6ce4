package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// This file calls functions and loggers of the program's without waiting for them.

// maxBacklog is how many calls wait for one function of the program's.
const maxBacklog = 1000

// An outlet calls a function of the program's, one call after the other, in the order in
// which they were handed over. Whoever hands over never waits. A goroutine lives only
// while there is something to deliver. The zero outlet is ready for use.
type outlet struct {
	mu      sync.Mutex
	waiting []func()
	idle    chan struct{} // closed when all is delivered; nil: there is nothing to deliver
	lost    int           // calls for which there was no room
}

// put hands a call over. It returns 0, or, if the call was not taken because too many
// wait, how many were not.
func (o *outlet) put(call func()) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.idle == nil:
		o.idle = make(chan struct{})
		go o.deliver(call)
	case len(o.waiting) < maxBacklog:
		o.waiting = append(o.waiting, call)
	default:
		o.lost++
		return o.lost
	}
	return 0
}

// deliver makes one call. The next call gets a goroutine of its own, because the program's
// function may end this one with runtime.Goexit.
func (o *outlet) deliver(call func()) {
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.waiting) == 0 {
			close(o.idle)
			o.idle, o.waiting = nil, nil
			return
		}
		next := o.waiting[0]
		o.waiting[0], o.waiting = nil, o.waiting[1:]
		go o.deliver(next)
	}()
	call()
}

// missed returns how many calls were lost since it was asked last.
func (o *outlet) missed() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.lost
	o.lost = 0
	return n
}

// flush waits until all is delivered, for d at most. Then it forgets the calls that wait,
// so that nothing is delivered later. It returns how many were not delivered: those, and
// the one that has not returned.
func (o *outlet) flush(d time.Duration) (left int) {
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		o.mu.Lock()
		idle := o.idle
		o.mu.Unlock()
		if idle == nil {
			return 0
		}
		select {
		case <-idle:
		case <-over.C:
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.idle != nil {
				left = 1 + len(o.waiting)
			}
			o.waiting = nil
			return left
		}
	}
}

// A calmHandler hands what is logged to another handler without waiting for it: a
// program's handler may block, panic or call the queue.
type calmHandler struct {
	out *outlet
	to  func() slog.Handler
	own bool // to is the handler of WithLogger, and not slog.Default's
}

// newLogger returns a logger that does not wait for l, or, if l is nil, for slog.Default.
func newLogger(out *outlet, l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(calmHandler{out, func() slog.Handler { return slog.Default().Handler() }, false})
	}
	return slog.New(calmHandler{out, l.Handler, true})
}

// Enabled leaves the decision to the other handler, which is asked later.
func (h calmHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle hands a record over.
func (h calmHandler) Handle(_ context.Context, r slog.Record) error {
	r = r.Clone()
	h.out.put(func() {
		defer func() {
			if p := recover(); p != nil && h.own {
				newLogger(h.out, nil).Error("pacer queue: the logger given to WithLogger has panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}()
		if lost := h.out.missed(); lost > 0 {
			h.pass(slog.NewRecord(time.Now(), slog.LevelError, fmt.Sprintf("pacer queue: the log lacks %d entries: the logger was too slow", lost), 0))
		}
		h.pass(r)
	})
	return nil
}

func (h calmHandler) pass(r slog.Record) {
	ctx, to := context.Background(), h.to()
	if to.Enabled(ctx, r.Level) {
		_ = to.Handle(ctx, r) // as package slog does
	}
}

// WithAttrs returns a handler that adds attributes.
func (h calmHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return calmHandler{h.out, func() slog.Handler { return h.to().WithAttrs(attrs) }, h.own}
}

// WithGroup returns a handler that puts what follows into a group.
func (h calmHandler) WithGroup(name string) slog.Handler {
	return calmHandler{h.out, func() slog.Handler { return h.to().WithGroup(name) }, h.own}
}
