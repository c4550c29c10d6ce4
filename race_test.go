//go:build race

package pacer

// Under the race detector a memory test says nothing, and a large one takes minutes.
func init() { raceDetector = true }
