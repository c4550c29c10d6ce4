package redisqueue

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file lists jobs.

// A place is a job in the order of Add.
type place struct {
	seq int64
	id  string
}

func (e *Engine) places(said []any) ([]place, error) {
	ps := make([]place, 0, len(said)/2)
	for i := 0; i+1 < len(said); i += 2 {
		seq, _ := said[i].(string)
		id, _ := said[i+1].(string)
		n, err := strconv.ParseInt(seq, 10, 64)
		if err != nil {
			return nil, e.nonsense("List")
		}
		ps = append(ps, place{n, id})
	}
	return ps, nil
}

// listAtOnce is how many jobs one script looks at for List.
const listAtOnce = 1000

// List implements [queue.Engine]. A filter by Unreported, LookBefore, SID, or States other than
// Ready, Delayed and Sent takes time by what is found. Other filters take time by what is
// stored. If the job after was deleted, the list goes on where its ID would be. It may then
// repeat or leave out jobs whose IDs are not in the order of Add. These are jobs that other
// processes added within the same milliseconds. Damaged jobs are listed as [Engine.Get] returns
// them.
func (e *Engine) List(ctx context.Context, f queue.Filter, after queue.ID, max int) (jobs []queue.Job, err error) {
	if err := pkg.CheckFilter(f); err != nil {
		return nil, err
	}
	var from int64
	if after != "" {
		v, err := e.run(ctx, placeScript, string(after))
		if err != nil {
			return nil, err
		}
		text, _ := v.(string)
		if from, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, e.nonsense("List")
		}
	}
	look := e.lookup(f)
	for end := false; !end && len(jobs) < max; {
		var ps []place
		if ps, from, end, err = look(ctx, from, max); err != nil {
			return nil, err
		}
		for some := range slices.Chunk(ps, min(max, listAtOnce)) {
			ids := make([]string, len(some))
			for i, p := range some {
				ids[i] = p.id
			}
			found, err := e.jobs(ctx, ids)
			if err != nil {
				return nil, err
			}
			for _, j := range found {
				if matches(f, j) && len(jobs) < max {
					jobs = append(jobs, j)
				}
			}
			if len(jobs) == max {
				break
			}
		}
	}
	return jobs, nil
}

// rare are the states that few jobs are in, and where those are.
var rare = map[queue.State]string{
	queue.Sending: "leases", queue.InDoubt: "is:in doubt", queue.Failed: "is:failed", queue.Cancelled: "is:cancelled",
}

// lookup returns a function that looks for jobs that may match. The function returns some of
// them after a place, in the order of Add, where to go on, and whether that is the end.
func (e *Engine) lookup(f queue.Filter) func(ctx context.Context, from int64, max int) ([]place, int64, bool, error) {
	var how []any
	switch {
	case f.SID != "":
		how = []any{"sid", f.SID}
	case !f.LookBefore.IsZero():
		how = []any{"look", engine.Micros(f.LookBefore)}
	case f.Unreported:
		how = []any{"index", "unreported"}
	case len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s queue.State) bool { return rare[s] == "" }):
		how = []any{"index"}
		for s, key := range rare {
			if slices.Contains(f.States, s) {
				how = append(how, key)
			}
		}
	default:
		return func(ctx context.Context, from int64, _ int) ([]place, int64, bool, error) {
			return e.scan(ctx, f, from)
		}
	}
	return func(ctx context.Context, from int64, max int) ([]place, int64, bool, error) {
		n := max + listAtOnce
		v, err := e.run(ctx, pickScript, append([]any{from, n}, how...)...)
		if err != nil {
			return nil, 0, false, err
		}
		said, _ := v.([]any)
		ps, err := e.places(said)
		if err != nil {
			return nil, 0, false, err
		}
		slices.SortFunc(ps, func(a, b place) int { return cmp.Compare(a.seq, b.seq) })
		if len(ps) < n {
			return ps, from, true, nil
		}
		ps = ps[:n] // each source has given its first n
		return ps, ps[n-1].seq, false, nil
	}
}

// scan looks at the next jobs of all.
func (e *Engine) scan(ctx context.Context, f queue.Filter, from int64) ([]place, int64, bool, error) {
	states, lanes := "", ""
	for _, s := range f.States {
		states += "," + string(s) + ","
	}
	if f.Lane != nil || f.Campaign != "" {
		var numbers []string
		var number *redis.StringCmd
		var of *redis.StringSliceCmd
		if err := e.pipe(ctx, func(p redis.Pipeliner) {
			if f.Lane != nil {
				number = p.HGet(ctx, e.key("lanes"), f.Lane.Key())
			} else {
				of = p.SMembers(ctx, e.key("c:"+f.Campaign))
			}
		}); err != nil {
			return nil, 0, false, err
		}
		if number != nil && number.Val() != "" {
			numbers = []string{number.Val()}
		} else if of != nil {
			numbers = of.Val()
		}
		if len(numbers) == 0 {
			return nil, from, true, nil
		}
		lanes = "," + strings.Join(numbers, ",") + ","
	}
	v, err := e.run(ctx, listScript, from, listAtOnce, states, lanes)
	if err != nil {
		return nil, 0, false, err
	}
	said, ok := v.([]any)
	if !ok || len(said) == 0 {
		return nil, 0, false, e.nonsense("List")
	}
	ps, err := e.places(said[1:])
	if err != nil {
		return nil, 0, false, err
	}
	on, _ := said[0].(string)
	if on == "" {
		return ps, from, true, nil
	}
	if from, err = strconv.ParseInt(on, 10, 64); err != nil {
		return nil, 0, false, e.nonsense("List")
	}
	return ps, from, false, nil
}

// within reports whether a time is not before one and before another one, where these are not zero.
func within(t, from, before time.Time) bool {
	return (from.IsZero() && before.IsZero() || !t.IsZero()) && (from.IsZero() || !t.Before(from)) && (before.IsZero() || t.Before(before))
}

// matches reports whether f matches a job as it is now.
func matches(f queue.Filter, j queue.Job) bool {
	label, labelled := j.Labels[f.Label]
	to := append(j.Request.Form["To"], "")[0]
	switch {
	case len(f.States) > 0 && !slices.Contains(f.States, j.State),
		f.Lane != nil && *f.Lane != j.Lane,
		f.Campaign != "" && f.Campaign != j.Lane.Campaign,
		f.Label != "" && (!labelled || label != f.Value),
		f.SID != "" && f.SID != j.Outcome.SID,
		!f.LookBefore.IsZero() && (j.State != queue.InDoubt || j.Look.IsZero() || !j.Look.Before(f.LookBefore)),
		f.Unreported && (j.Reported || j.State != queue.Sent && j.State != queue.Failed),
		f.Code != 0 && f.Code != j.Outcome.Code,
		f.Recipient != "" && f.Recipient != j.Recipient() && f.Recipient != to,
		!within(j.Created, f.CreatedAfter, f.CreatedBefore),
		!within(j.Finished, f.FinishedAfter, f.FinishedBefore):
		return false
	}
	return true
}
