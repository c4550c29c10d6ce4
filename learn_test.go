package pacer

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// A trial is callers, a network whose delays vary, and a fake Twilio, in virtual time.
type trial struct {
	fake                *twiliotest.Fake
	clients             []*Client
	from                string
	requests, throttled atomic.Int64
}

func (tr *trial) RoundTrip(r *http.Request) (*http.Response, error) {
	delay := func() { time.Sleep(rand.N(3 * time.Millisecond)) }
	delay()
	defer delay()
	resp, err := tr.fake.Transport().RoundTrip(r)
	tr.requests.Add(1)
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		tr.throttled.Add(1)
	}
	return resp, err
}

// unlisted is a sender for which pacer has no default.
const unlisted = "PACER"

func newTrial(t *testing.T, clients int, cfg twiliotest.Config, from string, opts ...Option) *trial {
	tr := &trial{fake: twiliotest.New(cfg), from: from}
	for range clients {
		c, err := New(ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
			append(opts, WithHTTPClient(&http.Client{Transport: tr}), quiet)...)
		if err != nil {
			t.Fatal(err)
		}
		tr.clients = append(tr.clients, c)
	}
	return tr
}

// run has 50 callers send as fast as they may while steps goes on; none may lose a call.
func (tr *trial) run(t *testing.T, steps func()) {
	t.Helper()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for !stop.Load() {
				if err := createOn(tr.clients[i%len(tr.clients)].RestClient, tr.from); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	steps()
	stop.Store(true)
	wg.Wait()
}

// expect lets d pass, and of the requests that the limit allows in it at least goodput
// are to be accepted, and at most 5 % of those sent throttled. Of few one each 12 s may be: more is
// asked for from time to time.
func (tr *trial) expect(t *testing.T, what string, d time.Duration, perSecond, goodput float64) {
	t.Helper()
	requests, throttled := tr.requests.Load(), tr.throttled.Load()
	time.Sleep(d)
	sent, refused := float64(tr.requests.Load()-requests), float64(tr.throttled.Load()-throttled)
	if got := (sent - refused) / (perSecond * d.Seconds()); got < goodput || got > 1.02 {
		t.Errorf("%s: %.1f %% of the limit used, expected at least %.0f", what, 100*got, 100*goodput)
	}
	if refused > max(0.05*sent, d.Seconds()/12) {
		t.Errorf("%s: %.0f of %.0f throttled", what, refused, sent)
	}
}

func perSender(rate int) []twiliotest.Limit {
	return []twiliotest.Limit{{Resource: Messages, Rate: rate, PerSender: true}}
}

// Step responses of the rate controller: a limit that nobody has told, that halves, and
// that doubles.
func TestUnknownLimitIsFoundAndFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, 1, twiliotest.Config{Limits: perSender(20)}, unlisted)
		tr.run(t, func() {
			time.Sleep(10 * time.Second)
			tr.expect(t, "20/s", time.Minute, 20, 0.9)
			tr.fake.SetLimits(perSender(10))
			time.Sleep(5 * time.Second)
			tr.expect(t, "halved", time.Minute, 10, 0.8) // 94 on average; of some 560 runs the worst had 83.5
			tr.fake.SetLimits(perSender(20))
			time.Sleep(30 * time.Second)
			tr.expect(t, "doubled", time.Minute, 20, 0.9) // 97 on average; of some 800 runs the worst had 90.8
		})
	})
}

func TestKnownLimitIsUsedAndNotExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, 1, twiliotest.Config{Limits: perSender(20)}, sender, WithLimits(Limits{{Resource: Messages, Rate: 20}}))
		tr.run(t, func() { tr.expect(t, "20/s", time.Minute, 20, 0.97) })
		if n := tr.throttled.Load(); n != 0 {
			t.Errorf("%d throttled", n)
		}
	})
}

// Two that do not know of each other, each told the whole rate.
func TestTwoProcessesFindTheirShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, 2, twiliotest.Config{Limits: perSender(20)}, sender, WithLimits(Limits{{Resource: Messages, Rate: 20}}))
		tr.run(t, func() {
			time.Sleep(10 * time.Second)
			tr.expect(t, "together", unlessShort(5*time.Minute, time.Minute), 20, 0.8) // 90 % on average, 86 at the worst of sixty
		})
	})
}

func TestSlowLimitIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, 1, twiliotest.Config{Limits: []twiliotest.Limit{{Resource: Messages, Rate: 1, Window: 3 * time.Second}}}, unlisted)
		tr.run(t, func() {
			time.Sleep(30 * time.Second)
			tr.expect(t, "1 in 3 s", 5*time.Minute, 1.0/3, 0.5)
		})
	})
}

// Step responses of the in-flight controller: it finds the limit, keeps it when Twilio
// becomes slower, and follows it up and down.
func TestConcurrencyLimitIsFoundAndFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, 1, twiliotest.Config{MaxInFlight: 10, Latency: 50 * time.Millisecond}, unlisted)
		found := func() int { return tr.clients[0].Stats().Accounts[0].Learned }
		tr.run(t, func() {
			time.Sleep(10 * time.Second)
			if n := found(); n != 10 {
				t.Errorf("learned %d in flight, expected 10", n)
			}
			tr.expect(t, "50 ms", unlessShort(time.Minute, 15*time.Second), 10/0.053, 0.9)
			tr.fake.SetLatency(200 * time.Millisecond)
			time.Sleep(time.Second)
			tr.expect(t, "200 ms", unlessShort(time.Minute, 15*time.Second), 10/0.203, 0.9)
			if testing.Short() {
				return
			}
			tr.fake.SetMaxInFlight(20)
			time.Sleep(10 * time.Minute)
			if n := found(); n < 19 || n > 22 { // a tenth more is asked for, at times
				t.Errorf("doubled: learned %d in flight", n)
			}
			tr.fake.SetMaxInFlight(5)
			time.Sleep(3 * time.Minute)
			tr.expect(t, "a quarter", 2*time.Minute, 5/0.203, 0.75) // rate and concurrency are both suspected, and both probe
		})
	})
}

// A limit in flight that is configured holds back whom the learned one would not: then more must not be asked for.
func TestLearnedConcurrencyStaysNearTheConfiguredOne(t *testing.T) {
	for name, rate := range map[string]float64{"with no word on the rate": 0, "without a pace": Unlimited} {
		if testing.Short() && rate != 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTrial(t, 1, twiliotest.Config{MaxInFlight: 10, Latency: 500 * time.Millisecond}, unlisted, WithLimits(Limits{{Resource: "*", Rate: rate, MaxInFlight: 20}}))
				tr.run(t, func() {
					time.Sleep(time.Minute)
					if n := tr.clients[0].Stats().Accounts[0].Learned; n < 9 || n > 13 {
						t.Errorf("learned %d in flight, expected 10", n)
					}
					tr.fake.SetMaxInFlight(0)
					for range unlessShort(6, 1) {
						time.Sleep(time.Minute)
						if n := tr.clients[0].Stats().Accounts[0].Learned; n < 9 || n > 40 {
							t.Errorf("learned %d in flight, expected no more than twice the 20 that are configured", n)
							break
						}
					}
				})
			})
		})
	}
}

// Throttles that have nothing to do with the bucket's rate must not stop it: here every
// eighth request, whatever the pace. At a pace of 20/s that leaves some 5/s.
func TestThrottlesOfAnotherCauseDoNotStopTheBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trouble atomic.Bool
		var n atomic.Int64
		tr := newTrial(t, 1, twiliotest.Config{}, sender, WithLimits(Limits{{Resource: Messages, Rate: 20}}), WithMaxRetries(1000))
		tr.clients[0].twilio.HTTPClient = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			if trouble.Load() && n.Add(1)%8 == 0 {
				return respond(429, throttleBody, "Retry-After", "1"), nil
			}
			return tr.RoundTrip(r)
		})}
		passed := func(d time.Duration) float64 {
			before := tr.requests.Load()
			time.Sleep(d)
			return float64(tr.requests.Load()-before) / d.Seconds()
		}
		tr.run(t, func() {
			time.Sleep(10 * time.Second)
			trouble.Store(true)
			if rate := passed(unlessShort(3*time.Minute, 30*time.Second)); rate < 3.5 {
				t.Errorf("%.1f/s passed in the trouble", rate)
			}
			trouble.Store(false)
			time.Sleep(30 * time.Second)
			if rate := passed(30 * time.Second); rate < 17 {
				t.Errorf("%.1f/s passed half a minute after it", rate)
			}
		})
	})
}

