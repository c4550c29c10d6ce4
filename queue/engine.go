package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// An Engine keeps jobs durably: what a method has returned without an error outlives the
// process. Whether it outlives the machine, too, the engine's own documentation says.
// pacer brings sqlitequeue, redisqueue and sqsqueue. An engine of your own must pass the
// suite of package queuetest. Many goroutines call it at once, and several processes may
// have engines on the same store.
//
// Time is the engine's: its clock decides what is due, and it returns times of that clock.
// A caller's clock may be seconds off. So callers say how long from now, and never when:
// [Engine].Park, [Move], [Claim] and [Sweep] take durations. For the same reason
// [Engine].Work and [Engine].Reserve return durations, from the moment of the answer. Only
// what people give as a date is a time: Due and Deadline of Add.
//
// Times are kept to the microsecond, up to the end of the year 9999 (UTC). Add returns an
// error for a Due or Deadline that is later. Elsewhere a later time is kept as that end. A
// time before 1970 is kept as the beginning of 1970 everywhere.
//
// An engine decides nothing about a request. It moves jobs between states, one job or
// batch per transaction, and only as it is told to.
type Engine interface {
	// Add stores new jobs in the order given, all or none. A job is not stored if its Unique
	// key is held already, in the store or earlier in jobs. Its Added then has the holder's
	// ID. A job whose Due lies ahead is Delayed, else Ready with Due now. Add sets Created.
	// The caller sets ID, Lane, Priority, Request, Due, Deadline, Unique and Labels; Add
	// ignores the rest. A key is held for as long as its job is kept. That of a campaign's
	// job (Lane.Campaign) is held for as long as the store exists.
	Add(ctx context.Context, jobs []Job) ([]Added, error)

	// Work makes Ready what is due, and returns the lanes that have Ready jobs. next is how
	// long it is until the next Delayed job is due; [Never] means that there is none. Of very
	// many jobs that are due at once it makes Ready a part, 2,000 at most, those due first, so
	// that it returns soon. Then next is 0, and the next call makes Ready more.
	Work(ctx context.Context) (lanes []ReadyLane, next time.Duration, err error)

	// Await returns when Work may have something new, whichever process brought it. It returns
	// at the latest after d, or with ctx.Err(). It may return too early, and too late by 250 ms
	// at most. A Delayed job that becomes due need not end it: the caller gives such a d.
	Await(ctx context.Context, d time.Duration) error

	// Claim marks Ready jobs of a lane as Sending, durably, and returns them. Those of the
	// highest priority come first, among these those due first, and among these the order is
	// that of Add. Each gets the next Claim number, and is Sending until c.Lease from now.
	// Claim returns fewer jobs, or none, if there are no more; it does not wait. Some jobs are
	// not returned but become Failed. One past its Deadline has Outcome.Reason ReasonDeadline,
	// and one that the engine can tell to be damaged has ReasonDamaged.
	Claim(ctx context.Context, c Claim) ([]Job, error)

	// Move moves one job to another state. It returns ErrNotFound if there is no such job. It
	// returns a *StateError, and changes nothing, if the job is in none of the states m.From,
	// or not at claim m.Claim. A Move to the state that the job is in already changes the
	// fields that m names, and counts as neither arrival nor departure. A job that becomes
	// Ready again without a new Due keeps its place in the lane.
	Move(ctx context.Context, m Move) error

	// Park holds a bucket for p.For from now: no lane of the bucket is worked on, whatever its
	// campaign. Work, Stats and Holds show the hold, in all processes. Park replaces what was said
	// of the bucket before, so that a hold can be shortened; 0 or less ends it. If p.Resource has an
	// Account and nothing else, Park holds all lanes of the account. A lane shows its bucket's hold or
	// its account's, whichever is longer. Park returns until when the bucket is held, as Work shows
	// it; the zero time means that no hold is left.
	//
	// While a hold with the reason [HoldByPerson] lasts, a Park with any other reason changes nothing.
	// The exception is a Park that ends the hold and has no reason at all. A hold that replaces one
	// of the same reason keeps its Since, if that one has ended less than a minute ago, or not yet.
	Park(ctx context.Context, p Park) (until time.Time, err error)

	// Holds returns the holds that last now, in no order.
	Holds(ctx context.Context) ([]Hold, error)

	// Sweep does what time brings, to at most s.Max jobs of each kind. A job that has been
	// Sending for longer than its lease becomes InDoubt, with Look now. A job that waits past
	// its Deadline becomes Failed, as by Claim. A job that was finished longer than s.Keep ago
	// is deleted with its key. A lease that ends later than s.Lease from now is shortened to
	// that: the clock was set back.
	Sweep(ctx context.Context, s Sweep) (Swept, error)

	// Get returns a job. It returns ErrNotFound if there is none, or none any more.
	Get(ctx context.Context, id ID) (Job, error)

	// List returns the jobs that f matches, in the order of Add, at most max. It returns only
	// those after the job after, which need not exist any more; "" means from the first.
	List(ctx context.Context, f Filter, after ID, max int) ([]Job, error)

	// Stats returns a LaneStats for every lane that has or had jobs. The time that it takes
	// grows with the lanes, and not with what waits in them.
	Stats(ctx context.Context) ([]LaneStats, error)

	// CancelWaiting moves up to max Ready and Delayed jobs of a campaign to Cancelled. It
	// returns how many it has moved: 0 means that none is left.
	CancelWaiting(ctx context.Context, campaign string, max int) (int, error)

	// Reserve takes n places in a schedule of perSecond a second, which all processes share.
	// It returns how long it is until the first of them: the next free place, or now (0), if
	// that has passed. The places are 1/perSecond apart. A schedule comes into being by being
	// used. Reserve does not return a time. A caller whose clock is a second off would be a
	// second late at each call, or would never wait at all.
	Reserve(ctx context.Context, schedule string, perSecond float64, n int) (wait time.Duration, err error)

	// Put stores a small document under a name, as version+1, if the one stored has that
	// version; 0 means that there is none. Otherwise it returns ErrConflict. An empty value
	// deletes the document. Put ends what waits in Await, unless the name begins with
	// [HeartbeatPrefix].
	Put(ctx context.Context, name string, value []byte, version int64) error

	// Documents returns those of names that there are, each once, or without a name all of
	// them, in the order of their names. A damaged one has a nil Value. By name it must not
	// take longer for what else is stored. A worker asks at each look for the documents of the
	// campaigns that have something ready, and old ones are kept for ever.
	Documents(ctx context.Context, names ...string) ([]Document, error)

	// Now returns the engine's clock, of which all times are that the engine returns. It may
	// differ from this machine's clock. Measure by it what is compared with a job's times.
	Now(ctx context.Context) (time.Time, error)

	// Close ends the engine. Calls under way return first, or they return an error. Later
	// calls return ErrClosed.
	Close() error
}

