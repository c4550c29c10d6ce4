// Package spacing leaves room for what a network does to the times at which requests
// arrive. A server whose window slides throttles the second of two requests that left
// exactly one second apart, whenever it travels faster than the first.
//
// Nothing here locks, waits or reads a clock: times are arguments.
package spacing

import "time"

// Spacing is what a bucket knows about the times of arrival of its requests. The zero
// Spacing knows nothing and delays nothing until Fit was called.
type Spacing struct {
	jitter  jitter
	caution float64 // a share of the rate, from 0 to maxCaution
	Arrivals
}

// MaxSlack is how far below its rate a bucket may stay for jitter, as a share of it.
const MaxSlack = 0.02

const (
	slackPerJitter = 50 // the tail of a network's delays is far longer than their mean deviation

	// A bucket whose limit is just below the configured rate needs more room, and gets it
	// step by step, within bounds: each step follows a trial that has shown such a limit.
	cautionStep = 0.01
	maxCaution  = 0.05
)

// Slack is the share by which intervals must be stretched. It is 0 where arrivals do not
// vary, as in virtual time.
func (s *Spacing) Slack() float64 {
	if s.jitter.mean == 0 {
		return 0
	}
	return min(MaxSlack, slackPerJitter*s.jitter.mean.Seconds()) + s.caution
}

// Waited takes in for how long a request that had to wait was under way, from the time
// when it was due until its answer. Only a bucket with such requests runs at its rate.
func (s *Spacing) Waited(transit time.Duration) { s.jitter.add(transit) }

// Crowded takes in that requests were throttled again and again although the rate was kept, and
// that a little less has helped.
func (s *Spacing) Crowded() {
	s.keepDistance()
	s.caution = min(maxCaution, s.caution+cautionStep)
}

// Relax forgets all that Crowded has done to the slack.
func (s *Spacing) Relax() { s.caution = 0 }

// A jitter estimates by how much the times of arrival vary, as RTP does (RFC 3550,
// section 6.4.1): the mean deviation between one request's transit and the next one's.
type jitter struct {
	last, mean time.Duration
	known      bool
}

func (j *jitter) add(transit time.Duration) {
	if j.known {
		j.mean += ((transit - j.last).Abs() - j.mean) / 16
	}
	j.last, j.known = transit, true
}
