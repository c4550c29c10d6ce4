package learn

import "time"

// A Log counts the requests that were accepted within the last second, by the time at which
// they left. It keeps counters of short slots instead of one time per request. The zero Log is
// empty and ready for use.
type Log struct {
	start  time.Time // from which slots are counted; zero: nothing was added yet
	newest int64     // number of the newest slot
	counts [logSlots]uint16
}

const (
	slotLength = time.Second / slotsPerSecond
	// At 32 slots a second a sum over one second is wrong by one request at most, if requests leave
	// at 32/s or less. Above that it is wrong by 3 % at most.
	slotsPerSecond = 32
	logSlots       = slotsPerSecond + 2
)

// Add counts one accepted request that left at the given time.
func (l *Log) Add(left time.Time) {
	if l.start.IsZero() {
		l.start = left.Add(-time.Second)
	}
	n := int64(left.Sub(l.start) / slotLength)
	if n > l.newest {
		for i := max(l.newest+1, n-logSlots+1); i <= n; i++ {
			l.counts[i%logSlots] = 0
		}
		l.newest = n
	}
	if c := l.count(n); c != nil && *c < 1<<16-1 {
		*c++
	}
}

// count returns the counter of slot n; nil if the log does not reach so far back.
func (l *Log) count(n int64) *uint16 {
	if n < 0 || n > l.newest || n <= l.newest-logSlots {
		return nil
	}
	return &l.counts[n%logSlots]
}

// last returns when the last request left, to the end of its slot.
func (l *Log) last() time.Time { return l.start.Add(time.Duration(l.newest+1) * slotLength) }

// Until returns how many accepted requests left within the second that ended at end.
func (l *Log) Until(end time.Time) float64 {
	if l.start.IsZero() {
		return 0
	}
	at := float64(end.Sub(l.start)) / float64(slotLength)
	last := int64(at)
	first := last - slotsPerSecond // only a part of this slot lies within the second
	var sum float64
	if c := l.count(first); c != nil {
		sum = float64(*c) * (1 - (at - float64(last)))
	}
	for n := first + 1; n <= last; n++ {
		if c := l.count(n); c != nil {
			sum += float64(*c)
		}
	}
	return sum
}
