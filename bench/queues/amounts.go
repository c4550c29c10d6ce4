package main

import "time"

// amounts are how much is done for a figure.
type amounts struct {
	Rounds       int `json:"rounds"`
	adding       time.Duration
	Jobs         int `json:"workedOff"` // per round
	Claims       int `json:"claims"`    // per round
	Few          int `json:"few"`       // waiting, with claim and memory
	FewSenders   int `json:"fewLanes"`
	Many         int `json:"many"`
	ManySenders  int `json:"manyLanes"`
	SentByWorker int `json:"sentBeforeMemory"`
}

var (
	full = amounts{
		Rounds: 3, adding: 2 * time.Second, Jobs: 4000, Claims: 100, SentByWorker: 300,
		Few: 1000, FewSenders: 10, Many: 1_000_000, ManySenders: 10_000,
	}
	short = amounts{
		Rounds: 3, adding: 200 * time.Millisecond, Jobs: 400, Claims: 30, SentByWorker: 300,
		Few: 1000, FewSenders: 10, Many: 100_000, ManySenders: 10_000,
	}
)

// batchSize is how many messages are enqueued at a time in the batched figure.
const batchSize = 500
