// Package queuetest has the tests that every [queue.Engine] is to pass: those of pacer,
// and yours.
//
//	func TestEngine(t *testing.T) {
//		queuetest.Suite{Open: func(tb testing.TB) queue.Engine { return myengine.New(tb.TempDir()) }}.Run(t)
//	}
package queuetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// A Suite is an engine to be tested.
type Suite struct {
	// Open returns an engine on a new and empty store. The suite closes it.
	Open func(testing.TB) queue.Engine
	// Again returns another engine on the store of one that Open has returned, which
	// may be closed by then. The suite closes it. nil: what needs it is skipped.
	Again func(testing.TB, queue.Engine) queue.Engine
	// Damage changes the stored request of a job behind the engine's back, without
	// changing its length. nil: what needs it is skipped.
	Damage func(testing.TB, queue.Engine, queue.ID)
	// Virtual: each test runs in a bubble of testing/synctest, where time costs nothing
	// and is exact. An engine whose goroutines wait for a server cannot have it.
	Virtual bool
}

// Durations that tests wait for are short, as they may be real.
const (
	soon  = 30 * time.Millisecond
	never = 24 * time.Hour
)

// Run runs the tests, each as a subtest.
func (s Suite) Run(t *testing.T) {
	if s.Open == nil {
		t.Fatal("queuetest: Suite.Open is nil: the suite needs an engine to test")
	}
	for _, test := range slices.Concat(addTests, claimTests, moveTests, timeTests, listTests, farTests, parkTests, sharedTests, manyTests, randomTests) {
		t.Run(test.name, func(t *testing.T) {
			run := func(t *testing.T) {
				c := &check{T: t, suite: s}
				c.e = c.open()
				test.run(c)
			}
			if s.Virtual {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

type test struct {
	name string
	run  func(*check)
}

// A check is a test under way: an engine, and what tests do with it.
type check struct {
	*testing.T
	suite Suite
	e     queue.Engine
	made  atomic.Int64 // jobs
}

func (c *check) open() queue.Engine {
	c.Helper()
	e := c.suite.Open(c)
	c.Cleanup(func() { _ = e.Close() }) // it may be closed already
	return e
}

// again returns another engine on the store of c.e.
func (c *check) again() queue.Engine {
	c.Helper()
	if c.suite.Again == nil {
		c.Skip("queuetest: Suite.Again is nil: this needs two engines on one store")
	}
	e := c.suite.Again(c, c.e)
	c.Cleanup(func() { _ = e.Close() }) // it may be closed already
	return e
}

// lane returns a lane of a name.
func lane(name string) queue.Lane {
	return queue.Lane{Resource: pacer.Resource{
		Account: "AC00000000000000000000000000000001", Region: "us1", Product: "api", Name: "Messages|%", Op: pacer.Create, Sender: name,
	}}
}

// of returns the lane of a name in a campaign.
func of(campaign, name string) queue.Lane {
	l := lane(name)
	l.Campaign = campaign
	return l
}

// job returns a new job of lane "a".
func (c *check) job(change ...func(*queue.Job)) queue.Job {
	n := c.made.Add(1)
	j := queue.Job{
		ID: queue.ID(fmt.Sprintf("job-%06d", n)), Lane: lane("a"),
		Request: queue.Request{
			Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json",
			Form:   map[string][]string{"To": {fmt.Sprintf("+1555%07d", n)}, "Body": {"Grüße <&> 👋\u2028", "second"}},
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		},
	}
	for _, f := range change {
		f(&j)
	}
	return j
}

func in(l queue.Lane) func(*queue.Job)       { return func(j *queue.Job) { j.Lane = l } }
func prio(p pacer.Priority) func(*queue.Job) { return func(j *queue.Job) { j.Priority = p } }
func unique(key string) func(*queue.Job)     { return func(j *queue.Job) { j.Unique = key } }
func label(key, value string) func(*queue.Job) {
	return func(j *queue.Job) { j.Labels = map[string]string{key: value} }
}

func (c *check) dueIn(d time.Duration) func(*queue.Job) {
	return func(j *queue.Job) { j.Due = c.now().Add(d) }
}
func (c *check) deadline(d time.Duration) func(*queue.Job) {
	return func(j *queue.Job) { j.Deadline = c.now().Add(d) }
}

// ok ends the test if err is not nil.
func (c *check) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatalf("unexpected error: %v", err)
	}
}

// add adds jobs, all of which are to be new.
func (c *check) add(jobs ...queue.Job) []queue.Added {
	c.Helper()
	added, err := c.e.Add(c.Context(), jobs)
	c.ok(err)
	if len(added) != len(jobs) {
		c.Fatalf("Add of %d jobs returned %d", len(jobs), len(added))
	}
	for i, a := range added {
		if a.Known || a.ID != jobs[i].ID {
			c.Fatalf("Add of new job %s returned %+v", jobs[i].ID, a)
		}
	}
	return added
}

// put adds one new job and returns its ID.
func (c *check) put(change ...func(*queue.Job)) queue.ID {
	c.Helper()
	return c.add(c.job(change...))[0].ID
}

// claim claims up to max jobs of a lane, with a long lease.
func (c *check) claim(l queue.Lane, max int) []queue.Job {
	c.Helper()
	return c.claimFor(queue.Claim{Lane: l, Max: max, Lease: never})
}

func (c *check) claimFor(claim queue.Claim) []queue.Job {
	c.Helper()
	jobs, err := c.e.Claim(c.Context(), claim)
	c.ok(err)
	return jobs
}

func (c *check) move(m queue.Move) {
	c.Helper()
	c.ok(c.e.Move(c.Context(), m))
}

// finish moves a job from wherever it is.
func (c *check) finish(id queue.ID, to queue.State) {
	c.Helper()
	c.move(queue.Move{ID: id, From: all, To: to})
}

func (c *check) get(id queue.ID) queue.Job {
	c.Helper()
	j, err := c.e.Get(c.Context(), id)
	c.ok(err)
	return j
}

// state ends the test if a job is not in a state.
func (c *check) state(id queue.ID, want queue.State) queue.Job {
	c.Helper()
	j := c.get(id)
	if j.State != want {
		c.Fatalf("job %s is %s: expected %s", id, j.State, want)
	}
	return j
}

// now returns the engine's time. The suite knows no other: the engine's clock may be hours
// off this machine's.
func (c *check) now() time.Time {
	c.Helper()
	t, err := c.e.Now(c.Context())
	c.ok(err)
	return t
}

func (c *check) work() ([]queue.ReadyLane, time.Duration) {
	c.Helper()
	lanes, next, err := c.e.Work(c.Context())
	c.ok(err)
	return lanes, next
}

func (c *check) sweep(s queue.Sweep) queue.Swept {
	c.Helper()
	if s.Max == 0 {
		s.Max = 1000
	}
	if s.Lease == 0 {
		s.Lease = never
	}
	w, err := c.e.Sweep(c.Context(), s)
	c.ok(err)
	return w
}

func (c *check) list(f queue.Filter) []queue.Job {
	c.Helper()
	jobs, err := c.e.List(c.Context(), f, "", 1000)
	c.ok(err)
	return jobs
}

// stats returns what Stats says of a lane.
func (c *check) stats(l queue.Lane) queue.LaneStats {
	c.Helper()
	stats, err := c.e.Stats(c.Context())
	c.ok(err)
	for _, s := range stats {
		if s.Lane == l {
			return s
		}
	}
	return queue.LaneStats{Lane: l}
}

// counts ends the test if a lane's counters are not those of want.
func (c *check) counts(want queue.LaneStats) {
	c.Helper()
	got := c.stats(want.Lane)
	got.Oldest, got.Parked = time.Time{}, time.Time{}
	if got != want {
		c.Fatalf("Stats of lane %v:\n got %+v\nwant %+v", want.Lane, got, want)
	}
}

// ids ends the test if jobs are not those of want, in that order.
func (c *check) ids(jobs []queue.Job, want ...queue.ID) {
	c.Helper()
	got := make([]queue.ID, len(jobs))
	for i, j := range jobs {
		got[i] = j.ID
	}
	if !slices.Equal(got, want) {
		c.Fatalf("got jobs %v: expected %v", got, want)
	}
}

// same ends the test if two jobs differ.
func (c *check) same(got, want queue.Job) {
	c.Helper()
	if !reflect.DeepEqual(got, want) {
		c.Fatalf("jobs differ:\n got %+v\nwant %+v", got, want)
	}
}

// at ends the test if two times differ by more than stores may round them.
func (c *check) at(what string, got, want time.Time) {
	c.Helper()
	if d := got.Sub(want); d > time.Millisecond || d < -time.Millisecond {
		c.Fatalf("%s is %v: expected %v", what, got, want)
	}
}

// in ends the test if a wait that began between from and now does not end at a time.
func (c *check) in(what string, got time.Duration, from, want time.Time) {
	c.Helper()
	c.between(what, want, from.Add(got), c.now().Add(got))
}

// between ends the test if a time is not within two others, all of the engine's clock.
func (c *check) between(what string, got, from, to time.Time) {
	c.Helper()
	const slack = time.Millisecond
	if got.Before(from.Add(-slack)) || got.After(to.Add(slack)) {
		c.Fatalf("%s is %v: expected between %v and %v", what, got, from, to)
	}
}

func (c *check) zero(what string, got time.Time) {
	c.Helper()
	if !got.IsZero() {
		c.Fatalf("%s is %v: expected the zero time", what, got)
	}
}

var all = []queue.State{queue.Ready, queue.Delayed, queue.Sending, queue.Sent, queue.Failed, queue.InDoubt, queue.Cancelled}

// ctx is for goroutines that may outlive a failed test.
func (c *check) ctx() context.Context { return context.WithoutCancel(c.Context()) }