// One event counts once for the account, however many buckets are throttled in it.
func TestConcurrencyIsOfTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, 1, twiliotest.Config{MaxInFlight: 10, Latency: 50 * time.Millisecond}, "")
		var stop atomic.Bool
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				for !stop.Load() {
					if err := createOn(tr.clients[0].RestClient, unlisted+strconv.Itoa(i%8)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(15 * time.Second)
		if n := tr.clients[0].Stats().Accounts[0].Learned; n < 9 || n > 10 {
			t.Errorf("learned %d in flight, expected 10", n)
		}
		tr.expect(t, "8 senders", unlessShort(30*time.Second, 10*time.Second), 10/0.053, 0.85)
		stop.Store(true)
		wg.Wait()
	})
}

// Reads and writes of an account share its permits: neither starves.
func TestAccountsPermitsAreSharedFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: "*", Rate: Unlimited, MaxInFlight: 2})
		write, read := newLane(l, sender), &lane{l: l, r: Resource{account, "us1", "api", Messages, Read, ""}, start: time.Now()}
		var wg sync.WaitGroup
		for i := range 40 {
			on := write
			if i >= 36 {
				on = read
			}
			wg.Go(func() {
				done, _ := on.enter(bg)
				time.Sleep(100 * time.Millisecond)
				done(Outcome{})
			})
			synctest.Wait()
		}
		wg.Wait()
		if last := read.left[3]; last > 500*time.Millisecond {
			t.Errorf("4 reads behind 36 writes: the last left at %v", last)
		}
	})
}

// serve has callers send for d to a server that needs 50 ms for a request, and throttles those
// beyond so many per second, and beyond so many in progress; 0: any number. Its answers say
// what hint does. Nobody sends a throttled request again.
func (l *lane) serve(callers int, d time.Duration, perSecond, inProgress int, hint Outcome) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var accepted []time.Time // within the last second
	inside := 0
	request := func() bool {
		mu.Lock()
		for len(accepted) > 0 && time.Since(accepted[0]) >= time.Second {
			accepted = accepted[1:]
		}
		if perSecond > 0 && len(accepted) >= perSecond || inProgress > 0 && inside >= inProgress {
			mu.Unlock()
			return false
		}
		accepted = append(accepted, time.Now())
		inside++
		mu.Unlock()
		time.Sleep(50 * time.Millisecond)
		mu.Lock()
		inside--
		mu.Unlock()
		return true
	}
	ctx, cancel := context.WithTimeout(bg, d)
	defer cancel()
	for range callers {
		wg.Go(func() {
			for {
				done, err := l.enter(ctx)
				if err != nil {
					return
				}
				o := hint
				if o.Throttled = !request(); o.Throttled {
					o.RetryAfter = time.Second
				}
				done(o)
				if o.Throttled { // the call waits
					time.Sleep(time.Second + rand.N(time.Second))
				}
			}
		})
	}
	wg.Wait()
}

// throttleOnce has one request throttled.
func (l *lane) throttleOnce(o Outcome) {
	done, err := l.l.Acquire(bg, l.r)
	if err != nil {
		panic(err)
	}
	o.Throttled, o.RetryAfter = true, time.Second
	done(o)
}

func (l *lane) learned() (rate float64, inFlight int) {
	var s Stats
	s.LimiterStats = l.l.Stats()
	for _, b := range s.Buckets {
		if b.Resource == l.r {
			rate = b.Learned
		}
	}
	if len(s.Accounts) > 0 {
		inFlight = s.Accounts[0].Learned
	}
	return rate, inFlight
}

// Which controller it is that throttled answers teach.
func TestEvidenceTellsRateFromConcurrency(t *testing.T) {
	for _, tc := range []struct {
		name                  string
		perSecond, inProgress int
		hint                  Outcome
	}{
		{"10 per second", 10, 0, Outcome{}},
		{"10 per second, as the answers say", 10, 0, Outcome{Rate: true}},
		{"10 in progress", 0, 10, Outcome{}},
	} {
		synctest.Test(t, func(t *testing.T) {
			lane := newLane(newLimiter(t), unlisted)
			lane.serve(30, 2*time.Minute, tc.perSecond, tc.inProgress, tc.hint)
			rate, n := lane.learned()
			if near := rate > 9 && rate < 10.5; near != (tc.perSecond > 0) || !near && rate > 0 {
				t.Errorf("%s: learned %.1f/s", tc.name, rate)
			}
			if near := n == 10 || n == 11; near != (tc.inProgress > 0) || !near && n > 0 { // one more is asked for, at times
				t.Errorf("%s: learned %d in flight", tc.name, n)
			}
		})
	}
}

