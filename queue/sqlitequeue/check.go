package sqlitequeue

import (
	"context"
	"fmt"
)

// This file checks the whole of a queue's file.

// selectCounts returns, for every lane, each counter beside the number of jobs that are there.
// They must agree. It is one statement, so that both are of the same moment.
const selectCounts = `SELECT l.id, l.campaign, l.ready = (l.high + l.normal + l.low > 0),
		l.high, coalesce(sum(c.n) FILTER (WHERE c.state = 'ready' AND c.priority = 1), 0),
		l.normal, coalesce(sum(c.n) FILTER (WHERE c.state = 'ready' AND c.priority = 0), 0),
		l.low, coalesce(sum(c.n) FILTER (WHERE c.state = 'ready' AND c.priority = -1), 0),
		l.delayed, coalesce(sum(c.n) FILTER (WHERE c.state = 'delayed'), 0),
		l.sending, coalesce(sum(c.n) FILTER (WHERE c.state = 'sending'), 0),
		l.in_doubt, coalesce(sum(c.n) FILTER (WHERE c.state = 'in doubt'), 0),
		l.sent, coalesce(sum(c.n) FILTER (WHERE c.state = 'sent'), 0),
		l.failed, coalesce(sum(c.n) FILTER (WHERE c.state = 'failed'), 0),
		l.cancelled, coalesce(sum(c.n) FILTER (WHERE c.state = 'cancelled'), 0)
	FROM lanes l LEFT JOIN (SELECT lane, state, priority, count(*) AS n FROM jobs NOT INDEXED GROUP BY lane, state, priority) c ON c.lane = l.id
	GROUP BY l.id`

// Check reads the whole file. It returns an error that wraps queue.ErrDamaged if a page or an
// index is damaged, or if jobs are missing that are counted. Other calls see such damage only
// where they read. Others go on meanwhile. It is for the time after a disk has failed, or after
// a file was restored.
func (e *Engine) Check(ctx context.Context) error {
	err := e.read(ctx, "PRAGMA integrity_check(1)", nil, func(scan func(...any) error) error {
		var verdict string
		if err := scan(&verdict); err != nil {
			return err
		}
		if verdict != "ok" {
			return e.damaged("SQLite's integrity_check has found an error", nil)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.read(ctx, selectCounts, nil, func(scan func(...any) error) error {
		var id int64
		var campaign string
		var flag bool
		var is, want [cancelled + 1]int64
		dest := []any{&id, &campaign, &flag}
		for i := range is {
			dest = append(dest, &is[i], &want[i])
		}
		if err := scan(dest...); err != nil {
			return err
		}
		if !flag {
			return e.damaged(fmt.Sprintf("lane %d is not marked as its counters have it", id), nil)
		}
		for i := range is {
			// A campaign's lane also counts what is not kept any more.
			if is[i] != want[i] && (i < sent || campaign == "" || is[i] < want[i]) {
				return e.damaged(fmt.Sprintf("lane %d counts jobs that are not there, or not those that are", id), nil)
			}
		}
		return nil
	})
}
