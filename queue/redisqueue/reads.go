package redisqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file has the methods that read, and Work.

// pipe sends commands in one go. Who reads commands' results has their errors.
func (e *Engine) pipe(ctx context.Context, fill func(redis.Pipeliner)) error {
	if err := e.calls.Begin(); err != nil {
		return err
	}
	defer e.calls.End()
	_, err := e.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { fill(p); return nil })
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return e.explain(err)
}

// each is pipe for commands that each read a key of one job or lane. If a key has another type,
// only that job or lane is damaged, which must not hide the others.
func (e *Engine) each(ctx context.Context, fill func(redis.Pipeliner)) error {
	err := e.pipe(ctx, fill)
	if errors.Is(err, queue.ErrDamaged) {
		return nil
	}
	return err
}

// present adds what tells whether the queue is still the one that was opened.
func (e *Engine) present(p redis.Pipeliner) func() error {
	v := p.Get(context.Background(), e.key("v"))
	return func() error {
		number, _, _ := strings.Cut(v.Val(), " ")
		switch n, _ := strconv.Atoi(number); {
		case v.Val() == e.epoch:
			return nil
		case n > layout:
			return e.explain(saidError("PACEROUTDATED"))
		}
		return e.explain(saidError("PACERGONE"))
	}
}

// saidError is what scripts say.
type saidError string

func (s saidError) Error() string { return string(s) }
func (saidError) RedisError()     {}

// laneNames remember which lanes the numbers stand for that are stored instead of lanes.
type laneNames struct {
	names   sync.Map // of lanes' numbers to queue.Lane
	unnamed sync.Map // of lanes' numbers to true: those that were found in nobody's names
}

// lanesOf returns the lanes of numbers. Those that nobody can name are left out, and
// logged once: they must not stop the others.
func (e *Engine) lanesOf(ctx context.Context, numbers []string) (map[string]queue.Lane, error) {
	lanes := make(map[string]queue.Lane, len(numbers))
	var ask []string
	for _, n := range numbers {
		if l, ok := e.names.Load(n); ok {
			lanes[n] = l.(queue.Lane)
		} else if _, ok := lanes[n]; !ok {
			ask = append(ask, n)
		}
	}
	for some := range slices.Chunk(ask, 1000) {
		var keys *redis.SliceCmd
		if err := e.pipe(ctx, func(p redis.Pipeliner) { keys = p.HMGet(ctx, e.key("names"), some...) }); err != nil {
			return nil, err
		}
		for i, v := range keys.Val() {
			key, _ := v.(string)
			l, err := queue.ParseLane(key)
			if err != nil {
				if l, err = e.renamed(ctx, some[i]); err != nil {
					return nil, err
				} else if l == (queue.Lane{}) {
					continue
				}
			}
			lanes[some[i]] = l
			e.names.Store(some[i], l)
		}
	}
	return lanes, nil
}

// renamed finds a lane whose name is damaged in the hash of numbers by name, and writes its
// name anew. It returns the zero lane if that hash does not have it either.
func (e *Engine) renamed(ctx context.Context, number string) (found queue.Lane, err error) {
	if _, told := e.unnamed.LoadOrStore(number, true); told {
		return queue.Lane{}, nil
	}
	var all *redis.MapStringStringCmd
	if err := e.pipe(ctx, func(p redis.Pipeliner) { all = p.HGetAll(ctx, e.key("lanes")) }); err != nil {
		return queue.Lane{}, err
	}
	for key, n := range all.Val() {
		l, err := queue.ParseLane(key)
		if n != number || err != nil {
			continue
		}
		e.unnamed.Delete(number)
		return l, e.pipe(ctx, func(p redis.Pipeliner) { p.HSet(ctx, e.key("names"), number, key) })
	}
	e.warn("a lane's name is damaged: what waits in it is not sent: has somebody changed keys?", "lane", number)
	return queue.Lane{}, nil
}

