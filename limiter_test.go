package pacer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// A lane is one bucket of a limiter, and records when requests leave it.
type lane struct {
	l     *BucketLimiter
	r     Resource
	start time.Time
	mu    sync.Mutex
	left  []time.Duration
}

func newLimiter(t testing.TB, limits ...Limit) *BucketLimiter {
	l, err := NewLimiter(limits)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func from(sender string) Resource {
	return Resource{account, "us1", "api", Messages, Create, sender}
}

func newLane(l *BucketLimiter, sender string) *lane {
	return &lane{l: l, r: from(sender), start: time.Now()}
}

// pass lets one request through and ends it at once.
func (l *lane) pass(ctx context.Context) error {
	done, err := l.enter(ctx)
	if err == nil {
		done(Outcome{})
	}
	return err
}

func (l *lane) enter(ctx context.Context) (func(Outcome), error) {
	done, err := l.l.Acquire(ctx, l.r)
	if err == nil {
		l.mu.Lock()
		l.left = append(l.left, time.Since(l.start))
		l.mu.Unlock()
	}
	return done, err
}

// throttle has one request throttled, without a wait of its own.
func (l *lane) throttle(retryAfter time.Duration) {
	l.l.mu.Lock()
	defer l.l.mu.Unlock()
	now, o := time.Now(), Outcome{Throttled: true, RetryAfter: retryAfter}
	b := l.l.bucket(l.r, now)
	b.throttled(departure{left: now, inFlight: 1}, o, now)
	b.adapt(now)
}

func every(d time.Duration, n int, from time.Duration) []time.Duration {
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = from + time.Duration(i)*d
	}
	return at
}

var bg = context.Background()

const sender, sender2 = "+15005550006", "+15005550007"

// 64 waiting, 10 a second: exactly one each 100 ms, in the order in which they came.
func TestBucketPacesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 10}), sender)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				if err := lane.pass(bg); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
			synctest.Wait()
		}
		wg.Wait()
		if want := every(100*time.Millisecond, 64, 0); !slices.Equal(lane.left, want) {
			t.Errorf("left at %v", lane.left)
		}
		if !slices.IsSorted(order) {
			t.Errorf("order %v", order)
		}
	})
}

// A cool-down holds all who wait in its bucket and none in another. When it ends they leave
// one by one, also with a burst, which must not have filled up meanwhile.
// Source: https://github.com/gofri/go-github-ratelimit, where all leave at once.
func TestCoolDownHoldsItsBucketOnly(t *testing.T) {
	for _, burst := range []int{1, 20} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(t, Limit{Resource: Messages, Rate: 10, Burst: burst})
			l.SetLearning(false)
			a, b := newLane(l, sender), newLane(l, sender2)
			a.throttle(30 * time.Second)
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() { _ = a.pass(bg) })
				wg.Go(func() { _ = b.pass(bg) })
			}
			wg.Wait()
			if want := every(100*time.Millisecond, 64, 30*time.Second); !slices.Equal(a.left, want) {
				t.Errorf("burst %d: left the cooled bucket at %v", burst, a.left)
			}
			if last := b.left[63]; last != time.Duration(64-burst)*100*time.Millisecond {
				t.Errorf("burst %d: the other bucket was done at %v", burst, last)
			}
		})
	}
}

// The longest of several cool-downs counts, and one that begins while the head's token
// is due later still holds it.
func TestCoolDownReachesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 1}), sender)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _ = lane.pass(bg) })
		}
		time.Sleep(500 * time.Millisecond)
		lane.throttle(10 * time.Second)
		lane.throttle(2 * time.Second)
		wg.Wait()
		if want := []time.Duration{0, 10500 * time.Millisecond, 11500 * time.Millisecond}; !slices.Equal(lane.left, want) {
			t.Errorf("left at %v, expected %v", lane.left, want)
		}
	})
}

