package pacer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/internal/spacing"
)

// A bank is a BucketStore as redispacer's script is one, but for learning, and in the
// process: it counts what it is asked.
type bank struct {
	latency time.Duration // of an answer
	mu      sync.Mutex
	err     error
	users   int
	pace    float64 // of buckets without a rate; 0: Unlimited
	next    map[Resource]time.Time
	until   map[Resource]time.Time
	opens   time.Time
	number  map[Resource]int64
	asked   []Demand
	at      []time.Time
}

func newBank(users int) *bank {
	return &bank{users: users, next: map[Resource]time.Time{}, until: map[Resource]time.Time{}, number: map[Resource]int64{}}
}

func (b *bank) Take(ctx context.Context, r Resource, d Demand) (Grant, error) {
	time.Sleep(b.latency)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.asked, b.at = append(b.asked, d), append(b.at, now)
	if b.err != nil {
		return Grant{}, b.err
	}
	if d.CoolDownFor > 0 {
		b.until[r] = now.Add(d.CoolDownFor)
		b.next[r] = b.until[r]
	}
	g := Grant{Pace: d.Rate, Processes: b.users, CoolDownUntil: b.until[r], Again: later(now, b.opens)}
	if d.Rate >= Unlimited && b.pace > 0 {
		g.Pace = b.pace
	}
	if g.Pace >= Unlimited {
		g.N = d.N
		return g, nil
	}
	g.Every = time.Duration(float64(time.Second) / g.Pace)
	if d.Unused > 0 && d.Last == b.number[r] {
		b.next[r] = b.next[r].Add(-time.Duration(d.Unused) * g.Every)
	}
	g.From = later(b.next[r], now)
	const ahead = 500 * time.Millisecond
	for d.N > 0 && g.N < d.N && !g.From.Add(time.Duration(g.N)*g.Every).After(now.Add(ahead)) && !g.CoolDownUntil.After(now) && !b.opens.After(now) {
		g.N++
	}
	if g.N > 0 {
		b.number[r]++
		g.Number = b.number[r]
		b.next[r] = g.From.Add(time.Duration(g.N) * g.Every)
	} else if d.N > 0 {
		g.Again = later(g.Again, g.From.Add(-ahead))
	}
	return g, nil
}

func (b *bank) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *bank) demands() []Demand {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

func sharedLimiter(t *testing.T, b *bank, limits ...Limit) *BucketLimiter {
	t.Helper()
	l, err := NewSharedLimiter(limits, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		time.Sleep(b.latency)
		toldToTheStore()
	})
	return l
}

// stretched is the interval of a rate in a shared bucket.
func stretched(rate float64) time.Duration {
	return time.Duration(float64(time.Second) / (rate / (1 + spacing.MaxSlack)))
}

// herd lets n callers pass a lane at once and waits for all.
func (l *lane) herd(t *testing.T, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := l.pass(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Two processes' requests leave as one schedule, none too early and none lost.
func TestSharedBucketIsOneSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(2)
		b.latency = time.Millisecond
		limit := Limit{Resource: Messages, Sender: sender, Rate: 50}
		start := time.Now()
		var lanes []*lane
		var wg sync.WaitGroup
		for range 2 {
			l := newLane(sharedLimiter(t, b, limit), sender)
			l.start = start
			lanes = append(lanes, l)
			wg.Go(func() { l.herd(t, 100) })
		}
		wg.Wait()
		all := slices.Concat(lanes[0].left, lanes[1].left)
		slices.Sort(all)
		if want := every(stretched(50), 200, b.latency); !slices.Equal(all, want) {
			t.Errorf("left at %v\nexpected %v", all, want)
		}
		for i, l := range lanes {
			if n := len(l.left); n != 100 || l.left[n-1] < 3*time.Second {
				t.Errorf("process %d sent %d, the last at %v: expected both to send all the time", i, n, l.left[n-1])
			}
		}
	})
}

