package pacer

import "time"

// LimiterStats is what a limiter does now, and has done within the last minute.
type LimiterStats struct {
	// Accounts are those that have buckets, one for each region, in no order.
	Accounts []AccountStats
	// Buckets are the most recently used ones, 1,000 at most, of the BucketsInAll that were used
	// within a minute or so.
	Buckets      []BucketStats
	BucketsInAll int
	// Store is the state of what shares the buckets with other processes. nil: nothing does.
	Store *StoreStats
}

// BucketStats is one bucket of a [BucketLimiter].
type BucketStats struct {
	Resource Resource // Sender may be a phone number: no label for metrics
	Counts            // within [Stats.Window], or since the bucket was made

	Waiting  int           // calls in its line now; those that sleep between attempts are not
	InFlight int           // its requests on the wire now
	Rate     float64       // requests/s as configured, or pacer's default; 0: there is none, or it is [Unlimited]
	Pace     float64       // requests/s at which it sends now, at most, with a [BucketStore] all processes together; 0: it is not paced
	Learned  float64       // requests/s, the limit as far as throttling has shown it; 0: it has not
	CoolDown time.Duration // left of it; 0: none
}

// AccountStats is one account of a [BucketLimiter], in one region.
type AccountStats struct {
	Account, Region string
	InFlight        int // requests on the wire now
	MaxInFlight     int // as configured; 0: no limit
	Learned         int // as far as throttling has shown it; 0: it has not
	Waiting         int // buckets whose next request waits for a permit now
}

// StoreStats is how it stands between a limiter and its [BucketStore].
type StoreStats struct {
	Err   error     // why it does not answer; nil: it does
	Since time.Time // since when; zero if it does
	Asked int64     // round trips, ever
}

// Counts counts requests, which are attempts: a call that is throttled once makes two.
type Counts struct {
	Requests  int           // that were answered, or failed
	Throttled int           // of these, those that were answered with "too many requests"
	Retries   int           // of these, those that were not the first attempt of their call
	Waits     int           // requests that had to wait for their turn
	Waited    time.Duration // all of their waiting
}

// ThrottledRatio is the share of the requests that were throttled, from 0 to 1; 0 if
// there were none.
func (c Counts) ThrottledRatio() float64 { return float64(c.Throttled) / float64(max(c.Requests, 1)) }