func TestFixedLimitsAreNotLearnedUpon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first(1, throttle("Retry-After", "2")), WithLearning(false), WithLimits(Limits{{Resource: "*", Rate: 1}}))
		if errs := w.sendAll(20); len(errs) > 0 {
			t.Error(errs)
		}
		// Retry-After counts from the first answer; the throttled call has gone to the end.
		if at := w.times(); at[1] != 2*time.Second || at[19] != 20*time.Second {
			t.Errorf("sent at %v", at)
		}
		b := w.c.Stats().Buckets[0]
		if b.Learned != 0 || b.Pace != 1 {
			t.Errorf("%+v", b)
		}
	})
	if _, err := New(ClientParams{}, WithLearning(false), WithLimiter(newLimiter(t))); err == nil {
		t.Error("WithLearning beside WithLimiter: expected an error")
	}
}

// Rate: Unlimited is the program's word that there is to be no pace.
func TestUnlimitedStaysUnlimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: "*", Rate: Unlimited}), sender)
		lane.serve(30, time.Minute, 10, 0, Outcome{Rate: true})
		if rate, _ := lane.learned(); rate != 0 {
			t.Errorf("learned %v/s", rate)
		}
	})
}

// The same word said later ends a pace that is learned already, also for those who wait.
func TestUnlimitedEndsALearnedPace(t *testing.T) {
	for name, limits := range map[string]Limits{
		"nothing configured": nil,
		"a rate configured":  {{Resource: Messages, Rate: 20}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lane := newLane(newLimiter(t, limits...), unlisted)
				lane.serve(30, time.Minute, 10, 0, Outcome{})
				if rate, _ := lane.learned(); rate < 9 || rate > 10.5 {
					t.Fatalf("learned %v/s", rate)
				}
				time.Sleep(5 * time.Second)
				began := time.Now()
				var callers sync.WaitGroup
				for range 100 {
					callers.Go(func() { _ = lane.pass(bg) })
				}
				synctest.Wait()
				if err := lane.l.SetLimits(Limits{{Resource: "*", Rate: Unlimited}}); err != nil {
					t.Fatal(err)
				}
				callers.Wait()
				if rate, _ := lane.learned(); rate != 0 || time.Since(began) > 0 {
					t.Errorf("learned %v/s, and 100 requests took %v: expected no pace", rate, time.Since(began))
				}
			})
		})
	}
}

// SetLearning(false) forgets at once, also for those who wait.
func TestSwitchingLearningOffForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: 20})
		lane := newLane(l, sender)
		lane.serve(30, time.Minute, 10, 0, Outcome{})
		if rate, _ := lane.learned(); rate < 9 || rate > 10.5 {
			t.Fatalf("learned %v/s", rate)
		}
		l.SetLearning(false)
		lane.left, lane.start = nil, time.Now()
		for range 3 {
			_ = lane.pass(bg)
		}
		if d := lane.left[2] - lane.left[1]; d < 50*time.Millisecond || d > 52*time.Millisecond { // there is room for jitter
			t.Errorf("an interval of %v, expected that of 20/s", d)
		}
	})
}

// One throttled answer says nothing about a rate, whether or not it is known.
func TestStrayThrottleTeachesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 20}), sender)
		_ = lane.pass(bg)
		lane.throttleOnce(Outcome{Rate: true})
		for range 20 {
			_ = lane.pass(bg)
		}
		if rate, _ := lane.learned(); rate != 0 {
			t.Errorf("learned %v/s after one throttle at 20/s", rate)
		}
		if last := lane.left[20]; last > 2100*time.Millisecond {
			t.Errorf("20 requests after one throttle left within %v, expected a second after one of stillness", last)
		}
	})
}