// A busy bucket costs a small part of a round trip for each request, an idle one none, and
// a lone request one.
func TestSharedBucketRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(1)
		b.latency = time.Millisecond
		l := newLane(sharedLimiter(t, b, Limit{Resource: Messages, Sender: sender, Rate: 1000}), sender)
		if err := l.pass(t.Context()); err != nil || time.Since(l.start) != b.latency {
			t.Fatalf("the first: %v after %v: expected one round trip", err, time.Since(l.start))
		}
		time.Sleep(time.Hour)
		if n := len(b.demands()); n != 1 {
			t.Fatalf("%d round trips after an idle hour: expected 1", n)
		}
		var wg sync.WaitGroup
		start := time.Now()
		for range 20 { // callers that come again and again
			wg.Go(func() {
				for range 100 {
					if err := l.pass(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if took, want := time.Since(start), time.Duration(1999)*stretched(1000)+b.latency; took != want {
			t.Errorf("2,000 took %v: expected %v, no token lost", took, want)
		}
		if n := len(b.demands()) - 1; n > 200 {
			t.Errorf("%d round trips for 2,000 requests: expected at most 200", n)
		}
	})
}

// Below its rate a fast bucket takes tokens ahead, and its callers do not wait.
func TestSharedBucketBelowItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(8)
		b.latency = time.Millisecond
		l := newLane(sharedLimiter(t, b, Limit{Resource: Messages, Sender: sender, Rate: 2000}), sender)
		waited := 0
		const n = 1000
		for range n {
			began := time.Now()
			if err := l.pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			if time.Since(began) > 0 {
				waited++
			}
			time.Sleep(8 * time.Millisecond)
		}
		if waited > n/5 {
			t.Errorf("%d of %d waited for a round trip: expected few", waited, n)
		}
		if got := len(b.demands()); got > n/5 {
			t.Errorf("%d round trips for %d requests: expected few", got, n)
		}
	})
}

func TestSharedBucketKeepsPriorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(sharedLimiter(t, newBank(1), Limit{Resource: Messages, Sender: sender, Rate: 10}), sender)
		if err := l.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []Priority
		var wg sync.WaitGroup
		for _, p := range []Priority{Low, Normal, High} {
			wg.Go(func() {
				if err := l.pass(WithPriority(t.Context(), p)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, p)
				mu.Unlock()
			})
			synctest.Wait()
		}
		wg.Wait()
		if want := []Priority{High, Normal, Low}; !slices.Equal(order, want) {
			t.Errorf("order %v: expected %v", order, want)
		}
	})
}

// A throttled answer is told to the store, which keeps all from sending, and the callers
// then leave one by one. What was in hand is not used.
func TestSharedCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(2)
		limit := Limit{Resource: Messages, Sender: sender, Rate: 100}
		l := newLane(sharedLimiter(t, b, limit), sender)
		other := newLane(sharedLimiter(t, b, limit), sender)
		done, err := l.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done(Outcome{Throttled: true, RetryAfter: 3 * time.Second})
		synctest.Wait()
		var wg sync.WaitGroup
		for _, l := range []*lane{l, other} { // the other learns of it when it asks
			wg.Go(func() { l.herd(t, 3) })
		}
		wg.Wait()
		all := slices.Concat(l.left[1:], other.left)
		slices.Sort(all)
		if want := every(stretched(100), 6, 3*time.Second); !slices.Equal(all, want) {
			t.Errorf("left at %v: expected %v", all, want)
		}
		told := 0
		for _, d := range b.demands() {
			if d.CoolDownFor == 3*time.Second && d.Throttled == 1 {
				told++
			}
		}
		if told != 1 {
			t.Errorf("the store was told %d times: expected once", told)
		}
	})
}

// What another process was told stops those who wait here, at once.
func TestHoldStopsThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(sharedLimiter(t, newBank(2), Limit{Resource: Messages, Sender: sender, Rate: 10}), sender)
		go func() {
			time.Sleep(250 * time.Millisecond)
			l.l.Hold(l.r, Outcome{Throttled: true, RetryAfter: 2 * time.Second})
			l.l.Hold(from("+15005550007"), Outcome{Throttled: true, RetryAfter: 2 * time.Second}) // not in use here
		}()
		l.herd(t, 6)
		i := stretched(10)
		// The bank has given out the places up to half a second ahead; the script voids them.
		if got := l.left[:3]; !slices.Equal(got, []time.Duration{0, i, 2 * i}) {
			t.Errorf("before: left at %v", got)
		}
		if got := l.left[3]; got < 2250*time.Millisecond {
			t.Errorf("one left at %v: expected none before 2.25s", got)
		}
	})
}

