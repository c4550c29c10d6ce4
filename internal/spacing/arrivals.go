package spacing

import (
	"math"
	"time"
)

// Arrivals absorb what slack cannot: the single request that is much slower than the
// others, because it opens a connection or the machine stalls. A server's window that has
// room for n requests has room for one more when the n-th before it has slid out. That
// one may have arrived as late as it was answered, less the time that the fastest takes.
// Until then the bucket delays its next request.
//
// A request can also be slow because the server takes its time after it has counted it.
// A delay is therefore paid from a credit, which bounds the loss of rate to 5 % in
// the long run.
//
// Requests are timed in groups of equal size. A group has one request where a window has
// at most 48. It has more where a window has more, and is then as late as its latest
// request. So the memory is bounded: at most 48 groups of 32 bytes. It grows with use,
// too: a group that is too old to matter gives its place to the next one.
type Arrivals struct {
	window  time.Duration // in which the server has room for groups*size requests
	sure    bool          // the server's limit is known, and not learned from what it let through
	groups  uint64        // in a window; 0: nothing is timed
	size    uint64        // requests in a group
	number  uint64        // of the next request
	ring    []group       // grows up to groups
	epoch   time.Time     // from which the groups' times are counted
	fastest time.Duration // recent transit
	known   int           // transits that fastest is from
	held    time.Duration // from Leave to departure, as short as it was lately: all have that in common
	credit  time.Duration
	paid    time.Time // until when credit has been paid in; zero: never
}

// A group is some requests that left one after the other. Times are since the epoch.
type group struct {
	number       uint32        // its first request's, divided by size; from 1. Its upper bits are left out
	late         uint32        // us by which one of its requests was held for longer than others
	left         time.Duration // when its first request left
	transit      time.Duration // the longest of those that were answered, and 1 ns; 0: none was
	delayedUntil time.Duration // until when its successor, a window later, is delayed; 0: not decided
}

// held returns by how much one of its requests was held for longer than others.
func (g *group) held() time.Duration { return time.Duration(g.late) * time.Microsecond }

const (
	maxGroups     = 48
	maxRate       = 1000 // requests/s; faster ones are less than a millisecond apart: nothing can be timed
	creditShare   = 0.05
	maxCredit     = time.Second
	minTransits   = 4    // before that many the fastest is not known
	fastestDecays = 1024 // a route that gets longer is noticed within some 1,000 requests
	heldDecays    = 256  // a store that gets slower is noticed within some 250
)

// Fit sets the rate, in requests per second, and the burst. The window is one second, or
// the time for one request where that is more. sure: the rate is the server's, and no window
// may have more. A rate that was learned is one that the server has let through, with the
// delays as they were.
func (a *Arrivals) Fit(rate float64, burst int, sure bool) {
	a.sure = sure
	if rate > maxRate {
		a.resize(0, 0, 0)
		return
	}
	n := int(max(rate, 1)) + burst - 1 // requests in a window
	size := (n + maxGroups - 1) / maxGroups
	groups := (n + size - 1) / size
	window := float64(groups*size-burst+1) / rate
	a.resize(uint64(groups), uint64(size), time.Duration(window*float64(time.Second)))
}

// keepDistance is for a bucket that is throttled although it keeps its rate: the server
// may count in shorter windows than thought, down to that of one request.
func (a *Arrivals) keepDistance() {
	if n := a.groups * a.size; n > 1 {
		a.resize(1, 1, a.window/time.Duration(n))
	}
}

// resize forgets the passages, unless nothing changes.
func (a *Arrivals) resize(groups, size uint64, window time.Duration) {
	if groups != a.groups || size != a.size || window != a.window {
		a.groups, a.size, a.window, a.ring = groups, size, window, nil
	}
}

// find returns the group with the number; nil: it is not remembered.
func (a *Arrivals) find(number uint64) *group {
	if len(a.ring) == 0 || number == 0 {
		return nil
	}
	g := &a.ring[number%uint64(len(a.ring))]
	if g.number != uint32(number) {
		return nil
	}
	return g
}

// current is the number of the next request's group.
func (a *Arrivals) current() uint64 { return a.number/a.size + 1 }

// predecessor is the group a window before the next request's; nil: it is not remembered.
func (a *Arrivals) predecessor() *group {
	if a.groups == 0 || a.current() <= a.groups {
		return nil
	}
	return a.find(a.current() - a.groups)
}

