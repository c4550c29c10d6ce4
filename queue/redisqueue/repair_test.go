//go:build unix

package redisqueue_test

import (
	"errors"
	"math"
	"math/rand/v2"
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
	if _, next, err := e.Work(t.Context()); err != nil || next == queue.Never {
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

// One job whose keys somebody has changed is condemned, and stops nobody: wherever it is
// met first.
func TestADamagedJobIsCondemnedAndStopsNobody(t *testing.T) {
	rdb := shared(t)
	ctx := t.Context()
	const bad, good = 1, 2
	damages := map[string]func(j string) error{
		"no state":            func(j string) error { return rdb.HDel(ctx, j, "s").Err() },
		"another state":       func(j string) error { return rdb.HSet(ctx, j, "s", "flying").Err() },
		"no lane":             func(j string) error { return rdb.HDel(ctx, j, "l").Err() },
		"a due of 1e300":      func(j string) error { return rdb.HSet(ctx, j, "d", "1e300").Err() },
		"a due of nan":        func(j string) error { return rdb.HSet(ctx, j, "d", "nan").Err() },
		"no place":            func(j string) error { return rdb.HSet(ctx, j, "q", "-").Err() },
		"a deadline of words": func(j string) error { return rdb.HSet(ctx, j, "dl", "never").Err() },
		"a claim of words":    func(j string) error { return rdb.HSet(ctx, j, "n", "x").Err() },
		"all fields but one":  func(j string) error { return rdb.HDel(ctx, j, "s", "l", "p", "d", "c").Err() },
		"a string": func(j string) error {
			return rdb.Do(ctx, "EVAL", "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], 'x')", 1, j).Err()
		},
	}
	sweep := func(t *testing.T, e queue.Engine) {
		t.Helper()
		for range 3 {
			if _, err := e.Sweep(ctx, queue.Sweep{Max: 100, Lease: time.Hour, Keep: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
	}
	work := func(t *testing.T, e queue.Engine) (lanes []queue.ReadyLane) {
		t.Helper()
		lanes, _, err := e.Work(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return lanes
	}
	for name, damage := range damages {
		for where, stages := range map[string]struct {
			before func(*testing.T, queue.Engine)
			after  func(*testing.T, queue.Engine)
			want   queue.State
		}{
			"ready, then claimed": {func(*testing.T, queue.Engine) {}, func(t *testing.T, e queue.Engine) {
				if jobs := claim(t, e, 9); len(jobs) != 1 || jobs[0].ID != job(good).ID {
					t.Fatalf("claimed %v: expected the other one", jobs)
				}
				sweep(t, e)
			}, queue.Failed},
			"ready, then swept": {func(*testing.T, queue.Engine) {}, func(t *testing.T, e queue.Engine) {
				sweep(t, e)
				if jobs := claim(t, e, 9); len(jobs) != 1 || jobs[0].ID != job(good).ID {
					t.Fatalf("claimed %v: expected the other one", jobs)
				}
				sweep(t, e)
			}, queue.Failed},
			"sending, then moved": {func(t *testing.T, e queue.Engine) { claim(t, e, 9) }, func(t *testing.T, e queue.Engine) {
				m := queue.Move{ID: job(bad).ID, From: []queue.State{queue.Sending}, To: queue.Ready}
				var state *queue.StateError
				if err := e.Move(ctx, m); !errors.As(err, &state) {
					t.Fatalf("got %v: expected a StateError", err)
				}
				sweep(t, e)
			}, queue.InDoubt},
			"sending, then swept": {func(t *testing.T, e queue.Engine) { claim(t, e, 9) }, sweep, queue.InDoubt},
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				queueName := freshName()
				e := open(t, rdb, redisqueue.Name(queueName))
				add(t, e, job(bad), job(good))
				stages.before(t, e)
				if err := damage("pacer:{" + queueName + "}:j:" + string(job(bad).ID)); err != nil {
					t.Fatal(err)
				}
				if jobs, err := e.List(ctx, queue.Filter{}, "", 9); err != nil || len(jobs) != 2 {
					t.Fatalf("listed %v, %v: expected both", jobs, err)
				}
				work(t, e)
				stages.after(t, e)
				j, err := e.Get(ctx, job(bad).ID)
				if err != nil || j.Outcome.Reason != queue.ReasonDamaged || !j.Look.IsZero() {
					t.Fatalf("got %+v, %v: expected it to be damaged", j, err)
				}
				// What has lost its state may have been sent, if its place does not tell.
				if j.State != stages.want && !(j.State == queue.InDoubt && where == "ready, then swept") {
					t.Errorf("it is %s: expected %s", j.State, stages.want)
				}
				if lanes := work(t, e); len(lanes) != 0 {
					t.Errorf("lanes %v: expected that nothing is ready", lanes)
				}
			})
		}
	}
}

// Counters and names that somebody has changed do not stop lanes.
func TestDamagedCountersAndNamesStopNobody(t *testing.T) {
	rdb := shared(t)
	ctx := t.Context()
	for name, damage := range map[string]func(prefix string) error{
		"the count of what is ready": func(p string) error { return rdb.HSet(ctx, p+"ready", "1n", "x", "", "1").Err() },
		"a count that is gone":       func(p string) error { return rdb.HDel(ctx, p+"ready", "1n").Err() },
		"a count that is too high":   func(p string) error { return rdb.HSet(ctx, p+"ready", "1n", "7").Err() },
		"a lane's counters":          func(p string) error { return rdb.HSet(ctx, p+"l:1", "sending", "x", "arrived", "1.5").Err() },
		"a lane's name":              func(p string) error { return rdb.HSet(ctx, p+"names", "1", "x").Err() },
		"a hold":                     func(p string) error { return rdb.HSet(ctx, p+"parks", queue.BucketKey(lane(0).Resource), "x").Err() },
		"a hold's reason":            func(p string) error { return rdb.HSet(ctx, p+"holds", queue.BucketKey(lane(0).Resource), "x").Err() },
		"the next that is due":       func(p string) error { return rdb.ZAdd(ctx, p+"due", redis.Z{Score: math.Inf(1), Member: "1"}).Err() },
	} {
		t.Run(name, func(t *testing.T) {
			queueName := freshName()
			e := open(t, rdb, redisqueue.Name(queueName))
			add(t, e, job(1), job(2))
			if err := damage("pacer:{" + queueName + "}:"); err != nil {
				t.Fatal(err)
			}
			again := open(t, rdb, redisqueue.Name(queueName)) // which remembers no names
			if _, _, err := again.Work(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := again.Sweep(ctx, queue.Sweep{Max: 100, Lease: time.Hour}); err != nil {
				t.Fatal(err)
			}
			lanes, _, err := again.Work(ctx)
			if err != nil || len(lanes) != 1 || lanes[0].Lane != lane(0) || lanes[0].Ready != 2 {
				t.Fatalf("lanes %v, %v: expected one with two", lanes, err)
			}
			for _, j := range claim(t, again, 9) {
				if err := again.Move(ctx, sent(j)); err != nil {
					t.Fatal(err)
				}
			}
			stats, err := again.Stats(ctx)
			if err != nil || len(stats) != 1 || stats[0].Ready != 0 || stats[0].Sending != 0 || stats[0].Sent != 2 {
				t.Fatalf("Stats %+v, %v: expected two that are sent", stats, err)
			}
		})
	}
}

// Whatever somebody makes of one job's keys, at whatever time, no call fails, and all other
// jobs are sent once.
func TestAnyDamageToOneJobStopsNobody(t *testing.T) {
	rdb := shared(t)
	ctx := t.Context()
	seeds := uint64(150)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		name := freshName()
		key := "pacer:{" + name + "}:"
		e := open(t, rdb, redisqueue.Name(name))
		bad := job(0)
		bad.Lane.Campaign, bad.Unique, bad.Deadline = "spring", "key", time.Now().Add(time.Hour)
		if rnd.IntN(3) == 0 {
			bad.Due = time.Now().Add(time.Duration(rnd.IntN(4)) * time.Millisecond)
		}
		jobs := []queue.Job{bad}
		for i := range 4 {
			j := job(1 + i)
			j.Lane.Campaign = bad.Lane.Campaign
			jobs = append(jobs, j)
		}
		add(t, e, jobs...)
		values := []string{"", "x", "-1", "0", "1e300", "nan", "inf", "9223372036854775807", "99999999999999999999", "ready", "delayed", "sending", "in doubt", "sent", "h", "l", "7", "1", "\xff\x00"}
		fields := []string{"s", "l", "p", "q", "d", "dl", "n", "x", "f", "e", "t", "k", "a", "b", "c", "r", "u", "y", "o", "sid"}
		damage := func() {
			j, r := key+"j:"+string(bad.ID), key+"r:"+string(bad.ID)
			value := values[rnd.IntN(len(values))]
			switch field := fields[rnd.IntN(len(fields))]; rnd.IntN(6) {
			case 0:
				rdb.HDel(ctx, j, field)
			case 1:
				rdb.Set(ctx, r, value, 0)
			case 2:
				if rnd.IntN(2) == 0 {
					r = j
				}
				rdb.Del(ctx, r)
				rdb.SAdd(ctx, r, "x")
			default:
				rdb.HSet(ctx, j, field, value)
			}
		}
		ok := func(what string, err error) {
			t.Helper()
			var state *queue.StateError
			if err != nil && !errors.As(err, &state) && !errors.Is(err, queue.ErrNotFound) {
				t.Fatalf("seed %d: %s: %v", seed, what, err)
			}
		}
		sentOnce := map[queue.ID]int{}
		for step := range 30 {
			if rnd.IntN(5) == 0 {
				damage()
			}
			var err error
			switch rnd.IntN(6) {
			case 0:
				_, _, err = e.Work(ctx)
				ok("Work", err)
			case 1:
				_, err = e.Sweep(ctx, queue.Sweep{Max: 10, Lease: time.Hour, Keep: time.Hour})
				ok("Sweep", err)
			case 2:
				_, err = e.List(ctx, queue.Filter{}, "", 9)
				ok("List", err)
				_, err = e.Stats(ctx)
				ok("Stats", err)
			case 3:
				ok("Move", e.Move(ctx, queue.Move{ID: bad.ID, From: []queue.State{queue.Ready, queue.Delayed, queue.Sending, queue.InDoubt, queue.Sent}, To: queue.InDoubt}))
			default:
				claimed, err := e.Claim(ctx, queue.Claim{Lane: bad.Lane, Max: 1 + rnd.IntN(2), Lease: time.Hour, Oldest: step%2 == 0})
				ok("Claim", err)
				for _, j := range claimed {
					err := e.Move(ctx, sent(j))
					ok("Move of what was claimed", err)
					if sentOnce[j.ID]++; j.ID != bad.ID && (sentOnce[j.ID] > 1 || err != nil) {
						t.Fatalf("seed %d: %s was claimed %d times, %v", seed, j.ID, sentOnce[j.ID], err)
					}
				}
			}
		}
		for range 3 {
			_, err := e.Sweep(ctx, queue.Sweep{Max: 10, Lease: time.Hour, Keep: time.Hour})
			ok("Sweep", err)
			_, _, err = e.Work(ctx)
			ok("Work", err)
			claimed, err := e.Claim(ctx, queue.Claim{Lane: bad.Lane, Max: 9, Lease: time.Hour})
			ok("Claim", err)
			for _, j := range claimed {
				sentOnce[j.ID]++
				ok("Move", e.Move(ctx, sent(j)))
			}
		}
		_, err := e.CancelWaiting(ctx, "spring", 10)
		ok("CancelWaiting", err)
		for _, j := range jobs[1:] {
			if sentOnce[j.ID] != 1 {
				t.Errorf("seed %d: %s was sent %d times: expected once", seed, j.ID, sentOnce[j.ID])
			}
		}
	}
}
