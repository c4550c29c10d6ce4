//go:build unix

package redisqueue_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

const request = `{"v":"1.0","method":"POST","url":"https://api.twilio.com/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages.json",` +
	`"form":{"To":["+15555550100"],"From":["+15005550006"],"Body":["Your table is ready."]},"header":{"Content-Type":"application/x-www-form-urlencoded"}}`

func TestIntake(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	var log logged
	e := open(t, rdb, redisqueue.Name(name), redisqueue.WithLogger(log.logger()))
	in := "pacer:{" + name + "}:in"
	put := func(fields ...any) string {
		id, err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: in, Values: fields}).Result()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	waited := make(chan error, 1)
	if _, _, err := e.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_ = e.Await(t.Context(), 300*time.Millisecond)
	}
	start := time.Now()
	go func() { waited <- e.Await(t.Context(), time.Minute) }()
	time.Sleep(10 * time.Millisecond)
	put("job", `{"request":`+request+`,"unique":"order 1","priority":"high","labels":{"order":"1"},"deadline":"2999-01-01T00:00:00Z"}`)
	if err := <-waited; err != nil || time.Since(start) > 30*time.Second {
		t.Fatalf("Await: %v after %v", err, time.Since(start))
	}
	put("job", `{"request":`+request+`,"unique":"order 1"}`) // is known
	put("job", `{"request":`+request+`,"at":"2999-01-01T00:00:00Z"}`)
	put("job", `{"request":`+request+`,"deadlin":"2999-01-01T00:00:00Z"}`)
	put("job", `+15555550123`)
	put("text", "+15555550123")
	lanes, next, err := e.Work(t.Context())
	if err != nil || len(lanes) != 1 || lanes[0].Ready != 1 || lanes[0].Top != pacer.High || next.IsZero() {
		t.Fatalf("%v, %v, %v: expected one ready and one delayed", lanes, next, err)
	}
	if s := lanes[0].Lane.Resource.Sender; s != "+15005550006" {
		t.Errorf("sender %q", s)
	}
	jobs, err := e.List(t.Context(), queue.Filter{Label: "order", Value: "1"}, "", 9)
	if err != nil || len(jobs) != 1 || jobs[0].Unique != "u:order 1" || jobs[0].Deadline.Year() != 2999 {
		t.Errorf("%+v, %v", jobs, err)
	}
	if n := rdb.XLen(t.Context(), in).Val(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
	bad, err := rdb.XRange(t.Context(), "pacer:{"+name+"}:rejected", "-", "+").Result()
	if err != nil || len(bad) != 3 {
		t.Fatalf("rejected %v, %v: expected three", bad, err)
	}
	for i, want := range []string{"deadlin", "expected JSON", "no field job"} {
		if why, _ := bad[i].Values["reason"].(string); !strings.Contains(why, want) {
			t.Errorf("reason %q: expected %q", why, want)
		}
	}
	if !log.has("no request") || log.has("555555") {
		t.Errorf("log %q: expected a warning without numbers", log.lines)
	}
}

// An engine dies between Add and XACK: another one adds nothing twice.
func TestIntakeAfterACrash(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	open(t, rdb, redisqueue.Name(name))
	in := "pacer:{" + name + "}:in"
	ctx := t.Context()
	var ids []string
	for range 3 {
		id, err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: in, Values: []any{"job", `{"request":` + request + `}`}}).Result()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	read := func() {
		t.Helper()
		if _, err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "w", Consumer: "dead", Streams: []string{in, ">"}}).Result(); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if err := rdb.Do(ctx, "XCLAIM", in, "w", "dead", 0, id, "IDLE", 60_000, "JUSTID").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	ready := func(want int64) {
		t.Helper()
		lanes, _, err := open(t, rdb, redisqueue.Name(name)).Work(ctx)
		if err != nil || len(lanes) != 1 || lanes[0].Ready != want {
			t.Fatalf("%v, %v: expected %d ready", lanes, err, want)
		}
	}
	ready(3)
	// As if XACK and XDEL had not been done: the same entries, with the same IDs.
	rdb.Del(ctx, in)
	rdb.XGroupCreateMkStream(ctx, in, "w", "0")
	for _, id := range ids {
		if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: in, ID: id, Values: []any{"job", `{"request":` + request + `}`}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	read()
	ready(3)
}

// A producer's stream that was deleted, and so has no group, is read all the same.
func TestIntakeWithoutGroup(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	e := open(t, rdb, redisqueue.Name(name))
	in := "pacer:{" + name + "}:in"
	rdb.Del(t.Context(), in)
	for i := range 1200 {
		rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: in, Values: []any{"job", fmt.Sprintf(`{"request":%s,"unique":"%d"}`, request, i)}})
	}
	var lanes []queue.ReadyLane
	for range 2 {
		var err error
		if lanes, _, err = e.Work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(lanes) != 1 || lanes[0].Ready != 1200 {
		t.Errorf("%v: expected 1200", lanes)
	}
}