// A resource without a limit asks nothing, until a throttle, here or elsewhere, has taught
// the store a rate.
func TestSharedBucketWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(1)
		l := &lane{l: sharedLimiter(t, b), r: Resource{account, "us1", "conversations", "Conversations", Create, ""}, start: time.Now()}
		l.herd(t, 100)
		if n := len(b.demands()); n != 0 || time.Since(l.start) != 0 {
			t.Fatalf("%d round trips, %v: expected none", n, time.Since(l.start))
		}
		b.pace = 5
		l.l.Hold(l.r, Outcome{Throttled: true, RetryAfter: time.Second})
		l.left = nil
		l.herd(t, 4)
		if want := every(200*time.Millisecond, 4, time.Second); !slices.Equal(l.left, want) {
			t.Errorf("left at %v: expected %v", l.left, want)
		}
		b.pace = 0 // forgotten
		time.Sleep(time.Minute / 2)
		before := time.Now()
		l.herd(t, 2)
		n := len(b.demands())
		l.herd(t, 100)
		if time.Since(before) != 0 || len(b.demands()) != n {
			t.Errorf("after the store has forgotten it: %v, %d more round trips", time.Since(before), len(b.demands())-n)
		}
	})
}

// "Unlimited" is the program's word here, too: what the store has learned paces such a resource
// no longer, and another process's throttled answer does not begin it again.
func TestUnlimitedEndsAPaceOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(2)
		b.pace = 5
		l := newLane(sharedLimiter(t, b), unlisted)
		_ = l.pass(bg)
		l.l.Hold(l.r, Outcome{Throttled: true})
		l.herd(t, 10)
		if rate := l.pace(); rate != 5 {
			t.Fatalf("the pace is %v/s, expected the store's 5/s", rate)
		}
		if err := l.l.SetLimits(Limits{{Resource: "*", Rate: Unlimited}}); err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{"SetLimits", "another process's throttled answer", "its own"} {
			began, asked := time.Now(), len(b.demands())
			l.herd(t, 100)
			if rate := l.pace(); rate != 0 || time.Since(began) > 0 || len(b.demands()) > asked {
				t.Errorf("after %s: paced at %v/s, 100 requests took %v and %d round trips: expected none", what, rate, time.Since(began), len(b.demands())-asked)
			}
			switch what {
			case "SetLimits":
				l.l.Hold(l.r, Outcome{Throttled: true, RetryAfter: time.Second})
			default:
				l.throttleOnce(Outcome{})
			}
			time.Sleep(2 * time.Second)
		}
		if err := l.l.SetLimits(Limits{{Resource: "*", Rate: 50}}); err != nil {
			t.Fatal(err)
		}
		l.herd(t, 10)
		if rate := l.pace(); math.Abs(rate-50) > 2 {
			t.Errorf("the pace is %v/s, expected 50/s from the store", rate)
		}
	})
}

// pace is that of the bucket by Stats; 0: it has none.
func (l *lane) pace() float64 {
	var s Stats
	s.LimiterStats = l.l.Stats()
	return s.Buckets[0].Pace
}

// Without the store a process pauses for half a second, goes on with its share, asks
// twice a second, and comes back when the store says.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(4)
		limit := Limit{Resource: Messages, Sender: sender, Rate: 40}
		l := newLane(sharedLimiter(t, b, limit), sender)
		l.herd(t, 20) // half a second's
		if s := l.l.Store(); s.Err != nil || s.Asked == 0 {
			t.Fatalf("%+v: expected a store that answers", s)
		}
		gone := errors.New("gone")
		b.fail(gone)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = l.pass(ctx) // until it is cancelled
				}
			})
		}
		time.Sleep(time.Second)
		failed := l.l.Store().Since
		if s := l.l.Store(); !errors.Is(s.Err, gone) || failed.IsZero() {
			t.Fatalf("%+v: expected the store's error", s)
		}
		l.mu.Lock()
		l.left = nil
		l.mu.Unlock()
		asked := len(b.demands())
		time.Sleep(10 * time.Second)
		l.mu.Lock()
		// Nine tenths of 40/s for four processes.
		if n := len(l.left); n < 86 || n > 91 {
			t.Errorf("%d left within 10 s: expected 86 to 91", n)
		}
		l.mu.Unlock()
		if n := len(b.demands()) - asked; n < 17 || n > 21 { // it asks when it looks for a token
			t.Errorf("asked %d times within 10 s: expected twice a second", n)
		}
		b.fail(nil)
		b.mu.Lock()
		b.opens = time.Now().Add(2 * time.Second)
		b.mu.Unlock()
		back := b.opens.Sub(l.start)
		time.Sleep(4 * time.Second)
		if s := l.l.Store(); s.Err != nil || !s.Since.IsZero() {
			t.Errorf("%+v: expected a store that answers", s)
		}
		l.mu.Lock()
		before, after := 0, 0
		for _, at := range l.left {
			switch {
			case at > back-time.Second && at < back:
				before++
			case at >= back+500*time.Millisecond && at < back+1500*time.Millisecond:
				after++
			}
		}
		l.mu.Unlock()
		if before > 9 || after < 38 {
			t.Errorf("%d in the second before, %d in one afterwards: expected 9 and 39", before, after)
		}
		cancel()
		wg.Wait()
	})
}

