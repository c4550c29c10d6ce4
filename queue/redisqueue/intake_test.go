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
	go func() { waited <- e.Await(t.Context(), 10*time.Minute) }()
	time.Sleep(10 * time.Millisecond)
	put("job", `{"request":`+request+`,"unique":"order 1","priority":"high","labels":{"order":"1"},"deadline":"2999-01-01T00:00:00Z"}`)
	if err := <-waited; err != nil || time.Since(start) > 5*time.Minute {
		t.Fatalf("Await: %v after %v", err, time.Since(start))
	}
	put("job", `{"request":`+request+`,"unique":"order 1"}`) // is known
	put("job", `{"request":`+request+`,"at":"2199-01-01T00:00:00Z"}`)
	put("job", `{"request":`+request+`,"deadlin":"2999-01-01T00:00:00Z"}`)
	put("job", `+15555550123`)
	put("text", "+15555550123")
	lanes, next, err := e.Work(t.Context())
	if err != nil || len(lanes) != 1 || lanes[0].Ready != 1 || lanes[0].Top != pacer.High || next == queue.Never {
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

// What a program in another language may not order, or has written so that it could only
// fail later or would be sent as something else, is put into the stream of rejected entries
// with the reason, in which there is neither number nor text.
func TestIntakeRejects(t *testing.T) {
	rdb := shared(t)
	change := func(old, new string) string {
		changed := strings.Replace(request, old, new, 1)
		if changed == request {
			t.Fatalf("%q is not in the request", old)
		}
		return `{"request":` + changed + `}`
	}
	for name, test := range map[string]struct{ job, want string }{
		"buys a number":             {change("Messages.json", "IncomingPhoneNumbers.json"), "WithOperations"},
		"deletes":                   {change("POST", "DELETE"), "WithOperations"},
		"not UTF-8":                 {change("ready", "Jos\xe9"), "not UTF-8 at byte"},
		"a label that is not UTF-8": {`{"labels":{"a":"Jos` + "\xe9" + `"},"request":` + request + `}`, "not UTF-8 at byte"},
		"a key that is half":        {`{"unique":"Jos\udc00","request":` + request + `}`, "half a character"},
		"half a character":          {change("ready", `Jos\ud83d`), "half a character"},
		"too large":                 {change("ready", strings.Repeat("x", 1<<20)), "expected at most 1048576"},
		"too large as it is kept":   {change("ready", strings.Repeat("<", 200_000)), "expected at most 1048576"},
		"no address":                {change("+15555550100", "5555550100"), "country code"},
		"no content":                {change(`"Body":["Your table is ready."]`, `"x":["y"]`), `"Body"`},
		"not an account":            {change("AC0123456789abcdef0123456789abcdef", "SK0123456789abcdef0123456789abcdef"), "account SID"},
		"later than can be kept":    {`{"at":"9999-12-31T23:59:59-12:00","request":` + request + `}`, "expected one up to 9999"},
		"a deadline before it is due": {
			`{"at":"2999-01-01T00:00:00Z","deadline":"2998-01-01T00:00:00Z","request":` + request + `}`, "Deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			queueName := freshName()
			var log logged
			e := open(t, rdb, redisqueue.Name(queueName), redisqueue.WithLogger(log.logger()))
			prefix := "pacer:{" + queueName + "}:"
			for _, job := range []string{test.job, `{"request":` + request + `}`} {
				if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: prefix + "in", Values: []any{"job", job}}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			lanes, next, err := e.Work(t.Context())
			if err != nil || len(lanes) != 1 || lanes[0].Ready != 1 || next != queue.Never {
				t.Fatalf("%v, %v, %v: expected the good one alone", lanes, next, err)
			}
			bad, err := rdb.XRange(t.Context(), prefix+"rejected", "-", "+").Result()
			if err != nil || len(bad) != 1 || bad[0].Values["job"] != test.job {
				t.Fatalf("%d rejected, %v: expected one, as it was", len(bad), err)
			}
			why, _ := bad[0].Values["reason"].(string)
			if !strings.Contains(why, test.want) || strings.Contains(why, "555555") || strings.Contains(why, "Jos") || len(why) > 500 {
				t.Errorf("reason %q: expected %q, and neither number nor text", why, test.want)
			}
			if log.has("555555") || log.has("Jos") {
				t.Errorf("log %q: expected neither number nor text", log.lines)
			}
			if n := rdb.XLen(t.Context(), prefix+"in").Val(); n != 0 {
				t.Errorf("%d entries are left", n)
			}
		})
	}
}

// A request of the year 9999 waits; workers go on.
func TestIntakeOfTheYear9999(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	e := open(t, rdb, redisqueue.Name(name))
	for _, job := range []string{`{"at":"9999-12-31T23:59:59Z","request":` + request + `}`, `{"request":` + request + `}`} {
		if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: "pacer:{" + name + "}:in", Values: []any{"job", job}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		lanes, next, err := e.Work(t.Context())
		if err != nil || len(lanes) != 1 || lanes[0].Ready != 1 || next < 100*365*24*time.Hour {
			t.Fatalf("%v, %v, %v: expected one that is ready, and one that waits", lanes, next, err)
		}
	}
}

// With WithOperations the intake takes what else it is told to, and no more than that.
func TestIntakeOfOperationsThatAreAllowed(t *testing.T) {
	rdb := shared(t)
	number := strings.NewReplacer("Messages.json", "IncomingPhoneNumbers.json").Replace(request)
	for names, want := range map[string]int64{"api/IncomingPhoneNumbers:create": 1, "api/Messages:create api/IncomingPhoneNumbers:create": 2, "*": 2, "api/Calls:create": 0} {
		name := freshName()
		e := open(t, rdb, redisqueue.Name(name), redisqueue.WithOperations(strings.Fields(names)...))
		for _, r := range []string{request, number} {
			rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: "pacer:{" + name + "}:in", Values: []any{"job", `{"request":` + r + `}`}})
		}
		lanes, _, err := e.Work(t.Context())
		n := int64(0)
		for _, l := range lanes {
			n += l.Ready
		}
		if err != nil || n != want {
			t.Errorf("%s: %d, %v: expected %d", names, n, err, want)
		}
	}
	for _, names := range [][]string{nil, {"Messages"}} {
		if _, err := redisqueue.Open(t.Context(), rdb, redisqueue.WithOperations(names...)); err == nil || !strings.Contains(err.Error(), "WithOperations") {
			t.Errorf("%q: %v", names, err)
		}
	}
	// What a program enqueues itself is its own business.
	e := open(t, rdb)
	own := job(1)
	own.Request.URL = strings.Replace(own.Request.URL, "Messages", "IncomingPhoneNumbers", 1)
	add(t, e, own)
}