// A waiter that sleeps at one a minute feels new limits at once.
// Source: https://pkg.go.dev/golang.org/x/time/rate#Limiter.SetLimit, which waiters do not feel.
func TestSetLimitsWakesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: 1.0 / 60})
		lane := newLane(l, sender)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = lane.pass(bg) })
		}
		time.Sleep(3 * time.Second)
		if err := l.SetLimits(Limits{{Resource: Messages, Rate: 10}}); err != nil {
			t.Error(err)
		}
		wg.Wait()
		// 3 s at one a minute are a twentieth of a token; the rest takes 95 ms.
		want := append([]time.Duration{0}, every(100*time.Millisecond, 3, 3095*time.Millisecond)...)
		if !slices.Equal(lane.left, want) {
			t.Errorf("left at %v, expected %v", lane.left, want)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the other way round: slower, also for those who wait
		l := newLimiter(t, Limit{Resource: Messages, Rate: 10})
		lane := newLane(l, sender)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _ = lane.pass(bg) })
		}
		time.Sleep(150 * time.Millisecond)
		if err := l.SetLimits(Limits{{Resource: Messages, Rate: 1}}); err != nil {
			t.Error(err)
		}
		wg.Wait()
		for i := 3; i < 5; i++ {
			if gap := lane.left[i] - lane.left[i-1]; gap != time.Second {
				t.Errorf("left at %v, expected a second apart", lane.left)
			}
		}
	})
}

// Cancelled waiters cost no token. 1,200 come at 40 a second and give up after 2 s at most
// where 10 a second can leave. The others get every token there is.
// Source: https://github.com/grafana/rollout-operator/issues/441.
func TestCancelledWaitersCostNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 10}), sender)
		var wg sync.WaitGroup
		var cancelled atomic.Int32
		for i := range 1200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 25 * time.Millisecond)
				ctx, cancel := context.WithCancel(bg)
				defer time.AfterFunc(2*time.Second, cancel).Stop()
				if lane.pass(ctx) != nil {
					cancelled.Add(1)
				}
			})
		}
		wg.Wait()
		if len(lane.left) < 319 || !slices.Equal(lane.left, every(100*time.Millisecond, len(lane.left), 0)) {
			t.Errorf("%d left (possible 320), %d cancelled; at %v", len(lane.left), cancelled.Load(), lane.left)
		}
	})
}

// 1,500 wait at once and 1,180 of them are cancelled, the heads first: the other 320
// leave one each 100 ms, without a gap.
func TestCancelledHeadsCostNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 10}), sender)
		if err := lane.pass(bg); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(bg)
		var wg sync.WaitGroup
		var kept, cancelled atomic.Int32
		for i := range 1500 {
			ctx := ctx
			if i >= 1180 {
				ctx = bg
			}
			wg.Go(func() {
				if lane.pass(ctx) == nil {
					kept.Add(1)
				} else {
					cancelled.Add(1)
				}
			})
			synctest.Wait()
		}
		time.Sleep(50 * time.Millisecond)
		cancel()
		wg.Wait()
		if kept.Load() != 320 || cancelled.Load() != 1180 || !slices.Equal(lane.left, every(100*time.Millisecond, 321, 0)) {
			t.Errorf("%d left, %d cancelled, at %v", kept.Load(), cancelled.Load(), lane.left)
		}
	})
}

// A wait that cannot end in time is refused at once, with a typed error that is
// DeadlineExceeded too, and costs those who come after nothing.
// Source: https://go.dev/issue/54541.
func TestWaitThatIsTooLongIsRefusedUpFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 1}), sender)
		var wg sync.WaitGroup
		for range 4 { // leave at 0, 1, 2, 3 s
			wg.Go(func() { _ = lane.pass(bg) })
			synctest.Wait()
		}
		for timeout, ok := range map[time.Duration]bool{100 * time.Millisecond: false, 3900 * time.Millisecond: false, 4100 * time.Millisecond: true} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(bg, timeout)
				defer cancel()
				err := lane.pass(ctx)
				if ok != (err == nil) {
					t.Errorf("deadline in %v: %v", timeout, err)
				}
				if !ok {
					if time.Since(lane.start) != 0 {
						t.Errorf("deadline in %v: refused after %v", timeout, time.Since(lane.start))
					}
					wantWaitError(t, err, context.DeadlineExceeded)
					wantWaitError(t, err, ErrWaitTooLong)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if want := seconds(0, 1, 2, 3, 4); !slices.Equal(lane.left, want) {
			t.Errorf("left at %v", lane.left)
		}
	})
	synctest.Test(t, func(t *testing.T) { // waiting already when a cool-down outlasts the deadline
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 1}), sender)
		if err := lane.pass(bg); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(bg, 10*time.Second)
		defer cancel()
		time.AfterFunc(500*time.Millisecond, func() { lane.throttle(time.Minute) })
		wantWaitError(t, lane.pass(ctx), context.DeadlineExceeded)
		if d := time.Since(lane.start); d != 500*time.Millisecond {
			t.Errorf("refused after %v, expected 500 ms", d)
		}
	})
}

