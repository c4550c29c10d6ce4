package pacer

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			switch {
			case n <= 2:
				return respond(429, throttleBody, "Retry-After", "2")
			case n == 4:
				return respond(400, `{"code": 21211, "message": "no", "status": 400}`)
			}
			return ok201(n, r)
		}, WithLimits(Limits{{Resource: "*", Rate: 1}}), WithLearning(false), WithMaxRetries(2))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _ = w.send() })
		}
		time.Sleep(time.Second)
		if s := w.c.Stats(); s.Waiting != 5 || s.Requests != 1 || s.Throttled != 1 || s.Buckets[0].CoolDown != time.Second || s.Buckets[0].Waiting != 4 {
			t.Errorf("in the cool-down: %+v", s)
		}
		wg.Wait()
		s := w.c.Stats()
		if s.Calls != 5 || s.Requests != 7 || s.Throttled != 2 || s.Retries != 2 || s.Failed != 1 || s.GaveUp != 0 || s.Waiting != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		if got := s.ThrottledRatio(); got != 2.0/7 {
			t.Errorf("throttled ratio %v", got)
		}
		b := s.Buckets[0]
		if b.Counts != s.Counts || b.Rate != 1 || b.Pace != 1 || b.Resource.Sender != sender || s.BucketsInAll != 1 {
			t.Errorf("the only bucket: %+v, in total %+v", b, s.Counts)
		}
		if s.Accounts[0].Account != account || s.Accounts[0].InFlight != 0 {
			t.Errorf("%+v", s.Accounts)
		}
		if rps := s.RequestsPerSecond(); rps != 7/s.Window.Seconds() {
			t.Errorf("%v/s in %v", rps, s.Window)
		}
	})
}

// The window rolls: what is older than some 70 s is gone, what is younger than 60 s is not.
func TestStatsRoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201)
		_ = w.send()
		time.Sleep(time.Minute)
		if s := w.c.Stats(); s.Requests != 1 || s.Window < time.Minute || s.Window > 70*time.Second {
			t.Errorf("after a minute: %+v", s)
		}
		_ = w.send()
		time.Sleep(10*time.Second + 1)
		if s := w.c.Stats(); s.Requests != 1 || s.Buckets[0].Requests != 1 {
			t.Errorf("after 70 s: %+v", s)
		}
		time.Sleep(24 * time.Hour)
		if s := w.c.Stats(); s.Requests != 0 || s.Window > 70*time.Second {
			t.Errorf("after a day: %+v", s)
		}
	})
}

// The clock is a day ahead, and is then set right. What is counted afterwards is there at
// once, and so is the alert.
func TestStatsGoOnAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alarms := 0
		opts, err := optionsOf([]Option{WithThrottledAlert(0.05, 10)})
		try(t, err)
		r, l := opts.recorder, newLimiter(t)
		count := func(throttled bool, now time.Time) {
			if alarm := r.requested(from(sender), false, throttled, false, now); alarm != nil {
				alarms++
			}
		}
		b := l.bucket(from(sender), time.Now())
		right := time.Now()
		for name, wrong := range map[string]time.Time{
			"a day ahead":          right.Add(24 * time.Hour),
			"by the wall clock":    right.Round(0).Add(48 * time.Hour),
			"40 s ahead":           right.Add(40 * time.Second),
			"before the year 1970": time.Unix(-1e9, 0),
		} {
			for range 5 {
				count(false, wrong)
				b.count(Outcome{}, wrong)
			}
			if n := r.stats(wrong).Requests; n != 5 {
				t.Errorf("%s: %d requests", name, n)
			}
		}
		for range 20 {
			count(true, right)
			b.count(Outcome{Throttled: true}, right)
		}
		if s := r.stats(right); s.Requests != 20 || s.Throttled != 20 || s.Window > 70*time.Second {
			t.Errorf("after the clock was set back: %+v", s)
		}
		if n := b.counts.counts(l.start, right); n.Requests != 20 {
			t.Errorf("of the bucket: %+v", n)
		}
		if alarms != 1 {
			t.Errorf("%d alarms, expected one", alarms)
		}
	})
}

func TestStatsGaveUpAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always(throttle("Retry-After", "1")), WithMaxRetries(0), quiet)
		_ = w.send()
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		defer cancel()
		_ = w.sendWith(ctx)
		if s := w.c.Stats(); s.Calls != 2 || s.GaveUp != 2 || s.Failed != 0 || s.Requests != 1 {
			t.Errorf("%+v", s)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201, WithLimits(Limits{{Resource: "*", Rate: 10}}))
		w.sendAll(4)
		if s := w.c.Stats(); s.Waits != 3 || s.Waited != 600*time.Millisecond {
			t.Errorf("4 at 10/s: %d waits, %v", s.Waits, s.Waited)
		}
	})
}

// At most 1,000 buckets are copied, the most recently used ones.
func TestStatsAreBounded(t *testing.T) {
	l := newLimiter(t)
	for i := range 1500 {
		_ = newLane(l, "+1555"+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))).pass(bg)
	}
	var s Stats
	s.LimiterStats = l.Stats()
	if len(s.Buckets) != maxListed || s.BucketsInAll != 1500 {
		t.Errorf("%d of %d listed", len(s.Buckets), s.BucketsInAll)
	}
}

