package redisqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file moves jobs between states.

// slice is how many jobs one script looks at, at most, where the caller has not said how
// many: Redis does nothing else meanwhile.
const slice = 500

// flag is how scripts are told yes.
func flag(is bool) string {
	if is {
		return "1"
	}
	return "0"
}

// Add implements [queue.Engine]. What is added at once is one script: a thousand jobs keep
// Redis busy for some 40 ms. A job whose ID is there already with the same content counts as
// added. So a call whose answer was lost may be repeated as it was.
func (e *Engine) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	lanes := map[queue.Lane]int{}
	var of, args []any
	for _, j := range jobs {
		if err := pkg.CheckID(j); err != nil {
			return nil, err
		}
		key := j.Lane.Key()
		n, ok := lanes[j.Lane]
		if !ok {
			n = len(lanes) + 1
			lanes[j.Lane] = n
			of = append(of, key, j.Lane.Campaign)
		}
		b, err := encode(j, key)
		if err = cmp.Or(pkg.CheckTimes(j), err); err != nil {
			return nil, err
		}
		args = append(args, n, string(j.ID), letter(j.Priority), engine.Micros(j.Due), engine.Micros(j.Deadline), j.Unique, b)
	}
	if len(jobs) == 0 {
		return nil, ctx.Err()
	}
	v, err := e.write(ctx, addScript, append(append([]any{len(lanes)}, of...), args...)...)
	if err != nil {
		return nil, err
	}
	e.news.Announce()
	said, ok := v.([]any)
	if !ok || len(said) != len(jobs) {
		return nil, e.nonsense("Add")
	}
	added := make([]queue.Added, len(jobs))
	for i, j := range jobs {
		added[i] = queue.Added{ID: j.ID}
		if holder, _ := said[i].(string); holder != "" {
			added[i] = queue.Added{ID: queue.ID(holder), Known: true}
		}
	}
	return added, nil
}

// nonsense is the error for an answer that a script never gives.
func (e *Engine) nonsense(what string) error {
	return fmt.Errorf("redisqueue: queue %s: %w: %s: an answer that was not expected: is something between this program and Redis?", e.name, queue.ErrDamaged, what)
}

// Claim implements [queue.Engine].
func (e *Engine) Claim(ctx context.Context, c queue.Claim) (jobs []queue.Job, err error) {
	for more := true; more && len(jobs) < c.Max; {
		var some []queue.Job
		some, more, err = e.claim(ctx, c, min(c.Max-len(jobs), slice), c.Oldest && len(jobs) == 0)
		jobs = append(jobs, some...)
		if err != nil {
			break
		}
	}
	if len(jobs) > 0 {
		return jobs, nil // those claimed before are the caller's
	}
	return nil, err
}

// claim claims up to n jobs, and says whether there may be more.
func (e *Engine) claim(ctx context.Context, c queue.Claim, n int, oldest bool) (jobs []queue.Job, more bool, err error) {
	v, err := e.write(ctx, claimScript, c.Lane.Key(), n, c.Lease.Microseconds(), e.consumer, flag(oldest), slice)
	if err != nil && !errors.Is(err, errReplicas) {
		return nil, false, err
	}
	late := err
	rows, ok := v.([]any)
	if !ok || len(rows) == 0 {
		return nil, false, e.nonsense("Claim")
	}
	more = rows[0] == int64(1) || len(rows)-1 == n
	for _, row := range rows[1:] {
		r, ok := row.([]any)
		if !ok || len(r) != 3 {
			return nil, false, e.nonsense("Claim")
		}
		id, _ := r[0].(string)
		stored, _ := r[2].(string)
		j, whole := decode(queue.ID(id), c.Lane, pairs(r[1]), []byte(stored))
		switch {
		case !whole:
			// Nobody may send it. Should this process end now, it is in doubt, and is
			// not sent then either.
			m := queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.Failed, Outcome: &queue.Outcome{Reason: queue.ReasonDamaged}}
			if err := e.Move(ctx, m); err != nil {
				return jobs, false, err
			}
			more = true
		case late != nil:
			// A failover might make it Ready again: it is not to be sent.
			back, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.replicas.within+time.Second)
			_ = e.move(back, e.run, queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.Ready}) // else it is in doubt, when the lease ends
			cancel()
		default:
			jobs = append(jobs, j)
		}
	}
	return jobs, more, late
}

// pairs makes a hash of what HGETALL returns to a script.
func pairs(v any) hash {
	list, _ := v.([]any)
	h := hash{}
	for i := 0; i+1 < len(list); i += 2 {
		k, _ := list[i].(string)
		h[k], _ = list[i+1].(string)
	}
	return h
}

// Move implements [queue.Engine].
func (e *Engine) Move(ctx context.Context, m queue.Move) error { return e.move(ctx, e.write, m) }