// A queue that is longer than a Duration can say is still refused.
func TestRefusalDoesNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 1e-6}), sender)
		ctx, cancel := context.WithCancel(bg)
		var wg sync.WaitGroup
		for range 12_000 { // 12,000 million seconds: 380 years
			wg.Go(func() { _ = lane.pass(ctx) })
		}
		synctest.Wait()
		timed, cancel2 := context.WithTimeout(bg, time.Hour)
		defer cancel2()
		wantWaitError(t, lane.pass(timed), ErrWaitTooLong)
		if d := time.Since(lane.start); d != 0 {
			t.Errorf("refused after %v", d)
		}
		cancel()
		wg.Wait()
	})
}

// In-flight limits: per sender, per resource, per account; and a token that is due
// while no permit is free is not lost.
func TestMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: Unlimited, MaxInFlight: 3}, Limit{Resource: "*", MaxInFlight: 5}, Limit{Resource: Messages, Sender: sender, MaxInFlight: 2})
		var mu sync.Mutex
		now, most := map[string]int{}, map[string]int{}
		count := func(d int, keys ...string) {
			mu.Lock()
			defer mu.Unlock()
			for _, k := range keys {
				now[k] += d
				most[k] = max(most[k], now[k])
			}
		}
		var wg sync.WaitGroup
		for i := range 60 {
			r := []Resource{from(sender), from(sender2), {account, "us1", "api", "Recordings", Read, ""}}[i%3]
			keys := []string{"all", r.Name, r.Name + r.Sender}
			wg.Go(func() {
				done, err := l.Acquire(bg, r)
				if err != nil {
					t.Error(err)
					return
				}
				count(1, keys...)
				time.Sleep(100 * time.Millisecond)
				count(-1, keys...)
				done(Outcome{})
			})
		}
		wg.Wait()
		want := map[string]int{"all": 5, "Messages": 3, "Messages" + sender: 2}
		for k, n := range want {
			if most[k] != n {
				t.Errorf("%s: %d in flight, expected %d", k, most[k], n)
			}
		}
	})
}

func TestPermitFreedLetsNextGoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 10, MaxInFlight: 1}), sender)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				done, _ := lane.enter(bg)
				time.Sleep(350 * time.Millisecond)
				done(Outcome{})
			})
		}
		wg.Wait()
		if want := every(350*time.Millisecond, 4, 0); !slices.Equal(lane.left, want) {
			t.Errorf("left at %v, expected %v", lane.left, want)
		}
	})
}

// A bucket that cools down must not keep others from the account's permits, and a
// cancelled waiter at a gate hands its place on.
func TestGateIsNotBlockedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: Unlimited}, Limit{Resource: "*", MaxInFlight: 1})
		a, b, c := newLane(l, sender), newLane(l, sender2), newLane(l, "+15005550008")
		done, _ := a.enter(bg) // takes the only permit
		ctx, cancel := context.WithCancel(bg)
		var wg sync.WaitGroup
		wg.Go(func() { _ = a.pass(bg) }) // queues at the gate, then cools down
		synctest.Wait()
		wg.Go(func() { _ = b.pass(ctx) }) // queues behind it, then is cancelled
		synctest.Wait()
		wg.Go(func() { _ = c.pass(bg) })
		synctest.Wait()
		time.Sleep(time.Second)
		cancel()
		done(Outcome{Throttled: true, RetryAfter: time.Hour})
		wg.Wait()
		if want := seconds(1); !slices.Equal(c.left, want) || len(b.left) != 0 {
			t.Errorf("c left at %v, b at %v", c.left, b.left)
		}
		if want := []time.Duration{0, time.Hour + time.Second}; !slices.Equal(a.left, want) {
			t.Errorf("a left at %v", a.left)
		}
	})
}

