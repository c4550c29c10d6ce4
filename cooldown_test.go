package pacer

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// One number is throttled again and again without Retry-After, the others never. Its call
// waits 1, 2, 4, 8 and 16 s; the bucket pauses for a second each time.
func TestStepOfOneCallDoesNotHoldItsBucket(t *testing.T) {
	for _, rate := range []int{20, 1} {
		t.Run(fmt.Sprintf("%d a second", rate), func(t *testing.T) {
			withAndWithoutLearning(t, func(t *testing.T, learning Option) {
				synctest.Test(t, func(t *testing.T) {
					n := newNumbered(t, func(number, before int) *http.Response {
						if number == 0 && before < 5 {
							return respond(429, throttleBody)
						}
						return ok201(1, nil)
					}, learning, WithLimits(Limits{{Resource: Messages, Rate: float64(rate)}}))
					const seconds = 50
					n.all(bg, t, rate*seconds)
					token := time.Second / time.Duration(rate)
					at := n.sent[0]
					for i := 1; i < len(at); i++ {
						if wait, want := at[i]-at[i-1], time.Second<<(i-1); wait < want || wait > want+token {
							t.Errorf("its %d. wait took %v, expected %v", i, wait, want)
						}
					}
					// Five more are sent than are accepted, and each of them costs a second.
					if took, most := time.Since(n.start), 51*time.Second+5*(time.Second+token); took > most {
						t.Errorf("all together took %v, expected %v at most", took, most)
					}
				})
			})
		})
	}
}

// Where nothing is accepted the bucket pauses for 1, 2, 4, 8 and 16 s, as its call does.
func TestBucketThrottledInARowKeepsStillForLonger(t *testing.T) {
	withAndWithoutLearning(t, func(t *testing.T, learning Option) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, always(throttle()), quiet, learning, WithLimits(Limits{{Resource: Messages, Rate: 20}}))
			go func() { _ = w.send() }()
			time.Sleep(time.Minute)
			open := w.times()
			for i, want := range []time.Duration{0, 1, 3, 7, 15, 31} {
				if len(open) != 6 || open[i] != want*time.Second {
					t.Fatalf("sent at %v", open)
				}
			}
		})
	})
}

// Every other request is throttled, without Retry-After. Half of the requests would pass.
// Each throttle takes a second of the bucket, and not the 16 s of a call that has had five.
func TestAlternatingThrottlesDoNotCloseTheBucket(t *testing.T) {
	withAndWithoutLearning(t, func(t *testing.T, learning Option) {
		synctest.Test(t, func(t *testing.T) {
			var sent atomic.Int64
			w := newWorld(t, func(_ int, r *http.Request) *http.Response {
				time.Sleep(100 * time.Millisecond)
				if sent.Add(1)%2 == 0 {
					return respond(429, throttleBody)
				}
				return ok201(1, r)
			}, quiet, learning, WithLimits(Limits{{Resource: Messages, Rate: 20}}))
			var accepted atomic.Int64
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range 60 {
				wg.Go(func() {
					for !stop.Load() {
						if w.send() == nil {
							accepted.Add(1)
						}
					}
				})
			}
			time.Sleep(time.Duration(unlessShort(5, 2)) * time.Minute)
			before := accepted.Load()
			time.Sleep(time.Minute)
			perMinute := accepted.Load() - before
			stop.Store(true)
			wg.Wait()
			if perMinute < 45 { // one for each throttle, which costs a second and the time on the wire
				t.Errorf("%d accepted in the last minute (%.1f %% of the limit), expected 45 or more", perMinute, float64(perMinute)/12)
			}
		})
	})
}

// Where all senders of an account are refused, and no answer says for how long, each pauses for up to 16 s. Once one is
// accepted the others try as well.
func TestOutageOfAnAccountIsOverForAllItsSenders(t *testing.T) {
	for _, tc := range []struct {
		name     string
		outcome  Outcome
		earliest time.Duration // that the second sender is accepted, after the first
		latest   time.Duration
	}{
		{"without Retry-After", Outcome{Throttled: true, RetryAfter: time.Second, Step: true}, 0, time.Second},
		{"with Retry-After", Outcome{Throttled: true, RetryAfter: 16 * time.Second}, 4 * time.Second, 6 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, start := newLimiter(t), time.Now()
				accepted := make([]time.Duration, 2)
				var wg sync.WaitGroup
				for i := range accepted {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * 5 * time.Second)
						on := newLane(l, unlisted+strconv.Itoa(i))
						for accepted[i] == 0 {
							done, err := on.enter(bg)
							if err != nil {
								t.Error(err)
								return
							}
							if time.Since(start) < time.Minute {
								done(tc.outcome)
								time.Sleep(10 * time.Millisecond)
							} else {
								accepted[i] = time.Since(start)
								done(Outcome{})
							}
						}
					})
				}
				wg.Wait()
				if d := accepted[1] - accepted[0]; d < tc.earliest || d > tc.latest {
					t.Errorf("the second sender was accepted %v after the first, expected %v to %v", d, tc.earliest, tc.latest)
				}
			})
		})
	}
}

// One request at a time asks whether an outage is over, each time one of another call. So no call uses up its retries, as the
// first two in the line would if they asked by turns.
func TestNoCallIsGivenUpInAnOutageWhileOthersCouldAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if time.Since(start) < 40*time.Second {
				return throttle("Retry-After", "1")(n, r)
			}
			return ok201(n, r)
		}, quiet)
		var wg sync.WaitGroup
		for range 25 {
			wg.Go(func() {
				if err := w.send(); err != nil {
					t.Errorf("a call was given up: %v", err)
				}
			})
			time.Sleep(time.Millisecond) // each has a place of its own
		}
		wg.Wait()
	})
}

// What is left of a cool-down after the time that was too long to wait for is an ordinary wait.
func TestCallsAreRefusedUntilTheTimeThatWasTooLong(t *testing.T) {
	start := time.Now()
	var c cooldown
	c.begin(Outcome{RetryAfter: 2 * time.Second, TooLong: true}, start)
	c.begin(Outcome{RetryAfter: 3 * time.Second}, start)
	for after, want := range map[time.Duration]bool{0: true, 1900 * time.Millisecond: true, 2 * time.Second: false, 2900 * time.Millisecond: false} {
		now := start.Add(after)
		if c.refuses(now) != want || c.remaining(now) <= 0 {
			t.Errorf("%v after the answer: calls are refused: %v, expected %v; the bucket is closed for %v more", after, c.refuses(now), want, c.remaining(now))
		}
	}
}

// Who knows that Twilio accepts requests again need not wait for what it has asked for.
func TestEndCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if n == 1 {
				return respond(429, throttleBody, "Retry-After", "100")
			}
			return respond(201, createdBody)
		}, quiet)
		first := make(chan error, 1)
		go func() { first <- w.send() }()
		time.Sleep(time.Second)
		second := make(chan error, 1)
		go func() { second <- w.send() }()
		time.Sleep(9 * time.Second)
		r := w.c.Stats().Buckets[0].Resource
		w.c.EndCoolDown(Resource{Account: r.Account}) // of no bucket
		if len(w.times()) != 1 {
			t.Error("another bucket's cool-down was ended")
		}
		w.c.EndCoolDown(r)
		if err := <-second; err != nil || time.Since(w.start) > 11*time.Second {
			t.Errorf("%v after %v: expected it to leave when the cool-down was ended, after 10 s", err, time.Since(w.start))
		}
		if left := w.c.Stats().Buckets[0].CoolDown; left != 0 {
			t.Errorf("%v are left", left)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}
