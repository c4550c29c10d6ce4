package engine

import "time"

// lastMicro is the last microsecond of the year 9999, and the latest time that engines store. Later years overflow in
// Go's conversion to microseconds, and RFC 3339 cannot write them.
const lastMicro = 253_402_300_799_999_999

// beyond reports whether t lies after the latest time that engines store.
func beyond(t time.Time) bool { return t.Unix() > lastMicro/1_000_000 }

// Micros returns t as engines store it: in microseconds since 1970, and 0 for the zero time.
// A time before 1970 becomes 1, and a time after the year 9999 becomes the end of that year.
func Micros(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Unix() < 0:
		return 1
	case beyond(t):
		return lastMicro
	}
	return max(t.UnixMicro(), 1)
}

// FromMicros returns the time that was stored as us, in UTC. 0 is the zero time.
// A number beyond the latest stored time means that time, as a store may round.
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(min(us, lastMicro)).UTC()
}
