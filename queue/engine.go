package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twilio-pacer/pacer"
)

// An Engine keeps jobs, durably: what a method has returned without an error survives
// the end of the process, and, as far as the engine's own documentation says, of the
// machine. pacer brings sqlitequeue, redisqueue and sqsqueue. An engine of your own is to
// pass the suite of package queuetest; it is called by many goroutines at once, and several
// processes may have engines on the same store.
//
// Time is the engine's: its clock decides what is due, and every time that it returns is of
// that clock. A caller's clock may be seconds off. So a caller says how long from now, and
// never when: [Engine].Park, [Move], [Claim] and [Sweep] take durations. For the same reason
// the engine says how long a caller must wait: [Engine].Work and [Engine].Reserve return
// durations, from the moment of the answer. Only what people give as a date is a time: Due
// and Deadline of Add.
//
// Times are kept to the microsecond, up to the end of the year 9999 (UTC). Add returns an
// error for a Due or Deadline that is later. Elsewhere a later time is kept as that end, and
// everywhere one before 1970 as the beginning of 1970.
//
// An engine decides nothing about a request. It moves jobs between states, one job or
// batch per transaction, and only as it is told to.
type Engine interface {
	// Add stores new jobs in the order given, all or none. A job whose Unique key is
	// held already, in the store or earlier in jobs, is not stored; its Added then has
	// the ID of the holder. A job whose Due lies ahead is Delayed, else Ready with Due
	// now. Add sets Created; ID, Lane, Priority, Request, Due, Deadline, Unique and
	// Labels are the caller's, the rest is ignored. A key is held for as long as its job
	// is kept; that of a campaign's job (Lane.Campaign) for as long as the store.
	Add(ctx context.Context, jobs []Job) ([]Added, error)

	// Work makes Ready what is due, and returns the lanes that have Ready jobs, and how
	// long it is until the next Delayed job is due ([Never]: there is none). Of very many
	// that are due at once it makes Ready a part, 2,000 at most, those due first, so that it returns soon.
	// Then next is 0, and the next call makes Ready more.
	Work(ctx context.Context) (lanes []ReadyLane, next time.Duration, err error)

	// Await returns when Work may have something new, whichever process brought it, at
	// the latest after d, or with ctx.Err(). It may return too early; too late by
	// 250 ms at most. That a Delayed job becomes due need not end it: d is to end then.
	Await(ctx context.Context, d time.Duration) error

	// Claim marks Ready jobs of a lane as Sending, durably, and returns them: first
	// those of the highest priority, and of one priority those due first, in the order
	// of Add. Each gets the next Claim number, and Sending until c.Lease from now. It
	// returns fewer, or none, if there are no more; it does not wait. A job past its
	// Deadline is not returned but Failed, with Outcome.Reason ReasonDeadline. What the
	// engine can tell to be damaged is not returned either but Failed, with
	// ReasonDamaged.
	Claim(ctx context.Context, c Claim) ([]Job, error)

	// Move moves one job to another state. It returns ErrNotFound if there is no such
	// job, and a *StateError, having changed nothing, if it is not in one of the states
	// m.From, or not at claim m.Claim. A Move to the state that the job is in already
	// changes the fields that m names, and counts as neither arrival nor departure. A job
	// that becomes Ready again without a new Due keeps its place in the lane.
	Move(ctx context.Context, m Move) error

	// Park holds a bucket for d from now: its lanes, of whichever campaign, are not worked
	// on. Work and Stats show it, in all processes. It replaces what was said of r before,
	// so that a hold can be shortened; 0 or less ends it. If r has an Account and nothing
	// else, it holds all lanes of the account. A lane shows the later of its bucket's time
	// and its account's. Park returns the bucket's as Work shows it; zero: no hold is left.
	Park(ctx context.Context, r pacer.Resource, d time.Duration) (until time.Time, err error)

	// Sweep does what time brings, at most s.Max jobs of each: what has been Sending for
	// longer than its lease is InDoubt, with Look now; what waits past its Deadline is
	// Failed as by Claim; what was finished longer than s.Keep ago is deleted with its
	// key. A lease that ends later than s.Lease from now, because the clock was set
	// back, is shortened to that.
	Sweep(ctx context.Context, s Sweep) (Swept, error)

	// Get returns a job. It returns ErrNotFound if there is none, or none any more.
	Get(ctx context.Context, id ID) (Job, error)

	// List returns the jobs that f matches, in the order of Add, at most max, and only
	// those after the job after ("": from the first, which need not exist any more).
	List(ctx context.Context, f Filter, after ID, max int) ([]Job, error)

	// Stats returns a LaneStats for every lane that has or had jobs. What it takes grows
	// with the lanes, and not with what waits in them.
	Stats(ctx context.Context) ([]LaneStats, error)

	// CancelWaiting moves up to max Ready and Delayed jobs of a campaign to Cancelled,
	// and returns how many it has moved: 0 means that none is left.
	CancelWaiting(ctx context.Context, campaign string, max int) (int, error)

	// Reserve takes n places in a schedule of perSecond a second, which all processes
	// share. It returns how long it is until the first of them: the next free one, or now
	// (0), if that has passed. The places are 1/perSecond apart. Schedules come into being
	// by being used. A time would be of no use: a caller whose clock is a second off would
	// be that second late at each call, or never wait at all.
	Reserve(ctx context.Context, schedule string, perSecond float64, n int) (wait time.Duration, err error)

	// Put stores a small document under a name if the one stored has that version (0:
	// if there is none), as version+1; else it returns ErrConflict. An empty value
	// deletes it.
	Put(ctx context.Context, name string, value []byte, version int64) error

	// Documents returns those of names that there are, each once, or without a name all of
	// them, in the order of their names. One that is damaged has a nil Value. By name it
	// must not take longer for what else is stored: a worker asks at each look for the
	// documents of the campaigns that have something ready, and old ones are kept for ever.
	Documents(ctx context.Context, names ...string) ([]Document, error)

	// Now returns the engine's clock, of which all times are that the engine returns. It
	// may differ from this machine's: what is measured against a job's times must be
	// measured by this clock.
	Now(ctx context.Context) (time.Time, error)

	// Close ends the engine; calls under way return first, or an error. Later calls
	// return ErrClosed.
	Close() error
}

