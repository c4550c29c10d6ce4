package sqsqueue_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

var (
	start  = sync.OnceValues(sqstest.Start)
	used   atomic.Bool
	queues atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if used.Load() {
		if s, err := start(); err == nil {
			_ = s.Kill()
		}
	}
	os.Exit(code)
}

// emulator returns the one that the tests share.
func emulator(tb testing.TB) *sqstest.Server {
	tb.Helper()
	sqstest.Need(tb)
	used.Store(true)
	s, err := start()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// newQueue makes a queue of its own for a test.
func newQueue(tb testing.TB, receives int) (url, dead string) {
	tb.Helper()
	url, dead, err := emulator(tb).Queue(tb.Context(), fmt.Sprintf("q%d", queues.Add(1)), receives)
	if err != nil {
		tb.Fatal(err)
	}
	return url, dead
}

var quiet = sqsqueue.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))

func ledgerAt(tb testing.TB, path string) *sqlitequeue.Engine {
	tb.Helper()
	l, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func openAt(tb testing.TB, url, path string, opts ...sqsqueue.Option) *sqsqueue.Engine {
	tb.Helper()
	return openOn(tb, url, ledgerAt(tb, path), opts...)
}

// openOn opens an engine; it is closed when the test ends.
func openOn(tb testing.TB, url string, ledger queue.Engine, opts ...sqsqueue.Option) *sqsqueue.Engine {
	tb.Helper()
	e, err := sqsqueue.Open(tb.Context(), sqstest.Client(emulator(tb).URL), url, ledger, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() }) // it may be closed already
	return e
}

func newFile(tb testing.TB) string { return filepath.Join(tb.TempDir(), "queue.db") }

var made atomic.Int64

// job returns a new job in the lane of a sender.
func job(sender string, change ...func(*queue.Job)) queue.Job {
	n := made.Add(1)
	j := queue.Job{
		ID: queue.ID(fmt.Sprintf("job-%06d", n)),
		Lane: queue.Lane{Resource: pacer.Resource{
			Account: "AC00000000000000000000000000000001", Region: "us1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: sender,
		}},
		Request: queue.Request{
			Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json",
			Form:   map[string][]string{"To": {fmt.Sprintf("+1555%07d", n)}, "From": {sender}, "Body": {"Grüße <&> 👋\u2028"}},
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		},
	}
	for _, f := range change {
		f(&j)
	}
	return j
}

func unique(key string) func(*queue.Job) { return func(j *queue.Job) { j.Unique = key } }

// eventually ends the test if something is not so in time.
func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	const patience = 2 * time.Minute
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("expected within %v that %s", patience, what)
		}
	}
}

// arrives waits until a job is in an engine's ledger.
func arrives(tb testing.TB, e queue.Engine, id queue.ID) queue.Job {
	tb.Helper()
	var j queue.Job
	eventually(tb, fmt.Sprintf("job %s arrives", id), func() (ok bool) {
		var err error
		j, err = e.Get(context.WithoutCancel(tb.Context()), id)
		return err == nil
	})
	return j
}
