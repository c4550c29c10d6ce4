//go:build unix

package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
)

func TestKillRedis(t *testing.T) {
	redistest.Need(t)
	killed(t, "-engine", "redis")
}

func TestKillRedisWithItsClockAhead(t *testing.T) {
	needShim(t)
	killed(t, "-engine", "redis", "-clock", "10s", "-clockstays")
}

// needShim skips a test, or with CI=true fails it, where no clock can be shifted.
func needShim(t *testing.T) {
	t.Helper()
	redistest.Need(t)
	s, err := newShim(t.TempDir(), "redis-server")
	switch {
	case err == nil:
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	case os.Getenv("CI") == "true":
		t.Fatalf("%v; CI skips nothing", err)
	default:
		t.Skipf("SKIP: %v", err)
	}
}

// The shim moves the clock of a real server, forward and back, while the server runs and
// after it was killed and started again.
func TestShimShiftsTheClockOfRedis(t *testing.T) {
	needShim(t)
	s, err := startRedis(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	c := redis.NewClient(&redis.Options{Addr: s.store})
	defer c.Close()
	ahead := func() time.Duration {
		t.Helper()
		now, err := c.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(now).Round(time.Hour) // whatever the machine is busy with
	}
	for _, want := range []time.Duration{24 * time.Hour, -24 * time.Hour, 0} {
		if err := s.clock(want); err != nil {
			t.Fatal(err)
		}
		if got := ahead(); got != want {
			t.Errorf("the server is %v ahead, want %v", got, want)
		}
	}
	if err := errors.Join(s.clock(24*time.Hour), s.fails.Kill(), s.fails.Restart()); err != nil {
		t.Fatal(err)
	}
	if got := ahead(); got != 24*time.Hour {
		t.Errorf("started again, the server is %v ahead, want a day", got)
	}
}
