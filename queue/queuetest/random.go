package queuetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

var randomTests = []test{
	{"Random/states and counters are as a model has them", func(c *check) {
		const seeds, steps = 4, 200
		for seed := range uint64(seeds) {
			m := &model{check: c, rnd: rand.New(rand.NewPCG(seed, 0)), jobs: map[queue.ID]*queue.Job{}, keys: map[string]queue.ID{}, lanes: map[queue.Lane]*queue.LaneStats{}}
			c.e = c.open()
			for step := range steps {
				m.step()
				if step%50 == 0 || step == steps-1 {
					m.compare(fmt.Sprintf("seed %d, step %d", seed, step))
				}
			}
			c.ok(c.e.Close())
		}
	}},
}

// A model is what a store is to hold. What depends on time is not decided by the model
// but by whether the engine does as time allows.
type model struct {
	*check
	rnd   *rand.Rand
	order []queue.ID
	jobs  map[queue.ID]*queue.Job // state, claim, and what never changes
	keys  map[string]queue.ID
	lanes map[queue.Lane]*queue.LaneStats
}

func (m *model) lane() queue.Lane {
	return []queue.Lane{lane("a"), lane("b"), of("x", "a"), of("x", "b"), of("y", "a")}[m.rnd.IntN(5)]
}

func counter(s *queue.LaneStats, state queue.State) *int64 {
	return map[queue.State]*int64{
		queue.Ready: &s.Ready, queue.Delayed: &s.Delayed, queue.Sending: &s.Sending, queue.InDoubt: &s.InDoubt,
		queue.Sent: &s.Sent, queue.Failed: &s.Failed, queue.Cancelled: &s.Cancelled,
	}[state]
}

// goes notes that a job is in another state now.
func (m *model) goes(id queue.ID, to queue.State) {
	j := m.jobs[id]
	s := m.lanes[j.Lane]
	*counter(s, j.State)--
	*counter(s, to)++
	switch {
	case j.State.Final() && !to.Final():
		s.Arrived++
	case !j.State.Final() && to.Final():
		s.Departed++
	}
	j.State = to
}

func (m *model) any() *queue.Job {
	if len(m.order) == 0 {
		return nil
	}
	return m.jobs[m.order[m.rnd.IntN(len(m.order))]]
}

func (m *model) step() {
	switch m.rnd.IntN(12) {
	case 0, 1, 2:
		m.adds()
	case 3, 4, 5:
		m.claims()
	case 6, 7, 8:
		m.moves()
	case 9:
		m.worksAndSweeps()
	case 10:
		n, err := m.e.CancelWaiting(m.Context(), "y", 2)
		m.ok(err)
		waiting := 0
		for _, id := range m.order {
			j := m.jobs[id]
			if j.Lane.Campaign != "y" || j.State != queue.Ready && j.State != queue.Delayed {
				continue
			}
			waiting++
			if m.get(id).State == queue.Cancelled {
				m.goes(id, queue.Cancelled)
				n--
			}
		}
		if n != 0 {
			m.Fatalf("CancelWaiting: what it returned differs by %d from what it did, with %d waiting", n, waiting)
		}
	case 11:
		time.Sleep(soon / 3)
	}
}

func (m *model) adds() {
	jobs := make([]queue.Job, 1+m.rnd.IntN(4))
	for i := range jobs {
		jobs[i] = m.job(in(m.lane()), prio(pacer.Priority(m.rnd.IntN(3)-1)))
		j := &jobs[i]
		switch m.rnd.IntN(4) {
		case 0:
			j.Unique = fmt.Sprint("key", m.rnd.IntN(30))
		case 1:
			j.Due = m.now().Add(never)
		case 2:
			j.Due = m.now().Add(soon)
		}
		if m.rnd.IntN(5) == 0 {
			j.Deadline = m.now().Add(soon)
		}
	}
	added, err := m.e.Add(m.Context(), jobs)
	m.ok(err)
	for i, j := range jobs {
		want := queue.Added{ID: j.ID}
		if holder, held := m.keys[j.Unique]; held && j.Unique != "" {
			want = queue.Added{ID: holder, Known: true}
		}
		if added[i] != want {
			m.Fatalf("Add: %+v: expected %+v", added[i], want)
		}
		if want.Known {
			continue
		}
		if j.Unique != "" {
			m.keys[j.Unique] = j.ID
		}
		if j.State = m.get(j.ID).State; j.State != queue.Ready && j.State != queue.Delayed || j.Due.After(m.now()) && j.State == queue.Ready {
			m.Fatalf("Add with Due %v has made job %s %s", j.Due, j.ID, j.State)
		}
		if m.lanes[j.Lane] == nil {
			m.lanes[j.Lane] = &queue.LaneStats{Lane: j.Lane}
		}
		*counter(m.lanes[j.Lane], j.State)++
		m.lanes[j.Lane].Arrived++
		m.jobs[j.ID] = &j
		m.order = append(m.order, j.ID)
	}
}