// With many goroutines nothing is lost, also while slots change.
func TestStatsLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			time.Sleep(10 * time.Millisecond)
			return ok201(n, r)
		})
		time.Sleep(15*time.Second - 5*time.Millisecond)
		var wg sync.WaitGroup
		each := unlessShort(100, 20)
		for range 100 {
			wg.Go(func() {
				for range each {
					_ = w.send()
				}
			})
		}
		wg.Wait()
		if s := w.c.Stats(); s.Requests != 100*each || s.Calls != 100*each {
			t.Errorf("%+v", s.Counts)
		}
	})
}

// The advice of the alert holds: what it tells to look at is there with a limit, and not in noise.
func TestThrottledAlertAdvisesHowToTellALimitFromNoise(t *testing.T) {
	for name, tt := range map[string]struct {
		accepts func(n int, second int) bool // request n, after so many that were accepted in this second
		limit   bool
	}{
		"a limit": {func(_, second int) bool { return second < 10 }, true},
		"noise":   {func(n, _ int) bool { return n%8 != 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var alerts []Alert
				var mu sync.Mutex
				accepted := map[int]int{}
				start := time.Now()
				w := newWorld(t, func(n int, r *http.Request) *http.Response {
					mu.Lock()
					second := int(time.Since(start) / time.Second)
					ok := tt.accepts(n, accepted[second])
					if ok {
						accepted[second]++
					}
					mu.Unlock()
					time.Sleep(50 * time.Millisecond)
					if ok {
						return ok201(n, r)
					}
					return respond(429, throttleBody)
				}, WithLimits(Limits{{Resource: "*", Rate: 20}}), WithAlert(func(a Alert) { alerts = append(alerts, a) }))
				var callers sync.WaitGroup
				for range 30 {
					callers.Go(func() {
						for time.Since(start) < 2*time.Minute {
							_ = w.send()
						}
					})
				}
				callers.Wait()
				if len(alerts) != 1 || alerts[0].Kind != AlertThrottled {
					t.Fatalf("alerts %v, expected one", alerts)
				}
				for _, word := range []string{"Client.Stats", "Learned", "noise", "outage"} {
					if !strings.Contains(alerts[0].Advice, word) {
						t.Errorf("the advice does not speak of %s: %s", word, alerts[0].Advice)
					}
				}
				if b := w.c.Stats().Buckets[0]; (b.Learned > 0) != tt.limit {
					t.Errorf("learned %v/s", b.Learned)
				}
			})
		})
	}
}

// The alert on the share of throttled requests fires once, not on 1 of 1, and again
// only after the share was below half of the line.
func TestThrottledAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts []Alert
		bad := false
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if bad {
				return respond(429, throttleBody, "Retry-After", "0.001")
			}
			return ok201(n, r)
		}, WithMaxRetries(0), WithLearning(false), WithThrottledAlert(0.05, 100), WithAlert(func(a Alert) {
			if a.Kind == AlertThrottled {
				alerts = append(alerts, a)
			}
		}))
		send := func(n int, throttled bool) {
			bad = throttled
			for range n {
				_ = w.send()
				time.Sleep(2 * time.Millisecond)
			}
		}
		send(1, true)
		send(97, false)
		send(1, true)
		if len(alerts) != 0 {
			t.Fatalf("2 of 99: %v", alerts)
		}
		send(4, true) // 6 of 103
		if len(alerts) != 1 {
			t.Fatalf("6 of 103: %d alerts", len(alerts))
		}
		if a := alerts[0]; !strings.Contains(a.String(), "6 of the last minute's 103 requests were throttled (5.8 %)") || a.Advice == "" || a.Resource.Name != Messages || strings.Contains(a.String(), sender) {
			t.Errorf("%v", a)
		}
		send(50, false) // 6 of 153: 3.9 %
		send(10, true)
		if len(alerts) != 1 {
			t.Errorf("it flaps: %v", alerts)
		}
		send(600, false) // 16 of 763: 2.1 %
		send(60, true)
		if len(alerts) != 2 {
			t.Errorf("%d alerts after it had calmed down, expected another", len(alerts))
		}
	})
	for _, opt := range []Option{WithThrottledAlert(-0.1, 1), WithThrottledAlert(1.1, 1), WithThrottledAlert(0.05, 0)} {
		if _, err := New(ClientParams{}, opt); err == nil {
			t.Error("expected an error")
		}
	}
}

// Observers get the call's context, with what WithCallContext put in; there may be many.
func TestObserversGetTheCallsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var seen []string
		note := func(who string) func(context.Context, Event) {
			return func(ctx context.Context, e Event) {
				if v, _ := ctx.Value(key{}).(string); v != "program+api/Messages:create" {
					t.Errorf("%s: %s: context has %q", who, e.Kind, v)
				}
				seen = append(seen, who+" "+string(e.Kind)+" "+e.Method)
			}
		}
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if r.Context().Value(key{}) == nil {
				t.Error("the request does not carry the call's context")
			}
			return ok201(n, r)
		}, WithObserver(note("a")), WithObserver(note("b")),
			WithCallContext(func(ctx context.Context, r Resource) context.Context {
				v, _ := ctx.Value(key{}).(string)
				return context.WithValue(ctx, key{}, v+"+"+r.String())
			}))
		if err := w.sendWith(context.WithValue(bg, key{}, "program")); err != nil {
			t.Error(err)
		}
		want := "a sent POST,b sent POST,a done POST,b done POST"
		if got := strings.Join(seen, ","); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	})
	if _, err := New(ClientParams{}, WithCallContext(nil)); err == nil {
		t.Error("WithCallContext(nil): expected an error")
	}
}
