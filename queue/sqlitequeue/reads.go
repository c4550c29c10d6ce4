package sqlitequeue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file has the methods that only read, on connections of their own.

// read runs a query on a connection that only reads, and so does not wait for the
// writer, and has each called for every row.
func (e *Engine) read(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	if err := e.calls.Begin(); err != nil {
		return err
	}
	defer e.calls.End()
	if err := e.present(); err != nil {
		return err
	}
	s, err := e.readStatement(ctx, query)
	if err != nil {
		return e.explain(err)
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return e.explain(err)
	}
	defer func() { _ = rows.Close() }() // rows.Err has reported its error
	for rows.Next() {
		if err := each(func(dest ...any) error {
			if err := rows.Scan(dest...); err != nil {
				return e.unread(err)
			}
			return nil
		}); err != nil {
			return e.explain(err)
		}
	}
	if err := rows.Err(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return e.explain(err)
	}
	return nil
}

const (
	selectDue   = "SELECT due FROM jobs WHERE state = 'delayed' ORDER BY due LIMIT 1"
	selectHolds = "SELECT bucket, until FROM parks"
	selectReady = "SELECT id, key, sum, high, normal, low FROM lanes WHERE ready = 1"
	selectJob   = "SELECT " + allColumns + ", l.id, l.key, l.sum FROM jobs j JOIN lanes l ON l.id = j.lane WHERE j.id = ?"
	selectStats = `SELECT id, key, sum, high, normal, low, delayed, sending, in_doubt, sent, failed, cancelled, arrived, departed,
		(SELECT min(due) FROM jobs j WHERE l.high > 0 AND state = 'ready' AND lane = l.id AND priority = 1),
		(SELECT min(due) FROM jobs j WHERE l.normal > 0 AND state = 'ready' AND lane = l.id AND priority = 0),
		(SELECT min(due) FROM jobs j WHERE l.low > 0 AND state = 'ready' AND lane = l.id AND priority = -1)
		FROM lanes l ORDER BY id`
)

// due returns when the next Delayed job is due; zero: there is none.
func (e *Engine) due(ctx context.Context) (next time.Time, err error) {
	err = e.read(ctx, selectDue, nil, func(scan func(...any) error) error { return scan(stored{&next}) })
	return next, err
}

// holds returns which buckets and accounts are held, and until when.
func (e *Engine) holds(ctx context.Context) (map[string]time.Time, error) {
	until := map[string]time.Time{}
	err := e.read(ctx, selectHolds, nil, func(scan func(...any) error) error {
		var bucket string
		var t time.Time
		err := scan(&bucket, stored{&t})
		until[bucket] = t
		return err
	})
	return until, err
}

// dueAtOnce is how many jobs Work makes Ready at most, so that it returns within some 0.2 s.
const dueAtOnce = 3 * slice

// Work implements [queue.Engine]. It writes only if something is due.
func (e *Engine) Work(ctx context.Context) (lanes []queue.ReadyLane, next time.Duration, err error) {
	e.news.Read()
	for n := 0; ; n += slice {
		due, err := e.due(ctx)
		if err != nil {
			return nil, 0, err
		}
		if next = queue.Never; due.IsZero() {
			break
		}
		if next = max(due.Sub(clock()), 0); next > 0 || n >= dueAtOnce {
			break
		}
		if err := e.write(ctx, slice, func(t *tx) error { _, err := t.promote(slice); return err }); err != nil {
			return nil, 0, err
		}
	}
	held, err := e.holds(ctx)
	if err != nil {
		return nil, 0, err
	}
	now := clock()
	damaged := map[int64]func(*tx, int64) error{}
	err = e.read(ctx, selectReady, nil, func(scan func(...any) error) error {
		var row laneRow
		var ready [3]int64
		if err := scan(&row.id, &row.key, &row.sum, &ready[high], &ready[normal], &ready[low]); err != nil {
			values, err := anything(6, scan) // columns of selectReady
			if err != nil {
				return err
			}
			row.id, _ = values[0].(int64)
			row.key, _ = values[1].(string)
			row.sum, _ = values[2].(int64)
			damaged[row.id] = (*tx).recount
		}
		l, ok := e.lane(row)
		if !ok {
			damaged[row.id] = (*tx).bury
		}
		if damaged[row.id] != nil {
			return nil
		}
		r := queue.ReadyLane{Lane: l, Ready: ready[high] + ready[normal] + ready[low], Top: pacer.High}
		for i := high; i < low && ready[i] == 0; i++ {
			r.Top--
		}
		r.Parked = engine.HeldUntil(held, l)
		r.Held = max(0, r.Parked.Sub(now))
		lanes = append(lanes, r)
		return nil
	})
	for id, mend := range damaged {
		if err == nil {
			err = e.write(ctx, slice, func(t *tx) error { return mend(t, id) })
		}
	}
	if err != nil {
		return nil, 0, err
	}
	return lanes, next, nil
}

