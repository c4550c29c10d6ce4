package redispacer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
)

func otherSender() pacer.Resource {
	r := messages
	r.Sender = "+15005550007"
	return r
}

// A key that another program has taken concerns its bucket alone, until it is gone.
func TestDamagedBucketIsAlone(t *testing.T) {
	f := start(t, on(server(t)), newName(), perSecond(50))
	key := f.store.bucketKey(messages)
	for _, taken := range []string{key, key + ":users"} {
		cli(t, server(t), "DEL", key, key+":users")
		cli(t, server(t), "SET", taken, "x")
		alerts := f.raised(pacer.AlertNotShared)
		f.pass(t, otherSender(), pacer.Outcome{})
		until(t, "an alert", func() bool {
			f.pass(t, messages, pacer.Outcome{})
			return f.raised(pacer.AlertNotShared) == alerts+1
		})
		contains(t, f.lastAlert(), "key "+key, "delete this key")
		asked := f.Store().Asked
		for range 5 {
			f.pass(t, otherSender(), pacer.Outcome{})
		}
		if !f.byLease() || f.Store().Asked < asked+2 {
			t.Errorf("%+v: expected that the other bucket is shared", f.Store())
		}
		cli(t, server(t), "DEL", taken)
		healed := strings.Count(f.logged(), "in order again")
		until(t, "the bucket is shared again", func() bool {
			f.pass(t, messages, pacer.Outcome{})
			return strings.Count(f.logged(), "in order again") > healed
		})
	}
}

// Who is told that Redis is away may send a message through the same limiter.
func TestAlertMayUseTheLimiter(t *testing.T) {
	s := redistest.For(t)
	told := make(chan error, 1)
	var l *Limiter
	ready := make(chan struct{})
	l, err := New(on(s), perSecond(20), WithName(newName()), WithLogger(slog.New(slog.DiscardHandler)), WithAlert(func(pacer.Alert) {
		<-ready
		ctx, cancel := context.WithTimeout(context.Background(), hang)
		defer cancel()
		done, err := l.Acquire(ctx, messages)
		if err == nil {
			done(pacer.Outcome{})
		}
		select {
		case told <- err:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	close(ready)
	t.Cleanup(func() { l.Close() })
	f := &fixture{Limiter: l}
	f.pass(t, messages, pacer.Outcome{})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f.pass(t, messages, pacer.Outcome{})
	}
	select {
	case err := <-told:
		if err != nil {
			t.Errorf("the alert's own message: %v", err)
		}
	case <-time.After(2 * hang):
		t.Error("the alert's own message does not go out")
	}
}

// Requests that were throttled together are one cool-down, and that is told once.
func TestOneCoolDownIsOneReport(t *testing.T) {
	f := start(t, on(server(t)), newName(), nil)
	var all []func(pacer.Outcome)
	for range 2000 {
		done, err := f.Acquire(context.Background(), addresses)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, done)
	}
	before := f.Store().Asked
	for _, done := range all {
		done(pacer.Outcome{Throttled: true, RetryAfter: 30 * time.Second})
	}
	until(t, "the cool-down is reported", func() bool { return f.Store().Asked > before })
	time.Sleep(300 * time.Millisecond) // in which others would be
	// One for the cool-down. A machine that stalls may tell of counts, or of a later end, some more times.
	if n := f.Store().Asked - before; n > 100 || f.raised(pacer.AlertNotShared) > 0 {
		t.Errorf("%d round trips for 2000 throttled answers, alerts %s: expected one", n, f.lastAlert())
	}
}

// A process that starts later fails its calls at once as well, with the time that is left.
func TestTooLongForThoseWhoComeLater(t *testing.T) {
	a, _ := pair(t, perSecond(50))
	a.pass(t, messages, pacer.Outcome{Throttled: true, RetryAfter: 2 * time.Hour, TooLong: true})
	until(t, "it is known in Redis", func() bool {
		return a.Store().Asked >= 2 && cli(t, server(t), "HGET", a.store.bucketKey(messages), "retry") != ""
	})
	late := start(t, on(server(t)), a.name, perSecond(50))
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	_, err := late.Acquire(ctx, messages)
	var wait *pacer.WaitError
	if !errors.As(err, &wait) || !errors.Is(err, pacer.ErrWaitTooLong) || (wait.RetryAfter-2*time.Hour).Abs() > 10*time.Minute {
		t.Errorf("%v: expected a refusal with about two hours", err)
	}
}
