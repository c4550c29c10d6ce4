package redispacer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
)

// pair returns two limiters of one name, as two processes have them.
func pair(t *testing.T, limits pacer.Limits) (a, b *fixture) {
	name := newName()
	return start(t, on(server(t)), name, limits), start(t, on(server(t)), name, limits)
}

func TestTogetherAtOneRate(t *testing.T) {
	const rate, n = 50, 100
	a, b := pair(t, perSecond(rate))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	var passed []time.Time
	var wg sync.WaitGroup
	of := map[*fixture]int{}
	for _, f := range []*fixture{a, b, a, b, a, b} {
		wg.Go(func() {
			for {
				done, err := f.Acquire(ctx, messages)
				if err != nil {
					return
				}
				mu.Lock()
				passed = append(passed, time.Now())
				of[f]++
				if len(passed) == n {
					cancel()
				}
				mu.Unlock()
				done(pacer.Outcome{})
			}
		})
	}
	wg.Wait()
	// Each at the whole rate would take a second. A busy machine only takes longer.
	if took := passed[n-1].Sub(passed[0]); took < n/rate*time.Second*3/4 {
		t.Errorf("%d passed within %v, expected that two processes have %d/s together", n, took, rate)
	}
	if of[a] == 0 || of[b] == 0 {
		t.Errorf("%d and %d, expected some of each", of[a], of[b])
	}
	if asked := a.Store().Asked + b.Store().Asked; asked == 0 || a.raised(pacer.AlertNotShared) > 0 {
		t.Errorf("%d round trips, alert %q", asked, a.lastAlert())
	}
}

func TestThrottleStopsOthers(t *testing.T) {
	alphanumeric := messages
	alphanumeric.Sender = "ACME" // has no limit by default, unlike numbers
	for _, c := range []struct {
		name   string
		r      pacer.Resource
		limits pacer.Limits
	}{
		{"limited", messages, perSecond(50)},
		{"not limited", addresses, nil},
		{"a sender, not limited", alphanumeric, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t, c.limits)
			for _, f := range []*fixture{a, b} {
				f.pass(t, c.r, pacer.Outcome{})
				f.subscribed(t)
			}
			a.pass(t, c.r, pacer.Outcome{Throttled: true, RetryAfter: time.Hour})
			b.heldForAnHour(t, c.r)
		})
	}
}

// subscribed waits until f hears what others tell.
func (f *fixture) subscribed(t *testing.T) {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: one.server.Addr})
	defer rdb.Close()
	until(t, "it listens", func() bool {
		n, err := rdb.PubSubNumSub(context.Background(), f.store.channel()).Result()
		return err == nil && n[f.store.channel()] == 2
	})
}

func TestThrottleTooLong(t *testing.T) {
	a, b := pair(t, perSecond(50))
	for _, f := range []*fixture{a, b} {
		f.pass(t, addresses, pacer.Outcome{})
		f.subscribed(t)
	}
	a.pass(t, addresses, pacer.Outcome{Throttled: true, RetryAfter: time.Minute, TooLong: true})
	until(t, "calls of the other one fail at once", func() bool {
		_, err := b.Acquire(context.Background(), addresses)
		return errors.Is(err, pacer.ErrWaitTooLong)
	})
}