// Stats implements [queue.Engine]. It takes time by the number of lanes, not of jobs.
func (e *Engine) Stats(ctx context.Context) (stats []queue.LaneStats, err error) {
	held, err := e.holds(ctx)
	if err != nil {
		return nil, err
	}
	err = e.read(ctx, selectStats, nil, func(scan func(...any) error) error {
		var row laneRow
		var c counts
		var due [3]*int64
		if err := scan(&row.id, &row.key, &row.sum, &c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &c[6], &c[7], &c[8], &c[9], &c[10],
			&due[0], &due[1], &due[2]); err != nil {
			_, err = anything(17, scan) // columns of selectStats
			return err                  // nil: this lane's row is damaged, and left out
		}
		l, ok := e.lane(row)
		if !ok {
			return nil
		}
		s := queue.LaneStats{
			Lane: l, Ready: c[high] + c[normal] + c[low], Delayed: c[delayed], Sending: c[sending], InDoubt: c[inDoubt],
			Sent: c[sent], Failed: c[failed], Cancelled: c[cancelled], Arrived: c[arrived], Departed: c[departed],
			Parked: engine.HeldUntil(held, l),
		}
		for _, d := range due {
			if d != nil && (s.Oldest.IsZero() || *d < engine.Micros(s.Oldest)) {
				s.Oldest = time.UnixMicro(*d).UTC()
			}
		}
		stats = append(stats, s)
		return nil
	})
	return stats, err
}

// scanJob reads a job. A damaged one has an Outcome that says so. Fields that cannot be relied
// on are left out, so that a job is never shown as another.
func (e *Engine) scanJob(scan func(...any) error) (queue.Job, error) {
	r, row := &record{}, laneRow{}
	if err := scan(append(r.all(), &row.id, &row.key, &row.sum)...); err != nil {
		const more = 3 // of the lane's row
		if r, err = salvage(len(r.all())+more, scan); err != nil {
			return queue.Job{}, err
		}
	}
	l, ok := e.lane(row)
	if _, known := column(r.State, pacer.Normal); !known {
		r.State, ok = queue.InDoubt, false // it may have been sent
	}
	if !r.decode() || !ok {
		return queue.Job{ID: r.ID, Lane: l, State: r.State, Finished: r.Finished, Outcome: queue.Outcome{Reason: queue.ReasonDamaged}}, nil
	}
	r.Job.Lane = l
	return r.Job, nil
}