// A bucket that is new when the store does not answer has a tenth, or what is known of
// others.
func TestShareOfUnknownBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(3)
		limits := Limits{{Resource: Messages, Rate: 100}}
		for _, known := range []bool{false, true} {
			b.fail(nil)
			l, err := NewSharedLimiter(limits, b)
			if err != nil {
				t.Fatal(err)
			}
			if known {
				if err := (&lane{l: l, r: from("+15005550001")}).pass(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.fail(errors.New("gone"))
			x := newLane(l, sender)
			if err := x.pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			want := 100 * 0.9 * 0.1
			if known {
				want = 100 * 0.9 / 3
			}
			l.mu.Lock()
			got := l.buckets[x.r].pace()
			l.mu.Unlock()
			if got != want {
				t.Errorf("known %v: %v/s: expected %v/s", known, got, want)
			}
		}
	})
}

// New limits hold at once, and what was taken by the old ones goes back.
func TestSharedLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(1)
		l := newLane(sharedLimiter(t, b, Limit{Resource: Messages, Sender: sender, Rate: 100}), sender)
		go func() {
			time.Sleep(200 * time.Millisecond)
			if err := l.l.SetLimits(Limits{{Resource: Messages, Sender: sender, Rate: 10}}); err != nil {
				t.Error(err)
			}
		}()
		l.herd(t, 40)
		slow := 0
		for i, at := range l.left[1:] {
			if at > 200*time.Millisecond+stretched(10) && at-l.left[i] != stretched(10) {
				t.Errorf("after the change %v between two: expected %v", at-l.left[i], stretched(10))
			} else if at > 200*time.Millisecond {
				slow++
			}
		}
		if slow < 15 {
			t.Errorf("%d left at the new rate: expected the change to have been felt", slow)
		}
		gaveBack := false
		for _, d := range b.demands() {
			gaveBack = gaveBack || (d.Unused > 0 && d.Last > 0)
		}
		if !gaveBack {
			t.Error("nothing was given back")
		}
	})
}

// Tokens that come due while the permit is taken are not used all at once when it is free.
func TestLateTokensLeaveOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(1)
		l := newLane(sharedLimiter(t, b, Limit{Resource: Messages, Sender: sender, Rate: 100}, Limit{Resource: "*", MaxInFlight: 1}), sender)
		done, err := l.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { l.herd(t, 5) }) // their tokens come due while the permit is taken
		time.Sleep(300 * time.Millisecond)
		done(Outcome{})
		wg.Wait()
		for i, at := range l.left[2:] {
			if gap := at - l.left[i+1]; gap < stretched(100) {
				t.Errorf("%v between two: expected %v at least", gap, stretched(100))
			}
		}
	})
}