func TestLimitsInRedis(t *testing.T) {
	own := perSecond(7)
	a, b := pair(t, own)
	is := func(f *fixture, want pacer.Limits) func() bool {
		return func() bool { return slices.Equal(f.Limits(), want) }
	}
	if err := a.SetLimits(perSecond(9)); err != nil || !is(a, perSecond(9))() {
		t.Fatalf("%v, %v: expected the new ones at once", err, a.Limits())
	}
	until(t, "those that another process has set", is(b, perSecond(9)))

	cli(t, server(t), "SET", b.name+":limits", `[{"resource": "Messages", "rate": 11}]`)
	until(t, "those that were set by hand", is(a, perSecond(11)))
	until(t, "those that were set by hand", is(b, perSecond(11)))
	stored := func(want pacer.Limits, there bool, words string) {
		t.Helper()
		got, found, err := b.StoredLimits(t.Context())
		if !slices.Equal(got, want) || found != there || (err != nil) != (words != "") || err != nil && (!strings.Contains(err.Error(), words) || strings.Contains(err.Error(), sender)) {
			t.Errorf("stored: %v, %v, %v: expected %v, %v, %q", got, found, err, want, there, words)
		}
	}
	stored(perSecond(11), true, "")

	cli(t, server(t), "SET", b.name+":limits", `[{"resource": "Messages", "sender": "`+sender+`", "rate": -1}]`)
	until(t, "an alert", func() bool { return b.raised(pacer.AlertLimitsRejected) == 1 })
	time.Sleep(2 * lookEvery)
	stored(nil, true, "limits[0].rate: -1")
	if n := b.raised(pacer.AlertLimitsRejected); n != 1 || !is(b, perSecond(11))() {
		t.Errorf("%d alerts, %v: expected one, and what was in force before", n, b.Limits())
	}
	contains(t, b.lastAlert(), b.name+":limits", "limits[0].rate: -1", "set valid limits there")
	if strings.Contains(b.lastAlert(), sender) {
		t.Errorf("%q has a phone number", b.lastAlert())
	}

	cli(t, server(t), "DEL", b.name+":limits")
	until(t, "the constructor's", is(a, own))
	until(t, "the constructor's", is(b, own))
	stored(nil, false, "")

	if err := a.SetLimits(pacer.Limits{{Resource: pacer.Messages, Rate: -3}}); err == nil || !is(a, own)() {
		t.Errorf("%v, %v: expected an error, and nothing changed", err, a.Limits())
	} else {
		contains(t, err.Error(), "limits[0].rate: -3")
	}
	if err := a.SetLimits(nil); err != nil || len(a.Limits()) != 0 {
		t.Errorf("none: %v, %v", err, a.Limits())
	}
	until(t, "none as well", is(b, nil))
	stored(nil, true, "")
}