// Get implements [queue.Engine]. A job that is damaged has Outcome.Reason ReasonDamaged
// and no request.
func (e *Engine) Get(ctx context.Context, id queue.ID) (job queue.Job, err error) {
	found := false
	err = e.read(ctx, selectJob, []any{string(id)}, func(scan func(...any) error) (err error) {
		found = true
		job, err = e.scanJob(scan)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("sqlitequeue: job %s: %w", id, queue.ErrNotFound)
	}
	return job, err
}

// List implements [queue.Engine]. A filter by Unreported, LookBefore, SID, or States other than
// Ready, Delayed and Sent takes time by what is found. Other filters take time by what is
// stored. If the job after was deleted, the list goes on where its ID would be, and may then
// repeat a few jobs. Damaged jobs are listed as [Engine.Get] returns them.
func (e *Engine) List(ctx context.Context, f queue.Filter, after queue.ID, max int) (jobs []queue.Job, err error) {
	var from int64
	if after != "" {
		if from, err = e.position(ctx, after); err != nil {
			return nil, err
		}
	}
	query, args, err := listing(f)
	if err != nil || max <= 0 {
		return nil, err
	}
	args = append(append([]any{from}, args...), max)
	err = e.read(ctx, query, args, func(scan func(...any) error) error {
		j, err := e.scanJob(scan)
		jobs = append(jobs, j)
		return err
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

const selectPosition = `SELECT coalesce(
	(SELECT seq FROM jobs WHERE id = ?1),
	min((SELECT seq FROM jobs WHERE id < ?1 ORDER BY id DESC LIMIT 1), coalesce((SELECT seq - 1 FROM jobs WHERE id > ?1 ORDER BY id LIMIT 1), 9223372036854775807)),
	0)`

// position returns the place of a job in the order of Add. For a job that is not there any
// more, it returns a place not after it, by the IDs of its neighbours.
func (e *Engine) position(ctx context.Context, id queue.ID) (seq int64, err error) {
	err = e.read(ctx, selectPosition, []any{string(id)}, func(scan func(...any) error) error { return scan(&seq) })
	return seq, err
}

// rare are the states that few jobs are in, for which there is an index in the order of
// Add. Its condition has to stand in the query as it stands in the schema.
var rare = []queue.State{queue.Sending, queue.InDoubt, queue.Failed, queue.Cancelled}

const isRare = "j.state IN ('sending', 'in doubt', 'failed', 'cancelled')"

// listing returns the query for a filter, and its arguments between the first, the place
// to begin after, and the last, how many. States stand in its text, for the sake of the
// partial indexes; they are of the known ones.
func listing(f queue.Filter) (string, []any, error) {
	if err := pkg.CheckFilter(f); err != nil {
		return "", nil, err
	}
	var query strings.Builder
	query.WriteString("SELECT " + allColumns + ", l.id, l.key, l.sum FROM jobs j CROSS JOIN lanes l ON l.id = j.lane WHERE j.seq > ?")
	var args []any
	and := func(term string, a ...any) {
		query.WriteString(" AND " + term)
		args = append(args, a...)
	}
	if len(f.States) > 0 {
		words := make([]string, len(f.States))
		all := true
		for i, s := range slices.Sorted(slices.Values(f.States)) { // so that there are few texts
			words[i] = "'" + string(s) + "'"
			all = all && slices.Contains(rare, s)
		}
		and("j.state IN (" + strings.Join(words, ", ") + ")")
		if all {
			and(isRare)
		}
	}
	if f.Lane != nil {
		and("j.lane = (SELECT id FROM lanes WHERE key = ?)", f.Lane.Key())
	}
	if f.Campaign != "" {
		and("j.lane IN (SELECT id FROM lanes WHERE campaign = ? AND campaign <> '')", f.Campaign)
	}
	if f.Label != "" {
		and("CASE WHEN json_valid(j.labels) THEN EXISTS(SELECT 1 FROM json_each(j.labels) WHERE key = ? AND value = ?) END", f.Label, f.Value)
	}
	if f.SID != "" {
		and("j.sid <> '' AND j.sid = ?", f.SID)
	}
	if !f.LookBefore.IsZero() {
		and("j.state = 'in doubt' AND "+isRare+" AND j.look > 0 AND j.look < ?", engine.Micros(f.LookBefore))
	}
	if f.Unreported {
		and("j.reported = 0 AND j.state IN ('sent', 'failed')")
	}
	if f.Code != 0 {
		and("j.code = ?", f.Code)
	}
	if f.Recipient != "" {
		and(`(j.lane IN (SELECT id FROM lanes WHERE campaign <> '') AND substr(j.key, instr(j.key, '|') + 1) = ? OR
			CASE WHEN json_valid(CAST(j.request AS TEXT)) THEN CAST(j.request AS TEXT) ->> '$.form.To[0]' = ? END)`, f.Recipient, f.Recipient)
	}
	if !f.CreatedAfter.IsZero() {
		and("j.created >= ?", engine.Micros(f.CreatedAfter))
	}
	if !f.CreatedBefore.IsZero() {
		and("j.created < ?", engine.Micros(f.CreatedBefore))
	}
	if !f.FinishedAfter.IsZero() {
		and("j.finished > 0 AND j.finished >= ?", engine.Micros(f.FinishedAfter))
	}
	if !f.FinishedBefore.IsZero() {
		and("j.finished > 0 AND j.finished < ?", engine.Micros(f.FinishedBefore))
	}
	return query.String() + " ORDER BY j.seq LIMIT ?", args, nil
}
