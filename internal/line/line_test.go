package line

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var start = time.Unix(1_800_000_000, 0)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// woken reports whether w was woken since it was last asked.
func woken(w *Waiter) bool {
	select {
	case <-w.wake:
		return true
	default:
		return false
	}
}

// drain lets all leave in their turn, and returns their classes.
func drain(l *Line) (order []int) {
	for w := l.Head(); w != nil; w = l.Head() {
		order = append(order, w.class)
		l.Admit(w)
		l.Leave(w)
	}
	return order
}

func TestFirstInFirstOutWithinAClass(t *testing.T) {
	var l Line
	second, first := NewWaiter(1, time.Time{}, at(2)), NewWaiter(1, time.Time{}, at(2))
	l.Join(second)
	l.Join(first)
	low, high, early := NewWaiter(2, time.Time{}, at(1)), NewWaiter(0, time.Time{}, at(3)), NewWaiter(1, time.Time{}, at(1))
	for _, w := range []*Waiter{low, high, early} { // early comes back: it arrived before the others
		l.Join(w)
	}
	if l.Len() != 5 {
		t.Errorf("%d wait", l.Len())
	}
	for i, w := range []*Waiter{high, early, second, first, low} {
		if n := l.Ahead(w); n != i {
			t.Errorf("%d are ahead of number %d", n, i)
		}
	}
	for i, want := range []*Waiter{high, early, second, first, low} {
		w := l.Head()
		if w != want {
			t.Fatalf("another one is the %d. to leave", i)
		}
		l.Admit(w)
		l.Leave(w)
	}
	if l.Head() != nil || l.Len() != 0 {
		t.Error("somebody is left")
	}
}

// Of any ten that leave at least one is of each class that waits.
func TestNoClassStarves(t *testing.T) {
	var l Line
	for class, n := range []int{200, 20, 20} {
		for range n {
			l.Join(NewWaiter(class, time.Time{}, start))
		}
	}
	order := drain(&l)
	for i := range 200 {
		for class := range Classes {
			if !slices.Contains(order[i:i+10], class) && slices.Contains(order[i:], class) {
				t.Fatalf("class %d: none of ten from the %d.: %v", class, i, order)
			}
		}
	}
}

// Whoever's deadline is passed over is woken, once, and nobody else.
func TestOnlyThoseWhoseDeadlineEndsAreWoken(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var l Line
		var all []*Waiter
		for range 100 {
			w := NewWaiter(rnd.IntN(Classes), time.Time{}, start)
			if s := rnd.IntN(60); s > 0 {
				w.deadline = at(s)
			}
			l.Join(w)
			all = append(all, w)
		}
		for _, i := range rnd.Perm(len(all))[:50] {
			l.Leave(all[i])
			all[i] = nil
		}
		for until, before := 10, 0; until <= 60; until, before = until+10, until {
			l.WakeEnding(at(until))
			for _, w := range all {
				if w == nil {
					continue
				}
				want := !w.deadline.IsZero() && w.deadline.Before(at(until)) && (before == 0 || !w.deadline.Before(at(before)))
				if woken(w) != want {
					t.Fatalf("deadline after %v, a hold of %d s after one of %d: woken %v", w.deadline.Sub(start), until, before, !want)
				}
			}
		}
		drain(&l)
		if l.Len() != 0 || len(l.deadlines) != 0 {
			t.Fatalf("%d waiters, %d deadlines left", l.Len(), len(l.deadlines))
		}
	}
}

func TestAllAreWoken(t *testing.T) {
	var l Line
	var all []*Waiter
	for i := range 30 {
		all = append(all, NewWaiter(i%Classes, time.Time{}, start))
		l.Join(all[i])
	}
	l.WakeAll()
	for i, w := range all {
		if !woken(w) {
			t.Errorf("the %d. was not", i)
		}
	}
}

func TestGateHasTheLowerLimit(t *testing.T) {
	for _, tc := range []struct{ limit, learned, want int }{{0, 0, 100}, {3, 0, 3}, {0, 2, 2}, {3, 2, 2}, {2, 3, 2}} {
		var gs Gates
		g := &Gate{Limit: tc.limit, Learned: tc.learned}
		gs.Share(g, nil)
		n := 0
		for ; n < 100 && gs.Free(); n++ {
			gs.Enter()
		}
		if n != tc.want || g.InFlight() != n || gs.Bucket.InFlight() != n {
			t.Errorf("limit %d, learned %d: %d entered", tc.limit, tc.learned, n)
		}
		for range n {
			gs.Exit()
		}
		if g.InFlight() != 0 || gs.Bucket.InFlight() != 0 {
			t.Errorf("%d permits are not given back", g.InFlight())
		}
	}
}

// heads returns n lines of one waiter each, behind a gate that all share.
func heads(n int, shared *Gate) (gates []*Gates, waiters []*Waiter) {
	for range n {
		gs, w := &Gates{}, NewWaiter(1, time.Time{}, start)
		gs.Share(shared, nil)
		gates, waiters = append(gates, gs), append(waiters, w)
	}
	return gates, waiters
}

