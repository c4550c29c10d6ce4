package sqlitequeue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file moves jobs between states.

// slice is how many rows one operation changes at most where the caller has not said
// how many: so that others can write in between.
const slice = 500

// Add implements [queue.Engine]. What is added at once is one transaction: some hundreds
// of jobs are stored fastest, thousands keep other callers waiting. A job needs an ID
// that is not in the store.
func (e *Engine) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	records := make([]record, len(jobs))
	for i, j := range jobs {
		r := &records[i]
		r.Job = queue.Job{ID: j.ID, Lane: j.Lane, Priority: nearest(j.Priority), Request: j.Request, Due: j.Due, Deadline: j.Deadline, Unique: j.Unique, Labels: j.Labels}
		if err := pkg.CheckID(j); err != nil {
			return nil, err
		}
		if err := cmp.Or(pkg.CheckTimes(j), r.encode()); err != nil {
			return nil, err
		}
	}
	if len(jobs) == 0 {
		return nil, ctx.Err()
	}
	added := make([]queue.Added, len(jobs))
	err := e.write(ctx, len(jobs), func(t *tx) error {
		lanes := map[queue.Lane]int64{}
		fresh := make([]*record, 0, len(records))
		for i := range records {
			r := &records[i]
			added[i] = queue.Added{ID: r.ID}
			if r.Unique != "" {
				n, err := t.affect("INSERT INTO uniques(key, id) VALUES(?, ?) ON CONFLICT DO NOTHING", r.Unique, string(r.ID))
				if err != nil {
					return err
				}
				if n == 0 {
					added[i].Known = true
					if _, err := t.one("SELECT id FROM uniques WHERE key = ?", []any{r.Unique}, &added[i].ID); err != nil {
						return err
					}
					continue
				}
			}
			lane, ok := lanes[r.Job.Lane]
			if !ok {
				var err error
				if lane, err = t.makeLane(r.Job.Lane); err != nil {
					return err
				}
				lanes[r.Job.Lane] = lane
			}
			r.lane = lane
			fresh = append(fresh, r)
		}
		t.news = true
		for some := range slices.Chunk(fresh, insertAtOnce) {
			if err := t.insert(some); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

// insertAtOnce is how many rows one statement inserts: a statement costs as much as a row.
const insertAtOnce = 25

var (
	insertOne  = insertRows(1)
	insertMany = insertRows(insertAtOnce)
)

func insertRows(n int) string {
	const row = ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	return "INSERT INTO jobs(id, lane, priority, request, labels, key, created, deadline, sum, state, due, mark) VALUES" +
		strings.Repeat(row, n)[1:]
}

// insert stores new jobs, insertAtOnce at most.
func (t *tx) insert(rs []*record) error {
	args := make([]any, 0, 12*len(rs))
	for _, r := range rs {
		r.Created = t.now
		r.State = queue.Ready
		if r.Due.After(t.now) {
			r.State = queue.Delayed
		} else {
			r.Due = t.now
		}
		var c counts
		is, _ := column(r.State, r.Priority)
		c[is], c[arrived] = 1, 1
		t.count(r.lane, c)
		args = append(args, string(r.ID), r.lane, int64(r.Priority), r.request, string(r.labels), r.Unique,
			engine.Micros(r.Created), engine.Micros(r.Deadline), r.sumNow(), string(r.State), engine.Micros(r.Due), r.markNow())
	}
	query, each := insertOne, 12
	if len(rs) == insertAtOnce {
		query, each = insertMany, len(args)
	}
	for some := range slices.Chunk(args, each) {
		if err := t.exec(query, some...); err != nil && !fatal(err) {
			return fmt.Errorf("sqlitequeue: adding job %s, or one after it: there is one of this ID: give each job its own: %w", some[0], err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Claim implements [queue.Engine].
func (e *Engine) Claim(ctx context.Context, c queue.Claim) ([]queue.Job, error) {
	var jobs []queue.Job
	for more := true; more && len(jobs) < c.Max; {
		var some []queue.Job
		err := e.write(ctx, c.Max, func(t *tx) (err error) {
			some, more, err = t.claim(c, c.Max-len(jobs), c.Oldest && len(jobs) == 0)
			return err
		})
		switch {
		case err == nil:
			jobs = append(jobs, some...)
		case len(jobs) == 0:
			return nil, err
		default:
			more = false // those claimed before are the caller's
		}
	}
	return jobs, nil
}

// claim claims up to n jobs, and says whether there may be more.
func (t *tx) claim(c queue.Claim, n int, oldest bool) (jobs []queue.Job, more bool, err error) {
	lane, ok, err := t.findLane(c.Lane)
	if err != nil || !ok {
		return nil, false, err
	}
	n = min(n, slice)
	var found []*record
	if oldest {
		first, err := t.oldest(lane)
		if err != nil || first == nil {
			return nil, false, err
		}
		found = append(found, first)
	}
	usual, err := t.records(true, "SELECT "+allColumns+fromIndex+`i.state = 'ready' AND i.lane = ? ORDER BY i.priority DESC, i.due, i.seq LIMIT ?`, lane, n)
	if err != nil {
		return nil, false, err
	}
	for _, r := range usual {
		if len(found) < n && !(oldest && r.seq == found[0].seq) {
			found = append(found, r)
		}
	}
	for _, r := range found {
		if ok, err := t.in(r, queue.Ready); err != nil {
			return nil, false, err
		} else if !ok {
			continue
		}
		switch {
		case !r.decode():
			r.condemn(t.now)
		case !r.Deadline.IsZero() && t.now.After(r.Deadline):
			r.become(queue.Failed, t.now)
			r.Outcome.Reason = queue.ReasonDeadline
		default:
			r.become(queue.Sending, t.now)
			r.Claim++
			r.Began = t.now
			r.Lease = t.now.Add(c.Lease).Truncate(time.Microsecond)
			r.Job.Lane = c.Lane
			jobs = append(jobs, r.Job)
		}
		if err := t.save(r, queue.Ready); err != nil {
			return nil, false, err
		}
	}
	if len(found) == 0 {
		err = t.noneReady(lane)
	}
	return jobs, len(found) == n, err
}

// oldest returns the Ready job of a lane that is due longest; nil: there is none.
func (t *tx) oldest(lane int64) (first *record, err error) {
	for p := pacer.High; p >= pacer.Low; p-- {
		of, err := t.records(true, "SELECT "+allColumns+fromIndex+`i.state = 'ready' AND i.lane = ? AND i.priority = ? ORDER BY i.due, i.seq LIMIT 1`, lane, int64(p))
		if err != nil {
			return nil, err
		}
		if len(of) > 0 && (first == nil || of[0].Due.Before(first.Due) || of[0].Due.Equal(first.Due) && of[0].seq < first.seq) {
			first = of[0]
		}
	}
	return first, nil
}

// Move implements [queue.Engine].
func (e *Engine) Move(ctx context.Context, m queue.Move) error {
	if err := pkg.CheckMove(m); err != nil {
		return err
	}
	return e.write(ctx, 1, func(t *tx) error {
		columns := movingColumns
		if m.NoDeadline { // which is not among those that move
			columns = allColumns
		}
		found, err := t.records(m.NoDeadline, "SELECT "+columns+" FROM jobs j WHERE id = ?", string(m.ID))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("sqlitequeue: moving job %s: %w", m.ID, queue.ErrNotFound)
		}
		r := found[0]
		if !r.decode() && r.Outcome.Reason != queue.ReasonDamaged {
			from := r.State
			r.condemn(t.now)
			if err := t.save(r, from); err != nil {
				return err
			}
		}
		if !slices.Contains(m.From, r.State) || m.Claim != 0 && m.Claim != r.Claim {
			return &queue.StateError{ID: m.ID, State: r.State, Claim: r.Claim}
		}
		from := r.State
		t.apply(r, m)
		if m.NoDeadline {
			r.Deadline = time.Time{}
			if err := t.exec("UPDATE jobs SET deadline = 0, sum = ? WHERE seq = ?", r.sumNow(), r.seq); err != nil {
				return err
			}
		}
		return t.save(r, from)
	})
}

// apply makes of r what m says.
func (t *tx) apply(r *record, m queue.Move) {
	to := m.To
	if to == queue.Ready || to == queue.Delayed {
		if m.DueIn != 0 {
			r.Due = t.now.Add(m.DueIn)
		}
		to = queue.Ready
		if r.Due.After(t.now) {
			to = queue.Delayed
		}
		t.news = true
	}
	r.become(to, t.now)
	switch to {
	case queue.Sending:
		r.Lease = t.now.Add(m.Lease)
	case queue.InDoubt:
		if r.Look = (time.Time{}); m.LookIn != 0 {
			r.Look = t.now.Add(m.LookIn)
		}
		if m.Looked {
			r.Looks++
		}
	case queue.Sent, queue.Failed:
		r.Reported = m.Reported
	}
	if m.Attempt {
		r.Attempts++
	}
	if m.Outcome != nil {
		r.Outcome = *m.Outcome
	}
}

// CancelWaiting implements [queue.Engine].
func (e *Engine) CancelWaiting(ctx context.Context, campaign string, max int) (n int, err error) {
	if err := pkg.CheckCampaign(campaign); err != nil {
		return 0, err
	}
	err = e.write(ctx, max, func(t *tx) error {
		n = 0
		for _, state := range []queue.State{queue.Ready, queue.Delayed} {
			// The state stands in the text, since only then SQLite uses the partial index.
			found, err := t.records(false, "SELECT "+movingColumns+" FROM lanes l CROSS JOIN jobs i ON i.lane = l.id CROSS JOIN jobs j ON j.seq = i.seq WHERE l.campaign = ? AND l.campaign <> '' AND i.state = '"+
				string(state)+"' LIMIT ?", campaign, max-n)
			if err != nil {
				return err
			}
			for _, r := range found {
				if ok, err := t.in(r, state); err != nil {
					return err
				} else if !ok {
					continue
				}
				if r.decode() {
					r.become(queue.Cancelled, t.now)
				} else {
					r.condemn(t.now)
				}
				if err := t.save(r, state); err != nil {
					return err
				}
			}
			n += len(found)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// promote makes Ready up to max jobs that are due, and returns how many.
func (t *tx) promote(max int) (int, error) {
	found, err := t.records(false, "SELECT "+movingColumns+fromIndex+"i.state = 'delayed' AND i.due <= ? ORDER BY i.due, i.seq LIMIT ?", engine.Micros(t.now), max)
	if err != nil {
		return 0, err
	}
	for _, r := range found {
		if ok, err := t.in(r, queue.Delayed); err != nil {
			return 0, err
		} else if !ok {
			continue
		}
		if r.decode() {
			r.become(queue.Ready, t.now)
		} else {
			r.condemn(t.now)
		}
		if err := t.save(r, queue.Delayed); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}

// noneReady sets the counters of a lane in which nothing is Ready: a damaged row may have
// left without being counted.
func (t *tx) noneReady(lane int64) error {
	var is, off counts
	if _, err := t.one("SELECT high, normal, low FROM lanes WHERE id = ?", []any{lane}, &is[high], &is[normal], &is[low]); err != nil {
		return err
	}
	for i := high; i <= low; i++ {
		off[i] = -(is[i] + t.batch[lane][i] + t.own[lane][i])
	}
	if off != (counts{}) {
		t.count(lane, off)
	}
	return nil
}