func (m *model) claims() {
	l := m.lane()
	n := 1 + m.rnd.IntN(4)
	ready := 0
	for _, j := range m.jobs {
		if j.Lane == l && j.State == queue.Ready {
			ready++
		}
	}
	lease := never
	if m.rnd.IntN(2) == 0 {
		lease = soon
	}
	before := m.now()
	some := m.claimFor(queue.Claim{Lane: l, Max: n, Lease: lease, Oldest: m.rnd.IntN(2) == 0})
	after := m.now()
	expired := 0
	for _, id := range m.order {
		if j := m.jobs[id]; j.Lane == l && j.State == queue.Ready && m.get(id).State == queue.Failed {
			if j.Deadline.IsZero() || j.Deadline.After(after) {
				m.Fatalf("Claim has failed job %s before its deadline", id)
			}
			m.goes(id, queue.Failed)
			expired++
		}
	}
	if want := min(n, ready-expired); len(some) != want {
		m.Fatalf("claimed %d of %d, with %d expired: expected %d", len(some), ready, expired, want)
	}
	for _, got := range some {
		j := m.jobs[got.ID]
		if j.State != queue.Ready || j.Lane != l || got.Claim != j.Claim+1 || !j.Deadline.IsZero() && j.Deadline.Before(before.Add(-time.Millisecond)) {
			m.Fatalf("claimed %+v: expected %+v", got, *j)
		}
		j.Claim++
		m.goes(got.ID, queue.Sending)
	}
}

func (m *model) moves() {
	j := m.any()
	if j == nil {
		return
	}
	move := queue.Move{ID: j.ID, From: []queue.State{all[m.rnd.IntN(len(all))], all[m.rnd.IntN(len(all))]}, To: all[m.rnd.IntN(len(all))], Lease: soon, Attempt: true}
	if m.rnd.IntN(2) == 0 {
		move.From = all
	}
	if m.rnd.IntN(3) == 0 {
		move.Claim = int64(m.rnd.IntN(3))
	}
	if m.rnd.IntN(2) == 0 {
		move.DueIn = []time.Duration{-time.Hour, never}[m.rnd.IntN(2)]
	}
	err := m.e.Move(m.Context(), move)
	if !slices.Contains(move.From, j.State) || move.Claim != 0 && move.Claim != j.Claim {
		var state *queue.StateError
		if !errors.As(err, &state) || *state != (queue.StateError{ID: j.ID, State: j.State, Claim: j.Claim}) {
			m.Fatalf("Move of a job that is %s, claim %d, from %v, claim %d: %v", j.State, j.Claim, move.From, move.Claim, err)
		}
		return
	}
	m.ok(err)
	to := move.To
	if to == queue.Ready || to == queue.Delayed {
		if is := m.get(j.ID); is.State == queue.Ready || is.State == queue.Delayed {
			to = is.State // by its Due
		}
		if move.DueIn != 0 && (to == queue.Delayed) != (move.DueIn > 0) {
			m.Fatalf("moved to %s with DueIn %v", to, move.DueIn)
		}
	}
	m.goes(j.ID, to)
}

