package redispacer

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
)

// busy has calls pass one after another until stop is called, which returns how many did.
func (f *fixture) busy(t *testing.T, r pacer.Resource, callers int) (passed *atomic.Int64, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	passed = new(atomic.Int64)
	ended := make(chan struct{}, callers)
	for range callers {
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				done, err := f.Acquire(ctx, r)
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("a call fails: %v", err)
					}
					return
				}
				time.Sleep(time.Millisecond)
				done(pacer.Outcome{})
				passed.Add(1)
			}
		}()
	}
	return passed, func() {
		cancel()
		for range callers {
			<-ended
		}
	}
}

func (f *fixture) byLease() bool { return f.Store().Err == nil }

// paced waits until the bucket of messages has a pace, or the 2 % less that processes keep below a
// shared rate. That requests keep to it is for the root module's tests, in virtual time.
func (f *fixture) paced(t *testing.T, perSecond float64, what string) {
	t.Helper()
	until(t, fmt.Sprintf("a pace of %v/s: %s", perSecond, what), func() bool {
		pace := f.bucket(t, messages).Pace
		return pace > 0.97*perSecond && pace < 1.001*perSecond
	})
}

const returns = "Redis answers again"

// returned waits until it has logged the end of the last of so many outages, and looks
// whether there was one alert for each.
func (f *fixture) returned(t *testing.T, outages int) {
	t.Helper()
	until(t, "that Redis is back is logged", func() bool { return strings.Count(f.logged(), returns) >= outages })
	if f.raised(pacer.AlertNotShared) != outages || strings.Count(f.logged(), returns) != outages {
		t.Errorf("%d outages: %d alerts, log %q: expected one each", outages, f.raised(pacer.AlertNotShared), f.logged())
	}
}

func TestAwayFromTheStart(t *testing.T) {
	s := redistest.For(t)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	f := start(t, on(s), newName(), perSecond(20))
	began := time.Now()
	f.pass(t, messages, pacer.Outcome{})
	passed, stop := f.busy(t, messages, 2)
	defer stop()
	until(t, "calls pass", func() bool { return passed.Load() > 0 })
	f.paced(t, 20*0.09, "a process that knows nothing of others takes 9 %")
	if st := f.Store(); st.Err == nil || st.Since.Before(began) || st.Since.After(time.Now()) {
		t.Errorf("%+v: expected why, and since when", st)
	} else {
		contains(t, st.Err.Error(), "redispacer: Redis cannot be reached")
	}
	contains(t, f.lastAlert(), "limits not shared", "bring Redis back")
	if f.raised(pacer.AlertNotShared) != 1 || strings.Contains(f.logged(), returns) {
		t.Errorf("alerts %d, log %q: expected one alert", f.raised(pacer.AlertNotShared), f.logged())
	}

	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	until(t, "limits are shared", f.byLease)
	f.paced(t, 20, "the whole rate")
	n := passed.Load()
	until(t, "calls pass", func() bool { return passed.Load() >= n+20 })
	f.returned(t, 1)
	if !f.Store().Since.IsZero() {
		t.Errorf("%+v: expected no time", f.Store())
	}
}

func TestKilled(t *testing.T) {
	const rate = 100
	s := redistest.For(t)
	name := newName()
	a, b := start(t, on(s), name, perSecond(rate)), start(t, on(s), name, perSecond(rate))
	ofA, stopA := a.busy(t, messages, 4)
	defer stopA()
	ofB, stopB := b.busy(t, messages, 4)
	defer stopB()
	for _, f := range []*fixture{a, b} {
		asked := f.Store().Asked
		until(t, "each knows of the other", func() bool { return f.Store().Asked > asked+2 })
	}
	for outage := 1; outage <= 2; outage++ {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		until(t, "both notice", func() bool { return !a.byLease() && !b.byLease() })
		before := ofA.Load() + ofB.Load()
		for _, f := range []*fixture{a, b} {
			f.paced(t, rate*0.9/2, "half of nine tenths")
		}
		until(t, "they go on", func() bool { return ofA.Load()+ofB.Load() > before+rate/2 })
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		until(t, "limits are shared", func() bool { return a.byLease() && b.byLease() })
		before = ofA.Load() + ofB.Load()
		until(t, "they go on", func() bool { return ofA.Load()+ofB.Load() > before+rate })
		for _, f := range []*fixture{a, b} {
			f.returned(t, outage)
		}
	}
}

