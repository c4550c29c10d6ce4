package main

import "slices"

// A row is what came of one engine. What was not measured is empty.
type row struct {
	Engine string `json:"engine"`

	Enqueue rounds `json:"enqueuePerSecond,omitempty"`
	Batched rounds `json:"batchedPerSecond,omitempty"`
	Work    rounds `json:"workedOffPerSecond,omitempty"`

	ClaimFew  rounds `json:"claimFewMicros,omitempty"`
	ClaimMany rounds `json:"claimManyMicros,omitempty"`
	FindFew   rounds `json:"findFewMicros,omitempty"`
	FindMany  rounds `json:"findManyMicros,omitempty"`

	Filled float64  `json:"filledPerSecond,omitempty"` // the last of the backlogs; once
	Memory []memory `json:"memory,omitempty"`          // with each of the backlogs

	Killed string `json:"killedWhileSending"`
}

// rounds are one figure, measured that often.
type rounds []float64

func (r rounds) most() float64 {
	if len(r) == 0 {
		return 0
	}
	return slices.Max(r)
}

func (r rounds) least() float64 {
	if len(r) == 0 {
		return 0
	}
	return slices.Min(r)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
