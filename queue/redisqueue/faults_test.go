//go:build unix

package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

// says ends the test if err does not say all of that.
func says(t *testing.T, err error, is error, texts ...string) {
	t.Helper()
	if err == nil || is != nil && !errors.Is(err, is) {
		t.Fatalf("got %v: expected %v", err, is)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Fatalf("got %q: expected %q in it", err, text)
		}
	}
}

func TestScriptsAreForgotten(t *testing.T) {
	rdb := client(t, redistest.For(t))
	for name, opts := range map[string][]redisqueue.Option{"": nil, "with WAIT": {redisqueue.Replicas(1, time.Millisecond)}} {
		e := open(t, rdb, opts...)
		for i := range 3 {
			if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			_, err := e.Add(t.Context(), []queue.Job{job(i)})
			if name == "" && err != nil {
				t.Fatal(err)
			}
			state(t, e, job(i).ID, queue.Ready)
		}
	}
}

func TestFlushed(t *testing.T) {
	rdb := client(t, redistest.For(t))
	e := open(t, rdb, redisqueue.Name("q"))
	add(t, e, job(1))
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	calls := func() {
		t.Helper()
		ctx := t.Context()
		_, err := e.Add(ctx, []queue.Job{job(2)})
		says(t, err, queue.ErrGone, "restart this program")
		_, _, err = e.Work(ctx)
		says(t, err, queue.ErrGone)
		_, err = e.Claim(ctx, queue.Claim{Lane: lane(0), Max: 1, Lease: time.Second})
		says(t, err, queue.ErrGone)
		_, err = e.Get(ctx, job(1).ID)
		says(t, err, queue.ErrGone)
		_, err = e.Stats(ctx)
		says(t, err, queue.ErrGone)
		_, err = e.Documents(ctx)
		says(t, err, queue.ErrGone)
		says(t, e.Move(ctx, sent(job(1))), queue.ErrGone)
	}
	calls()
	other := open(t, rdb, redisqueue.Name("q")) // has begun anew
	add(t, other, job(3))
	calls()
}

// A newer program changes the layout of a queue that this one has open.
func TestCallsAfterANewerProgramHasChangedTheLayout(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	e := open(t, rdb, redisqueue.Name(name))
	add(t, e, job(1))
	ctx := t.Context()
	if err := rdb.Set(ctx, "pacer:{"+name+"}:v", "1000 abc", 0).Err(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Add(ctx, []queue.Job{job(2)})
	says(t, err, queue.ErrOutdated, "a newer one: update this one")
	_, _, err = e.Work(ctx)
	says(t, err, queue.ErrOutdated)
	_, err = e.Get(ctx, job(1).ID)
	says(t, err, queue.ErrOutdated)
	says(t, e.Move(ctx, sent(job(1))), queue.ErrOutdated)
	_, err = redisqueue.Open(ctx, rdb, redisqueue.WithLogger(quiet), redisqueue.Name(name))
	says(t, err, queue.ErrOutdated, "a newer one: update this one")
}

func TestReplica(t *testing.T) {
	master := redistest.For(t, "--repl-diskless-sync-delay", "0")
	open(t, client(t, master), redisqueue.Name("q"))
	replica := redistest.For(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port))
	rdb := client(t, replica)
	for end := time.Now().Add(time.Minute); rdb.Get(t.Context(), "pacer:{q}:v").Err() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the replica does not get anything")
		}
	}
	_, err := redisqueue.Open(t.Context(), rdb, redisqueue.WithLogger(quiet), redisqueue.Name("q"))
	says(t, err, nil, "connect to the master", "NewFailoverClient")
}

func TestForeignKeys(t *testing.T) {
	rdb := shared(t)
	ctx := t.Context()
	// key is set to what no engine stores. What is read afterwards is an error, or right.
	for _, key := range []string{"v", "lanes", "names", "ready", "ids", "seq", "unique", "parks", "holds", "due", "leases", "deadlines", "finished", "documents", "sids", "l:1", "j:job-000001", "r:job-000001", "s:1:n", "b:1:n", "news", "schedules"} {
		name := freshName()
		e := open(t, rdb, redisqueue.Name(name))
		add(t, e, job(1), job(2))
		full := "pacer:{" + name + "}:" + key
		rdb.Del(ctx, full)
		if key == "seq" || key == "v" || key == "news" || key[0] == 'r' && key[1] == ':' {
			rdb.SAdd(ctx, full, "x")
		} else {
			rdb.Set(ctx, full, "x", 0)
		}
		errs := 0
		note := func(err error) {
			t.Helper()
			if err == nil {
				return
			}
			errs++
			if !errors.Is(err, queue.ErrDamaged) && !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrGone) {
				t.Errorf("%s: %v: expected queue.ErrDamaged", key, err)
			}
		}
		third := job(3)
		third.Unique = "key"
		_, err := e.Add(ctx, []queue.Job{third})
		note(err)
		_, _, err = e.Work(ctx)
		note(err)
		jobs, err := e.Claim(ctx, queue.Claim{Lane: lane(0), Max: 9, Lease: time.Hour})
		note(err)
		for _, j := range jobs {
			if j.Request.Form["To"][0] != job(int(j.ID[9] - '0')).Request.Form["To"][0] {
				t.Errorf("%s: another request: %+v", key, j)
			}
			note(e.Move(ctx, sent(j)))
		}
		_, err = e.Sweep(ctx, queue.Sweep{Max: 10, Lease: time.Hour, Keep: time.Hour})
		note(err)
		_, err = e.List(ctx, queue.Filter{}, "", 10)
		note(err)
		_, err = e.Stats(ctx)
		note(err)
		_, err = e.Holds(ctx)
		note(err)
		_, err = e.Documents(ctx)
		note(err)
		_, err = e.Reserve(ctx, "s", 1, 1)
		note(err)
		switch one := strings.HasPrefix(key, "j:") || strings.HasPrefix(key, "r:"); {
		case one && errs > 0:
			t.Errorf("%s: %d calls have failed: expected the other jobs to go on", key, errs)
		case !one && errs == 0 && key[0] != 's' && key[0] != 'b':
			t.Errorf("%s: nobody has noticed", key)
		}
	}
}

