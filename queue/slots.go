package queue

import (
	lists "container/list"
	"context"
	"sync"

	"github.com/twilio-pacer/pacer"
)

// This file shares out the slots of a worker among products, buckets and priorities.

// How the slots are shared. Requests that hang must leave some slots to all others.
const (
	// fewSlots is how many slots have no shares, since they are too few to be shared.
	fewSlots = 4
	// bucketShare is how many slots a bucket may take for each one that stays free.
	bucketShare = 2
	// productShare is the same for all buckets of a product, whose senders mostly hang together.
	productShare = 7
	// urgentShare is how many times productShare a product may take for what is High, and for
	// one of any ten of each priority.
	urgentShare = 4
)

// classes is how many priorities there are. Class 0 is High.
const classes = 3

// passedAtMost is how many slots others get while a class waits, so that one of any ten is its
// own. It is 8 and not 9, since two classes can be due at the same time.
const passedAtMost = 8

// slots are how many requests a worker may have on the wire, one slot each. Those who wait for
// a slot get it by priority. Within a priority the products follow one another, and so do the
// buckets of a product. A bucket and a product have shares of the slots: the more others use,
// the fewer a share has. It is safe for concurrent use.
type slots struct {
	size int

	mu       sync.Mutex // guards all below
	all      seats      // its waiting are products
	products map[product]*seats
	buckets  map[pacer.Resource]*seats
	passed   [classes]int // slots that others have got since the class's first waits
}

// A product is a product of Twilio's in one region. If it hangs, it mostly hangs as a whole.
type product struct{ region, name string }

// Seats are how many slots a bucket, a product or all have taken, and who waits for one.
type seats struct {
	of      *seats // of the product if this is a bucket, of all if this is a product; nil: this is all
	taken   int
	waiting [classes]lists.List     // of *seats, in a bucket of *slotWaiter
	at      [classes]*lists.Element // its place in of.waiting; nil: nobody waits in it
}

// A slotWaiter waits for a slot.
type slotWaiter struct {
	bucket *seats
	class  int
	place  *lists.Element
	got    chan struct{} // closed when it has its slot
}

// newSlots returns n slots, all of them free.
func newSlots(n int) *slots {
	return &slots{size: n, products: make(map[product]*seats), buckets: make(map[pacer.Resource]*seats)}
}

// used returns how many slots are taken.
func (s *slots) used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.taken
}

// take waits for a slot for a request of r. If first is true, the request goes before all others
// of its priority. take reports whether it has got a slot, which must be given back. It has got
// none if ctx has ended.
func (s *slots) take(ctx context.Context, r pacer.Resource, p pacer.Priority, first bool) bool {
	s.mu.Lock()
	b, class := s.bucket(r), classOf(p)
	if s.mayTake(b, class == 0) { // nobody who waits may take the slot, else it would be taken
		b.add(1)
		s.mu.Unlock()
		return true
	}
	w := &slotWaiter{bucket: b, class: class, got: make(chan struct{})}
	w.join(first)
	s.mu.Unlock()
	select {
	case <-w.got:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.got: // at the same moment
		return true
	default:
		w.leave()
		s.forget(r, b)
		return false
	}
}

// takeNow takes a slot if there is one for a request of r.
func (s *slots) takeNow(r pacer.Resource, p pacer.Priority) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(r)
	ok := s.mayTake(b, classOf(p) == 0)
	if ok {
		b.add(1)
	}
	s.forget(r, b)
	return ok
}

// give gives back a slot that a request of r had. Those who wait get it at once.
func (s *slots) give(r pacer.Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[r]
	b.add(-1)
	for w := s.next(); w != nil; w = s.next() {
		s.pass(w.class)
		w.bucket.add(1)
		w.leave()
		w.bucket.goBehind(w.class)
		close(w.got)
	}
	s.forget(r, b)
}

// bucket returns r's seats, with mu held.
func (s *slots) bucket(r pacer.Resource) *seats {
	b, ok := s.buckets[r]
	if ok {
		return b
	}
	key := product{r.Region, r.Product}
	p, ok := s.products[key]
	if !ok {
		p = &seats{of: &s.all}
		s.products[key] = p
	}
	b = &seats{of: p}
	s.buckets[r] = b
	return b
}

