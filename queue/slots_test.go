package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
)

func senderOf(product string, i int) pacer.Resource {
	return pacer.Resource{Account: "AC", Region: "us1", Product: product, Name: "Things", Op: pacer.Create, Sender: fmt.Sprint(i)}
}

// fill takes slots for a request of each bucket in turn until there are none for them.
func fill(s *slots, p pacer.Priority, buckets ...pacer.Resource) (n int) {
	for took := true; took; {
		took = false
		for _, r := range buckets {
			if s.takeNow(r, p) {
				n++
				took = true
			}
		}
	}
	return n
}

func TestSharesOfTheSlots(t *testing.T) {
	var senders []pacer.Resource
	for i := range 1000 {
		senders = append(senders, senderOf("api", i))
	}
	for _, c := range []struct {
		size int
		want []int // one bucket, those of another product, of a third, of a fourth
		all  int   // many buckets of one product
		high int   // the same, for High
	}{
		{size: 1, want: []int{1, 0, 0, 0}, all: 1, high: 1},
		{size: 4, want: []int{4, 0, 0, 0}, all: 4, high: 4},
		{size: 5, want: []int{4, 1, 0, 0}, all: 5, high: 5},
		{size: 8, want: []int{6, 2, 0, 0}, all: 7, high: 8},
		{size: 20, want: []int{14, 4, 2, 0}, all: 18, high: 20},
		{size: 200, want: []int{134, 44, 15, 5}, all: 175, high: 194},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			s := newSlots(c.size)
			var got []int
			for _, product := range []string{"verify", "lookups", "sync", "chat"} {
				got = append(got, fill(s, pacer.Low, senderOf(product, 0)))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("buckets of four products that hang one after the other have %v slots, expected %v", got, c.want)
			}
			if n := fill(newSlots(c.size), pacer.Normal, senders...); n != c.all {
				t.Errorf("the buckets of one product have %d slots, expected %d", n, c.all)
			}
			if n := fill(newSlots(c.size), pacer.High, senders...); n != c.high {
				t.Errorf("the buckets of one product have %d slots for High, expected %d", n, c.high)
			}
		})
	}
}

// waits has somebody wait for a slot, and tells of it when he has got it.
func waits(t *testing.T, s *slots, r pacer.Resource, p pacer.Priority, first bool, got func()) (cancel func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if s.take(ctx, r, p, first) {
			got()
		}
	}()
	synctest.Wait()
	return cancel
}

func TestSlotsGoToThoseWhoWait(t *testing.T) {
	a, b, c, v := senderOf("api", 1), senderOf("api", 2), senderOf("api", 3), senderOf("verify", 0)
	type waiter struct {
		r     pacer.Resource
		p     pacer.Priority
		first bool
	}
	for name, tt := range map[string]struct {
		waiting []waiter
		want    []int
	}{
		"by priority":                        {[]waiter{{a, pacer.Low, false}, {b, pacer.Normal, false}, {c, pacer.High, false}}, []int{2, 1, 0}},
		"buckets take turns":                 {[]waiter{{a, 0, false}, {a, 0, false}, {a, 0, false}, {b, 0, false}, {c, 0, false}}, []int{0, 3, 4, 1, 2}},
		"products take turns":                {[]waiter{{a, 0, false}, {b, 0, false}, {c, 0, false}, {v, 0, false}}, []int{0, 3, 1, 2}},
		"whoever has a turn goes first":      {[]waiter{{a, 0, false}, {v, 0, false}, {a, 0, false}, {b, 0, true}}, []int{3, 1, 0, 2}},
		"but not before a higher priority":   {[]waiter{{a, 0, false}, {b, 0, true}, {c, pacer.High, false}}, []int{2, 1, 0}},
		"priorities beyond those that exist": {[]waiter{{a, -7, false}, {b, 0, false}, {c, 7, false}}, []int{2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlots(1)
				holder := senderOf("sync", 0)
				if !s.takeNow(holder, 0) {
					t.Fatal("the only slot is not free")
				}
				var order []int
				for i, w := range tt.waiting {
					waits(t, s, w.r, w.p, w.first, func() { order = append(order, i) })
				}
				for range tt.waiting {
					s.give(holder)
					synctest.Wait()
					holder = tt.waiting[order[len(order)-1]].r
				}
				if !slices.Equal(order, tt.want) {
					t.Errorf("slots went to %v, expected %v", order, tt.want)
				}
			})
		})
	}
}

// Of any ten that get a slot one is of each priority that waits.
func TestNoPriorityStarvesForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newSlots(1), senderOf("api", 0)
		s.takeNow(r, 0)
		var order []pacer.Priority
		for _, p := range []pacer.Priority{pacer.Low, pacer.Normal, pacer.High} {
			for range 50 {
				waits(t, s, r, p, false, func() { order = append(order, p) })
			}
		}
		for range 150 {
			s.give(r)
			synctest.Wait()
		}
		for i := 0; i+10 <= 50; i++ {
			for _, p := range []pacer.Priority{pacer.Low, pacer.Normal, pacer.High} {
				if !slices.Contains(order[i:i+10], p) {
					t.Fatalf("none of priority %d among ten: %v", p, order[i:i+10])
				}
			}
		}
	})
}

// Whatever comes and goes: never more slots are taken than there are, none is lost, and nobody
// waits who may have one.
func TestSlotsAreNeitherLostNorDoubled(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 0))
			size := 1 + chance.IntN(30)
			s := newSlots(size)
			for range 300 {
				r := senderOf([]string{"api", "verify", "sync"}[chance.IntN(3)], chance.IntN(4))
				p := pacer.Priority(chance.IntN(3) - 1)
				first, patience, takes := chance.IntN(4) == 0, time.Duration(chance.IntN(400))*time.Millisecond, time.Duration(chance.IntN(100))*time.Millisecond
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if !s.take(ctx, r, p, first) {
						return
					}
					time.Sleep(takes)
					s.give(r)
				}()
				time.Sleep(time.Duration(chance.IntN(5)) * time.Millisecond)
				synctest.Wait()
				if n := s.used(); n > size {
					t.Fatalf("seed %d: %d of %d slots are taken", seed, n, size)
				}
				s.mu.Lock()
				w := s.next()
				s.mu.Unlock()
				if w != nil {
					t.Fatalf("seed %d: somebody waits although a slot is free", seed)
				}
			}
			time.Sleep(time.Second)
			if s.used() != 0 || len(s.buckets) != 0 || s.all.waiting[0].Len()+s.all.waiting[1].Len()+s.all.waiting[2].Len() != 0 {
				t.Errorf("seed %d: at the end %d slots are taken, and %d buckets are known", seed, s.used(), len(s.buckets))
			}
		})
	}
}
