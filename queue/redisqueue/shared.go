package redisqueue

import (
	"cmp"
	"context"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file has what processes share besides jobs: holds of buckets, schedules, documents.

// Now implements [queue.Engine]. It is the clock of the server that has the queue, to the
// microsecond, and takes one round trip. It is a script, as TIME alone would go to any
// node of a Cluster.
func (e *Engine) Now(ctx context.Context) (time.Time, error) {
	v, err := e.run(ctx, nowScript)
	if err != nil {
		return time.Time{}, err
	}
	us, ok := v.(int64)
	if !ok {
		return time.Time{}, e.nonsense("Now")
	}
	return engine.FromMicros(us), nil
}

// Park implements [queue.Engine].
func (e *Engine) Park(ctx context.Context, p queue.Park) (time.Time, error) {
	v, err := e.run(ctx, parkScript, queue.BucketKey(p.Resource), p.For.Microseconds(), string(p.Reason), p.Code)
	if err != nil {
		return time.Time{}, err
	}
	e.news.Announce()
	text, _ := v.(string)
	us, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, e.nonsense("Park")
	}
	return engine.FromMicros(us), nil
}

// Holds implements [queue.Engine].
func (e *Engine) Holds(ctx context.Context) (holds []queue.Hold, err error) {
	now, err := e.Now(ctx)
	if err != nil {
		return nil, err
	}
	var until, reasons *redis.MapStringStringCmd
	if err := e.pipe(ctx, func(p redis.Pipeliner) {
		until, reasons = p.HGetAll(ctx, e.key("parks")), p.HGetAll(ctx, e.key("holds"))
	}); err != nil {
		return nil, err
	}
	for bucket, ends := range holdsOf(until.Val()) {
		h := queue.Hold{Until: ends}
		var ok bool
		if h.Resource, ok = engine.Resource(bucket); !ok || !ends.After(now) {
			continue
		}
		// An older version writes the end alone.
		if parts := strings.SplitN(reasons.Val()[bucket], " ", 4); len(parts) == 4 && parts[0] == until.Val()[bucket] {
			since, _ := strconv.ParseInt(parts[1], 10, 64) // 0 where it is no number
			h.Code, _ = strconv.Atoi(parts[2])
			h.Since, h.Reason = engine.FromMicros(since), queue.HoldReason(parts[3])
		}
		holds = append(holds, h)
	}
	return holds, nil
}

// Reserve implements [queue.Engine]. The places are kept to the quarter of a microsecond.
// If the clock was set back since the last call, the schedule moves with it.
func (e *Engine) Reserve(ctx context.Context, schedule string, perSecond float64, n int) (time.Duration, error) {
	if err := pkg.CheckPlaces(perSecond, n); err != nil {
		return 0, err
	}
	v, err := e.run(ctx, reserveScript, schedule, strconv.FormatFloat(perSecond, 'g', -1, 64), n)
	if err != nil {
		return 0, err
	}
	text, _ := v.(string)
	us, err := strconv.ParseFloat(text, 64)
	if err != nil || us < 0 {
		return 0, e.nonsense("Reserve")
	}
	if us >= float64(math.MaxInt64/time.Microsecond) {
		return math.MaxInt64, nil // in some centuries
	}
	return time.Duration(us * float64(time.Microsecond)), nil
}

// A document is stored as its version, a checksum, and its value, separated by spaces.
func documentText(d queue.Document) string {
	sum := crc32.Checksum(fmt.Appendf(nil, "%q %d %s", d.Name, d.Version, d.Value), castagnoli)
	return fmt.Sprintf("%d %0*x %s", d.Version, sumLen, sum, d.Value)
}

// Put implements [queue.Engine].
func (e *Engine) Put(ctx context.Context, name string, value []byte, version int64) error {
	text := ""
	if len(value) > 0 {
		text = documentText(queue.Document{Name: name, Value: value, Version: version + 1})
	}
	news := !strings.HasPrefix(name, queue.HeartbeatPrefix)
	v, err := e.run(ctx, putScript, name, version, text, news)
	if err != nil {
		return err
	}
	if is, _ := v.(string); is != "" {
		return fmt.Errorf("redisqueue: putting document %q at version %d, which is at %s: %w", name, version, is, queue.ErrConflict)
	}
	if news {
		e.news.Announce()
	}
	return nil
}

// Documents implements [queue.Engine].
func (e *Engine) Documents(ctx context.Context, names ...string) (docs []queue.Document, err error) {
	var all *redis.MapStringStringCmd
	var some *redis.SliceCmd
	var present func() error
	if err := e.pipe(ctx, func(p redis.Pipeliner) {
		if present = e.present(p); len(names) == 0 {
			all = p.HGetAll(ctx, e.key("documents"))
		} else {
			some = p.HMGet(ctx, e.key("documents"), names...)
		}
	}); err != nil {
		return nil, err
	}
	if err := present(); err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(names))
	if all != nil {
		texts = all.Val()
	} else {
		for i, v := range some.Val() {
			if text, ok := v.(string); ok {
				texts[names[i]] = text
			}
		}
	}
	for name, text := range texts {
		d := queue.Document{Name: name}
		parts := strings.SplitN(text, " ", 3)
		if len(parts) == 3 {
			d.Version, err = strconv.ParseInt(parts[0], 10, 64)
			d.Value = []byte(parts[2])
		}
		if err != nil || documentText(d) != text {
			d.Value, err = nil, nil
		}
		docs = append(docs, d)
	}
	slices.SortFunc(docs, func(a, b queue.Document) int { return cmp.Compare(a.Name, b.Name) })
	return docs, nil
}
