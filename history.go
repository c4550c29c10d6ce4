package pacer

import "time"

// The rolling window is a minute in slots of ten seconds: the six before the present
// one count in full.
const (
	periodLength = 10 * time.Second
	periods      = 7
)

// since is the time of t by a clock that showed the wall clock's time at start and is never
// set afterwards: the wall clock may be set back, and counts must go on. It stands still while
// the machine is suspended.
func since(start, t time.Time) time.Duration {
	return time.Duration(start.UnixNano()) + t.Sub(start)
}

func periodOf(start, t time.Time) int64 { return int64(since(start, t) / periodLength) }

// windowAt is how far back the slots go, for what began at start.
func windowAt(now, start time.Time) time.Duration {
	oldest := since(start, now) - time.Duration(periodOf(start, now)-periods+1)*periodLength
	return min(oldest, now.Sub(start))
}

// A history is a bucket's share of the same: smaller, and guarded by the limiter's lock.
type history struct {
	number int64 // of the present slot
	ring   [periods]tally
}

type tally struct {
	requests, throttled, retries, waits uint32
	waited                              time.Duration
}

// now returns the present slot, and empties those that nothing was counted in. start is when
// the limiter was made.
func (h *history) now(start, t time.Time) *tally {
	n := periodOf(start, t)
	if n < h.number-1 { // not just a request that was late at the lock
		*h = history{}
	}
	for i := max(h.number+1, n-periods+1); i <= n; i++ {
		h.ring[i%periods] = tally{}
	}
	h.number = max(h.number, n)
	return &h.ring[h.number%periods]
}

func (h *history) counts(start, t time.Time) (c Counts) {
	h.now(start, t)
	for _, s := range h.ring {
		c.Requests += int(s.requests)
		c.Throttled += int(s.throttled)
		c.Retries += int(s.retries)
		c.Waits += int(s.waits)
		c.Waited += s.waited
	}
	return c
}
