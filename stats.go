package pacer

import "time"

// Stats is what a client has done within the last minute, and what it is doing now.
// Get it with [Client.Stats].
type Stats struct {
	Time   time.Time
	Window time.Duration // that the counts go back: 60 to 70 s, less for a younger client; setting the clock does not change it

	Counts     // of all requests
	Calls  int // calls that have returned
	GaveUp int // of these, those that failed although they may be sent again: retries exhausted and the like
	Failed int // of these, those that failed otherwise

	Alerts map[AlertKind]int // raised since the client was made, however long ago; never nil

	// UndeliveredAlerts counts, since the client was made, what a function of [WithAlert] has
	// not got because 1,000 alerts waited for it already. 0: none.
	UndeliveredAlerts int

	Waiting  int // calls that wait now: for their turn, or for their next attempt
	InFlight int // requests on the wire now

	LimiterStats // what the limiter does; zero if it is no [StatsLimiter]
}

// RequestsPerSecond is the mean over the window.
func (s Stats) RequestsPerSecond() float64 { return perSecond(s.Requests, s.Window) }

func perSecond(n int, d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1) }
