package sqlitequeue

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file has what processes share besides jobs: holds of buckets, schedules, documents.

// Now implements [queue.Engine]. It is this machine's clock, to the microsecond.
func (e *Engine) Now(ctx context.Context) (time.Time, error) {
	if err := e.calls.Begin(); err != nil {
		return time.Time{}, err
	}
	defer e.calls.End()
	return clock(), ctx.Err()
}

// clock returns the time as it is stored.
func clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Park implements [queue.Engine].
func (e *Engine) Park(ctx context.Context, p queue.Park) (until time.Time, err error) {
	bucket := queue.BucketKey(p.Resource)
	err = e.write(ctx, 1, func(t *tx) error {
		var old queue.Hold
		if _, err := t.one("SELECT until, since, reason FROM parks WHERE bucket = ?", []any{bucket}, stored{&old.Until}, stored{&old.Since}, &old.Reason); err != nil {
			return err
		}
		t.news = true
		h := engine.HeldBy(old, p, t.now)
		if until = h.Until; until.IsZero() {
			return t.exec("DELETE FROM parks WHERE bucket = ?", bucket)
		}
		return t.exec("INSERT INTO parks(bucket, until, since, reason, code) VALUES(?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET until = excluded.until, since = excluded.since, reason = excluded.reason, code = excluded.code",
			bucket, engine.Micros(until), engine.Micros(h.Since), string(h.Reason), h.Code)
	})
	if err != nil {
		return time.Time{}, err
	}
	return until, nil
}

// Holds implements [queue.Engine].
func (e *Engine) Holds(ctx context.Context) (holds []queue.Hold, err error) {
	err = e.read(ctx, "SELECT bucket, until, since, reason, code FROM parks WHERE until > ?", []any{engine.Micros(clock())}, func(scan func(...any) error) error {
		var bucket string
		var h queue.Hold
		if err := scan(&bucket, stored{&h.Until}, stored{&h.Since}, &h.Reason, &h.Code); err != nil {
			return err
		}
		var ok bool
		if h.Resource, ok = engine.Resource(bucket); ok {
			holds = append(holds, h)
		}
		return nil
	})
	return holds, err
}

// Reserve implements [queue.Engine]. The places are kept to the nanosecond. If the clock
// was set back since the last call, the schedule moves with it.
func (e *Engine) Reserve(ctx context.Context, schedule string, perSecond float64, n int) (wait time.Duration, err error) {
	if err := pkg.CheckPlaces(perSecond, n); err != nil {
		return 0, err
	}
	err = e.write(ctx, 1, func(t *tx) error {
		now := t.now.UnixNano()
		var next, at int64
		if _, err := t.one("SELECT next, at FROM schedules WHERE name = ?", []any{schedule}, &next, &at); err != nil {
			return err
		}
		if now < at {
			next -= at - now
		}
		next = max(next, now)
		wait = time.Duration(next - now)
		// The nanoseconds of an int64 end in the year 2262: the schedule then stands still.
		next += min(int64(min(math.Ceil(float64(n)*float64(time.Second)/perSecond), float64(math.MaxInt64/4))), math.MaxInt64-next)
		return t.exec("INSERT INTO schedules(name, next, at) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next, at = excluded.at", schedule, next, now)
	})
	if err != nil {
		return 0, err
	}
	return wait, nil
}

func documentSum(d queue.Document) int64 {
	return sums{}.text(d.Name).text(string(d.Value)).int(d.Version).sum()
}

// Put implements [queue.Engine].
func (e *Engine) Put(ctx context.Context, name string, value []byte, version int64) error {
	return e.write(ctx, 1, func(t *tx) error {
		var is int64
		if _, err := t.one("SELECT version FROM documents WHERE name = ?", []any{name}, &is); err != nil {
			return err
		}
		if is != version {
			return fmt.Errorf("sqlitequeue: putting document %q at version %d, which is at %d: %w", name, version, is, queue.ErrConflict)
		}
		t.news = t.news || !strings.HasPrefix(name, queue.HeartbeatPrefix)
		if len(value) == 0 {
			return t.exec("DELETE FROM documents WHERE name = ?", name)
		}
		d := queue.Document{Name: name, Value: value, Version: version + 1}
		return t.exec("INSERT INTO documents(name, value, version, sum) VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version, sum = excluded.sum",
			name, value, d.Version, documentSum(d))
	})
}

// documentsAtOnce is how many names one statement asks for.
const documentsAtOnce = 50

var (
	selectDocuments = "SELECT name, value, version, sum FROM documents ORDER BY name"
	selectDocument  = documentsOf(1)
	selectSome      = documentsOf(documentsAtOnce)
)

func documentsOf(names int) string {
	return "SELECT name, value, version, sum FROM documents WHERE name IN (" + strings.Repeat(", ?", names)[2:] + ") ORDER BY name"
}

// Documents implements [queue.Engine].
func (e *Engine) Documents(ctx context.Context, names ...string) (docs []queue.Document, err error) {
	if len(names) == 0 {
		return e.documents(ctx, selectDocuments, nil)
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for some := range slices.Chunk(names, documentsAtOnce) {
		query := selectSome
		if len(some) == 1 {
			query = selectDocument
		}
		args := make([]any, strings.Count(query, "?"))
		for i := range args {
			args[i] = some[min(i, len(some)-1)] // the last one fills the rest
		}
		found, err := e.documents(ctx, query, args)
		if err != nil {
			return nil, err
		}
		docs = append(docs, found...)
	}
	return docs, nil
}

func (e *Engine) documents(ctx context.Context, query string, args []any) (docs []queue.Document, err error) {
	err = e.read(ctx, query, args, func(scan func(...any) error) error {
		var d queue.Document
		var sum int64
		if err := scan(&d.Name, &d.Value, &d.Version, &sum); err != nil {
			return err
		}
		if sum != documentSum(d) {
			d.Value = nil
		}
		docs = append(docs, d)
		return nil
	})
	return docs, err
}
