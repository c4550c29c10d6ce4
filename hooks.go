package pacer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// The program's own functions may panic, block, and use the client. What is here keeps
// that from the calls.

// log returns the client's logger, else slog's default.
func (c *config) log() *slog.Logger {
	if c.logger != nil {
		return c.logger
	}
	return slog.Default()
}

// recovered is deferred around a function of the program's: its panic is logged and ends
// nothing else.
func (c *config) recovered(what string) {
	if p := recover(); p != nil {
		c.logPanic(what, p)
	}
}

func (c *config) logPanic(what string, p any) {
	c.log().Error("pacer: the program's function has panicked, the call goes on", "function", what, "panic", panicText(p), "stack", string(debug.Stack()))
}

// panicText is the value of a panic, for the log. It shows the text of an error and of a
// string, with phone numbers masked, and of all others only the type: they may hold anything.
func panicText(p any) string {
	switch p.(type) {
	case error, string:
		return MaskNumbers(fmt.Sprint(p))
	}
	return fmt.Sprintf("a value of type %T", p)
}

// begin gives the call a context of the program's. A function that panics or returns nil
// leaves the one before.
func (c *config) begin(ctx context.Context, f func(context.Context, Resource) context.Context, r Resource) (begun context.Context) {
	begun = ctx
	defer c.recovered("WithCallContext")
	if made := f(ctx, r); made != nil {
		begun = made
	}
	return begun
}

const (
	maxAlertsWaiting = 1000
	alertPatience    = 10 * time.Millisecond
)

// A listener hands alerts to one function of the program's, in the order in which they were
// raised. It has a goroutine only while alerts wait.
type listener struct {
	cfg *config
	f   func(Alert)

	mu      sync.Mutex
	waiting []raised
	running bool // a goroutine delivers
	slow    bool // the function has kept a call waiting, and has not caught up since
}

type raised struct {
	alert Alert
	told  chan struct{} // closed when the function has returned
}

// tell hands the alert over, and reports false if too many wait already. It returns when the
// function has, so that a test finds the alert of a call that has returned. It waits for a
// slow function once, and for 10 ms at most.
func (l *listener) tell(a Alert) bool {
	l.mu.Lock()
	if len(l.waiting) >= maxAlertsWaiting {
		l.mu.Unlock()
		return false
	}
	r := raised{a, make(chan struct{})}
	l.waiting = append(l.waiting, r)
	slow := l.slow
	if !l.running {
		l.running = true
		go l.deliver()
	}
	l.mu.Unlock()
	if slow {
		return true
	}
	patience := time.NewTimer(alertPatience)
	defer patience.Stop()
	select {
	case <-r.told:
	case <-patience.C:
		l.mu.Lock()
		l.slow = l.running
		l.mu.Unlock()
	}
	return true
}

// deliver calls the function with each alert that waits.
func (l *listener) deliver() {
	ended := false
	defer func() {
		if !ended { // the function has ended this goroutine: runtime.Goexit
			go l.deliver()
		}
	}()
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.waiting, l.running, l.slow, ended = nil, false, false, true
			l.mu.Unlock()
			return
		}
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.mu.Unlock()
		l.call(next)
	}
}

func (l *listener) call(r raised) {
	returned := false
	defer func() {
		if p := recover(); p != nil {
			l.cfg.logPanic("WithAlert", p)
		}
		if !returned && l.cfg.logger == nil { // raise has not logged it
			l.cfg.logAlert(slog.Default(), r.alert)
		}
		close(r.told)
	}()
	l.f(r.alert)
	returned = true
}
