package main

import "time"

// amounts are how much is done for a figure.
type amounts struct {
	Rounds       int `json:"rounds"`
	adding       time.Duration
	Jobs         int `json:"workedOff"` // per round
	Claims       int `json:"claims"`    // per round
	SentByWorker int `json:"sentBeforeMemory"`

	// The backlogs: few, and many in many lanes.
	Few  amount `json:"few"`
	Many amount `json:"many"`
}

// An amount is what waits. Only pacer has lanes, one for each sender.
type amount struct {
	Waiting int `json:"waiting"`
	Lanes   int `json:"lanes"`
}

var (
	full = amounts{
		Rounds: 3, adding: 2 * time.Second, Jobs: 4000, Claims: 100, SentByWorker: 300,
		Few: amount{1000, 10}, Many: amount{1_000_000, 10_000},
	}
	short = amounts{
		Rounds: 3, adding: 200 * time.Millisecond, Jobs: 400, Claims: 30, SentByWorker: 300,
		Few: amount{1000, 10}, Many: amount{100_000, 10_000},
	}
)

// backlogs are those that a worker's memory is measured with: few, two in each of many
// lanes, and many. The one between tells what lanes cost from what the backlog costs.
func (a amounts) backlogs() []amount {
	return []amount{a.Few, {2 * a.Many.Lanes, a.Many.Lanes}, a.Many}
}

// batchSize is how many messages are enqueued at a time in the batched figure.
const batchSize = 1000
