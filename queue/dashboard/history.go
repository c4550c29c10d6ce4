package dashboard

import (
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// This file keeps what the plots show: an hour, in memory.

const (
	pointEvery = 5 * time.Second
	points     = 720         // an hour of them
	gapAfter   = time.Minute // between two points there was no look, as the process slept
)

// A point is what was true at one moment. Rates are requests per second since the point before.
type point struct {
	Time      int64   `json:"time"` // seconds since 1970, by the store's clock
	Sent      float64 `json:"sent"` // rate at which requests were finished, and not by being cancelled
	Arrived   float64 `json:"arrived"`
	Ready     int64   `json:"ready"`
	Delayed   int64   `json:"delayed"`
	Age       float64 `json:"age"`           // seconds that the first of the ready ones has waited
	Throttled float64 `json:"throttled"`     // share of this process's requests within its last minute; below 0: not known
	Gap       bool    `json:"gap,omitempty"` // nothing is known of the time before it: the store did not answer, or there is no earlier point
}

// A history is the points of the last hour. It belongs to one goroutine.
type history struct {
	ring   []point
	before queue.LaneDepth // Total, of the last point
	at     time.Time       // of the last point; zero: there is none
	missed bool            // the store was asked since, and did not answer
}

// add makes a point of a total, unless the last point is too young. It returns nil then.
func (h *history) add(total *queue.LaneDepth, at time.Time, throttled float64) *point {
	over := at.Sub(h.at)
	if !h.at.IsZero() && over >= 0 && over < pointEvery-askEvery {
		return nil
	}
	p := point{
		Time: at.Unix(), Ready: total.Ready, Delayed: total.Delayed, Age: total.OldestAge.Seconds(), Throttled: throttled,
		Gap: h.missed || h.at.IsZero() || over < 0 || over > gapAfter,
	}
	h.missed = false
	if !h.at.IsZero() && over > 0 {
		cancelled := max(0, total.Cancelled-h.before.Cancelled)
		p.Sent = float64(max(0, total.Departed-h.before.Departed-cancelled)) / over.Seconds()
		p.Arrived = float64(max(0, total.Arrived-h.before.Arrived)) / over.Seconds()
	}
	h.before, h.at = *total, at
	if len(h.ring) >= points {
		h.ring = append(h.ring[:0], h.ring[1:]...)
	}
	h.ring = append(h.ring, p)
	return &p
}