// SetLimits can put in-flight limits in place, and lift them, while requests fly.
func TestSetLimitsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unlimited := Limit{Resource: Messages, Rate: Unlimited}
		l := newLimiter(t, unlimited)
		lane := newLane(l, sender)
		var dones []func(Outcome)
		for range 3 {
			done, _ := lane.enter(bg)
			dones = append(dones, done)
		}
		_ = l.SetLimits(Limits{unlimited, {Resource: "*", MaxInFlight: 2}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = lane.pass(bg) })
		}
		synctest.Wait()
		dones[0](Outcome{})
		synctest.Wait()
		if len(lane.left) != 3 {
			t.Errorf("%d in flight with a limit of 2", len(lane.left))
		}
		_ = l.SetLimits(Limits{unlimited})
		wg.Wait()
		dones[1](Outcome{})
		dones[2](Outcome{})
	})
}

// A Retry-After that is too long to wait for closes the bucket: calls fail at once
// with the time that is left. After five minutes one is let through to ask again.
func TestTooLongRetryAfterClosesBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first(1, throttle("Retry-After", "3600")), quiet, WithLimits(Limits{{Resource: Messages, Rate: 10}}))
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() {
				err := w.send()
				wantTwilioError(t, err, 429, 20429)
				if rl, ok := FromError(err); !ok || rl.Kind != Throttled || rl.RetryAfter != time.Hour {
					t.Errorf("FromError: %+v", rl)
				}
			})
		}
		waiting.Wait() // also those who waited in the bucket already
		if time.Since(w.start) != 0 || len(w.times()) != 1 {
			t.Errorf("failed after %v, with %d attempts", time.Since(w.start), len(w.times()))
		}
		time.Sleep(time.Minute)
		if rl, _ := FromError(w.send()); rl.RetryAfter != 59*time.Minute || rl.Attempts != 0 {
			t.Errorf("a minute later: %+v", rl)
		}
		time.Sleep(4 * time.Minute)
		if err := w.send(); err != nil {
			t.Errorf("after five minutes: %v", err)
		}
	})
}

// What is not listed is not paced until it is throttled; from then on it is, at the
// rate that was accepted, so that a herd does not use up its retries.
func TestUnlistedResourceIsPacedAfterThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := &lane{l: newLimiter(t), r: Resource{account, "us1", "api", "Recordings", Read, ""}, start: time.Now()}
		for range 20 {
			if err := lane.pass(bg); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(lane.start); d != 0 {
			t.Errorf("paced before any throttle: %v", d)
		}
		lane.throttle(time.Second)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _ = lane.pass(bg) })
		}
		wg.Wait()
		// A first estimate: each interval is a 20th of a second divided by 2^seconds.
		want := time.Second
		for i, left := range lane.left[20:] {
			if i > 0 {
				want += time.Duration(float64(time.Second) / (20 * math.Exp2((lane.left[20+i-1] - time.Second).Seconds())))
			}
			if d := left - want; d.Abs() > 5*time.Millisecond {
				t.Errorf("request %d left at %v, expected %v", i, left, want)
			}
		}
	})
}

// There is no burst that refuses all, no rate that strands waiters, and no full burst to
// begin with unless one is asked for. Source: https://pkg.go.dev/golang.org/x/time/rate#Limit.
func TestBurstAndZeroRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 10, Burst: 0}), sender)
		for range 3 {
			_ = lane.pass(bg)
		}
		if want := every(100*time.Millisecond, 3, 0); !slices.Equal(lane.left, want) {
			t.Errorf("left at %v", lane.left)
		}
	})
	for _, l := range []Limit{{Resource: Messages}, {Resource: Messages, Rate: 1e-300}, {Resource: Messages, Rate: -1}} {
		if _, err := NewLimiter(Limits{l}); err == nil {
			t.Errorf("no error for %+v", l)
		}
	}
}

