package pacer

import (
	"container/list"
	"context"
)

// A Priority is the order in which calls of one bucket leave when they have to wait.
// The zero Priority is Normal.
type Priority int

// The priorities.
const (
	Low    Priority = -1 // a campaign
	Normal Priority = 0
	High   Priority = 1 // what somebody waits for: a one-time password
)

type priorityKey struct{}

// WithPriority returns a context whose calls have priority p; see [Client.WithContext].
// A call overtakes all calls of a lower priority that wait for the same bucket or
// in-flight slot. It does not starve them: of any ten requests that leave while calls of
// a lower priority wait, at least one is of them.
//
//	ctx = pacer.WithPriority(ctx, pacer.High)
//	_, err := c.WithContext(ctx).Api.CreateMessage(oneTimePassword)
//
// Values other than the three are taken for the nearest of them.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, min(max(p, Low), High))
}

// PriorityOf returns the priority that ctx carries, for a [Limiter] of your own.
func PriorityOf(ctx context.Context) Priority {
	p, _ := ctx.Value(priorityKey{}).(Priority)
	return p
}

// A line is a queue of calls by priority, first in, first out within each.
type line struct {
	classes [3]list.List // of *waiter; High first
	passed  [3]uint8     // how many of other classes have left since the class's front could have
}

// starvesAfter: of any ten that leave a line one is of each class that waits; 8 and not
// 9, since two classes can be due at the same time.
const starvesAfter = 8

func classOf(ctx context.Context) int { return int(High - PriorityOf(ctx)) }

func (l *line) push(w *waiter) *list.Element { return l.classes[w.class].PushBack(w) }

func (l *line) remove(w *waiter, at *list.Element) {
	l.classes[w.class].Remove(at)
	if l.classes[w.class].Len() == 0 {
		l.passed[w.class] = 0
	}
}

// left notes that w has left because its turn had come.
func (l *line) left(w *waiter) {
	for c := range l.classes {
		if c == w.class || l.classes[c].Len() == 0 {
			l.passed[c] = 0
		} else {
			l.passed[c]++
		}
	}
}

// head is the call whose turn it is; nil if none waits.
func (l *line) head() *waiter {
	var first *list.Element
	for c := range l.classes {
		e := l.classes[c].Front()
		if e != nil && l.passed[c] >= starvesAfter {
			return e.Value.(*waiter)
		}
		if first == nil {
			first = e
		}
	}
	if first == nil {
		return nil
	}
	return first.Value.(*waiter)
}

func (l *line) wakeHead() {
	if w := l.head(); w != nil {
		w.notify()
	}
}

func (l *line) len() int {
	return l.classes[0].Len() + l.classes[1].Len() + l.classes[2].Len()
}

// before is how many of those that wait a new call of class c lets go first.
func (l *line) before(c int) (n int) {
	for i := 0; i <= c; i++ {
		n += l.classes[i].Len()
	}
	return n
}

func (l *line) all(yield func(*waiter) bool) {
	for i := range l.classes {
		for e := l.classes[i].Front(); e != nil; e = e.Next() {
			if !yield(e.Value.(*waiter)) {
				return
			}
		}
	}
}
