package main

import (
	"net/http"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A row is what came of one client in one measured phase.
type row struct {
	Scenario string `json:"scenario"` // the row's name, as a scenario can have two
	Client   string `json:"client"`

	// In the window that is measured:
	Possible  float64 `json:"possible"`   // messages: see phase.possible
	Accepted  int     `json:"accepted"`   // messages, by the server's records
	Requests  int     `json:"requests"`   // by all attempts together
	Throttled int     `json:"throttled"`  // of them, answered 429
	P99       float64 `json:"p99Seconds"` // of the calls that ended, lost ones too

	// From the end of the window before, or the start, to the end of this one:
	Lost    int `json:"lost"`    // calls that returned an error
	Doubled int `json:"doubled"` // messages accepted again
}

// goodput is the share of the possible that was accepted.
func (r row) goodput() float64 { return share(float64(r.Accepted), r.Possible) }

// throttledShare is the share of the requests that were throttled.
func (r row) throttledShare() float64 { return share(float64(r.Throttled), float64(r.Requests)) }

func share(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}

// account makes the rows of the windows that are measured. What the server did
// counts when it did it, a call when it ended. What was lost or doubled counts at
// any time: there is no time to adapt in which that would be right.
func account(windows []window, start time.Time, calls []call, accepted, refused, doubled []twiliotest.Request) []row {
	var rows []row
	since := time.Duration(0)
	for i, w := range windows {
		if w.row == "" {
			continue
		}
		last := i == len(windows)-1
		within := func(t time.Duration) bool { return w.from <= t && t < w.to }
		sinceLast := func(t time.Duration) bool { return (since <= t || since == 0) && (t < w.to || last) }

		r := row{Scenario: w.row, Possible: w.possible() * (w.to - w.from).Seconds()}
		for _, a := range accepted {
			if within(a.Time.Sub(start)) {
				r.Accepted++
				r.Requests++
			}
		}
		for _, a := range refused {
			if within(a.Time.Sub(start)) {
				r.Requests++
				if a.Status == http.StatusTooManyRequests {
					r.Throttled++
				}
			}
		}
		for _, a := range doubled {
			if sinceLast(a.Time.Sub(start)) {
				r.Doubled++
			}
		}
		var took []time.Duration
		for _, c := range calls {
			if within(c.end) {
				took = append(took, c.took)
			}
			if c.lost && sinceLast(c.end) {
				r.Lost++
			}
		}
		r.P99 = output.Percentile(took, 99).Seconds()
		rows = append(rows, r)
		since = w.to
	}
	return rows
}
