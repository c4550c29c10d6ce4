package line

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Whoever joins stands behind all that arrived before it or with it, and Ahead counts those.
func TestPlaceIsByArrival(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var l Line
		var want [Classes][]*Waiter // by arrival, those of one time as they joined
		for range 60 {
			class, since := rng.IntN(Classes), time.Unix(int64(rng.IntN(20)), 0)
			w := NewWaiter(class, time.Time{}, since)
			l.Join(w)
			i := len(want[class])
			for i > 0 && want[class][i-1].inLine.since.After(since) {
				i--
			}
			want[class] = slices.Insert(want[class], i, w)
			ahead := i
			for c := range class {
				ahead += len(want[c])
			}
			if got := l.Ahead(w); got != ahead {
				t.Fatalf("seed %d: %d ahead, expected %d", seed, got, ahead)
			}
			if c := rng.IntN(Classes); rng.IntN(3) == 0 && len(want[c]) > 0 {
				k := rng.IntN(len(want[c]))
				l.Leave(want[c][k])
				want[c] = slices.Delete(want[c], k, k+1)
			}
			for c := range want {
				var got []*Waiter
				for n := l.order.classes[c].first; n != nil; n = n.next {
					got = append(got, n.w)
				}
				if !slices.Equal(got, want[c]) || l.order.classes[c].len != len(got) {
					t.Fatalf("seed %d: class %d stands in another order", seed, c)
				}
			}
		}
	}
}

// A line may be long. Who comes back finds its place from the nearer end, and who is new is
// the last without any search: 100,000 of each would take minutes otherwise.
func TestPlaceInALongLineIsFoundFromTheNearerEnd(t *testing.T) {
	var l Line
	const n = 100_000
	for i := range n {
		w := NewWaiter(0, time.Time{}, time.Unix(int64(n+i), 0))
		l.Join(w)
		if got := l.Ahead(w); got != i {
			t.Fatalf("%d ahead of a newcomer, expected %d", got, i)
		}
	}
	for i := range n {
		w := NewWaiter(0, time.Time{}, time.Unix(int64(n-1-i), 0))
		l.Join(w)
		if got := l.Ahead(w); got != 0 {
			t.Fatalf("%d ahead of one who came back, expected none", got)
		}
	}
}
