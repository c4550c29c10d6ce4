package queue

import (
	"fmt"
	"net/url"
	"time"
)

// This file has the rule that decides what became of a request in doubt.

// A span is when a request may have been sent, by Twilio's clock. A zero to has no end.
type span struct{ from, to time.Time }

// near reports whether t is in the span or less than d from it.
func (s span) near(t time.Time, d time.Duration) bool {
	return !t.Before(s.from.Add(-d)) && (s.to.IsZero() || !t.After(s.to.Add(d)))
}

// How far from a request's span things at Twilio count.
const (
	// clockMargin allows for times of whole seconds and for the way to Twilio.
	clockMargin = 5 * time.Second
	// otherMargin: within this distance of the span, something with another text leaves it open whether
	// Twilio has the request. Clocks may have been set meanwhile. Two that are off by
	// two minutes, and are set from one side to the other, make eight.
	otherMargin = 10 * time.Minute
	// setMargin is by how much clocks may have been set for a match still to count.
	setMargin = 5 * time.Minute
	// earlyMargin is how long before the span the same text makes it unsure.
	earlyMargin = time.Hour
)

// maxRounds is how often a request may be sent if Twilio never lists it. Each round is a
// chance to send it twice.
const maxRounds = 5

// maxLooks is how often Twilio is asked while something is in the way that should pass by itself.
const maxLooks = 3

// A doubt is what is known about a request in doubt when Twilio has been asked. The verdict
// depends on nothing else.
type doubt struct {
	job    *Job
	span   span             // when it may have been sent
	wide   bool             // a clock was set recently, by minutes
	listed []created        // what Twilio's list has for its receiver
	taken  map[string]bool  // SIDs of those listed that are results of other jobs
	twins  map[string]twins // by look: jobs that may have been sent
	hides  hiding
}

// Twins count the requests that may have been sent and look alike to Twilio.
type twins struct{ doubtful, sending int }

// A hiding says whether an account's lists hide the numbers of receivers.
type hiding int

const (
	notAsked hiding = iota
	hidesNone
	hidesSome
)

// A verdict is what a doubt comes to. One of its fields is set, or none: then Twilio does not have
// the request.
type verdict struct {
	sid    string // of the request, which Twilio has
	wait   string // why it cannot be told yet
	unsure string // why a person must decide
	ask    bool   // the verdict depends on hides, which must be asked for
}

// candidates returns what of the list may be the request.
func (d *doubt) candidates() []created {
	var all []created
	for _, c := range d.listed {
		if !c.inbound() && mayBe(url.Values(d.job.Request.Form), c) {
			all = append(all, c)
		}
	}
	return all
}

// verdict decides what became of a request in doubt. It is a pure function of the doubt. It must
// never err, since a request that Twilio has must not be sent again. docs/queue.md explains the rule:
//
//   - Something at Twilio is unexplained if no job has it as its result. It was made through
//     the API, to the request's receiver, by its sender or service.
//   - Something unexplained that has the same text, and is from the request's span, is the request.
//   - That Twilio does not have the request is concluded only if nothing unexplained is near the span.
//   - Times decide between Sent and parked. They never make a request be sent again.
func (d *doubt) verdict() verdict {
	f := url.Values(d.job.Request.Form)
	calls := d.job.Lane.Resource.String() == createCall
	own := partyOf(f.Get("To"))
	if own.text == "" {
		return verdict{unsure: "it has no number or address that Twilio's list could be asked for"}
	}
	for _, field := range singleFields {
		if len(f[field]) > 1 {
			return verdict{unsure: fmt.Sprintf("it has %d values of %s, and nobody knows which one Twilio takes", len(f[field]), field)}
		}
	}
	earliest := earlyMargin
	if calls { // without a text every call of the pair would count
		earliest = otherMargin
	}
	comparable := !calls && canCompare(f)
	var same, others, early, late []string
	var exact string // the first of the same whose receiver is written as in the request
	for _, c := range d.candidates() {
		if d.taken[c.SID] {
			continue
		}
		at, readable := c.at()
		if !readable {
			return verdict{unsure: "Twilio's list has a time that cannot be read"}
		}
		alike := calls || comparable && sameText(f, c)
		switch {
		case !alike && d.span.near(at, otherMargin):
			others = append(others, c.SID)
			if n := d.twins[c.looks(&d.job.Lane)]; n.doubtful+n.sending > 0 && d.job.Looks < maxLooks {
				return verdict{wait: "something else to this receiver is in doubt or being sent"}
			}
		case !alike:
		case d.span.near(at, 0) && surely(f, c):
			same = append(same, c.SID)
			if exact == "" && c.To == f.Get("To") { // before one of a twin's that is written otherwise
				exact = c.SID
			}
		case d.span.near(at, 0):
			others = append(others, c.SID)
		case at.Before(d.span.from) && d.span.near(at, earliest):
			early = append(early, c.SID)
		case at.After(d.span.from):
			late = append(late, c.SID)
		}
	}
	t := d.twins[looks(d.job)]
	doubtful := max(1, t.doubtful)
	switch n := len(same) + len(late); {
	case n == 0 && len(early) > 0:
		return verdict{unsure: "Twilio has one that looks the same from before it was sent: " + early[0]}
	case n > 0 && t.sending > 0:
		return verdict{wait: "one that looks the same is being sent"}
	case len(late) > 0 && d.job.Looks < maxLooks:
		return verdict{wait: "one that looks the same was sent later"}
	case len(late) > 0:
		return verdict{unsure: "Twilio has one that looks the same from after its attempt was over: " + late[0]}
	case n == doubtful && d.wide:
		return verdict{unsure: "a clock was set by minutes recently, so that it cannot be told whether this is the one: " + same[0]}
	case n == doubtful && exact != "":
		return verdict{sid: exact}
	case n == doubtful:
		return verdict{sid: same[0]}
	case n > 0:
		return verdict{unsure: fmt.Sprintf("Twilio has %d that look the same, for %d in doubt: %s", n, doubtful, same[0])}
	}
	return d.absent(f, calls || comparable, own, others)
}

// absent decides whether it is proved that Twilio does not have the request.
func (d *doubt) absent(f url.Values, comparable bool, own party, others []string) verdict {
	switch {
	case len(others) > 0 && !comparable:
		return verdict{unsure: "Twilio has something for this receiver from that time, and its text cannot be compared: " + others[0]}
	case len(others) > 0:
		return verdict{unsure: "Twilio has something for this receiver from that time, and it cannot be told whether it is this one: " + others[0]}
	case !own.exact:
		return verdict{unsure: "its receiver is not written as Twilio's list writes numbers, so that the list may miss it"}
	case d.job.Attempts >= maxRounds:
		return verdict{unsure: fmt.Sprintf("it was sent %d times, and each time Twilio has neither taken nor refused it", d.job.Attempts)}
	case d.job.Lane.Resource.String() == createCall:
		return verdict{}
	case f.Get("AddressRetention") == "obfuscate":
		return verdict{unsure: "it asks Twilio to hide its receiver (AddressRetention), so that the list may miss it"}
	case d.hides == notAsked:
		return verdict{ask: true}
	case d.hides == hidesSome:
		return verdict{unsure: "the account's lists hide receivers (message redaction), so that they may miss it"}
	}
	return verdict{}
}
