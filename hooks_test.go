package pacer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A safeLog is where a test's logger writes.
type safeLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *safeLog) option() Option { return WithLogger(slog.New(slog.NewTextHandler(l, nil))) }

// intoDefaultLog sends what goes to slog.Default to a log of the test's.
func intoDefaultLog(t *testing.T) *safeLog {
	l, before := &safeLog{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(l, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return l
}

func TestPanicOfTheProgramsFunctionCostsTheCallNothing(t *testing.T) {
	throttledOnce := first(1, throttle("Retry-After", "1"))
	for name, opt := range map[string]Option{
		"WithObserver": WithObserver(func(_ context.Context, e Event) { panic("no " + sender + " at " + string(e.Kind)) }),
		"WithCallContext": WithCallContext(func(context.Context, Resource) context.Context {
			panic(fmt.Errorf("no %s", sender))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safeLog
				w := newWorld(t, throttledOnce, opt, log.option(), WithLimits(Limits{{Resource: "*", Rate: 1, MaxInFlight: 1}}))
				for range 3 {
					if err := w.send(); err != nil {
						t.Fatal(err)
					}
				}
				if s := w.c.Stats(); s.InFlight != 0 || s.Buckets[0].InFlight != 0 {
					t.Errorf("a permit is lost: %+v", s)
				}
				for _, want := range []string{"level=ERROR", "function=" + name, "no +1500•••0006", "hooks_test.go"} {
					if !strings.Contains(log.String(), want) {
						t.Errorf("the log has no %q: %s", want, log.String())
					}
				}
				if strings.Contains(log.String(), sender) {
					t.Errorf("phone number in the log: %s", log.String())
				}
			})
		})
	}
}

func TestPanicOfATurnsCallContextKeepsNoPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201, (&safeLog{}).option(), WithLimits(Limits{{Resource: "*", Rate: 1, MaxInFlight: 1}}),
			WithCallContext(func(context.Context, Resource) context.Context { panic("x") }))
		for range 2 {
			turn, err := w.c.Turn(bg, from(sender))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := turn.Send(bg, SentRequest{Method: http.MethodPost, URL: "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json"}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCallContextThatReturnsNilChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var seen any
		w := newWorld(t, ok201,
			WithCallContext(func(ctx context.Context, _ Resource) context.Context { return context.WithValue(ctx, key{}, "first") }),
			WithCallContext(func(context.Context, Resource) context.Context { return nil }),
			WithObserver(func(ctx context.Context, _ Event) { seen = ctx.Value(key{}) }))
		if err := w.send(); err != nil || seen != "first" {
			t.Errorf("%v, the observer's context has %v", err, seen)
		}
	})
}

// The value of a panic may hold anything, so that only texts are shown.
func TestPanicTextShowsNoValues(t *testing.T) {
	for want, p := range map[string]any{
		"a value of type pacer.Resource":                from(sender),
		"to whatsapp:+1500•••0006, 15005•••0006 and 12": "to whatsapp:+15005550006, 15005550006 and 12",
		"sid SM0123456789abcdef0123456789abcdef":        "sid SM0123456789abcdef0123456789abcdef",
		"x: +1 50•••0006":                               fmt.Errorf("x: %w", fmt.Errorf("+1 500 555-0006")),
	} {
		if got := panicText(p); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}

// A throttled call without a retry raises an alert each.
func alerting(t *testing.T, opts ...Option) *world {
	return newWorld(t, throttle("Retry-After", "0.001"), append([]Option{WithMaxRetries(0), WithThrottledAlert(0, 1)}, opts...)...)
}

func TestAlertFunctionThatBlocksHoldsUpNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := intoDefaultLog(t)
		var slow, quick []string
		w := alerting(t,
			WithAlert(func(a Alert) { time.Sleep(time.Hour); slow = append(slow, a.Time.String()) }),
			WithAlert(func(a Alert) { quick = append(quick, a.Time.String()) }))
		const n = maxAlertsWaiting + 11
		start := time.Now()
		for i := range n {
			_ = w.send()
			if len(quick) != i+1 {
				t.Fatalf("another function has %d alerts after %d calls", len(quick), i+1)
			}
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start) - n*time.Millisecond; took > alertPatience {
			t.Errorf("%d calls waited %v for the function, expected 10 ms once", n, took)
		}
		// One is being delivered, 1,000 wait, 10 are too many.
		if s := w.c.Stats(); s.UndeliveredAlerts != 10 || s.Alerts[AlertRetriesExhausted] != n {
			t.Errorf("%d undelivered of %v", s.UndeliveredAlerts, s.Alerts)
		}
		if got := strings.Count(log.String(), "retries exhausted"); got != 10 {
			t.Errorf("%d alerts in the log, expected the 10 that were not delivered", got)
		}
		time.Sleep((maxAlertsWaiting + 2) * time.Hour)
		synctest.Wait()
		if len(slow) != n-10 || !slices.Equal(slow, quick[:n-10]) {
			t.Errorf("%d alerts delivered, expected %d, in order", len(slow), n-10)
		}
		// It has caught up: a call waits for it again, for a moment.
		_ = w.send()
		time.Sleep(time.Hour + 1)
		synctest.Wait()
		if len(slow) != n-9 {
			t.Errorf("after it has caught up: %d", len(slow))
		}
	})
}

