// Package steps has the fixed schedule: for how long a request waits after a throttled answer that
// does not say how long. It is 1, 2, 4, 8, 16 s, by how many there were in a row. It imports nothing.
package steps

import "time"

// The schedule is known from these three.
const (
	First  = time.Second      // the wait after the first throttled answer
	Factor = 2                // of each step to the one before
	Last   = 16 * time.Second // the longest wait
)

// Next returns the step that follows one; after 0 that is the first.
func Next(step time.Duration) time.Duration { return min(max(First, Factor*step), Last) }

// After returns the step after so many throttled answers in a row. After none, and after the first,
// that is the first step.
func After(throttled int) time.Duration {
	step := First
	for n := 1; n < throttled && step < Last; n++ {
		step = Next(step)
	}
	return step
}