// Errors of engines, which errors.Is finds.
var (
	ErrNotFound = errors.New("no such job: it was never enqueued here, or its result is no longer kept")
	ErrConflict = errors.New("somebody else has changed it at the same time: read it again")
	ErrClosed   = errors.New("the queue is closed")
	// ErrDamaged: the store cannot be read, or what it says makes no sense.
	ErrDamaged = errors.New("the store is damaged")
	// ErrFull: there is no room. Nothing was stored, and what was stored before is safe.
	ErrFull = errors.New("no space is left for the store")
	// ErrGone: the store has been deleted or replaced while it was open.
	ErrGone = errors.New("the store is gone")
	// ErrOutdated: a newer version of pacer has changed the store, before this program opened
	// it or while it had it open. What this program would write might never be seen, so
	// nothing was stored.
	ErrOutdated = errors.New("this version of pacer is outdated: the store was opened by a newer one: update this one, and restart it")
)

// A StateError is what [Engine].Move returns for a job that is not where it was expected.
type StateError struct {
	ID    ID
	State State // that the job is in
	Claim int64 // how often it was claimed
}

// Error says which state the job is in.
func (e *StateError) Error() string {
	return fmt.Sprintf("job %s is %s (claim %d)", e.ID, e.State, e.Claim)
}

// Never is what [Engine].Work returns if nothing is Delayed. It is longer than any wait.
const Never time.Duration = math.MaxInt64
