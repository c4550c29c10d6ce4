//go:build unix

package redisqueue_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

// One server is for all tests that do it no harm.
var (
	common   *redistest.Server
	starting sync.Once
	dir      string
)

// silent is for go-redis, which says on standard error that servers are gone.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	code := m.Run()
	if common != nil {
		_ = common.Kill()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func shared(tb testing.TB) *redis.Client {
	tb.Helper()
	redistest.Need(tb)
	var err error
	starting.Do(func() {
		if dir, err = os.MkdirTemp("", "redisqueue-"); err == nil {
			common, err = redistest.Start(dir)
		}
	})
	if err != nil || common == nil {
		tb.Fatal("no server: ", err)
	}
	return client(tb, common)
}

var quiet = slog.New(slog.DiscardHandler)

var names atomic.Int64

func freshName() string { return fmt.Sprint("test-", names.Add(1)) }

func client(tb testing.TB, s *redistest.Server) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// open opens an engine, of a new queue unless opts name one.
func open(tb testing.TB, rdb redis.UniversalClient, opts ...redisqueue.Option) *redisqueue.Engine {
	tb.Helper()
	opts = append([]redisqueue.Option{redisqueue.WithLogger(quiet), redisqueue.Name(freshName())}, opts...)
	e, err := redisqueue.Open(context.WithoutCancel(tb.Context()), rdb, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() }) // it may be closed already
	return e
}

func lane(n int) queue.Lane {
	return queue.Lane{Resource: pacer.Resource{Account: "AC00000000000000000000000000000001", Region: "us1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: fmt.Sprint("+1500555", n)}}
}

func job(n int) queue.Job {
	return queue.Job{
		ID: queue.ID(fmt.Sprintf("job-%06d", n)), Lane: lane(0),
		Request: queue.Request{
			Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json",
			Form:   map[string][]string{"To": {fmt.Sprintf("+1555%07d", n)}, "Body": {"hello"}},
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		},
	}
}

func add(t *testing.T, e queue.Engine, jobs ...queue.Job) {
	t.Helper()
	if _, err := e.Add(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
}

func claim(t *testing.T, e queue.Engine, max int) []queue.Job {
	t.Helper()
	jobs, err := e.Claim(t.Context(), queue.Claim{Lane: lane(0), Max: max, Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func sent(j queue.Job) queue.Move {
	return queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.Sent, Attempt: true, Outcome: &queue.Outcome{SID: "SM" + string(j.ID), Status: 201}}
}

func state(t *testing.T, e queue.Engine, id queue.ID, want queue.State) queue.Job {
	t.Helper()
	j, err := e.Get(t.Context(), id)
	if err != nil || j.State != want {
		t.Fatalf("job %s is %s, %v: expected %s", id, j.State, err, want)
	}
	return j
}

// A log keeps what is logged.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, text) })
}