// For random schedules of arrivals, cancellations, priorities, limits and cool-downs no window
// of any length sees more than the rate allows in it and one burst. None leaves in a cool-down,
// whether the limiter learns or not. One that learns has a cool-down for the first throttled
// answer in a while; after it single ones are taken for noise.
// Source: https://go.dev/issue/56287.
func TestNeverMoreThanTheRate(t *testing.T) {
	for seed := range unlessShort[uint64](60, 15) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			burst := 1 + rnd.IntN(5)
			type step struct {
				from time.Duration
				rate float64
			}
			rates := []step{{0, 1 + rnd.Float64()*50}}
			l := newLimiter(t, Limit{Resource: Messages, Rate: rates[0].rate, Burst: burst})
			l.SetLearning(seed%2 == 0)
			lane := newLane(l, sender)
			var wg sync.WaitGroup
			for range 300 {
				delay := time.Duration(rnd.IntN(5000)) * time.Millisecond
				patience := time.Duration(1+rnd.IntN(4000)) * time.Millisecond
				kind, priority := rnd.IntN(3), Priority(rnd.IntN(3)-1)
				wg.Go(func() {
					time.Sleep(delay)
					ctx, cancel := context.WithCancel(WithPriority(bg, priority))
					switch kind {
					case 1:
						time.AfterFunc(patience, cancel)
					case 2:
						ctx, cancel = context.WithTimeout(ctx, patience)
					}
					defer cancel()
					_ = lane.pass(ctx)
				})
			}
			var holds [][2]time.Duration
			for range 4 {
				time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
				hold := time.Duration(rnd.IntN(700)) * time.Millisecond
				lane.throttle(hold)
				if len(holds) == 0 || seed%2 != 0 {
					holds = append(holds, [2]time.Duration{time.Since(lane.start), time.Since(lane.start) + hold})
				}
				rate := 1 + rnd.Float64()*50
				if rnd.IntN(2) == 0 { // the same again: what waits is moved, nothing else may change
					rate = rates[len(rates)-1].rate
				}
				rates = append(rates, step{time.Since(lane.start), rate})
				_ = l.SetLimits(Limits{{Resource: Messages, Rate: rate, Burst: burst}})
			}
			wg.Wait()
			allowed := func(from, to time.Duration) (n float64) {
				for i, s := range rates {
					end := to
					if i+1 < len(rates) {
						end = min(to, rates[i+1].from)
					}
					n += s.rate * max(0, end-max(from, s.from)).Seconds()
				}
				return n
			}
			for i := range lane.left {
				for _, h := range holds {
					if lane.left[i] > h[0] && lane.left[i] < h[1] {
						t.Errorf("seed %d: left at %v, in the cool-down %v", seed, lane.left[i], h)
					}
				}
				for j := i; j < len(lane.left); j++ {
					most := allowed(lane.left[i], lane.left[j]) + float64(burst)
					if n := float64(j - i + 1); n > most+1e-6 {
						t.Fatalf("seed %d: %v left from %v to %v, expected at most %.2f (burst %d, rates %v)", seed, n, lane.left[i], lane.left[j], most, burst, rates)
					}
				}
			}
		})
	}
}

// Reads, creates and other writes of one resource, and different senders, accounts and
// regions, do not wait for each other.
func TestBucketsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: "*", Rate: 1})
		start := time.Now()
		for _, r := range []Resource{
			from(sender), from(sender2),
			{account, "us1", "api", Messages, Read, ""}, {account, "us1", "api", Messages, Write, ""},
			{account, "ie1", "api", Messages, Read, ""}, {"ACother", "us1", "api", Messages, Read, ""},
			{account, "us1", "api", Calls, Create, ""}, {account, "us1", "lookups", "PhoneNumbers", Read, ""},
		} {
			if done, err := l.Acquire(bg, r); err != nil {
				t.Error(err)
			} else {
				done(Outcome{})
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// A bucket that is throttled time and again at its configured rate, and not at a little less, leaves
// more room for jitter. How much more is bounded in package spacing.
func TestThrottledBucketLeavesMoreRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: 20})
		lane := newLane(l, sender)
		b := l.bucket(lane.r, time.Now())
		before := b.spacing.Slack()
		lane.serve(30, 2*time.Minute, 19, 0, Outcome{})
		if got := b.spacing.Slack(); got <= before {
			t.Errorf("throttled at the configured rate: slack %v, was %v", got, before)
		}
	})
}

// Hidden from the herd: 200 callers on a loopback-like latency never exceed the rate
// less slack, and the slack is bounded to 2 %.
func TestSlackBoundsLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 20}), sender)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				done, _ := lane.enter(bg)
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				done(Outcome{})
			})
		}
		wg.Wait()
		if last := lane.left[199]; last < 199*50*time.Millisecond || last > 199*51*time.Millisecond {
			t.Errorf("the last left at %v", last)
		}
	})
}