// A limit that was set is felt by those who wait.
func TestLimitsWhileWaiting(t *testing.T) {
	a, b := pair(t, perSecond(0.001))
	a.pass(t, messages, pacer.Outcome{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	passed := make(chan error, 1)
	go func() {
		done, err := b.Acquire(ctx, messages)
		if err == nil {
			done(pacer.Outcome{})
		}
		passed <- err
	}()
	until(t, "a call waits", func() bool { return b.bucket(t, messages).Waiting == 1 })
	if err := a.SetLimits(perSecond(100)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-passed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(hang):
		t.Errorf("a call that waits at one in 1000 s: it still waits %v after the limit was raised", hang)
	}
}

func TestNothingReadable(t *testing.T) {
	a, b := pair(t, pacer.Limits{{Resource: pacer.Messages, Sender: sender, Rate: 50}})
	a.pass(t, messages, pacer.Outcome{})
	b.pass(t, messages, pacer.Outcome{Throttled: true, RetryAfter: time.Millisecond})
	var keys string
	until(t, "a bucket", func() bool {
		keys = cli(t, server(t), "KEYS", a.name+":*")
		return strings.Contains(keys, "Messages")
	})
	contains(t, keys, a.name+":{"+account+"/us1/api/Messages:create/", "}:users")
	if text := keys + a.logged() + b.logged() + a.lastAlert(); strings.Contains(text, sender[1:]) {
		t.Errorf("%q has a phone number", text)
	}
	if k := (&store{name: "p"}).bucketKey(addresses); k != "p:{"+account+"/us1/api/Addresses:create}" {
		t.Errorf("key of a bucket without a sender: %q", k)
	}
}

func TestInvalid(t *testing.T) {
	opts := &redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}
	for _, c := range []struct {
		opts   *redis.UniversalOptions
		limits pacer.Limits
		option Option
		want   string
	}{
		{nil, nil, nil, `opts.Addrs: empty: expected the address of a Redis server`},
		{&redis.UniversalOptions{}, nil, nil, `opts.Addrs: empty: expected`},
		{opts, pacer.Limits{{Resource: "Messages", Rate: -1}}, nil, "limits[0].rate: -1: expected"},
		{opts, nil, WithName(""), `WithName: "": expected a word`},
		{opts, nil, WithName("a:b"), `WithName: "a:b": expected a word`},
		{opts, nil, WithName("{a}"), `WithName: "{a}": expected a word`},
		{opts, nil, WithAlert(nil), "WithAlert: nil: expected a function"},
		{opts, nil, WithLogger(nil), "WithLogger: nil: expected a *slog.Logger"},
	} {
		var more []Option
		if c.option != nil {
			more = append(more, c.option)
		}
		l, err := New(c.opts, c.limits, more...)
		if err == nil {
			l.Close()
			t.Errorf("no error, expected %q", c.want)
			continue
		}
		contains(t, err.Error(), c.want)
	}
}

// Without WithAlert nothing is lost: alerts are logged.
func TestAlertsAreLogged(t *testing.T) {
	for _, c := range []struct {
		text string
		opts *redis.UniversalOptions
	}{
		{"limits rejected", on(server(t))},
		{"limits not shared", &redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}},
	} {
		f := &fixture{name: newName()}
		cli(t, server(t), "SET", f.name+":limits", "[[]]")
		l, err := New(c.opts, nil, WithName(f.name), WithLogger(slog.New(slog.NewTextHandler(f, nil))))
		if err != nil {
			t.Fatal(err)
		}
		until(t, c.text, func() bool { return strings.Contains(f.logged(), c.text) })
		contains(t, f.logged(), "level=ERROR", "error=", "advice=")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOptionsAreNotChanged(t *testing.T) {
	opts := on(server(t))
	f := start(t, opts, newName(), nil)
	if opts.ReadTimeout != 0 || opts.MaxRetries != 0 {
		t.Errorf("%+v: expected the caller's options as they were", opts)
	}
	given := quick(&redis.UniversalOptions{ReadTimeout: time.Minute, MaxRetries: 5, DialerRetries: 3}, patience)
	if given.ReadTimeout != time.Minute || given.MaxRetries != 5 || given.DialerRetries != 3 || given.WriteTimeout != patience {
		t.Errorf("%+v: expected what was given, and patience for the rest", given)
	}
	f.pass(t, addresses, pacer.Outcome{})
}

func TestClose(t *testing.T) {
	server(t)
	time.Sleep(50 * time.Millisecond)
	before := runtime.NumGoroutine()
	l, err := New(on(server(t)), perSecond(0.5), WithName(newName()), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	// The first passes, and others wait while it closes.
	errs := make(chan error, 4)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 4 {
		go func() {
			done, err := l.Acquire(ctx, messages)
			if err == nil {
				done(pacer.Outcome{})
			}
			errs <- err
		}()
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Take(context.Background(), messages, pacer.Demand{N: 1, Rate: 1, Burst: 1}); !errors.Is(err, errClosed) {
		t.Errorf("Take afterwards: %v", err)
	}
	if err := l.SetLimits(nil); err == nil {
		t.Error("SetLimits afterwards: no error")
	}
	select {
	case err := <-errs: // at nine tenths of one in 2 s
		if err != nil {
			t.Errorf("a call that waited: %v", err)
		}
	case <-time.After(hang):
		t.Error("no call goes on after Close")
	}
	cancel()
	<-errs
	<-errs
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestCloseAtOnce(t *testing.T) {
	server(t)
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			f, err := New(on(server(t)), nil, WithName(fmt.Sprint("at-once", i)), WithLogger(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Error(err)
				return
			}
			go f.Take(context.Background(), messages, pacer.Demand{N: 1, Rate: 1, Burst: 1})
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
