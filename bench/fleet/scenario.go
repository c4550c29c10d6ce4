package main

import (
	"cmp"
	"time"
)

// A scenario is a fleet's way of life.
type scenario struct {
	Name, What string
	limit      int
	processes  int
	length     time.Duration // measured
	short      time.Duration // measured in a short run; 0: a quarter of length
	demand     float64       // requests/s, all together; 0: as many as pass
	churn      time.Duration // between a process killed and another started; 0: never
	outage     time.Duration // for which Redis is stopped in the middle; 0: it is not
	conditions
	workers int           // of each process; 0: 20
	warmUp  time.Duration // before the time that is measured; 0: 2 s
	late    float64       // share of Redis' answers that are late by lateBy
	alone   bool          // the same load is sent by one process without Redis at the same time

	// What is expected at least and at most; 0: not checked. leastAlone is of what the process without
	// Redis reaches, leastOwn what the smallest process has of an equal share, mostTrips round trips a second.
	leastRate, mostThrottled, leastShare, mostAsked, mostThrottledAway float64
	leastAlone, leastOwn, mostTrips                                    float64
}

// lateBy is by how much late answers of Redis are late.
const lateBy = 300 * time.Millisecond

// atWork returns how many workers a process has.
func (s scenario) atWork() int {
	if s.workers > 0 {
		return s.workers
	}
	return workers
}

const workers = 20

// take names the scenario that is none of a fleet: it measures what Redis and three limiters cost.
const take = "take"

var scenarios = []scenario{
	{Name: "steady", What: "eight processes at a limit of 100/s", limit: 100, processes: 8, length: 40 * time.Second,
		leastRate: 0.97, mostThrottled: 0.005, leastShare: 0.5},
	{Name: "churn", What: "a process killed and another started every 5 s", limit: 100, processes: 8, length: 40 * time.Second, short: 10500 * time.Millisecond, churn: 5 * time.Second,
		leastRate: 0.93, mostThrottled: 0.01},
	{Name: "outage", What: "Redis stopped in the middle", limit: 100, processes: 8, length: 40 * time.Second, short: 12 * time.Second, outage: 10 * time.Second,
		mostThrottledAway: 0.05},
	{Name: "busy", What: "eight processes at a limit of 1,000/s", limit: 1000, processes: 8, length: 20 * time.Second,
		mostThrottled: 0.005, mostAsked: 0.12}, // 0.1 is usual; how many callers wait when a process asks is up to the scheduler
	{Name: "below", What: "eight processes that want 1,000/s of 2,000/s", limit: 2000, processes: 8, demand: 1000, length: 20 * time.Second,
		mostThrottled: 0.005},
	usual(scenario{Name: "answers-1", What: "answers of 50 to 350 ms, 5 senders of 1/s", limit: 5, processes: 4, length: 40 * time.Second, conditions: varying(5)}),
	usual(scenario{Name: "answers-5", What: "the same at 5/s each", limit: 25, processes: 4, length: 20 * time.Second, conditions: varying(5)}),
	usual(scenario{Name: "answers-20", What: "the same at 20/s each", limit: 100, processes: 4, length: 20 * time.Second, conditions: varying(5)}),
	usual(scenario{Name: "late", What: "5 % of Redis' answers are late by 300 ms", limit: 100, processes: 4, length: 20 * time.Second, late: 0.05}),
	usual(scenario{Name: "slots", What: "16 senders of 1/s, MaxInFlight 4", limit: 16, processes: 2, workers: 16, length: 40 * time.Second,
		conditions: conditions{Senders: 16, MaxInFlight: 4, Shortest: 240 * time.Millisecond, Longest: 240 * time.Millisecond}}),
	usual(scenario{Name: "many", What: "100 processes of one caller", limit: 20, processes: 100, workers: 1, warmUp: 15 * time.Second, length: 60 * time.Second, mostTrips: 100}),
	usual(scenario{Name: "noise", What: "2 % are throttled whatever is sent", limit: 100, processes: 8, length: 40 * time.Second, conditions: conditions{Noise: 0.02}}),
	{Name: take, What: "what a take costs, beside redis_rate and throttled", length: 12 * time.Second, short: 2400 * time.Millisecond},
}

// shortened returns the scenario for a short run.
func (s scenario) shortened() scenario {
	s.length = cmp.Or(s.short, s.length/4)
	s.outage = min(s.outage, 4*time.Second)
	return s
}

// usual returns a scenario of which is expected that it is as good as without Redis.
func usual(s scenario) scenario {
	s.alone, s.leastAlone, s.leastOwn, s.mostThrottled = true, 0.95, 0.5, 0.005
	return s
}

func varying(senders int) conditions {
	return conditions{Senders: senders, Shortest: 50 * time.Millisecond, Longest: 350 * time.Millisecond}
}
