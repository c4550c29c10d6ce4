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
	const rate, length = 50, 2 * time.Second
	a, b := pair(t, perSecond(rate))
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(length, cancel)
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
				mu.Unlock()
				done(pacer.Outcome{})
			}
		})
	}
	wg.Wait()
	slices.SortFunc(passed, time.Time.Compare)
	if n, most := len(passed), int(rate*length.Seconds())+1; n > most || n < most/2 {
		t.Errorf("%d passed in %v, expected up to %d", n, length, most)
	}
	for i := range passed { // what a machine that stalls may add is allowed for
		if j := i + rate + rate/10; j < len(passed) && passed[j].Sub(passed[i]) < time.Second {
			t.Errorf("%d passed within a second from %v on", rate+rate/10+1, passed[i])
			break
		}
	}
	if of[a] < len(passed)/5 || of[b] < len(passed)/5 {
		t.Errorf("%d and %d, expected about the same", of[a], of[b])
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
			a.pass(t, c.r, pacer.Outcome{Throttled: true, RetryAfter: time.Second})
			throttled := time.Now()
			within(t, 350*time.Millisecond, "the other one keeps still", func() bool { return b.held(c.r) }) // 250 ms, and 100 to see that
			if after := b.pass(t, c.r, pacer.Outcome{}).Sub(throttled); after < 900*time.Millisecond {
				t.Errorf("it goes on after %v, expected a second", after)
			}
		})
	}
}

// subscribed waits until f hears what others tell.
func (f *fixture) subscribed(t *testing.T) {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: one.server.Addr})
	defer rdb.Close()
	within(t, 5*time.Second, "it listens", func() bool {
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
	within(t, time.Second, "calls of the other one fail at once", func() bool {
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
	const soon = 2 * time.Second // a second, on a machine with nothing else to do
	if err := a.SetLimits(perSecond(9)); err != nil || !is(a, perSecond(9))() {
		t.Fatalf("%v, %v: expected the new ones at once", err, a.Limits())
	}
	within(t, soon, "those that another process has set", is(b, perSecond(9)))

	cli(t, server(t), "SET", b.name+":limits", `[{"resource": "Messages", "rate": 11}]`)
	within(t, soon, "those that were set by hand", is(a, perSecond(11)))
	within(t, soon, "those that were set by hand", is(b, perSecond(11)))

	cli(t, server(t), "SET", b.name+":limits", `[{"resource": "Messages", "sender": "`+sender+`", "rate": -1}]`)
	within(t, soon, "an alert", func() bool { return b.raised(pacer.AlertLimitsRejected) == 1 })
	time.Sleep(2 * lookEvery)
	if n := b.raised(pacer.AlertLimitsRejected); n != 1 || !is(b, perSecond(11))() {
		t.Errorf("%d alerts, %v: expected one, and what was in force before", n, b.Limits())
	}
	contains(t, b.lastAlert(), b.name+":limits", "limits[0].rate: -1", "set valid limits there")
	if strings.Contains(b.lastAlert(), sender) {
		t.Errorf("%q has a phone number", b.lastAlert())
	}

	cli(t, server(t), "DEL", b.name+":limits")
	within(t, soon, "the constructor's", is(a, own))
	within(t, soon, "the constructor's", is(b, own))

	if err := a.SetLimits(pacer.Limits{{Resource: pacer.Messages, Rate: -3}}); err == nil || !is(a, own)() {
		t.Errorf("%v, %v: expected an error, and nothing changed", err, a.Limits())
	} else {
		contains(t, err.Error(), "limits[0].rate: -3")
	}
	if err := a.SetLimits(nil); err != nil || len(a.Limits()) != 0 {
		t.Errorf("none: %v, %v", err, a.Limits())
	}
	within(t, soon, "none as well", is(b, nil))
}

// A limit that was set is felt by those who wait.
func TestLimitsWhileWaiting(t *testing.T) {
	a, b := pair(t, perSecond(0.1))
	a.pass(t, messages, pacer.Outcome{})
	passed := make(chan time.Time, 1)
	go func() { passed <- b.pass(t, messages, pacer.Outcome{}) }()
	time.Sleep(50 * time.Millisecond)
	if err := a.SetLimits(perSecond(100)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-passed:
	case <-time.After(4 * time.Second):
		t.Error("a call that waits at one in ten seconds: it still waits 4 s after the limit was raised")
	}
}

func TestNothingReadable(t *testing.T) {
	a, b := pair(t, pacer.Limits{{Resource: pacer.Messages, Sender: sender, Rate: 50}})
	a.pass(t, messages, pacer.Outcome{})
	b.pass(t, messages, pacer.Outcome{Throttled: true, RetryAfter: time.Millisecond})
	var keys string
	within(t, 2*time.Second, "a bucket", func() bool {
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
		within(t, 2*time.Second, c.text, func() bool { return strings.Contains(f.logged(), c.text) })
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
	given := quick(&redis.UniversalOptions{ReadTimeout: time.Minute, MaxRetries: 5, DialerRetries: 3})
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
	case <-time.After(5 * time.Second):
		t.Error("no call goes on after Close")
	}
	cancel()
	<-errs
	<-errs
	within(t, 3*time.Second, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
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
	within(t, 3*time.Second, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