func TestACL(t *testing.T) {
	s := redistest.For(t)
	cli := func(args ...string) {
		t.Helper()
		if out, err := s.CLI(args...); err != nil || out != "OK" {
			t.Fatal(out, err)
		}
	}
	// As docs/redis.md has it.
	cli("ACL", "SETUSER", "pacer", "on", ">secret", "~pacer:{queue}:*", "+@read", "+@write", "-@dangerous", "+@connection", "+eval", "+evalsha", "+time", "+wait", "+info", "+config|get")
	cli("ACL", "SETUSER", "mute", "on", ">secret", "~pacer:{queue}:*", "+@read", "+@write", "-@dangerous", "+@connection", "+eval", "+evalsha", "+time")
	cli("ACL", "SETUSER", "reader", "on", ">secret", "~pacer:{queue}:*", "+@read", "+@connection")
	as := func(user, password string) *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: s.Addr, Username: user, Password: password})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var log logged
	e, err := redisqueue.Open(t.Context(), as("pacer", "secret"), redisqueue.WithLogger(log.logger()))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !log.has("appendonly is no") {
		t.Errorf("log %q: expected a warning", log.lines)
	}
	add(t, e, job(1))
	for _, j := range claim(t, e, 1) {
		if err := e.Move(t.Context(), sent(j)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Sweep(t.Context(), queue.Sweep{Max: 10, Lease: time.Hour, Keep: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	var muted logged
	m, err := redisqueue.Open(t.Context(), as("mute", "secret"), redisqueue.WithLogger(muted.logger()))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if !muted.has("could not be checked") {
		t.Errorf("log %q: expected a warning", muted.lines)
	}
	_, err = redisqueue.Open(t.Context(), as("reader", "secret"), redisqueue.WithLogger(quiet))
	says(t, err, nil, "docs/redis.md has the rules")
	_, err = redisqueue.Open(t.Context(), as("pacer", "wrong"), redisqueue.WithLogger(quiet))
	says(t, err, nil, "right user name and password")
	_, err = redisqueue.Open(t.Context(), as("pacer", "secret"), redisqueue.WithLogger(quiet), redisqueue.Name("other"))
	says(t, err, nil, "this user may not do it")
}

func TestFull(t *testing.T) {
	rdb := client(t, redistest.For(t))
	name := redisqueue.Name("full")
	e := open(t, rdb, name)
	add(t, e, job(1), job(2))
	first := claim(t, e, 1)
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Add(t.Context(), []queue.Job{job(3)})
	says(t, err, queue.ErrFull, "raise maxmemory")
	if _, err := e.Get(t.Context(), job(3).ID); !errors.Is(err, queue.ErrNotFound) {
		t.Fatal(err)
	}
	// What is there is worked off all the same, and nothing of it is in doubt.
	e = open(t, rdb, name)
	for _, j := range append(first, claim(t, e, 1)...) {
		if err := e.Move(t.Context(), sent(j)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := e.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond)
	if _, err := e.Sweep(t.Context(), queue.Sweep{Max: 10, Lease: time.Hour, Keep: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	if jobs, err := e.List(t.Context(), queue.Filter{}, "", 9); len(jobs) != 0 || err != nil {
		t.Fatal(jobs, err)
	}
}

func TestFrozen(t *testing.T) {
	s := redistest.For(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: 2 * time.Second, ContextTimeoutEnabled: true})
	defer rdb.Close()
	e := open(t, rdb)
	add(t, e, job(1))
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Add(t.Context(), []queue.Job{job(2)})
	says(t, err, nil, "may have been done or not")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = e.Get(ctx, job(1).ID); err == nil {
		t.Error("Get of a frozen server: no error")
	}
	_ = e.Await(t.Context(), 100*time.Millisecond) // which must end
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	add(t, e, job(2)) // which may be there: the same again is no error
	if jobs := claim(t, e, 9); len(jobs) != 2 {
		t.Errorf("claimed %v: expected both, once", jobs)
	}
}

// What was acknowledged is there when the server has been killed, and started again.
func TestKilled(t *testing.T) {
	s := redistest.For(t, "--appendonly", "yes", "--appendfsync", "always")
	rdb := client(t, s)
	e := open(t, rdb)
	jobs := make([]queue.Job, 50)
	for i := range jobs {
		jobs[i] = job(i)
		jobs[i].Unique = fmt.Sprint("key ", i)
	}
	add(t, e, jobs...)
	claimed := claim(t, e, 20)
	for _, j := range claimed[:10] {
		if err := e.Move(t.Context(), sent(j)); err != nil {
			t.Fatal(err)
		}
	}
	stats, err := e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	_, err = e.Stats(t.Context())
	says(t, err, nil, "Redis cannot be reached")
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	again, err := e.Stats(t.Context())
	if err != nil || fmt.Sprint(again) != fmt.Sprint(stats) {
		t.Fatalf("after the restart: %v, %v: expected %v", again, err, stats)
	}
	for _, j := range claimed[10:] {
		if err := e.Move(t.Context(), sent(j)); err != nil {
			t.Fatal(err)
		}
	}
	if rest := claim(t, e, 100); len(rest) != 30 {
		t.Errorf("%d were left: expected 30", len(rest))
	}
}

// A server that keeps nothing and is started again has another queue: engines do not go
// on as if nothing had been.
func TestForgetful(t *testing.T) {
	s := redistest.For(t)
	e := open(t, client(t, s))
	if err := errors.Join(s.Kill(), s.Restart()); err != nil {
		t.Fatal(err)
	}
	_, _, err := e.Work(t.Context())
	says(t, err, queue.ErrGone)
}

// A cutConn loses what it reads, once for each time it is told to.
type cutConn struct {
	net.Conn
	cut *atomic.Bool
}

func (c cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.cut.CompareAndSwap(true, false) {
		_ = c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// The client repeats a call whose answer was lost: it is done once.
func TestLostAnswers(t *testing.T) {
	addr := shared(t).Options().Addr
	var cut atomic.Bool
	rdb := redis.NewClient(&redis.Options{Addr: addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		return cutConn{c, &cut}, err
	}})
	defer rdb.Close()
	e := open(t, rdb)
	j := job(1)
	j.Unique = "key"
	lose := func() { rdb.Ping(t.Context()); cut.Store(true) }
	lose()
	added, err := e.Add(t.Context(), []queue.Job{j})
	if err != nil || added[0] != (queue.Added{ID: j.ID}) || cut.Load() {
		t.Fatalf("%v, %v", added, err)
	}
	claimed := claim(t, e, 1)
	lose()
	if err := e.Move(t.Context(), sent(claimed[0])); err != nil || cut.Load() {
		t.Fatal(err)
	}
	if is := state(t, e, j.ID, queue.Sent); is.Attempts != 1 {
		t.Errorf("%d attempts: expected 1", is.Attempts)
	}
	j.Request.Form["Body"] = []string{"another text"}
	j.Unique = ""
	_, err = e.Add(t.Context(), []queue.Job{j})
	says(t, err, nil, "another one of this ID")
}

func TestVersions(t *testing.T) {
	rdb := shared(t)
	try := func(v string) error {
		name := freshName()
		rdb.Set(t.Context(), "pacer:{"+name+"}:v", v, 0)
		_, err := redisqueue.Open(t.Context(), rdb, redisqueue.Name(name), redisqueue.WithLogger(quiet))
		return err
	}
	says(t, try("2 abc"), nil, "a newer one")
	says(t, try("nonsense"), queue.ErrDamaged, "another Name")
	if err := try("1 abc"); err != nil {
		t.Error(err)
	}
}

func TestBadOptions(t *testing.T) {
	rdb := shared(t)
	for text, o := range map[string]redisqueue.Option{
		`Name: ""`: redisqueue.Name(""), `Name: "a}b"`: redisqueue.Name("a}b"), "Replicas: 0": redisqueue.Replicas(0, time.Second), "WithLogger": redisqueue.WithLogger(nil),
	} {
		_, err := redisqueue.Open(t.Context(), rdb, o)
		says(t, err, nil, text, "expected")
	}
	_, err := redisqueue.Open(t.Context(), nil)
	says(t, err, nil, "nil client")
}

func TestNoServer(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	defer rdb.Close()
	_, err := redisqueue.Open(t.Context(), rdb)
	says(t, err, nil, "cannot be reached")
}

func TestClusterNodeAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts three servers")
	}
	nodes := redistest.ClusterFor(t)
	wrong := 0
	for _, n := range nodes {
		_, err := redisqueue.Open(t.Context(), client(t, n), redisqueue.WithLogger(quiet))
		if err != nil {
			wrong++
			says(t, err, nil, "redis.NewClusterClient")
		}
	}
	if wrong != 2 {
		t.Errorf("%d nodes have refused: expected those two that have not got the slot", wrong)
	}
}
