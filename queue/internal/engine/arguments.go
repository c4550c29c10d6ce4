package engine

import (
	"fmt"
	"math"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// A Package is the name of an engine's package. It checks the arguments of the engine's methods, and its errors begin with the name.
type Package string

// CheckID returns an error for a new job without an ID.
func (p Package) CheckID(j queue.Job) error {
	if j.ID == "" {
		return fmt.Errorf("%s: adding a job without an ID: give it one", p)
	}
	return nil
}

// CheckTimes returns an error for a new job with a time that would not be stored as it is.
func (p Package) CheckTimes(j queue.Job) error {
	for _, of := range []struct {
		field string
		at    time.Time
	}{{"Due", j.Due}, {"Deadline", j.Deadline}} {
		if beyond(of.at) {
			return fmt.Errorf("%s: job %s cannot be stored: its %s lies in the year %d: expected one up to 9999", p, j.ID, of.field, of.at.UTC().Year())
		}
	}
	return nil
}

// IsState reports whether s is one of the seven states of a job.
func IsState(s queue.State) bool {
	return s.Final() || s == queue.Ready || s == queue.Delayed || s == queue.Sending || s == queue.InDoubt
}

// CheckMove returns an error for a move to a state that there is not.
func (p Package) CheckMove(m queue.Move) error {
	if !IsState(m.To) {
		return fmt.Errorf("%s: moving job %s to state %.20q: there is no such state", p, m.ID, m.To)
	}
	return nil
}

// CheckFilter returns an error for a filter with a state that there is not.
func (p Package) CheckFilter(f queue.Filter) error {
	for _, s := range f.States {
		if !IsState(s) {
			return fmt.Errorf("%s: listing jobs of state %.20q: there is no such state", p, s)
		}
	}
	return nil
}

// CheckCampaign returns an error for the name of a campaign to cancel if it is empty.
func (p Package) CheckCampaign(name string) error {
	if name == "" {
		return fmt.Errorf("%s: cancelling a campaign: its name is empty: that would be all jobs of no campaign", p)
	}
	return nil
}

// CheckPlaces returns an error for places in a schedule that cannot be reserved: fewer than one, or at a rate that is no rate.
func (p Package) CheckPlaces(perSecond float64, n int) error {
	if !(perSecond > 0) || math.IsInf(perSecond, 1) || n < 1 {
		return fmt.Errorf("%s: reserving %d places at %v a second: expected at least one, and a rate above 0", p, n, perSecond)
	}
	return nil
}