// A permit goes to whoever has waited longest, and to nobody who has just come.
func TestPermitsGoInTurn(t *testing.T) {
	account := &Gate{Limit: 1}
	gates, w := heads(3, account)
	gates[0].Enter()
	for i := range w {
		if gates[i].Closed(w[i]) != account {
			t.Fatal("a full gate is not closed")
		}
		gates[i].Wait(w[i], account, at(i))
	}
	gates[0].Exit()
	if !woken(w[0]) || woken(w[1]) || woken(w[2]) {
		t.Error("not the first alone was woken")
	}
	if gates[1].Closed(w[1]) == nil || gates[0].Closed(w[0]) != nil || gates[0].Free() {
		t.Error("the permit is not the first one's")
	}
	w[0].LeaveGate() // it gives up
	if !woken(w[1]) || gates[1].Closed(w[1]) != nil {
		t.Error("who gives up does not hand the permit on")
	}
	high := NewWaiter(0, time.Time{}, at(9))
	if gates[2].Closed(high) != nil {
		t.Error("a higher class does not go first")
	}
}

// Who has waited at one gate and then waits at another keeps its place at the first.
func TestPlaceAtAGateIsKept(t *testing.T) {
	account, group := &Gate{Limit: 2}, &Gate{Limit: 1}
	others, w := heads(2, account)
	var both Gates
	both.Share(account, group)
	first := NewWaiter(1, time.Time{}, start)
	both.Enter()
	others[0].Enter()
	both.Wait(first, account, at(0))
	others[0].Wait(w[0], account, at(1))
	others[1].Wait(w[1], account, at(2))
	others[0].Exit()
	if g := both.Closed(first); g != group {
		t.Fatalf("closed: %p, expected the second gate", g)
	}
	both.Wait(first, group, at(3))
	others[0].Enter() // w[0] has the permit of the account
	w[0].LeaveGate()
	both.Exit()
	if g := both.Closed(first); g != nil {
		t.Errorf("the account's permit goes to one that came later")
	}
	if others[1].Closed(w[1]) != nil {
		t.Error("a permit that nobody takes is kept from the one who waits")
	}
}

// A throttled answer wakes the head, and those that the cool-down outlasts. All others of a long
// line are not even looked at: here they are gone, and whoever looks at one of them panics.
func TestThrottledAnswerDoesNotWalkTheLine(t *testing.T) {
	for name, tt := range map[string]struct {
		ends  bool // the head's deadline is before the cool-down's end
		class int  // of the head
	}{"all can wait": {}, "the head cannot": {ends: true}, "a head of the last class": {class: 2}} {
		t.Run(name, func(t *testing.T) {
			var l Line
			deadline := at(3600)
			if tt.ends {
				deadline = at(30)
			}
			head := NewWaiter(tt.class, deadline, at(0))
			l.Join(head)
			for i := range 1000 {
				l.Join(NewWaiter(2, at(3600), at(1+i)))
			}
			head.inLine.next = &node{}
			if !tt.ends { // else the head is taken out of the heap, which looks at some others
				clear(l.deadlines[1:])
			}
			l.WakeHead()
			if !woken(head) {
				t.Error("the head was not woken")
			}
			l.WakeEnding(at(60))
			if woken(head) != tt.ends {
				t.Errorf("the head was woken for its deadline: %v, expected %v", !tt.ends, tt.ends)
			}
		})
	}
}

func BenchmarkThrottledAnswer(b *testing.B) {
	var l Line
	for range 300_000 {
		l.Join(NewWaiter(1, start.Add(time.Hour), start))
	}
	for b.Loop() {
		l.WakeHead()
		l.WakeEnding(start.Add(time.Minute))
	}
}

// While each attempt may be in vain, those go first whose calls have made the fewest. Classes stay as they are.
func TestThoseWithFewAttemptsGoFirstWhileThatIsSaidSo(t *testing.T) {
	var l Line
	waiters := []*Waiter{}
	for i, tries := range []int{2, 1, 0, 0, 3} {
		w := NewWaiter(1, time.Time{}, at(i))
		w.Tries = tries
		waiters = append(waiters, w)
		l.Join(w)
	}
	var gate Gate
	var gates Gates
	gates.Share(&gate, nil)
	gate.Limit = 1
	gate.inFlight = 1
	gates.Wait(waiters[0], &gate, at(9))
	l.Spare(true)
	if gate.Waiting() != 0 || !woken(waiters[2]) {
		t.Errorf("%d at the gate, expected that the head has left it, and that the new one is awake", gate.Waiting())
	}
	low := NewWaiter(2, time.Time{}, at(0))
	l.Join(low)
	leave := func(w *Waiter) {
		t.Helper()
		if l.Head() != w {
			t.Fatalf("another one is the head")
		}
		l.Leave(w)
	}
	leave(waiters[2])
	leave(waiters[3])
	leave(waiters[1])
	l.Spare(false)
	leave(waiters[0])
	leave(waiters[4])
	leave(low)
}

// One that joins at the front may put the head out of those that are looked at. Then another one is the head, and must know.
func TestWhoBecomesTheHeadByAnothersArrivalIsAwake(t *testing.T) {
	var l Line
	l.Spare(true)
	var first, fresh *Waiter
	for i := range spared {
		w := NewWaiter(1, time.Time{}, at(1+i))
		if w.Tries = 1; i == spared-1 {
			w.Tries, fresh = 0, w
		}
		if l.Join(w); i == 0 {
			first = w
		}
	}
	if l.Head() != fresh || woken(first) {
		t.Fatal("the one without attempts is not the head")
	}
	early := NewWaiter(1, time.Time{}, at(0))
	early.Tries = 2
	if l.Join(early); l.Head() != first || !woken(first) {
		t.Errorf("the head is the right one: %v, expected that it is, and awake", l.Head() == first)
	}
}