// Buckets that are idle for a minute are dropped; those in a cool-down, in use, or not
// yet full again are kept.
func TestIdleBucketsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: 10}, Limit{Resource: Messages, Sender: "+1", Rate: 1.0 / 300})
		cooling, busy, slow := newLane(l, "+3"), newLane(l, "+2"), newLane(l, "+1")
		for i := range 10_000 {
			_ = newLane(l, fmt.Sprint(i)).pass(bg)
		}
		_ = slow.pass(bg)
		done, _ := busy.enter(bg)
		cooling.throttle(10 * time.Minute)
		count := func() (int, int) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.buckets), len(l.gates)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n, _ := count(); n != 3 {
			t.Errorf("%d buckets after two minutes, expected 3", n)
		}
		done(Outcome{})
		time.Sleep(6 * time.Minute)
		if n, _ := count(); n != 1 {
			t.Errorf("%d buckets after eight minutes, expected 1", n)
		}
		time.Sleep(6 * time.Minute)
		if n, gates := count(); n != 0 || gates != 0 || l.sweeper != nil {
			t.Errorf("%d buckets, %d gates, sweeper %v at the end", n, gates, l.sweeper)
		}
	})
}

// raceDetector is set where the race detector is on: memory tests then say nothing.
var raceDetector bool

// A million senders seen once leave no memory behind.
func TestMemoryOfMillionSenders(t *testing.T) {
	senders := 1_000_000
	if raceDetector || testing.Short() {
		senders = 20_000
	}
	l := newLimiter(t)
	before := heap()
	synctest.Test(t, func(t *testing.T) {
		for i := range senders {
			done, err := l.Acquire(bg, from(fmt.Sprintf("+1500%07d", i)))
			if err != nil {
				t.Fatal(err)
			}
			done(Outcome{})
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
	})
	if n := len(l.buckets); n != 0 {
		t.Errorf("%d buckets left", n)
	}
	left := heap() - before
	t.Logf("%d senders left %d bytes behind", senders, left)
	if left > 1<<20 && !raceDetector {
		t.Errorf("%d bytes left behind", left)
	}
	runtime.KeepAlive(l)
}

// 100,000 callers wait on one bucket for at most 1 KiB each beyond their goroutine,
// and when they are cancelled nothing is left.
func TestMemoryOfWaitingCalls(t *testing.T) {
	callers := 100_000
	if raceDetector || testing.Short() {
		callers = 2_000
	}
	synctest.Test(t, func(t *testing.T) {
		cost := func(wait func(ctx context.Context)) (heapUsed, stackUsed int64) {
			ctx, cancel := context.WithCancel(bg)
			heapBefore, stackBefore := heap(), stacks()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() { wait(ctx) })
			}
			synctest.Wait()
			heapUsed, stackUsed = heap()-heapBefore, stacks()-stackBefore
			cancel()
			wg.Wait()
			return heapUsed / int64(callers), stackUsed / int64(callers)
		}
		heap0, stack0 := cost(func(ctx context.Context) { <-ctx.Done() })
		l := newLimiter(t, Limit{Resource: Messages, Rate: 1e-6})
		lane := newLane(l, sender)
		_ = lane.pass(bg)
		heap1, stack1 := cost(func(ctx context.Context) { _ = lane.pass(ctx) })
		t.Logf("a waiting Acquire: %d B of heap beyond a goroutine's %d B; its stack: %d B, an idle goroutine's: %d B", heap1-heap0, heap0, stack1, stack0)
		if heap1-heap0 > 1024 && !raceDetector {
			t.Errorf("a waiting call takes %d bytes beyond its goroutine, expected at most 1024", heap1-heap0)
		}
		if n := l.buckets[lane.r].line.Len(); n != 0 {
			t.Errorf("%d still queue", n)
		}
	})
}

func stacks() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}

// A permit is free again before the wait between attempts, and after a panic.
// Source: https://github.com/gardener/cc-utils/pull/1704.
func TestPermitIsFreeDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			switch {
			case n == 1:
				return throttle()(n, r)
			case r.Method == http.MethodPost:
				panic("a transport that panics")
			}
			return ok201(n, r)
		}, WithLimits(Limits{{Resource: "*", Rate: Unlimited, MaxInFlight: 1}}))
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { _ = recover() }()
			_ = w.send()
		})
		synctest.Wait()
		if err := readOne(w); err != nil { // another bucket of the same account
			t.Error(err)
		}
		wg.Wait()
		if err := readOne(w); err != nil {
			t.Error(err)
		}
		l := w.c.cfg.limiter.(*BucketLimiter)
		for _, g := range l.gates {
			if g.InFlight() != 0 {
				t.Errorf("%d permits taken", g.InFlight())
			}
		}
	})
}