// One message a minute, and one throttled answer in ten minutes: each waits as long as the
// throttled one must, and no longer, whatever the rate is. Then a campaign has all of the rate.
func TestThrottledAnswersAgeByTheClock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits Limits
		rate   float64 // that a campaign has afterwards
	}{
		{"1/s", Limits{{Resource: Messages, Rate: 1}}, 1},
		{"20/s", Limits{{Resource: Messages, Rate: 20}}, 20},
		{"no rate known", nil, 0},
	} {
		for what, o := range map[string]Outcome{"of whatever": {}, "of a rate": {Rate: true}} {
			t.Run(tt.name+", throttled because "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lane := newLane(newLimiter(t, tt.limits...), unlisted)
					for i := range 300 {
						at := time.Now()
						if i%10 == 9 {
							lane.throttleOnce(o)
						}
						if _ = lane.pass(bg); time.Since(at) > 2*time.Second {
							t.Errorf("%d. message: waited %v", i, time.Since(at))
						}
						time.Sleep(time.Minute)
					}
					if rate, _ := lane.learned(); rate != 0 {
						t.Errorf("learned %v/s", rate)
					}
					if tt.rate == 0 {
						return
					}
					began := time.Now()
					for range int(60 * tt.rate) {
						_ = lane.pass(bg)
					}
					if took := time.Since(began); took > 61*time.Second {
						t.Errorf("a minute's messages took %v afterwards", took)
					}
				})
			})
		}
	}
}

// A learned rate below the cap grows back to it, and is then forgotten.
func TestRateGrowsBackToTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 20}), sender)
		lane.serve(30, time.Minute, 10, 0, Outcome{})
		lane.serve(30, time.Minute, 0, 0, Outcome{})
		if rate, _ := lane.learned(); rate != 0 {
			t.Errorf("learned %v/s", rate)
		}
		lane.left, lane.start = nil, time.Now()
		for range 21 {
			_ = lane.pass(bg)
		}
		if took := lane.left[20] - lane.left[0]; took > 1070*time.Millisecond { // 7 % is the most room for jitter
			t.Errorf("20 requests took %v", took)
		}
	})
}

// What was learned outlives an idle bucket for an hour.
func TestLearnedBucketIsKeptForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t), unlisted)
		lane.serve(30, time.Minute, 10, 0, Outcome{})
		time.Sleep(55 * time.Minute)
		if rate, _ := lane.learned(); rate == 0 {
			t.Error("forgotten after 55 minutes")
		}
		time.Sleep(10 * time.Minute)
		var s Stats
		if s.LimiterStats = lane.l.Stats(); s.BucketsInAll != 0 {
			t.Errorf("%d buckets after 65 minutes", s.BucketsInAll)
		}
	})
}

// What was learned about an account does not keep the buckets of all its senders, and
// outlives them for an hour.
func TestAccountsLimitOutlivesItsBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t)
		newLane(l, unlisted).serve(30, 10*time.Second, 0, 10, Outcome{})
		for i := range 1000 {
			_ = newLane(l, strconv.Itoa(i)).pass(bg)
		}
		learned := func() (buckets, permits int) {
			var s Stats
			s.LimiterStats = l.Stats()
			if len(s.Accounts) > 0 {
				permits = s.Accounts[0].Learned
			}
			return s.BucketsInAll, permits
		}
		time.Sleep(3 * time.Minute)
		if buckets, permits := learned(); buckets > 1 || permits != 10 {
			t.Errorf("after 3 minutes: %d buckets, %d in flight learned", buckets, permits)
		}
		time.Sleep(time.Hour)
		_ = newLane(l, "1").pass(bg)
		if buckets, permits := learned(); buckets != 1 || permits != 0 {
			t.Errorf("after an hour: %d buckets, %d in flight learned", buckets, permits)
		}
	})
}

// X-Rate-Limit-Limit paces a resource that nobody has listed; -Remaining shows that
// others use it. Neither needs a throttled answer.
func TestRateLimitHeadersAreUsedBeforeThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remaining := 5
		w := newWorld(t, func(int, *http.Request) *http.Response {
			return respond(201, createdBody, "X-Rate-Limit-Limit", "10", "X-Rate-Limit-Remaining", strconv.Itoa(remaining))
		}, WithLimits(nil))
		send := func(n int) []time.Duration {
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() { _ = createOn(w.c.RestClient, unlisted) })
			}
			wg.Wait()
			return w.times()
		}
		_ = send(1)
		if at := send(10); at[10]-at[1] < 800*time.Millisecond {
			t.Errorf("10 a second are allowed, sent at %v", at)
		}
		time.Sleep(10 * time.Second)
		remaining = 0
		_ = send(2)
		if b := w.c.Stats().Buckets[0]; b.Learned == 0 || b.Learned > 5 || b.Throttled != 0 {
			t.Errorf("nothing remains although little was sent: %+v", b)
		}
	})
}