// move moves a job by run or write.
func (e *Engine) move(ctx context.Context, do func(context.Context, *redis.Script, ...any) (any, error), m queue.Move) error {
	if err := pkg.CheckMove(m); err != nil {
		return err
	}
	from := ","
	for _, s := range m.From {
		from += string(s) + ","
	}
	var sid, reason, rest string
	if m.Outcome != nil {
		var err error
		if sid, reason, rest, err = outcomeFields(*m.Outcome); err != nil {
			return fmt.Errorf("redisqueue: job %s: its outcome cannot be stored: %w", m.ID, err)
		}
	}
	// The token tells a call that the client repeats, as its answer was lost, from others.
	v, err := do(ctx, moveScript, string(m.ID), random(4), from, m.Claim, string(m.To), flag(m.NoDeadline), relative(m.DueIn), relative(m.LookIn),
		flag(m.Looked), flag(m.Attempt), flag(m.Reported), m.Lease.Microseconds(), flag(m.Outcome != nil), sid, reason, rest)
	if err != nil && !errors.Is(err, errReplicas) {
		return err
	}
	said, _ := v.([]any)
	switch {
	case len(said) == 1 && said[0] == "ok":
		if m.To == queue.Ready || m.To == queue.Delayed {
			e.news.Announce()
		}
		return err
	case len(said) == 1 && said[0] == "none":
		return fmt.Errorf("redisqueue: moving job %s: %w", m.ID, queue.ErrNotFound)
	case len(said) == 3:
		state, _ := said[1].(string)
		claim, _ := said[2].(string)
		n, err := strconv.ParseInt(claim, 10, 64)
		if err != nil {
			return e.nonsense("Move")
		}
		return &queue.StateError{ID: m.ID, State: queue.State(state), Claim: n}
	}
	return e.nonsense("Move")
}

// relative is how a time from now is given to a script: in microseconds, and 0 is none.
func relative(d time.Duration) int64 {
	switch us := d.Microseconds(); {
	case us != 0 || d == 0:
		return us
	case d < 0:
		return -1
	}
	return 1
}

// CancelWaiting implements [queue.Engine].
func (e *Engine) CancelWaiting(ctx context.Context, campaign string, max int) (int, error) {
	if err := pkg.CheckCampaign(campaign); err != nil {
		return 0, err
	}
	v, err := e.run(ctx, cancelScript, campaign, max)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		return 0, e.nonsense("CancelWaiting")
	}
	return int(n), nil
}

// mending is where Sweep's look at jobs and lanes goes on. One call at a time looks.
type mending struct {
	sync.Mutex
	fromJob, fromLane string
}

// How much of the queue one call of Sweep looks at for what is not where it should be.
const (
	repairJobs  = 200
	repairLanes = 50
)

// Sweep implements [queue.Engine]. A Lease of 0 shortens none. Each call also looks at a part
// of the jobs and lanes, and the next call at the next part. It puts back jobs that wait and
// stand in no lane. It takes over what vanished engines have claimed, and forgets their names.
func (e *Engine) Sweep(ctx context.Context, s queue.Sweep) (queue.Swept, error) {
	keep := s.Keep.Microseconds()
	if s.Keep > 0 {
		keep = max(keep, 1) // 0 is for ever
	}
	v, err := e.run(ctx, sweepScript, s.Lease.Microseconds(), keep, s.Max, flag(s.Report))
	if err != nil {
		return queue.Swept{}, err
	}
	n, ok := v.([]any)
	if !ok || len(n) != 3 {
		return queue.Swept{}, e.nonsense("Sweep")
	}
	var done [3]int
	for i := range done {
		is, _ := n[i].(int64)
		done[i] = int(is)
	}
	return queue.Swept{InDoubt: done[0], Expired: done[1], Deleted: done[2]}, e.repair(ctx, s.Lease)
}

func (e *Engine) repair(ctx context.Context, lease time.Duration) error {
	if !e.mending.TryLock() {
		return nil // another call is at it
	}
	defer e.mending.Unlock()
	idle := max(2*lease, time.Minute)
	v, err := e.run(ctx, repairScript, e.mending.fromJob, repairJobs, e.mending.fromLane, repairLanes, e.consumer, idle.Milliseconds())
	if err != nil {
		return err
	}
	said, ok := v.([]any)
	if !ok || len(said) != 3 {
		return e.nonsense("Sweep")
	}
	e.mending.fromJob, _ = said[0].(string)
	e.mending.fromLane, _ = said[1].(string)
	if n, _ := said[2].(int64); n > 0 {
		e.warn("jobs were not where their state has them, and were put back: has somebody changed keys?", "jobs", n)
		e.news.Announce()
	}
	return nil
}
