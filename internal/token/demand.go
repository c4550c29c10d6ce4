package token

import "time"

// A Demand is what a process wants of a bucket in a store. Its fields are those of
// pacer.Demand, which explains them.
type Demand struct {
	N           int
	Rate        float64
	Burst       int
	Unused      int
	Last        int64
	Back        bool
	CoolDownFor time.Duration
	TooLong     bool
	Accepted    int
	Throttled   int
	Learn       bool
	Pace        float64
	Learned     float64
}

// A Grant is what the store has given out. Its fields are those of pacer.Grant, which
// explains them.
type Grant struct {
	N             int
	Number        int64
	From          time.Time
	Every         time.Duration
	Again         time.Time
	CoolDownUntil time.Time
	RetryAt       time.Time
	Pace          float64
	Learned       float64
	Processes     int
	Heeded        bool
	Learner       bool
	Accepted      int
	Throttled     int
}

// A User is the bucket whose tokens are leased.
type User struct {
	Rate    func() float64          // requests/s by limits; Unlimited
	Waiting func() int              // requests in the line
	Tell    func(Demand, time.Time) // sends a demand; the answer is for Granted or Failed
	// Lessons are for the process that learns for all: the pace, and the limit, that throttled
	// answers have taught; Unlimited and 0: none.
	Lessons func() (pace, learned float64)
}

// notBefore moves a grant's tokens to next, if they are before it, and returns when the first
// token after them may be used.
func (g *Grant) notBefore(next time.Time) time.Time {
	if g.From.Before(next) {
		g.From = next
	}
	return g.From.Add(time.Duration(g.N) * g.Every)
}
