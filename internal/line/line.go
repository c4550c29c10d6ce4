// Package line has a Line of those who wait for something that only one at a time may take. It also
// has a Gate, for permits of which several are free at once. The caller locks the mutex that guards them.
package line

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"
)

// Classes is how many classes a line has. Class 0 goes first.
const Classes = 3

// starvesAfter: of any ten that leave a line one is of each class that waits. It is 8 and
// not 9, since two classes can be due at the same time.
const starvesAfter = 8

// A Waiter stands in one [Line]. While it is the head it may stand at one [Gate] as well.
type Waiter struct {
	Tries int // attempts that its call has made before; see [Line.Spare]. It is set before the waiter joins

	class    int
	deadline time.Time
	wake     chan struct{} // buffered, 1
	inLine   node
	atGate   node
	gate     *Gate // where atGate stands; nil: nowhere
	ended    int   // index in the line's deadlines, from 1; 0: not among them
	timer    *time.Timer
}

// NewWaiter returns a Waiter of a class, from 0 to [Classes]-1. The zero deadline is none.
// Of one class those that arrived earlier go first.
func NewWaiter(class int, deadline, arrived time.Time) *Waiter {
	w := &Waiter{class: class, deadline: deadline, wake: make(chan struct{}, 1)}
	w.inLine = node{w: w, since: arrived}
	w.atGate = node{w: w}
	return w
}

// Deadline is what NewWaiter was given.
func (w *Waiter) Deadline() time.Time { return w.deadline }

// WaitedAtGate reports whether w has ever waited for a gate.
func (w *Waiter) WaitedAtGate() bool { return !w.atGate.since.IsZero() }

// UntilWoken is a time to sleep that ends only when the waiter is woken.
const UntilWoken time.Duration = math.MaxInt64

// Sleep unlocks mu, which the caller has locked, until w must look again: it was woken, d is
// over, or ctx has ended. Then it takes mu again, and returns ctx.Err().
func (w *Waiter) Sleep(ctx context.Context, mu sync.Locker, d time.Duration) error {
	var tick <-chan time.Time
	if d != UntilWoken {
		if w.timer == nil {
			w.timer = time.NewTimer(d)
		} else {
			w.timer.Reset(d)
		}
		defer w.timer.Stop()
		tick = w.timer.C
	}
	mu.Unlock()
	defer mu.Lock()
	select {
	case <-w.wake:
	case <-tick:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (w *Waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// A Line is first in, first out within each class, and a higher class goes first. No class starves: of any ten that leave at least one is of each class that
// waits. The zero Line is empty.
type Line struct {
	order     order
	deadlines deadlines
}

// Join puts w into the line. Who is no longer the head leaves its gate. If another than w is the head now,
// that one looks again.
func (l *Line) Join(w *Waiter) {
	before := l.Head()
	l.order.push(&w.inLine)
	if head := l.Head(); before != nil && head != before {
		before.LeaveGate()
		if head != w {
			head.notify()
		}
	}
	if !w.deadline.IsZero() {
		heap.Push(&l.deadlines, w)
	}
}

// Leave takes w, which is in the line, out of it.
func (l *Line) Leave(w *Waiter) {
	l.order.remove(&w.inLine)
	if w.ended > 0 {
		heap.Remove(&l.deadlines, w.ended-1)
	}
}

// Admit notes that w, which is still in the line, leaves it next, so that other classes do not starve.
func (l *Line) Admit(w *Waiter) { l.order.admit(w.class) }

// Head is the one that leaves next; nil: nobody waits.
func (l *Line) Head() *Waiter { return l.order.head() }

// Spare has the head be one that has made the fewest attempts, of the first in its class, or no longer
// so. It is for a time in which each attempt may be in vain: no call should use up all of its own then.
func (l *Line) Spare(on bool) {
	if on == l.order.spares {
		return
	}
	before := l.Head()
	l.order.spares = on
	if before != nil && l.Head() != before {
		before.LeaveGate()
		l.WakeHead()
	}
}

// Len is how many wait.
func (l *Line) Len() int { return l.order.len }

// Ahead is how many of those that wait go before w, which is in the line.
func (l *Line) Ahead(w *Waiter) (n int) {
	for c := range w.class {
		n += l.order.classes[c].len
	}
	return n + l.order.classes[w.class].ahead(&w.inLine)
}

// WakeHead has the head look again.
func (l *Line) WakeHead() { l.order.wakeHead() }

// WakeAll has everybody look again. It takes time for each.
func (l *Line) WakeAll() {
	for c := range l.order.classes {
		for n := l.order.classes[c].first; n != nil; n = n.next {
			n.w.notify()
		}
	}
}

// WakeEnding wakes those whose deadline is before t, each of them once. It takes no time for the
// others, nor for those that it has woken before.
func (l *Line) WakeEnding(t time.Time) {
	for len(l.deadlines) > 0 && l.deadlines[0].deadline.Before(t) {
		heap.Pop(&l.deadlines).(*Waiter).notify()
	}
}

// deadlines is a heap: the earliest is the first.
type deadlines []*Waiter

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].deadline.Before(d[j].deadline) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].ended, d[j].ended = i+1, j+1
}

