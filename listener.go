package pacer

import (
	"log/slog"
	"sync"
	"time"
)

const (
	maxAlertsWaiting = 1000
	alertPatience    = 10 * time.Millisecond
)

// A listener hands alerts to one function of the program's, in the order in which they were
// raised. It has a goroutine only while alerts wait.
type listener struct {
	logs *logs
	f    func(Alert)

	mu      sync.Mutex
	waiting []raised
	running bool // a goroutine delivers
	slow    bool // the function has kept a call waiting, and has not caught up since
}

type raised struct {
	alert     Alert
	delivered chan struct{} // closed when the function has returned
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
	case <-r.delivered:
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
			l.logs.logPanic("WithAlert", p)
		}
		if !returned && l.logs.logger == nil { // raise has not logged it
			l.logs.logAlert(slog.Default(), r.alert)
		}
		close(r.delivered)
	}()
	l.f(r.alert)
	returned = true
}