// Leave notes that a request leaves, and returns its number for Arrived.
func (a *Arrivals) Leave(now time.Time) uint64 {
	if a.groups == 0 {
		return 0
	}
	number := a.current()
	if a.find(number) == nil {
		if a.epoch.IsZero() {
			a.epoch = now.Add(-1) // so that no time is 0
		}
		left := now.Sub(a.epoch)
		*a.place(number, left) = group{number: uint32(number), left: left}
	}
	a.number++
	return number
}

// Held takes in that a request departs now, so long after Leave was called for it. Its successor, a window later,
// leaves later by as much as that is longer than usual.
func (a *Arrivals) Held(by time.Duration, now time.Time) {
	if a.groups == 0 {
		return
	}
	longer := by - a.held
	if longer <= 0 {
		a.held = by
		return
	}
	a.held += longer / heldDecays
	left := now.Sub(a.epoch) - by
	for n := a.number; n > 0 && a.number-n <= a.groups*a.size; n -= min(n, a.size) {
		if g := a.find((n-1)/a.size + 1); g != nil && g.left <= left {
			if late := uint32(min(longer.Microseconds(), math.MaxUint32)); late > g.late {
				g.late, g.delayedUntil = late, 0
			}
			return
		}
	}
}

// place is where a new group is to stand: in place of one that is too old to matter,
// else in a larger ring.
func (a *Arrivals) place(number uint64, now time.Duration) *group {
	if n := uint64(len(a.ring)); n < a.groups {
		if n == 0 {
			a.ring = make([]group, 1)
		} else if old := &a.ring[number%n]; old.number > 0 && now-old.left < a.window+maxCredit {
			grown := make([]group, min(2*n, a.groups))
			for _, g := range a.ring {
				if at := &grown[uint64(g.number)%uint64(len(grown))]; g.number > at.number {
					*at = g
				}
			}
			a.ring = grown
		}
	}
	return &a.ring[number%uint64(len(a.ring))]
}

// Arrived takes in that the request with the number, which left at the given time, has
// been answered.
func (a *Arrivals) Arrived(number uint64, left, now time.Time) {
	if a.groups == 0 {
		return
	}
	g := a.find(number)
	if g == nil || left.Sub(a.epoch) < g.left {
		return // a later group has its place
	}
	transit := now.Sub(left)
	g.transit = max(g.transit, transit+1)
	if a.known++; a.known == 1 || transit < a.fastest {
		a.fastest = transit
	} else {
		a.fastest += (transit - a.fastest) / fastestDecays
	}
}

// Failed takes in that the request with the number, which left at the given time, reached the server and
// failed there. It has a place in the server's window. How long a failure takes says nothing about when the
// request arrived, and so it counts as the fastest.
func (a *Arrivals) Failed(number uint64, left time.Time) {
	if g := a.find(number); g != nil && left.Sub(a.epoch) >= g.left {
		g.transit = max(g.transit, a.fastest+1)
	}
}

// Opens returns when the next request finds room; the zero time if that is not known.
func (a *Arrivals) Opens() time.Time {
	g := a.predecessor()
	if g == nil {
		return time.Time{}
	}
	late := max(0, g.transit-1)
	if a.known >= minTransits {
		late = max(0, late-a.fastest)
	}
	return a.epoch.Add(g.left + a.window + max(late, g.held()))
}

// Delay returns how much longer the next request, whose token is due, must wait. It
// decides once for each group. Where the rate is sure, a request never leaves within a window
// of its predecessor, however late that left or was held. By how much later it arrived is a
// guess, and paid from the credit.
func (a *Arrivals) Delay(now time.Time) time.Duration {
	opens := a.Opens()
	if !opens.After(now) {
		return 0
	}
	g := a.predecessor()
	if !a.sure && g.transit == 0 {
		return 0
	}
	if g.delayedUntil == 0 {
		if a.paid.IsZero() {
			a.paid, a.credit = now, maxCredit
		}
		a.credit = min(maxCredit, a.credit+time.Duration(creditShare*float64(now.Sub(a.paid))))
		a.paid = now
		surely := time.Duration(0)
		if a.sure {
			surely = max(0, a.epoch.Add(g.left+a.window+g.held()).Sub(now))
		}
		guess := min(opens.Sub(now)-surely, a.credit)
		a.credit -= guess
		g.delayedUntil = now.Sub(a.epoch) + surely + guess
	}
	return g.delayedUntil + a.epoch.Sub(now)
}
