package pacer

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var eventKinds = []EventKind{EventWaited, EventSent, EventThrottled, EventRetrying, EventGaveUp, EventDone}

// A counting limiter knows how many requests have its leave to be on the wire.
type counting struct {
	Limiter
	out atomic.Int64
}

func (l *counting) Acquire(ctx context.Context, r Resource) (func(Outcome), error) {
	done, err := l.Limiter.Acquire(ctx, r)
	if err != nil {
		return nil, err
	}
	l.out.Add(1)
	return func(o Outcome) { l.out.Add(-1); done(o) }, nil
}

type handler func(slog.Record)

func (h handler) Enabled(context.Context, slog.Level) bool      { return true }
func (h handler) Handle(_ context.Context, r slog.Record) error { h(r); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler            { return h }
func (h handler) WithGroup(string) slog.Handler                 { return h }
func turnSend(ctx context.Context, c *Client, r SentRequest) error {
	turn, err := c.Turn(ctx, from(sender))
	if err != nil {
		return err
	}
	defer turn.Drop()
	resp, err := turn.Send(ctx, r)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return err
}

// doors are the ways in which a request leaves through a client.
var doors = map[string]func(context.Context, *Client) error{
	"call":      func(ctx context.Context, c *Client) error { return createOn(c.WithContext(ctx), sender) },
	"Turn.Send": func(ctx context.Context, c *Client) error { return turnSend(ctx, c, sentRequest(sender)) },
}

// Nobody hears of a request that still has its permit: not observers, not the logger, not who
// gets alerts. One request after another is accepted, throttled, given up and cut.
func TestLimiterIsToldBeforeAnybodyElse(t *testing.T) {
	for name, send := range doors {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &counting{Limiter: newLimiter(t, Limit{Resource: "*", Rate: 10})}
				heard := map[EventKind]int{}
				check := func(what string) {
					if n := l.out.Load(); n != 0 {
						t.Errorf("%s while %d requests have a permit", what, n)
					}
				}
				w := newWorld(t, func(n int, r *http.Request) *http.Response {
					switch {
					case n%7 == 3:
						return nil
					case n > 20 && n < 30, n%5 == 0:
						return respond(429, throttleBody)
					}
					return ok201(n, r)
				}, withoutLimits(l), WithMaxRetries(2), WithThrottledAlert(0.01, 2),
					WithObserver(func(_ context.Context, e Event) { heard[e.Kind]++; check("observer: " + string(e.Kind)) }),
					WithAlert(func(a Alert) { check("alert: " + string(a.Kind)) }),
					WithLogger(slog.New(handler(func(r slog.Record) { check("logger: " + r.Message) }))))
				for range 40 {
					_ = send(bg, w.c)
				}
				for _, kind := range eventKinds {
					once := kind == EventRetrying || kind == EventGaveUp // not of a Turn
					if heard[kind] == 0 && !(once && name == "Turn.Send") {
						t.Errorf("no event %q, the test shows nothing", kind)
					}
				}
			})
		})
	}
}

// An observer sends through the same client, which has one permit. It is configured, or
// learned from a server that takes one request at a time.
func TestObserverMaySendThroughTheSameClient(t *testing.T) {
	for name, send := range doors {
		for _, learned := range []bool{false, true} {
			for _, kind := range eventKinds {
				t.Run(name+"/"+map[bool]string{false: "configured", true: "learned"}[learned]+"/"+string(kind), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var c *Client
						var now, busy atomic.Bool
						var inFlight atomic.Int64
						told := 0
						limit := Limit{Resource: "*", Rate: 100, MaxInFlight: 1}
						if learned {
							limit.MaxInFlight = 0
						}
						w := newWorld(t, func(n int, r *http.Request) *http.Response {
							defer inFlight.Add(-1)
							many := inFlight.Add(1) > 1
							time.Sleep(50 * time.Millisecond)
							if many || now.Load() && !busy.Load() {
								return respond(429, throttleBody, "Retry-After", "1")
							}
							return ok201(n, r)
						}, WithLimits(Limits{limit}), WithMaxRetries(1), quiet,
							WithObserver(func(ctx context.Context, e Event) {
								if !now.Load() || e.Kind != kind || !busy.CompareAndSwap(false, true) {
									return
								}
								defer busy.Store(false)
								told++
								ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
								defer cancel()
								if err := createOn(c.WithContext(ctx), sender2); err != nil {
									t.Errorf("sent by the observer: %v", err)
								}
							}))
						c = w.c
						if learned {
							var callers sync.WaitGroup
							for i := range 4 {
								callers.Go(func() {
									for range 100 { // until the probes between 1 and what was too much have ended
										_ = createOn(c.WithContext(bg), []string{sender, sender2}[i%2])
									}
								})
							}
							callers.Wait()
							time.Sleep(10 * time.Minute) // a throttled answer after this closes the bucket again
							if got := c.Stats().Accounts[0].Learned; got != 1 {
								t.Fatalf("learned %d in flight, expected 1", got)
							}
						}
						now.Store(true)
						_ = send(bg, c)
						_ = send(bg, c) // it waits for the cool-down
						if name == "Turn.Send" && (kind == EventRetrying || kind == EventGaveUp) {
							return // a Turn has no such event
						}
						if told == 0 {
							t.Errorf("no event %q", kind)
						}
					})
				})
			}
		}
	}
}