func TestFrozen(t *testing.T) {
	s := redistest.For(t)
	f := start(t, on(s), newName(), perSecond(50), waits(2*time.Second))
	f.pass(t, messages, pacer.Outcome{})
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	thawed := false
	defer func() {
		if !thawed {
			_ = s.Thaw()
		}
	}()
	if err := take(f); err == nil {
		t.Error("a frozen server: no error")
	} else {
		contains(t, err.Error(), "redispacer: Redis does not answer within 2s")
	}
	for range 3 {
		f.pass(t, messages, pacer.Outcome{})
	}
	if f.raised(pacer.AlertNotShared) != 1 {
		t.Errorf("%d alerts, expected one", f.raised(pacer.AlertNotShared))
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	thawed = true
	until(t, "limits are shared", func() bool {
		f.pass(t, messages, pacer.Outcome{})
		return f.byLease()
	})
	f.returned(t, 1)
}

// A cool-down is kept although Redis is gone, and told to others when it is back.
func TestThrottledWhileAway(t *testing.T) {
	s := redistest.For(t)
	f := start(t, on(s), newName(), perSecond(50))
	f.pass(t, messages, pacer.Outcome{})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	f.pass(t, messages, pacer.Outcome{Throttled: true, RetryAfter: time.Hour})
	until(t, "it is noticed", func() bool { return !f.byLease() })
	f.heldForAnHour(t, messages)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	until(t, "others hear of it", func() bool {
		out, err := s.CLI("HGET", f.store.bucketKey(messages), "until")
		return err == nil && out != "" && out != "0"
	})
}

func take(f *fixture) error {
	_, err := f.Take(context.Background(), messages, pacer.Demand{N: 1, Rate: 50, Burst: 1})
	return err
}

func TestErrorsSayWhatToDo(t *testing.T) {
	s := server(t)
	guarded := redistest.For(t)
	cli(t, guarded, "CONFIG", "SET", "requirepass", "secret-of-the-server")
	cli(t, s, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	replica := redistest.For(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", s.Port))
	until(t, "the replica is in sync", func() bool {
		return strings.Contains(cli(t, replica, "INFO", "replication"), "master_link_status:up")
	})
	full := redistest.For(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
	cli(t, s, "ACL", "SETUSER", "reader", "on", ">reading", "~*", "+get")
	user := on(s)
	user.Username, user.Password = "reader", "reading"
	wrong := on(s)
	wrong.Username, wrong.Password = "reader", "riting"

	for _, c := range []struct {
		name string
		opts *redis.UniversalOptions
		want string
	}{
		{"no password", on(guarded), "give the password in UniversalOptions.Password"},
		{"a wrong one", wrong, "is not the server's"},
		{"no rights", user, "let this user run EVALSHA"},
		{"a replica", on(replica), "name the master, or Sentinel"},
		{"no memory", on(full), "raise maxmemory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, c.opts, newName(), perSecond(50))
			err := take(f)
			if err == nil {
				t.Fatal("no error")
			}
			contains(t, err.Error(), "redispacer: ", c.want)
			for _, secret := range []string{"secret-of-the-server", "reading", "riting", sender} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q holds %q", err, secret)
				}
			}
			until(t, "an alert", func() bool { return f.raised(pacer.AlertNotShared) > 0 })
			contains(t, f.lastAlert(), c.want)
			f.pass(t, messages, pacer.Outcome{}) // all the same
		})
	}
}

func TestKeyOfAnotherProgram(t *testing.T) {
	f := start(t, on(server(t)), newName(), nil)
	cli(t, server(t), "SET", f.store.bucketKey(messages), "something")
	err := take(f)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "WRONGTYPE", "choose another with WithName")
}