// Errors of engines, to be found with errors.Is.
var (
	ErrNotFound = errors.New("no such job: it was never enqueued here, or its result is no longer kept")
	ErrConflict = errors.New("somebody else has changed it at the same time: read it again")
	ErrClosed   = errors.New("the queue is closed")
	// ErrDamaged: the store cannot be read, or what it says makes no sense.
	ErrDamaged = errors.New("the store is damaged")
	// ErrFull: there is no room. Nothing was stored; what was stored before is safe.
	ErrFull = errors.New("no space is left for the store")
	// ErrGone: the store has been deleted or replaced while it was open.
	ErrGone = errors.New("the store is gone")
	// ErrOutdated: a newer version of pacer has changed the store, before this program
	// opened it or while it had it open. What this program would write might never be
	// seen, so nothing was stored.
	ErrOutdated = errors.New("this version of pacer is outdated: the store was opened by a newer one: update this one, and restart it")
)

// A StateError is what [Engine].Move returns for a job that is not where it was expected.
type StateError struct {
	ID    ID
	State State // that it is in
	Claim int64
}

// Error says which state the job is in.
func (e *StateError) Error() string {
	return fmt.Sprintf("job %s is %s (claim %d)", e.ID, e.State, e.Claim)
}

// Never is what [Engine].Work returns if nothing is Delayed. It is longer than any wait.
const Never time.Duration = math.MaxInt64

// An ID names a job. IDs of one process sort by the time of their creation. They hold
// nothing of the request and are safe in logs and URLs.
type ID string

// A State is where a job stands; see docs/queue.md for the transitions. The values are
// words that differ in more than one bit, so that a damaged one is not taken for another.
type State string

// The states.
const (
	Ready     State = "ready"     // may be sent as soon as its lane has a token
	Delayed   State = "delayed"   // not due yet
	Sending   State = "sending"   // a worker is about to send it, or has; durable before the first byte
	Sent      State = "sent"      // Twilio has accepted it
	Failed    State = "failed"    // it will not be sent; the Outcome says why
	InDoubt   State = "in doubt"  // it may have been sent: see Policy
	Cancelled State = "cancelled" // by [Queue.Cancel] or [Campaign.Cancel]
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
	Due      time.Time // when it became, or becomes, Ready; its place in the lane
	Deadline time.Time // it is not to be sent later; zero: no deadline

	Attempts int       // that may have reached Twilio, or failed on the way: not throttled ones
	Claim    int64     // how often it was claimed
	Began    time.Time // when it was claimed last
	Lease    time.Time // until when it may be Sending; zero in all other states
	Looks    int       // InDoubt: how often Twilio was asked about it
	Look     time.Time // InDoubt: when to ask again; zero: it is parked, a person decides

	Finished time.Time // when it became Sent, Failed or Cancelled; else zero
	Outcome  Outcome
	Reported bool // nobody waits to be told of the result, or it has been told

	known *bool         // see Known; nil: nobody asks
	in    time.Duration // see In; 0: Due is a time that was given
}

