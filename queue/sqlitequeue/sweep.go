package sqlitequeue

import (
	"context"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file does what time brings.

// Sweep implements [queue.Engine]. A Lease of 0 shortens none.
func (e *Engine) Sweep(ctx context.Context, s queue.Sweep) (w queue.Swept, err error) {
	err = e.write(ctx, 2*s.Max, func(t *tx) error {
		w = queue.Swept{}
		if w.InDoubt, err = t.vanished(s); err != nil {
			return err
		}
		if w.Expired, err = t.expired(s); err != nil {
			return err
		}
		w.Deleted, err = t.outdated(s)
		return err
	})
	if err != nil {
		return queue.Swept{}, err
	}
	return w, nil
}

// vanished moves to InDoubt what has been Sending for longer than its lease. It also shortens
// the leases that have become too long because the clock was set back.
func (t *tx) vanished(s queue.Sweep) (int, error) {
	over, err := t.records(false, "SELECT "+movingColumns+fromIndex+"i.state = 'sending' AND i.lease < ? ORDER BY i.lease LIMIT ?", engine.Micros(t.now), s.Max)
	if err != nil {
		return 0, err
	}
	n := len(over)
	if s.Lease > 0 {
		long, err := t.records(false, "SELECT "+movingColumns+fromIndex+"i.state = 'sending' AND i.lease > ? ORDER BY i.lease DESC LIMIT ?", engine.Micros(t.now.Add(s.Lease)), s.Max)
		if err != nil {
			return 0, err
		}
		over = append(over, long...)
	}
	for i, r := range over {
		if ok, err := t.in(r, queue.Sending); err != nil {
			return 0, err
		} else if !ok {
			continue
		}
		switch {
		case !r.decode():
			r.condemn(t.now)
		case i < n:
			r.become(queue.InDoubt, t.now)
			r.Look = t.now
			r.Outcome.Reason = queue.ReasonLease
		default:
			r.Lease = t.now.Add(s.Lease)
		}
		if err := t.save(r, queue.Sending); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// expired fails what waits past its deadline.
func (t *tx) expired(s queue.Sweep) (int, error) {
	found, err := t.records(false, "SELECT "+movingColumns+` FROM jobs j
		WHERE deadline > 0 AND state IN ('ready', 'delayed') AND deadline < ? ORDER BY deadline LIMIT ?`, engine.Micros(t.now), s.Max)
	if err != nil {
		return 0, err
	}
	for _, r := range found {
		if ok, err := t.in(r, queue.Ready, queue.Delayed); err != nil {
			return 0, err
		} else if !ok {
			continue
		}
		from := r.State
		if r.decode() {
			r.become(queue.Failed, t.now)
			r.Outcome.Reason = queue.ReasonDeadline
		} else {
			r.condemn(t.now)
		}
		r.Reported = !s.Report
		if err := t.save(r, from); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}

// outdated deletes what was finished longer than s.Keep ago.
func (t *tx) outdated(s queue.Sweep) (n int, err error) {
	if s.Keep <= 0 {
		return 0, nil
	}
	found, err := t.records(true, "SELECT "+allColumns+" FROM jobs j WHERE finished > 0 AND finished < ? ORDER BY finished LIMIT ?", engine.Micros(t.now.Add(-s.Keep)), s.Max)
	if err != nil {
		return 0, err
	}
	for _, r := range found {
		if ok, err := t.in(r, queue.Sent, queue.Failed, queue.Cancelled); err != nil {
			return 0, err
		} else if !ok {
			continue
		}
		if !r.decode() && (r.mark != r.markNow() || r.sum != r.sumNow()) && r.Outcome.Reason != queue.ReasonDamaged {
			// When it was finished, or what its key is, is not sure: it is kept once
			// more, and says so.
			from := r.State
			r.condemn(t.now)
			if err := t.save(r, from); err != nil {
				return 0, err
			}
			continue
		}
		if err := t.remove(r); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// remove deletes a finished job. What a campaign has ever done stays counted, and the
// keys of a campaign stay held, so that running it again sends nothing twice.
func (t *tx) remove(r *record) error {
	if err := t.exec("DELETE FROM jobs WHERE seq = ?", r.seq); err != nil {
		return err
	}
	var campaign string
	if _, err := t.one("SELECT campaign FROM lanes WHERE id = ?", []any{r.lane}, &campaign); err != nil || campaign != "" {
		return err
	}
	var c counts
	is, _ := column(r.State, r.Priority)
	c[is] = -1
	t.count(r.lane, c)
	if r.Unique == "" {
		return nil
	}
	return t.exec("DELETE FROM uniques WHERE key = ? AND id = ?", r.Unique, string(r.ID))
}