// forget drops r's seats if they are empty, with mu held. Products stay, as there are few.
func (s *slots) forget(r pacer.Resource, b *seats) {
	if !b.empty() {
		return
	}
	delete(s.buckets, r)
}

// mayTake reports whether a bucket may take a slot, with mu held. urgent says that it is for
// what is High, or for a class that has waited for long.
func (s *slots) mayTake(b *seats, urgent bool) bool {
	free := s.size - s.all.taken
	return free > 0 && (s.size <= fewSlots || b.taken < bucketShare*free) && s.mayServe(b.of, urgent)
}

// mayServe is mayTake for a product.
func (s *slots) mayServe(p *seats, urgent bool) bool {
	free, share := s.size-s.all.taken, productShare
	if urgent {
		share *= urgentShare
	}
	return free > 0 && (s.size <= fewSlots || p.taken < share*free)
}

// next returns who gets the next slot, or nil if nobody may take one, with mu held.
func (s *slots) next() *slotWaiter {
	if s.all.taken >= s.size {
		return nil
	}
	for class := range classes {
		if s.passed[class] >= passedAtMost {
			if w := s.first(class, true); w != nil {
				return w
			}
		}
	}
	for class := range classes {
		if w := s.first(class, class == 0); w != nil {
			return w
		}
	}
	return nil
}

// first returns the first of a class who may take a slot, or nil if nobody may, with mu held.
func (s *slots) first(class int, urgent bool) *slotWaiter {
	for p := s.all.waiting[class].Front(); p != nil; p = p.Next() {
		of := p.Value.(*seats)
		if !s.mayServe(of, urgent) {
			continue
		}
		// A bucket that may not take one has taken several. So there are few such buckets.
		for b := of.waiting[class].Front(); b != nil; b = b.Next() {
			if in := b.Value.(*seats); s.mayTake(in, urgent) {
				return in.waiting[class].Front().Value.(*slotWaiter)
			}
		}
	}
	return nil
}

// pass notes that one of a class gets a slot, with mu held.
func (s *slots) pass(class int) {
	for c := range classes {
		if c == class || s.all.waiting[c].Len() == 0 {
			s.passed[c] = 0
		} else {
			s.passed[c]++
		}
	}
}

// add counts n more slots as taken.
func (b *seats) add(n int) {
	for ; b != nil; b = b.of {
		b.taken += n
	}
}

// empty reports that no slot is taken, and that nobody waits.
func (b *seats) empty() bool { return b.taken == 0 && b.at == [classes]*lists.Element{} }

// join has w wait, behind all others of its bucket, or before all others of its class.
func (w *slotWaiter) join(first bool) {
	if w.place = w.bucket.waiting[w.class].PushBack(w); first {
		w.bucket.waiting[w.class].MoveToFront(w.place)
	}
	for b := w.bucket; b.of != nil; b = b.of {
		if b.at[w.class] == nil {
			b.at[w.class] = b.of.waiting[w.class].PushBack(b)
		}
		if first {
			b.of.waiting[w.class].MoveToFront(b.at[w.class])
		}
	}
}

// leave ends w's wait.
func (w *slotWaiter) leave() {
	w.bucket.waiting[w.class].Remove(w.place)
	for b := w.bucket; b.of != nil && b.waiting[w.class].Len() == 0; b = b.of {
		b.of.waiting[w.class].Remove(b.at[w.class])
		b.at[w.class] = nil
	}
}

// goBehind has the other buckets, and the other products, go before b the next time.
func (b *seats) goBehind(class int) {
	for ; b.of != nil; b = b.of {
		if at := b.at[class]; at != nil {
			b.of.waiting[class].MoveToBack(at)
		}
	}
}

// classOf is the class of a priority.
func classOf(p pacer.Priority) int {
	return int(pacer.High - min(max(p, pacer.Low), pacer.High))
}