// worksAndSweeps checks that only those are moved that time allows to.
func (m *model) worksAndSweeps() {
	before := map[queue.ID]queue.Job{}
	for _, id := range m.order {
		before[id] = m.get(id)
	}
	m.work()
	for _, id := range m.order {
		was, is := before[id], m.get(id)
		if was.State == queue.Delayed && is.State == queue.Ready && !was.Due.After(m.now()) {
			m.goes(id, queue.Ready)
		}
	}
	w := m.sweep(queue.Sweep{Keep: 3 * soon})
	var swept queue.Swept
	var left []queue.ID
	for _, id := range m.order {
		was := before[id]
		is, err := m.e.Get(m.Context(), id)
		now := m.now()
		switch {
		case errors.Is(err, queue.ErrNotFound) && was.State.Final() && !was.Finished.Add(3*soon).After(now):
			swept.Deleted++
			if was.Lane.Campaign == "" {
				*counter(m.lanes[was.Lane], was.State)--
				if was.Unique != "" {
					delete(m.keys, was.Unique)
				}
			}
			delete(m.jobs, id)
			continue
		case err != nil:
			m.Fatalf("Get after Sweep: %v", err)
		case was.State == queue.Sending && is.State == queue.InDoubt && !was.Lease.After(now):
			swept.InDoubt++
			m.goes(id, queue.InDoubt)
		case is.State == queue.Failed && (was.State == queue.Ready || was.State == queue.Delayed) && !was.Deadline.IsZero() && !was.Deadline.After(now):
			swept.Expired++
			m.goes(id, queue.Failed)
		}
		left = append(left, id)
	}
	m.order = left
	if w != swept {
		m.Fatalf("Sweep returned %+v, and did %+v", w, swept)
	}
}

// compare compares the store with the model, and its counters with its jobs.
func (m *model) compare(when string) {
	m.Helper()
	jobs, err := m.e.List(m.Context(), queue.Filter{}, "", len(m.order)+10)
	m.ok(err)
	m.ids(jobs, m.order...)
	ready := map[queue.Lane]int64{}
	oldest := map[queue.Lane]time.Time{}
	for _, j := range jobs {
		if want := m.jobs[j.ID]; j.State != want.State || j.Claim != want.Claim || j.Lane != want.Lane || j.Priority != want.Priority || j.Unique != want.Unique {
			m.Fatalf("%s: job %+v: expected %+v", when, j, *want)
		}
		if j.State == queue.Ready {
			ready[j.Lane]++
			if o := oldest[j.Lane]; o.IsZero() || j.Due.Before(o) {
				oldest[j.Lane] = j.Due
			}
		}
	}
	for _, f := range []queue.Filter{{States: []queue.State{queue.Failed}}, {Campaign: "x"}, {States: []queue.State{queue.Ready, queue.Sending}}} {
		var want []queue.ID
		for _, id := range m.order {
			if j := m.jobs[id]; (f.Campaign == "" || j.Lane.Campaign == f.Campaign) && (f.States == nil || slices.Contains(f.States, j.State)) {
				want = append(want, id)
			}
		}
		m.ids(m.list(f), want...)
	}
	stats, err := m.e.Stats(m.Context())
	m.ok(err)
	if len(stats) != len(m.lanes) {
		m.Fatalf("%s: Stats of %d lanes: expected %d", when, len(stats), len(m.lanes))
	}
	for _, s := range stats {
		m.at(when+": Oldest", s.Oldest, oldest[s.Lane])
		s.Oldest = time.Time{}
		if s != *m.lanes[s.Lane] {
			m.Fatalf("%s: Stats\n got %+v\nwant %+v", when, s, *m.lanes[s.Lane])
		}
		if s.Arrived-s.Departed != s.Ready+s.Delayed+s.Sending+s.InDoubt {
			m.Fatalf("%s: what has arrived and not departed is not there: %+v", when, s)
		}
	}
	lanes, _ := m.work()
	for _, l := range lanes {
		if l.Ready < ready[l.Lane] { // more may have become due
			m.Fatalf("%s: Work: %+v: expected at least %d Ready", when, l, ready[l.Lane])
		}
		delete(ready, l.Lane)
	}
	if len(ready) > 0 {
		m.Fatalf("%s: Work has left out lanes: %v", when, ready)
	}
	for _, id := range m.order { // Work may have made some Ready
		if j := m.jobs[id]; j.State == queue.Delayed && m.get(id).State == queue.Ready {
			m.goes(id, queue.Ready)
		}
	}
}