// readyOf makes counts of the hash ready, by lane and priority. What is no count is left
// out: Sweep counts anew.
func readyOf(fields map[string]string) map[string]map[string]int64 {
	ready := make(map[string]map[string]int64, len(fields))
	for field, text := range fields {
		n, err := strconv.ParseInt(text, 10, 64)
		if _, ok := priorities[field[max(0, len(field)-1):]]; !ok || err != nil || n <= 0 {
			continue
		}
		lane := field[:len(field)-1]
		if ready[lane] == nil {
			ready[lane] = make(map[string]int64, 1)
		}
		ready[lane][field[len(field)-1:]] = n
	}
	return ready
}

// dueAtOnce is how many jobs Work makes Ready at most, so that it returns within some 0.2 s.
const dueAtOnce = 3 * slice

// Work implements [queue.Engine]. It also takes in what the intake has.
func (e *Engine) Work(ctx context.Context) (lanes []queue.ReadyLane, next time.Duration, err error) {
	e.news.Read()
	var now time.Time
	for taken, left := false, int64(dueAtOnce); ; {
		v, err := e.run(ctx, promoteScript, slice)
		if err != nil {
			return nil, 0, err
		}
		said, ok := v.([]any)
		if !ok || len(said) != 4 {
			return nil, 0, e.nonsense("Work")
		}
		if said[2] != int64(0) && !taken {
			if err := e.takeIn(ctx); err != nil {
				return nil, 0, err
			}
			taken = true
			continue
		}
		n, _ := said[0].(int64)
		if left -= n; n < slice || left <= 0 {
			due, _ := said[1].(string)
			us, err := strconv.ParseInt(due, 10, 64)
			at, ok := said[3].(int64)
			if err != nil || !ok {
				return nil, 0, e.nonsense("Work")
			}
			now, next = engine.FromMicros(at), queue.Never
			if us > 0 {
				next = max(engine.FromMicros(us).Sub(now), 0)
			}
			break
		}
	}
	var ready, holds *redis.MapStringStringCmd
	if err := e.pipe(ctx, func(p redis.Pipeliner) {
		ready, holds = p.HGetAll(ctx, e.key("ready")), p.HGetAll(ctx, e.key("parks"))
	}); err != nil {
		return nil, 0, err
	}
	counts, held := readyOf(ready.Val()), holdsOf(holds.Val())
	of, err := e.lanesOf(ctx, slices.Collect(maps.Keys(counts)))
	if err != nil {
		return nil, 0, err
	}
	for number, n := range counts {
		l, ok := of[number]
		if !ok {
			continue
		}
		r := queue.ReadyLane{Lane: l, Ready: n["h"] + n["n"] + n["l"], Top: pacer.Low}
		switch {
		case n["h"] > 0:
			r.Top = pacer.High
		case n["n"] > 0:
			r.Top = pacer.Normal
		}
		r.Parked = engine.HeldUntil(held, l)
		r.Held = max(0, r.Parked.Sub(now))
		lanes = append(lanes, r)
	}
	return lanes, next, nil
}

// holdsOf reads the hash parks, which has until when buckets are held. What is no time is left out.
func holdsOf(fields map[string]string) map[string]time.Time {
	held := make(map[string]time.Time, len(fields))
	for key, text := range fields {
		if us, err := strconv.ParseInt(text, 10, 64); err == nil {
			held[key] = engine.FromMicros(us)
		}
	}
	return held
}

// statsAtOnce is how many lanes' counters are asked for in one go.
const statsAtOnce = 200

