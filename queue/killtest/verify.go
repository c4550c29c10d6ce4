package main

import (
	"fmt"
	"slices"

	"github.com/twilio-pacer/pacer/queue"
)

// A creation is a message or call that the fake has made.
type creation struct{ name, sid string }

// A listing is a request as the queue lists it in the end.
type listing struct {
	name        string
	state       queue.State
	parked      bool // in doubt, and nobody will look any more: a person decides
	refused     bool // it has Failed with the refusal that the fake was told to give
	sid, reason string
}

// A verdict is what has become of the requests that were enqueued. Each is counted once
// in the first group; what must not be is in wrong.
type verdict struct {
	Sent, Parked, Failed int
	Recovered            int // of the parked and failed ones, those that the fake has made all the same
	wrong                map[fault][]string
}

// A fault is a way in which a queue can break its promise.
type fault string

// The faults, in the order in which they are reported.
const (
	lost     fault = "lost"                     // neither Sent nor listed with a reason
	doubled  fault = "accepted more than once"  // somebody got two
	falsely  fault = "Sent, but never accepted" // somebody got none, and nobody will know
	wrongSID fault = "Sent with a SID that is not its own"
	twice    fault = "enqueued twice"                          // two jobs with one Unique key
	burnt    fault = "Failed, though Twilio did not refuse it" // somebody got none, for nothing
	denied   fault = "Failed, yet accepted"                    // who believes it sends a second one
	mute     fault = "Failed or in doubt without a reason"
	foreign  fault = "never enqueued" // yet listed, or accepted
)

var faultsInOrder = []fault{lost, doubled, falsely, wrongSID, twice, burnt, denied, mute, foreign}

// check compares what was enqueued with what the fake has made and what the queue says.
func check(enqueued []string, made []creation, listed []listing) verdict {
	v := verdict{wrong: make(map[fault][]string)}
	sids := make(map[string][]string, len(made))
	for _, c := range made {
		sids[c.name] = append(sids[c.name], c.sid)
	}
	listings := make(map[string][]listing, len(listed))
	for _, l := range listed {
		listings[l.name] = append(listings[l.name], l)
	}
	for _, name := range enqueued {
		v.one(name, sids[name], listings[name])
		delete(sids, name)
		delete(listings, name)
	}
	for name := range sids {
		v.fault(foreign, name, "accepted")
	}
	for name := range listings {
		v.fault(foreign, name, "listed")
	}
	return v
}

func (v *verdict) one(name string, sids []string, ls []listing) {
	if len(sids) > 1 {
		v.fault(doubled, name, fmt.Sprintf("%d times", len(sids)))
	}
	if len(ls) > 1 {
		v.fault(twice, name, fmt.Sprintf("%d jobs", len(ls)))
	}
	if len(ls) == 0 {
		v.fault(lost, name, "no such job")
		return
	}
	switch l := ls[0]; {
	case l.state == queue.Sent:
		v.Sent++
		if len(sids) == 0 {
			v.fault(falsely, name, "")
		} else if !slices.Contains(sids, l.sid) {
			v.fault(wrongSID, name, "")
		}
	case l.state == queue.Failed:
		v.Failed++
		if v.explained(l, sids); !l.refused {
			v.fault(burnt, name, l.reason)
		} else if len(sids) > 0 {
			v.fault(denied, name, "")
		}
	case l.state == queue.InDoubt && l.parked:
		v.Parked++
		v.explained(l, sids)
	default: // also Cancelled: nobody has cancelled anything
		v.fault(lost, name, fmt.Sprintf("it is %s in the end, and nothing was going on any more", l.state))
	}
}

func (v *verdict) explained(l listing, sids []string) {
	if l.reason == "" {
		v.fault(mute, l.name, string(l.state))
	}
	if len(sids) > 0 {
		v.Recovered++
	}
}

func (v *verdict) fault(f fault, name, detail string) {
	if detail != "" {
		name += " (" + detail + ")"
	}
	v.wrong[f] = append(v.wrong[f], name)
}

// ok reports whether the queue has kept its promise.
func (v *verdict) ok() bool { return len(v.wrong) == 0 }
