package queue

import (
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file has what engines keep and are asked for: jobs, moves, claims and counts.

// An ID names a job. IDs of one process sort by the time of their creation. They hold
// nothing of the request and are safe in logs and URLs.
type ID string

// A State is where a job stands. docs/queue.md has the transitions. The values are words
// that differ in more than one bit, so that a damaged one is not taken for another.
type State string

// The states.
const (
	Ready     State = "ready"     // it may be sent as soon as its lane has a turn
	Delayed   State = "delayed"   // it is not due yet
	Sending   State = "sending"   // a worker is about to send it, or has; durable before the first byte
	Sent      State = "sent"      // Twilio has accepted it
	Failed    State = "failed"    // it will not be sent; the Outcome says why
	InDoubt   State = "in doubt"  // it may have been sent: see Policy
	Cancelled State = "cancelled" // [Queue.Cancel] or [Campaign.Cancel] has ended it
)

// Final reports whether nothing more happens to a job by itself.
func (s State) Final() bool { return s == Sent || s == Failed || s == Cancelled }

// A Job is a request on its way, and what is known about it. Its Request holds phone
// numbers and texts; String, and what slog prints, does not. Its times are of the engine's
// clock, but for a Due and a Deadline that the caller of Add has given.
type Job struct {
	ID       ID
	Lane     Lane
	Priority pacer.Priority
	State    State
	Request  Request
	Unique   string            // key; "": none
	Labels   map[string]string // the program's own
	Created  time.Time
	Due      time.Time // when it became, or becomes, Ready; it decides the place in the lane
	Deadline time.Time // after which it is not sent; zero: no deadline

	Attempts int       // that may have reached Twilio, or failed on the way; throttled ones do not count
	Claim    int64     // how often it was claimed
	Began    time.Time // when it was claimed last; zero: never
	Lease    time.Time // until when it may be Sending; zero in all other states
	Looks    int       // InDoubt: how often Twilio was asked about it
	Look     time.Time // InDoubt: when to ask again; zero: it is parked, a person decides

	Finished time.Time // when it became Sent, Failed or Cancelled; else zero
	Outcome  Outcome
	Reported bool // its result was told, or nobody waits for that

	known *bool         // see Known; nil: nobody asks
	in    time.Duration // see In; 0: Due is a time that was given
}

// Recipient returns whom the job is for: Recipient.ID of a campaign's, else the To of the request,
// mostly a phone number. "": neither is known.
func (j *Job) Recipient() string {
	if key, ok := strings.CutPrefix(j.Unique, campaignKey(j.Lane.Campaign)); ok && j.Lane.Campaign != "" {
		return key
	}
	if to := j.Request.Form["To"]; len(to) > 0 {
		return to[0]
	}
	return ""
}

// Key returns the key that [Unique] has given the job; "": none. A campaign's job has none.
func (j *Job) Key() string {
	key, _ := strings.CutPrefix(j.Unique, uniqueKey)
	if j.Lane.Campaign != "" {
		return ""
	}
	return key
}

// uniqueKey begins the keys of [Unique], apart from those of campaigns.
const uniqueKey = "u:"

// campaignKey begins the keys of a campaign's jobs. No name of a campaign has a |.
func campaignKey(campaign string) string { return "c:" + campaign + "|" }

// An Outcome is what became of a request, as far as it is known.
type Outcome struct {
	SID      string `json:"sid,omitempty"`      // of what Twilio has created
	Status   int    `json:"status,omitempty"`   // of the last answer; 0: none came
	Code     int    `json:"code,omitempty"`     // Twilio's error code; 0: none
	Reason   string `json:"reason,omitempty"`   // why it is Failed, InDoubt or waits again, or how it was confirmed
	Response []byte `json:"response,omitempty"` // the body of a success, JSON; see WithResponses
}

// Reasons that engines give. Workers give others, in words.
const (
	ReasonDeadline = "not sent before its deadline"
	ReasonDamaged  = "the stored request is damaged"
	ReasonLease    = "the worker that was about to send it has vanished"
)

// Added is what became of a job given to [Engine].Add.
type Added struct {
	ID    ID
	Known bool // a job with the same Unique key was there already, and ID is its ID
}

// A ReadyLane is a lane with Ready jobs.
type ReadyLane struct {
	Lane   Lane
	Ready  int64          // how many jobs
	Top    pacer.Priority // the highest priority among them
	Parked time.Time      // until when the lane's bucket, or account, is held; zero, or past: it is not
	Held   time.Duration  // how much longer it is held; 0: it is not held
}

// A Claim asks for jobs to be sent.
type Claim struct {
	Lane  Lane
	Max   int           // how many jobs
	Lease time.Duration // how long the caller needs at most, with a margin
	// Oldest has the job that is due longest come first, whatever its priority, and the
	// others as usual. It keeps low priorities from starving.
	Oldest bool
}

// A Move is a transition of one job.
type Move struct {
	ID    ID
	From  []State // that the job may be in
	Claim int64   // that the job must be at; 0: any
	To    State

	NoDeadline bool          // for Ready: the job has no deadline any more
	DueIn      time.Duration // for Ready and Delayed: from now, below 0 is past; 0: Due stays. Ahead: Delayed, else Ready
	LookIn     time.Duration // for InDoubt: Look is that long from now, below 0 is past; 0: it is parked
	Looked     bool          // for InDoubt: counts a look
	Attempt    bool          // counts an attempt
	Outcome    *Outcome      // replaces the job's; nil: it stays
	Reported   bool          // for Sent and Failed: nobody must be told
	Lease      time.Duration // for Sending: from now
}

// A Sweep is what [Engine].Sweep needs to know.
type Sweep struct {
	Lease time.Duration // the longest that is in use
	Keep  time.Duration // how long results are kept; 0: for ever
	Max   int           // jobs of each kind
	// Report says that somebody must be told of the Failed ones.
	Report bool
}

// Swept is how many jobs a sweep has moved.
type Swept struct{ InDoubt, Expired, Deleted int }

// A Filter chooses jobs. A zero field matches all.
type Filter struct {
	States     []State
	Lane       *Lane
	Campaign   string
	Label      string // the key of a label
	Value      string // the value of the label
	SID        string
	LookBefore time.Time // matches jobs InDoubt whose Look is not zero and before this time
	Unreported bool      // matches jobs Sent or Failed whose result was not told

	Code      int    // Twilio's error code, of the last answer
	Recipient string // Recipient.ID of a campaign's job, or the To of a request
	// A job matches that was created, or finished, at the time After or later, and before the time
	// Before. By FinishedAfter and FinishedBefore no job matches that is not finished.
	CreatedAfter, CreatedBefore   time.Time
	FinishedAfter, FinishedBefore time.Time
}

// LaneStats is the depth of a lane. The counts are of jobs that are kept. Those of a
// campaign's lane also have the jobs that are not kept any more.
type LaneStats struct {
	Lane                                                      Lane
	Ready, Delayed, Sending, InDoubt, Sent, Failed, Cancelled int64
	Arrived                                                   int64     // ever, by Add or by Requeue
	Departed                                                  int64     // ever, to Sent, Failed or Cancelled
	Oldest                                                    time.Time // since when the first of the Ready ones has been due; zero: none
	Parked                                                    time.Time // as in ReadyLane
}

// A Document is a small thing that an engine keeps beside the jobs, such as a campaign.
type Document struct {
	Name    string
	Value   []byte // nil: it is damaged
	Version int64  // counts its changes, from 1
}