func TestAlertFunctionThatPanicsOrExits(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("no pager") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := intoDefaultLog(t)
				n := 0
				w := alerting(t, WithAlert(func(Alert) {
					if n++; n <= 2 {
						end()
					}
				}))
				for range 4 {
					if wantTwilioError(t, w.send(), 429, 20429); t.Failed() {
						return
					}
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if n != 4 {
					t.Errorf("the function was called %d times of 4", n)
				}
				text := log.String()
				if got := strings.Count(text, "retries exhausted"); got != 2 {
					t.Errorf("%d alerts in the log, expected the 2 that the function did not take: %s", got, text)
				}
				if panics := strings.Count(text, "function=WithAlert"); name == "panic" && (panics != 2 || !strings.Contains(text, "no pager") || !strings.Contains(text, "hooks_test.go")) {
					t.Errorf("%d panics in the log with their stack, expected 2: %s", panics, text)
				}
			})
		})
	}
}

// The alert is told to people by a message through the same client, which has one permit.
func TestAlertFunctionMaySendThroughTheSameClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Client
		var errs []error
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if n%10 == 0 {
				return throttle()(n, r)
			}
			return ok201(n, r)
		}, WithLimits(Limits{{Resource: Messages, Rate: 100, MaxInFlight: 1}}), WithLearning(false), WithAlert(func(Alert) {
			ctx, cancel := context.WithTimeout(bg, time.Hour)
			defer cancel()
			errs = append(errs, createOn(c.WithContext(ctx), sender))
		}))
		c = w.c
		for range 200 {
			if err := w.send(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(errs) != 1 || errs[0] != nil {
			t.Errorf("messages of the alert function: %v, expected one, sent", errs)
		}
		if took := time.Since(w.start); took > 2*time.Hour {
			t.Errorf("the calls took %v", took)
		}
	})
}

func TestBlockedAlertFunctionDoesNotStopTheWatchOfALimitsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "limits.json")
		write(t, path, fast)
		w := newWorld(t, ok201, WithAlert(func(Alert) { time.Sleep(time.Hour) }))
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		try(t, w.c.WatchLimits(ctx, path))
		try(t, os.Remove(path))
		time.Sleep(5 * time.Second)
		write(t, path, slow)
		time.Sleep(5 * time.Second)
		if got := w.c.Limits(); len(got) != 1 || got[0].Rate != 0.01 {
			t.Errorf("limits in force: %+v", got)
		}
		cancel()
		time.Sleep(2 * time.Hour)
	})
}

// No goroutine is left when no alert waits: synctest fails a test that leaves one blocked.
func TestAlertsLeaveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		w := alerting(t, WithAlert(func(Alert) { time.Sleep(time.Minute) }))
		_ = w.send()
		time.Sleep(time.Hour)
		synctest.Wait()
		w.c.cfg.alerts[0].mu.Lock()
		running := w.c.cfg.alerts[0].running
		w.c.cfg.alerts[0].mu.Unlock()
		if after := runtime.NumGoroutine(); running || after > before+1 { // the limiter's sweep may run just now
			t.Errorf("%d goroutines, %d before; delivering: %v", after, before, running)
		}
	})
}