func (d *deadlines) Push(w any) {
	*d = append(*d, w.(*Waiter))
	w.(*Waiter).ended = len(*d)
}

func (d *deadlines) Pop() any {
	old := *d
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	if len(*d) == 0 {
		*d = nil // a line keeps no memory of those that it once had
	}
	w.ended = 0
	return w
}

// An order is a queue for each class.
type order struct {
	len       int // of all classes
	classes   [Classes]queue
	overtaken [Classes]uint8 // how many of other classes have passed since the class's first could have
	spares    bool           // the head is one that has made the fewest attempts, of the first in its class
}

type queue struct {
	first, last *node
	len         int
}

// A node is a waiter's place in an order.
type node struct {
	w          *Waiter
	prev, next *node
	since      time.Time // those that have an earlier one are ahead
}

func (o *order) push(n *node) {
	q := &o.classes[n.w.class]
	at := q.last
	// From both ends at once: those that come back belong near the front of a long queue.
	for front := q.first; at != nil && n.since.Before(at.since); front = front.next {
		if n.since.Before(front.since) {
			at = front.prev
			break
		}
		at = at.prev
	}
	n.prev = at
	if at == nil {
		n.next, q.first = q.first, n
	} else {
		n.next, at.next = at.next, n
	}
	if n.next == nil {
		q.last = n
	} else {
		n.next.prev = n
	}
	q.len++
	o.len++
}

// ahead counts those before n, or those behind it where they are fewer.
func (q *queue) ahead(n *node) int {
	before, behind := n.prev, n.next
	for i := 0; ; i++ {
		switch {
		case before == nil:
			return i
		case behind == nil:
			return q.len - 1 - i
		}
		before, behind = before.prev, behind.next
	}
}

func (o *order) remove(n *node) {
	q := &o.classes[n.w.class]
	if n.prev == nil {
		q.first = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		q.last = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.prev, n.next = nil, nil
	o.len--
	if q.len--; q.len == 0 {
		o.overtaken[n.w.class] = 0
	}
}

func (o *order) admit(class int) {
	for c := range o.classes {
		if c == class || o.classes[c].len == 0 {
			o.overtaken[c] = 0
		} else {
			o.overtaken[c]++
		}
	}
}

func (o *order) starves(class int) bool { return o.overtaken[class] >= starvesAfter }

func (o *order) head() *Waiter {
	if o.len == 0 {
		return nil
	}
	var first *node
	for c := range o.classes {
		n := o.classes[c].first
		if n != nil && o.starves(c) {
			return o.fresh(n).w
		}
		if first == nil {
			first = n
		}
	}
	return o.fresh(first).w
}

// spared is how many of a class are looked at for the one that has made the fewest attempts.
const spared = 64

// fresh returns the node that goes in the place of n, the first of its class.
func (o *order) fresh(n *node) *node {
	if !o.spares {
		return n
	}
	best := n
	for i := 0; n != nil && i < spared && best.w.Tries > 0; i, n = i+1, n.next {
		if n.w.Tries < best.w.Tries {
			best = n
		}
	}
	return best
}

func (o *order) wakeHead() {
	if o.len > 0 {
		o.head().notify()
	}
}
