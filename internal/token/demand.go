package token

import (
	"time"
)

type Demand struct {
	N         int
	Rate      float64
	Burst     int
	Unused    int
	Last      int64
	Back      bool
	Hold      time.Duration
	TooLong   bool
	Accepted  int
	Throttled int
	Learn     bool
	Pace      float64
	Learned   float64
}

type Grant struct {
	N         int
	Number    int64
	From      time.Time
	Every     time.Duration
	Again     time.Time
	Hold      time.Time
	RetryAt   time.Time
	Pace      float64
	Learned   float64
	Processes int
	Heeded    bool
	Learner   bool
	Accepted  int
	Throttled int
}

type User struct {
	Rate    func() float64          // requests/s by limits; Unlimited
	Waiting func() int              // requests in the line
	Tell    func(Demand, time.Time) // sends a demand; the answer is for Granted or Failed
	// Lessons are for the process that learns for all: the pace, and the limit, that throttled
	// answers have taught; Unlimited and 0: none.
	Lessons func() (pace, learned float64)
}

func (g *Grant) notBefore(next time.Time) time.Time {
	if g.From.Before(next) {
		g.From = next
	}
	return g.From.Add(time.Duration(g.N) * g.Every)
}
