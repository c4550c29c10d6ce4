package redispacer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
)

// One server is for all tests that do it no harm: each has a name of its own there.
var one struct {
	sync.Once
	server *redistest.Server
	err    error
	names  atomic.Int64
}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // that servers vanish is what many tests are about
	code := m.Run()
	if one.server != nil {
		_ = one.server.Kill()
		_ = os.RemoveAll(one.server.Dir)
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func server(t testing.TB) *redistest.Server {
	t.Helper()
	redistest.Need(t)
	one.Do(func() {
		var dir string
		if dir, one.err = os.MkdirTemp("", "redispacer-"); one.err == nil {
			one.server, one.err = redistest.Start(dir)
		}
	})
	if one.err != nil {
		t.Fatal(one.err)
	}
	return one.server
}

func newName() string { return fmt.Sprintf("test%d", one.names.Add(1)) }

// A fixture is a limiter, and what it has told.
type fixture struct {
	*Limiter
	name string

	mu     sync.Mutex
	alerts []pacer.Alert
	log    bytes.Buffer
}

// start makes a limiter that ends with the test. more come after the fixture's own options.
func start(t testing.TB, opts *redis.UniversalOptions, name string, limits pacer.Limits, more ...Option) *fixture {
	t.Helper()
	f := &fixture{name: name}
	alert := WithAlert(func(a pacer.Alert) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.alerts = append(f.alerts, a)
	})
	var err error
	f.Limiter, err = New(opts, limits, append([]Option{WithName(name), alert, WithLogger(slog.New(slog.NewTextHandler(f, nil)))}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func on(s *redistest.Server) *redis.UniversalOptions {
	return &redis.UniversalOptions{Addrs: []string{s.Addr}}
}

// Write takes in the log.
func (f *fixture) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(p)
}

func (f *fixture) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.String()
}

func (f *fixture) raised(kind pacer.AlertKind) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.alerts {
		if a.Kind == kind {
			n++
		}
	}
	return n
}

func (f *fixture) lastAlert() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.alerts) == 0 {
		return ""
	}
	return f.alerts[len(f.alerts)-1].String()
}

const (
	account = "AC00000000000000000000000000000001"
	sender  = "+15005550006"
)

// messages is a resource with a limit by default, addresses one without.
var (
	messages  = pacer.Resource{Account: account, Region: "us1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: sender}
	addresses = pacer.Resource{Account: account, Region: "us1", Product: "api", Name: "Addresses", Op: pacer.Create}
)

func perSecond(n float64) pacer.Limits { return pacer.Limits{{Resource: pacer.Messages, Rate: n}} }

// pass has one request pass, and returns when.
func (f *fixture) pass(t testing.TB, r pacer.Resource, o pacer.Outcome) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done, err := f.Acquire(ctx, r)
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	now := time.Now()
	done(o)
	return now
}

// held reports that the bucket pauses for the next 100 ms. The limiter is not to know
// that the call does not wait longer.
func (f *fixture) held(r pacer.Resource) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(100*time.Millisecond, cancel).Stop()
	done, err := f.Acquire(ctx, r)
	if err == nil {
		done(pacer.Outcome{Unused: true})
	}
	return err != nil
}

// within waits until something is so.
func within(t testing.TB, d time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("expected within %v: %s", d, what)
		}
	}
}

func cli(t testing.TB, s *redistest.Server, args ...string) string {
	t.Helper()
	out, err := s.CLI(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q: expected %q in it", text, part)
		}
	}
}