// Where some keys can be had and others not, that is one outage and not one each time.
func TestInPart(t *testing.T) {
	f := start(t, on(server(t)), newName(), nil)
	cli(t, server(t), "HSET", f.name+":limits", "a", "b")
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond; time.Sleep(20 * time.Millisecond) {
		if err := take(f); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.raised(pacer.AlertNotShared); n != 1 || strings.Contains(f.logged(), returns) {
		t.Errorf("%d alerts, log %q: expected one alert", n, f.logged())
	}
	contains(t, f.lastAlert(), "WRONGTYPE", "choose another with WithName")
	cli(t, server(t), "DEL", f.name+":limits")
	until(t, "it is over", func() bool { return strings.Count(f.logged(), returns) == 1 })
}

// The rights that the package's documentation asks for are enough.
func TestRights(t *testing.T) {
	s := server(t)
	name := newName()
	cli(t, s, "ACL", "SETUSER", "app", "on", ">app", "~"+name+":*", "&"+name+":*",
		"+eval", "+evalsha", "+get", "+set", "+publish", "+subscribe", "+ping",
		"+time", "+hmget", "+hset", "+hdel", "+pexpire", "+zscore", "+zadd", "+zrank", "+zrem", "+zrangebyscore", "+zremrangebyscore", "+zcard")
	opts := on(s)
	opts.Username, opts.Password = "app", "app"
	a, b := start(t, opts, name, perSecond(50)), start(t, opts, name, perSecond(50))
	for _, f := range []*fixture{a, b} {
		f.pass(t, addresses, pacer.Outcome{})
		f.subscribed(t)
	}
	if err := a.SetLimits(perSecond(60)); err != nil {
		t.Error(err)
	}
	a.pass(t, messages, pacer.Outcome{})
	a.pass(t, addresses, pacer.Outcome{Throttled: true, RetryAfter: time.Hour})
	b.heldForAnHour(t, addresses)
	if a.raised(pacer.AlertNotShared)+b.raised(pacer.AlertNotShared) > 0 {
		t.Errorf("alerts: %s %s", a.lastAlert(), b.lastAlert())
	}
}

func TestScriptFlushed(t *testing.T) {
	s := redistest.For(t)
	f := start(t, on(s), newName(), nil)
	for range 3 {
		if err := take(f); err != nil {
			t.Error(err)
		}
		cli(t, s, "SCRIPT", "FLUSH")
	}
	if n := f.raised(pacer.AlertNotShared); n > 0 {
		t.Errorf("%d alerts, expected none", n)
	}
}

func TestWarnsOfEviction(t *testing.T) {
	for policy, want := range map[string]bool{"allkeys-lru": true, "noeviction": false} {
		f := start(t, on(redistest.For(t, "--maxmemory", "100mb", "--maxmemory-policy", policy)), newName(), nil)
		if want {
			until(t, "a warning", func() bool { return strings.Contains(f.logged(), "maxmemory-policy="+policy) })
			continue
		}
		time.Sleep(100 * time.Millisecond)
		if f.logged() != "" {
			t.Errorf("%s: log %q, expected none", policy, f.logged())
		}
	}
}

func TestSentinel(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for Sentinel")
	}
	fo := redistest.FailoverFor(t)
	f := start(t, &redis.UniversalOptions{Addrs: fo.Addrs(), MasterName: fo.Name}, newName(), perSecond(50))
	passed, stop := f.busy(t, messages, 2)
	defer stop()
	until(t, "calls pass by lease", func() bool { return passed.Load() > 20 && f.byLease() })
	if err := fo.Master.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "it is noticed", func() bool { return !f.byLease() })
	n := passed.Load()
	until(t, "calls pass meanwhile", func() bool { return passed.Load() > n })
	until(t, "limits are shared through the new master", f.byLease)
	until(t, "the bucket is there", func() bool {
		return strings.Contains(cli(t, fo.Replica, "KEYS", f.name+":*"), "Messages")
	})
	n = passed.Load()
	until(t, "the whole rate", func() bool { return passed.Load() > n+40 })
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts three servers")
	}
	nodes := redistest.ClusterFor(t)
	opts := &redis.UniversalOptions{Addrs: redistest.Addrs(nodes)}
	name := newName()
	a, b := start(t, opts, name, perSecond(50)), start(t, opts, name, perSecond(50))
	for i := range 12 { // which are on all nodes, most likely
		r := messages
		r.Sender = fmt.Sprintf("+1500555%04d", i)
		a.pass(t, r, pacer.Outcome{})
	}
	if err := a.SetLimits(perSecond(60)); err != nil {
		t.Error(err)
	}
	until(t, "limits reach the other one", func() bool { return len(b.Limits()) == 1 && b.Limits()[0].Rate == 60 })
	b.pass(t, addresses, pacer.Outcome{})
	a.pass(t, addresses, pacer.Outcome{Throttled: true, RetryAfter: time.Hour})
	b.heldForAnHour(t, addresses)
	if !a.byLease() || a.raised(pacer.AlertNotShared)+b.raised(pacer.AlertNotShared) > 0 {
		t.Errorf("%v, alerts: %s %s", a.Store().Err, a.lastAlert(), b.lastAlert())
	}
}
