//go:build unix

package redisqueue_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

// What waits and is nowhere is put back by Sweep.
func TestRepair(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	var log logged
	e := open(t, rdb, redisqueue.Name(name), redisqueue.WithLogger(log.logger()))
	later := job(9)
	later.Due = time.Now().Add(time.Hour)
	add(t, e, job(1), job(2), job(3), later)
	first := claim(t, e, 1)
	key := func(s string) string { return "pacer:{" + name + "}:" + s }
	if err := rdb.Del(t.Context(), key("s:1:n"), key("d:1"), key("due"), key("leases")).Err(); err != nil {
		t.Fatal(err)
	}
	if jobs := claim(t, e, 9); len(jobs) != 0 {
		t.Fatal(jobs)
	}
	s := queue.Sweep{Max: 100, Lease: time.Hour}
	for range 2 { // it goes on where it was; what has no lease is in doubt the next time
		if _, err := e.Sweep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	jobs := claim(t, e, 9)
	if len(jobs) != 2 || jobs[0].ID != job(2).ID || jobs[1].ID != job(3).ID {
		t.Fatalf("claimed %v: expected the two that were lost, in their order", jobs)
	}
	state(t, e, first[0].ID, queue.InDoubt)
	if _, next, err := e.Work(t.Context()); err != nil || next.IsZero() {
		t.Errorf("next %v, %v: expected when the delayed one is due", next, err)
	}
	if !log.has("put back") {
		t.Error("nobody was told")
	}
}

// What a vanished consumer has in its hands, and is nobody's job any more, does not stay
// there.
func TestVanishedConsumer(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	e := open(t, rdb, redisqueue.Name(name))
	add(t, e, job(1), job(2))
	gone := claim(t, e, 1)[0]
	ctx := t.Context()
	stream := "pacer:{" + name + "}:s:1:n"
	rdb.Del(ctx, "pacer:{"+name+"}:j:"+string(gone.ID))
	pending, err := rdb.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: stream, Group: "w", Start: "-", End: "+", Count: 10}).Result()
	if err != nil || len(pending) != 1 {
		t.Fatal(pending, err)
	}
	if err := rdb.Do(ctx, "XCLAIM", stream, "w", "vanished", 0, pending[0].ID, "IDLE", 3_600_000, "JUSTID").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Sweep(ctx, queue.Sweep{Max: 100, Lease: time.Second}); err != nil {
		t.Fatal(err)
	}
	if p, err := rdb.XPending(ctx, stream, "w").Result(); err != nil || p.Count != 0 {
		t.Errorf("pending %+v, %v: expected nothing", p, err)
	}
	if jobs := claim(t, e, 9); len(jobs) != 1 || jobs[0].ID != job(2).ID {
		t.Errorf("claimed %v", jobs)
	}
}

// Nothing of what is done is left but what is kept.
func TestNothingIsLeft(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	e := open(t, rdb, redisqueue.Name(name))
	for i := range 30 {
		j := job(i)
		j.Unique = string(j.ID)
		j.Deadline = time.Now().Add(time.Hour)
		add(t, e, j)
	}
	for i, j := range claim(t, e, 30) {
		m := sent(j)
		m.To = []queue.State{queue.Sent, queue.Failed, queue.Cancelled}[i%3]
		if err := e.Move(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Millisecond)
	if w, err := e.Sweep(t.Context(), queue.Sweep{Max: 100, Lease: time.Hour, Keep: time.Millisecond}); err != nil || w.Deleted != 30 {
		t.Fatal(w, err)
	}
	keys, err := rdb.Keys(t.Context(), "pacer:{"+name+"}:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		switch k[len("pacer:{"+name+"}:"):] {
		case "v", "in", "seq", "news", "lanes", "names", "l:1", "ids":
		default:
			t.Errorf("key %s is left", k)
		}
	}
	if n := rdb.XLen(t.Context(), "pacer:{"+name+"}:ids").Val(); n != 0 {
		t.Errorf("%d IDs are left", n)
	}
}

// Of a stream whose group somebody has removed nothing is claimed twice.
func TestGroupIsRemoved(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	e := open(t, rdb, redisqueue.Name(name))
	add(t, e, job(1), job(2), job(3))
	first := claim(t, e, 1)
	if err := rdb.XGroupDestroy(t.Context(), "pacer:{"+name+"}:s:1:n", "w").Err(); err != nil {
		t.Fatal(err)
	}
	if jobs := claim(t, e, 9); len(jobs) != 2 || jobs[0].ID == first[0].ID {
		t.Errorf("claimed %v: expected the other two", jobs)
	}
	if err := e.Move(t.Context(), sent(first[0])); err != nil {
		t.Error(err)
	}
}