// An Outcome is what became of a request, as far as it is known.
type Outcome struct {
	SID      string `json:"sid,omitempty"`      // of what Twilio has created
	Status   int    `json:"status,omitempty"`   // of the last answer; 0: none came
	Code     int    `json:"code,omitempty"`     // Twilio's error code
	Reason   string `json:"reason,omitempty"`   // why it is Failed, InDoubt or waits again
	Response []byte `json:"response,omitempty"` // the body of a success, JSON; see WithResponses
}

// Reasons that engines give; workers give others, in words.
const (
	ReasonDeadline = "not sent before its deadline"
	ReasonDamaged  = "the stored request is damaged"
	ReasonLease    = "the worker that was about to send it has vanished"
)

// Added is what became of a job given to [Engine].Add.
type Added struct {
	ID    ID
	Known bool // a job with the same Unique key was there already: ID is its ID
}

// A ReadyLane is a lane with Ready jobs.
type ReadyLane struct {
	Lane   Lane
	Ready  int64          // how many
	Top    pacer.Priority // the highest priority among them
	Parked time.Time      // until when the lane's bucket, or account, is held; zero, or past: it is not
	Held   time.Duration  // how much longer that is; 0: it is not held
}

// A Claim asks for jobs to be sent.
type Claim struct {
	Lane  Lane
	Max   int           // how many
	Lease time.Duration // how long the caller needs at most, with a margin
	// Oldest: the one that is due longest comes first, whatever its priority, and the
	// others as usual. It is what keeps low priorities from starving.
	Oldest bool
}

// A Move is a transition of one job.
type Move struct {
	ID    ID
	From  []State // that it may be in
	Claim int64   // that it must be at; 0: any
	To    State

	NoDeadline bool          // for Ready: the job has no deadline any more
	DueIn      time.Duration // for Ready and Delayed: from now, below 0 is past; 0: Due stays. Ahead: Delayed, else Ready
	LookIn     time.Duration // for InDoubt: Look is that long from now, below 0 is past; 0: it is parked
	Looked     bool          // for InDoubt: counts a look
	Attempt    bool          // counts an attempt
	Outcome    *Outcome      // replaces the job's; nil: it stays
	Reported   bool          // for Sent and Failed: nobody is to be told
	Lease      time.Duration // for Sending: from now
}

// A Sweep is what [Engine].Sweep needs to know.
type Sweep struct {
	Lease time.Duration // the longest that is in use
	Keep  time.Duration // of results; 0: for ever
	Max   int
	// Report: the Failed ones are to be reported.
	Report bool
}

// Swept is how many jobs a sweep has moved.
type Swept struct{ InDoubt, Expired, Deleted int }

// A Filter chooses jobs. A zero field matches all.
type Filter struct {
	States     []State
	Lane       *Lane
	Campaign   string
	Label      string // key, and
	Value      string // its value
	SID        string
	LookBefore time.Time // InDoubt, and to be looked at before
	Unreported bool      // Sent or Failed, and not reported
}

// LaneStats is the depth of a lane. The counts are of jobs that are kept; those of a
// campaign's lane also of jobs that are not kept any more.
type LaneStats struct {
	Lane                                                      Lane
	Ready, Delayed, Sending, InDoubt, Sent, Failed, Cancelled int64
	Arrived                                                   int64     // ever: by Add, or by Requeue
	Departed                                                  int64     // ever: to Sent, Failed, Cancelled
	Oldest                                                    time.Time // since when the first of the Ready ones has been due; zero: none
	Parked                                                    time.Time // as in ReadyLane
}

// A Document is a small thing that an engine keeps beside the jobs: a campaign.
type Document struct {
	Name    string
	Value   []byte
	Version int64
}