// Where answers take 50 to 350 ms, or requests wait for permits, as much passes with a store as
// without one, and no sender starves: a token that pacer itself holds back is not lost.
func TestNoTokenIsLostToPacersOwnWaits(t *testing.T) {
	for _, tc := range []struct {
		name               string
		rate               float64
		senders, callers   int
		inFlight, limiters int
		shortest, longest  time.Duration
	}{
		{"answers of 50 to 350 ms at 1/s", 1, 5, 10, 0, 1, 50 * time.Millisecond, 350 * time.Millisecond},
		{"answers of 50 to 350 ms at 5/s", 5, 5, 10, 0, 1, 50 * time.Millisecond, 350 * time.Millisecond},
		{"answers of 50 to 350 ms at 20/s", 20, 5, 20, 0, 1, 50 * time.Millisecond, 350 * time.Millisecond},
		{"16 senders of 1/s and 4 permits", 1, 16, 1, 4, 1, 240 * time.Millisecond, 240 * time.Millisecond},
		{"2 senders of 1/s and one permit", 1, 2, 5, 1, 1, 450 * time.Millisecond, 450 * time.Millisecond},
		{"two processes with 3 permits each", 1, 16, 1, 3, 2, 200 * time.Millisecond, 280 * time.Millisecond},
		{"two processes, answers of 50 to 350 ms", 1, 5, 10, 0, 2, 50 * time.Millisecond, 350 * time.Millisecond},
	} {
		if testing.Short() && tc.rate > 1 {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			const length = time.Minute
			sent := func(limiters ...*BucketLimiter) (sum, least int) {
				rng := rand.New(rand.NewPCG(1, 2))
				counts := make([]int, tc.senders)
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					ctx, cancel := context.WithTimeout(context.Background(), length)
					defer cancel()
					var wg sync.WaitGroup
					for _, l := range limiters {
						for i := range tc.senders * tc.callers {
							wg.Go(func() {
								for {
									done, err := l.Acquire(WithPriority(ctx, Normal), from(fmt.Sprintf("555%02d", i%tc.senders)))
									if err != nil {
										return
									}
									mu.Lock()
									counts[i%tc.senders]++
									took := tc.shortest + time.Duration(rng.Int64N(int64(tc.longest-tc.shortest)+1))
									mu.Unlock()
									time.Sleep(took)
									done(Outcome{})
								}
							})
						}
					}
					wg.Wait()
					toldToTheStore()
				})
				for _, n := range counts {
					sum += n
				}
				return sum, slices.Min(counts)
			}
			limits := Limits{{Resource: Messages, Rate: tc.rate}, {Resource: "*", MaxInFlight: tc.inFlight}}
			if tc.inFlight == 0 {
				limits = limits[:1]
			}
			bank := newBank(tc.limiters)
			bank.latency = time.Millisecond
			var shared []*BucketLimiter
			for range tc.limiters {
				shared = append(shared, sharedLimiter(t, bank, limits...))
			}
			got, least := sent(shared...)
			for i := range limits {
				limits[i].MaxInFlight *= tc.limiters
			}
			want, _ := sent(newLimiter(t, limits...))
			if possible := tc.rate * float64(tc.senders) * length.Seconds(); float64(got) < 0.96*float64(want) || float64(want) < 0.9*possible {
				t.Errorf("%d sent, and %d without a store: expected at least 96 %% of that", got, want)
			}
			if float64(least) < 0.9*float64(got)/float64(tc.senders) {
				t.Errorf("%d sent by %d senders, the least %d: expected about the same of each", got, tc.senders, least)
			}
		})
	}
}

// A deadline is compared with when the token is due, and not with an answer that is yet to
// come.
func TestSharedBucketKeepsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(1)
		b.latency = time.Millisecond
		l := newLane(sharedLimiter(t, b, Limit{Resource: Messages, Sender: sender, Rate: 20}), sender)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		passed, refused := 0, 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				err := l.pass(ctx)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					passed++
				case errors.Is(err, ErrWaitTooLong):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if passed != 10 || refused != 2 {
			t.Errorf("%d passed, %d were refused: expected those that have a token within half a second, 10 and 2", passed, refused)
		}
	})
}

func TestNewSharedLimiterErrors(t *testing.T) {
	if _, err := NewSharedLimiter(nil, nil); err == nil {
		t.Error("a nil store was taken")
	}
	if _, err := NewSharedLimiter(Limits{{Resource: Messages, Rate: -1}}, newBank(1)); err == nil {
		t.Error("a negative rate was taken")
	}
	if s := newLimiter(t).Store(); s != (StoreStats{}) {
		t.Errorf("without a store: %+v", s)
	}
}

// Stats of a client shows a limiter that embeds a BucketLimiter.
func TestStatsOfEmbeddedLimiter(t *testing.T) {
	l := &struct{ *BucketLimiter }{newLimiter(t, Limit{Resource: Messages, Sender: sender, Rate: 7})}
	if err := (&lane{l: l.BucketLimiter, r: from(sender)}).pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := New(ClientParams{Username: account, Password: "x"}, WithLimiter(l))
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); len(s.Buckets) != 1 || s.Buckets[0].Rate != 7 {
		t.Errorf("buckets %+v: expected one of 7/s", s.Buckets)
	}
	if err := c.SetLimits(Limits{{Resource: Messages, Rate: 8}}); err != nil {
		t.Error(err)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
