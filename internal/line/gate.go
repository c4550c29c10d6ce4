package line

import (
	"math"
	"time"
)

// A Gate counts requests in flight, each of which takes a permit. Requests that find none wait
// at it. The zero Gate has no limit.
type Gate struct {
	Limit   int // permits, as configured; 0: no limit
	Learned int // permits, if fewer than that; 0: no such limit

	inFlight int
	waiting  order // heads of lines
}

// InFlight is how many permits are taken. It can be more than the limits, if these were
// lowered.
func (g *Gate) InFlight() int { return g.inFlight }

// Waiting is how many wait for a permit.
func (g *Gate) Waiting() int { return g.waiting.len }

// WakeHead has the first of those that wait look again. It is to be called when a limit
// was raised.
func (g *Gate) WakeHead() { g.waiting.wakeHead() }

// room is how many more may enter.
func (g *Gate) room() int {
	limit := g.Limit
	if g.Learned > 0 && (limit == 0 || g.Learned < limit) {
		limit = g.Learned
	}
	if limit == 0 {
		return math.MaxInt
	}
	return limit - g.inFlight
}

// free reports room for a newcomer. Those that wait go first.
func (g *Gate) free() bool { return g.room() > g.waiting.len }

// admits reports that there is a permit, and that nobody who waits goes before w.
func (g *Gate) admits(w *Waiter) bool {
	if g.room() <= 0 {
		return false
	}
	first := g.waiting.head()
	switch {
	case first == nil || first == w:
		return true
	case w.class < first.class:
		return !g.waiting.starves(first.class)
	}
	return w.class == first.class && w.WaitedAtGate() && w.atGate.since.Before(first.atGate.since)
}

// LeaveGate takes w away from the gate where it waits, if it does. Its place there is
// kept for it, in case it comes back.
func (w *Waiter) LeaveGate() {
	g := w.gate
	if g == nil {
		return
	}
	g.waiting.remove(&w.atGate)
	w.gate = nil
	if g.room() > 0 {
		g.waiting.wakeHead()
	}
}

// Gates are what a request has to pass all of: several that are shared, and one of its
// own. They must not be copied.
type Gates struct {
	Bucket Gate
	all    [3]*Gate // in order; nil: none
}

// Share sets the shared gates. A nil one is none. It must be called before all else.
func (gs *Gates) Share(first, second *Gate) { gs.all = [3]*Gate{first, second, &gs.Bucket} }

// Free reports that a newcomer finds a permit in each gate.
func (gs *Gates) Free() bool {
	for _, g := range gs.all {
		if g != nil && !g.free() {
			return false
		}
	}
	return true
}

// Closed returns the first gate that does not admit w; nil: all do.
func (gs *Gates) Closed(w *Waiter) *Gate {
	for _, g := range gs.all {
		if g != nil && !g.admits(w) {
			return g
		}
	}
	return nil
}

// Wait has w, the head of its line, wait at g, and at no other gate. Of one class those go first that
// were the first to find any gate closed. Who has waited at one and then has to wait at another does
// not begin anew.
func (gs *Gates) Wait(w *Waiter, g *Gate, now time.Time) {
	if w.gate == g {
		return
	}
	w.LeaveGate()
	if !w.WaitedAtGate() {
		w.atGate.since = now
	}
	w.gate = g
	g.waiting.push(&w.atGate)
}

// Admit notes that w gets its permits, so that other classes do not starve.
func (gs *Gates) Admit(w *Waiter) {
	for _, g := range gs.all {
		if g != nil {
			g.waiting.admit(w.class)
		}
	}
}

// Enter takes a permit in each gate.
func (gs *Gates) Enter() {
	for _, g := range gs.all {
		if g != nil {
			g.inFlight++
		}
	}
}

// Exit gives them back, and wakes those who wait for one.
func (gs *Gates) Exit() {
	for _, g := range gs.all {
		if g != nil {
			g.inFlight--
			g.waiting.wakeHead()
		}
	}
}