func TestOnlyWholeNumbersOfHeadersCount(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  int
		ok    bool
	}{{"7", 7, true}, {" 7 ", 7, true}, {"0", 0, true}, {"", 0, false}, {"-1", 0, false}, {"1.5", 0, false}, {"many", 0, false}, {"99999999999999999999", 0, false}} {
		w := wire{header: http.Header{"X-Rate-Limit-Limit": {tc.value}}}
		if got, ok := w.number("X-Rate-Limit-Limit"); got != tc.want || ok != tc.ok {
			t.Errorf("%q: %d, %v, expected %d, %v", tc.value, got, ok, tc.want, tc.ok)
		}
		if _, ok := w.number("X-Rate-Limit-Remaining"); ok {
			t.Errorf("%q: a header that is absent counts", tc.value)
		}
	}
}

// X-Rate-Limit-Limit may come without -Remaining, which then is not known. It is not 0.
func TestRemainingThatIsNotSaidIsNotZero(t *testing.T) {
	for name, headers := range map[string][]string{
		"absent":   {"X-Rate-Limit-Limit", "100"},
		"empty":    {"X-Rate-Limit-Limit", "100", "X-Rate-Limit-Remaining", ""},
		"nonsense": {"X-Rate-Limit-Limit", "100", "X-Rate-Limit-Remaining", "some"},
		"negative": {"X-Rate-Limit-Limit", "100", "X-Rate-Limit-Remaining", "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(int, *http.Request) *http.Response { return respond(201, createdBody, headers...) }, WithLimits(nil))
				for range 30 {
					_ = createOn(w.c.RestClient, unlisted)
					time.Sleep(time.Second)
				}
				if b := w.c.Stats().Buckets[0]; b.Learned != 0 {
					t.Errorf("learned %v/s: nothing said that others use the rate", b.Learned)
				}
				began := time.Now()
				var wg sync.WaitGroup
				for range 500 {
					wg.Go(func() { _ = createOn(w.c.RestClient, unlisted) })
				}
				wg.Wait()
				if took := time.Since(began); took > 5500*time.Millisecond {
					t.Errorf("500 calls took %v, expected 5 s at 100/s", took)
				}
			})
		})
	}
}

// "Unlimited" is the program's word: no header and no throttled answer sets a pace.
func TestUnlimitedIsNotPacedByHeaders(t *testing.T) {
	for name, limits := range map[string]Limits{
		"from the start": {{Resource: "*", Rate: Unlimited}},
		"set later":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(int, *http.Request) *http.Response {
					return respond(201, createdBody, "X-Rate-Limit-Limit", "1", "X-Rate-Limit-Remaining", "0")
				}, WithLimits(limits))
				_ = createOn(w.c.RestClient, unlisted)
				if limits == nil {
					if err := w.c.SetLimits(Limits{{Resource: "*", Rate: Unlimited}}); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				for range 20 {
					_ = createOn(w.c.RestClient, unlisted)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("20 calls took %v: they waited for a pace", took)
				}
			})
		})
	}
}

// Twilio counts the request itself, so that a header of 0 says as little as none.
func TestConcurrentRequestsOfZeroSayNothing(t *testing.T) {
	for _, headers := range [][]string{nil, {"Twilio-Concurrent-Requests", "0"}} {
		synctest.Test(t, func(t *testing.T) {
			var inside atomic.Int32
			w := newWorld(t, func(n int, _ *http.Request) *http.Response {
				defer inside.Add(-1)
				if inside.Add(1) > 4 {
					return respond(429, throttleBody, headers...)
				}
				time.Sleep(100 * time.Millisecond)
				return respond(201, createdBody, headers...)
			}, quiet, WithLimits(Limits{{Resource: "*", Rate: 100}}))
			var callers sync.WaitGroup
			for range 8 {
				callers.Go(func() {
					for range 50 {
						w.sendAll(1)
					}
				})
			}
			callers.Wait()
			if a := w.c.Stats().Accounts[0]; a.Learned != 4 {
				t.Errorf("headers %v: %d in flight learned, expected 4", headers, a.Learned)
			}
		})
	}
}