// Stats implements [queue.Engine]. It takes time by the number of lanes, not of jobs; what
// happens meanwhile may be in some of the figures.
func (e *Engine) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	var names, ready, holds *redis.MapStringStringCmd
	var present func() error
	if err := e.pipe(ctx, func(p redis.Pipeliner) {
		present = e.present(p)
		names, ready, holds = p.HGetAll(ctx, e.key("names")), p.HGetAll(ctx, e.key("ready")), p.HGetAll(ctx, e.key("parks"))
	}); err != nil {
		return nil, err
	}
	if err := present(); err != nil {
		return nil, err
	}
	counts, held := readyOf(ready.Val()), holdsOf(holds.Val())
	numbers := slices.Collect(maps.Keys(names.Val()))
	slices.SortFunc(numbers, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	of, err := e.lanesOf(ctx, numbers)
	if err != nil {
		return nil, err
	}
	numbers = slices.DeleteFunc(numbers, func(n string) bool { _, ok := of[n]; return !ok })
	var stats []queue.LaneStats
	for some := range slices.Chunk(numbers, statsAtOnce) {
		fields := make([]*redis.MapStringStringCmd, len(some))
		var busy []any
		if err := e.each(ctx, func(p redis.Pipeliner) {
			for i, n := range some {
				fields[i] = p.HGetAll(ctx, e.key("l:"+n))
				if counts[n] != nil {
					busy = append(busy, n)
				}
			}
		}); err != nil {
			return nil, err
		}
		oldest, err := e.oldestOf(ctx, busy)
		if err != nil {
			return nil, err
		}
		for i, n := range some {
			// A counter that is no number is 0: it must not hide the others.
			h, ok, c := hash(fields[i].Val()), true, counts[n]
			s := queue.LaneStats{
				Lane: of[n], Ready: c["h"] + c["n"] + c["l"], Delayed: h.int("delayed", &ok), Sending: h.int("sending", &ok), InDoubt: h.int("in doubt", &ok),
				Sent: h.int("sent", &ok), Failed: h.int("failed", &ok), Cancelled: h.int("cancelled", &ok), Arrived: h.int("arrived", &ok), Departed: h.int("departed", &ok),
				Oldest: oldest[n], Parked: engine.HeldUntil(held, of[n]),
			}
			stats = append(stats, s)
		}
	}
	return stats, nil
}

// oldestOf returns since when the first Ready jobs of lanes have been due.
func (e *Engine) oldestOf(ctx context.Context, numbers []any) (map[string]time.Time, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	v, err := e.run(ctx, headsScript, numbers...)
	if err != nil {
		return nil, err
	}
	heads, ok := v.([]any)
	if !ok || len(heads) != len(numbers) {
		return nil, e.nonsense("Stats")
	}
	oldest := make(map[string]time.Time, len(numbers))
	for i, n := range numbers {
		text, _ := heads[i].(string)
		us, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, e.nonsense("Stats")
		}
		oldest[n.(string)] = engine.FromMicros(us)
	}
	return oldest, nil
}

// jobs reads jobs of IDs; those that are not there any more are left out.
func (e *Engine) jobs(ctx context.Context, ids []string) ([]queue.Job, error) {
	fields, bodies := make([]*redis.MapStringStringCmd, len(ids)), make([]*redis.StringCmd, len(ids))
	var present func() error
	if err := e.each(ctx, func(p redis.Pipeliner) {
		present = e.present(p)
		for i, id := range ids {
			fields[i], bodies[i] = p.HGetAll(ctx, e.key("j:"+id)), p.Get(ctx, e.key("r:"+id))
		}
	}); err != nil {
		return nil, err
	}
	if err := present(); err != nil {
		return nil, err
	}
	var numbers []string
	for i := range ids {
		h := fields[i].Val()
		if len(h) == 0 {
			continue
		}
		if h["l"] != "" {
			numbers = append(numbers, h["l"])
		}
	}
	of, err := e.lanesOf(ctx, numbers)
	if err != nil {
		return nil, err
	}
	jobs := make([]queue.Job, 0, len(ids))
	for i, id := range ids {
		if h := fields[i].Val(); len(h) > 0 || fields[i].Err() != nil {
			j, _ := decode(queue.ID(id), of[h["l"]], h, []byte(bodies[i].Val()))
			jobs = append(jobs, j)
		}
	}
	return jobs, nil
}

// Get implements [queue.Engine]. A job that is damaged has Outcome.Reason ReasonDamaged
// and no request.
func (e *Engine) Get(ctx context.Context, id queue.ID) (queue.Job, error) {
	jobs, err := e.jobs(ctx, []string{string(id)})
	if err != nil {
		return queue.Job{}, err
	}
	if len(jobs) == 0 {
		return queue.Job{}, fmt.Errorf("redisqueue: job %s: %w", id, queue.ErrNotFound)
	}
	return jobs[0], nil
}