// The functions of WithCallContext run while a Turn is held. One that sends through the same
// client, or blocks, keeps its permit for a moment only.
func TestCallContextOfATurnKeepsNoPermit(t *testing.T) {
	for name, f := range map[string]func(context.Context, *Client){
		"sends":  func(ctx context.Context, c *Client) { _ = createOn(c.WithContext(ctx), sender2) },
		"blocks": func(context.Context, *Client) { time.Sleep(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *Client
				var once atomic.Bool
				w := newWorld(t, ok201, WithLimits(Limits{{Resource: "*", Rate: 100, MaxInFlight: 1}}),
					WithCallContext(func(ctx context.Context, _ Resource) context.Context {
						if once.CompareAndSwap(false, true) {
							f(ctx, c)
						}
						return ctx
					}))
				c = w.c
				ended := make(chan error, 1)
				go func() { ended <- turnSend(bg, c, sentRequest(sender)) }()
				synctest.Wait()
				start := time.Now()
				if err := w.send(); err != nil || time.Since(start) > time.Second {
					t.Errorf("another call: %v after %v", err, time.Since(start))
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if s := c.Stats(); s.Accounts[0].InFlight != 0 {
					t.Errorf("permits are kept: %+v", s.Accounts)
				}
			})
		})
	}
}

// A function of the program's that ends its goroutine, as t.FailNow does, or panics, gives
// the permit back: afterwards all permits are free.
func TestFunctionThatEndsItsGoroutineKeepsNoPermit(t *testing.T) {
	for how, end := range map[string]func(){"panic": func() { panic("x") }, "goexit": runtime.Goexit} {
		for name, send := range doors {
			for _, at := range append([]EventKind{"call context", "transport"}, eventKinds...) {
				t.Run(how+"/"+name+"/"+string(at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var on atomic.Bool
						ending := func(here EventKind) {
							if on.Load() && here == at {
								end()
							}
						}
						w := newWorld(t, func(n int, r *http.Request) *http.Response {
							ending("transport")
							if on.Load() {
								return respond(429, throttleBody, "Retry-After", "1")
							}
							return ok201(n, r)
						}, WithLimits(Limits{{Resource: "*", Rate: 1, MaxInFlight: 2}}), WithMaxRetries(1), quiet, (&safeLog{}).option(), WithLearning(false),
							WithObserver(func(_ context.Context, e Event) { ending(e.Kind) }),
							WithCallContext(func(ctx context.Context, _ Resource) context.Context { ending("call context"); return ctx }))
						_ = send(bg, w.c)
						on.Store(true)
						var wg sync.WaitGroup
						for range 4 {
							wg.Go(func() {
								defer func() { _ = recover() }()
								ctx, cancel := context.WithTimeout(bg, time.Minute)
								defer cancel()
								_ = send(ctx, w.c)
							})
						}
						wg.Wait()
						on.Store(false)
						time.Sleep(time.Minute)
						ctx, cancel := context.WithTimeout(bg, time.Minute)
						defer cancel()
						for range 3 {
							if err := send(ctx, w.c); err != nil {
								t.Fatal(err)
							}
						}
						s := w.c.Stats()
						if s.InFlight != 0 || s.Waiting != 0 || s.Buckets[0].InFlight != 0 || s.Accounts[0].InFlight != 0 {
							t.Errorf("something is kept: %+v", s)
						}
					})
				})
			}
		}
	}
}

// 300 wait at 100/s. From the second second on requests are throttled for a while. An observer
// takes half a second for what it does; meanwhile the bucket must not go on.
func TestSlowObserverDelaysNoCoolDown(t *testing.T) {
	for _, kind := range []EventKind{"", EventWaited, EventSent, EventThrottled} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var throttled atomic.Int64
				start := time.Now()
				w := newWorld(t, func(n int, r *http.Request) *http.Response {
					if at := time.Since(start); at > time.Second && at < 10*time.Second {
						throttled.Add(1)
						return respond(429, throttleBody, "Retry-After", "9")
					}
					return ok201(n, r)
				}, WithLimits(Limits{{Resource: Messages, Rate: 100}}), quiet, WithObserver(func(_ context.Context, e Event) {
					if e.Kind == kind {
						time.Sleep(500 * time.Millisecond)
					}
				}))
				if errs := w.sendAll(300); errs != nil {
					t.Error(errs)
				}
				if n := throttled.Load(); n != 1 {
					t.Errorf("%d requests throttled in one event, expected the 1 that began the cool-down", n)
				}
			})
		})
	}
}

// Observers are told of a wait after the attempt; its event says when the wait ended.
func TestWaitedIsDatedWhenTheTurnCame(t *testing.T) {
	for name, send := range doors {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events []Event
				w := newWorld(t, func(n int, r *http.Request) *http.Response {
					time.Sleep(300 * time.Millisecond)
					return ok201(n, r)
				}, WithLimits(Limits{{Resource: Messages, Rate: 1}}), WithObserver(func(_ context.Context, e Event) { events = append(events, e) }))
				for range 2 {
					if err := send(bg, w.c); err != nil {
						t.Fatal(err)
					}
				}
				if len(events) != 5 {
					t.Fatalf("events: %+v", events)
				}
				e := events[2]
				if e.Kind != EventWaited || e.Time.Sub(w.start) != 1300*time.Millisecond || e.Wait != time.Second || e.Attempt != 0 {
					t.Errorf("waited: %+v", e)
				}
			})
		})
	}
}