func readOne(w *world) error {
	_, err := w.c.Api.FetchMessage("SM0123456789abcdef0123456789abcdef", nil)
	return err
}

// A custom Limiter's error is the reason of the WaitError.
func TestCustomLimiter(t *testing.T) {
	full := errors.New("the shared limiter is full")
	own := limiterFunc(func(context.Context, Resource) (func(Outcome), error) { return nil, full })
	c, err := New(ClientParams{Username: account, Password: "token"}, WithLimiter(own))
	if err != nil {
		t.Fatal(err)
	}
	err = createOn(c.RestClient, sender)
	wantWaitError(t, err, full)
	if err := c.SetLimits(nil); err == nil {
		t.Error("SetLimits on a limiter that has none: no error")
	}
}

type limiterFunc func(context.Context, Resource) (func(Outcome), error)

func (f limiterFunc) Acquire(ctx context.Context, r Resource) (func(Outcome), error) {
	return f(ctx, r)
}

// looks counts how often calls look whether they must go on waiting: each time they ask whether
// the context has ended.
type looks struct {
	context.Context
	n *atomic.Int64
}

func (l looks) Err() error {
	l.n.Add(1)
	return l.Context.Err()
}

// A throttled answer has only the head of the line look again, and those that cannot wait for so
// long. All others sleep on, whether or not they have a deadline.
func TestThrottledAnswerWakesOnlyWhomItConcerns(t *testing.T) {
	for _, n := range []int{100, 2000} {
		for _, learning := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d wait, learning %v", n, learning), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLimiter(t, Limit{Resource: Messages, Rate: 1})
					l.SetLearning(learning)
					lane := newLane(l, sender)
					ctx, cancel := context.WithCancel(bg)
					defer cancel()
					soon, cancelSoon := context.WithTimeout(ctx, 20*time.Second)
					defer cancelSoon()
					late, cancelLate := context.WithTimeout(ctx, time.Hour)
					defer cancelLate()
					var looked atomic.Int64
					var wg sync.WaitGroup
					start := func(ctx context.Context) {
						wg.Go(func() { _ = lane.pass(looks{ctx, &looked}) })
						synctest.Wait()
					}
					start(ctx) // leaves at once
					start(ctx) // the head of the line
					const refused = 5
					for range refused {
						start(soon)
					}
					for i := range n {
						start([]context.Context{ctx, late}[i%2])
					}
					for i, most := range []int64{1 + 2*refused, 1, 1} { // who leaves has the head look again
						looked.Store(0)
						lane.throttle(time.Minute)
						synctest.Wait()
						if got := looked.Load(); got == 0 || got > most {
							t.Errorf("%d. throttled answer: calls looked %d times, expected 1 to %d", i+1, got, most)
						}
					}
					cancel()
					wg.Wait()
				})
			})
		}
	}
}

// A call that nothing stands in the way of costs one allocation, of 64 bytes: what its answer is
// judged by. One more for each request would be noticed by nobody else.
func TestAcquireAndDoneAllocateOnce(t *testing.T) {
	for name, limits := range map[string]Limits{
		"a rate":                      {{Resource: Messages, Rate: 1e9, Burst: 1e6}},
		"a rate and permits":          {{Resource: Messages, Rate: 1e9, Burst: 1e6, MaxInFlight: 100}, {Resource: "*", MaxInFlight: 1000}},
		"neither":                     {{Resource: "*", Rate: Unlimited}},
		"a rate, and nothing learned": {{Resource: Messages, Rate: 1e9, Burst: 1e6}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, limits...)
			l.SetLearning(name != "a rate, and nothing learned")
			r := from(sender)
			got := testing.AllocsPerRun(1000, func() {
				done, err := l.Acquire(bg, r)
				if err != nil {
					t.Fatal(err)
				}
				done(Outcome{})
			})
			if got != 1 {
				t.Errorf("%v allocations, expected 1", got)
			}
			if size := int(unsafe.Sizeof(departure{})); size > 48 {
				t.Errorf("a departure has %d bytes, expected 48 at most: with the bucket's address the request's allocation is 64", size)
			}
		})
	}
}
