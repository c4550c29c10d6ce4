package pacer

import (
	"math"
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
// are to be accepted, and at most 5 % of those sent throttled.
func (tr *trial) expect(t *testing.T, what string, d time.Duration, perSecond, goodput float64) {
	t.Helper()
	requests, throttled := tr.requests.Load(), tr.throttled.Load()
	time.Sleep(d)
	sent, refused := float64(tr.requests.Load()-requests), float64(tr.throttled.Load()-throttled)
	if got := (sent - refused) / (perSecond * d.Seconds()); got < goodput || got > 1.02 {
		t.Errorf("%s: %.1f %% of the limit used, expected at least %.0f", what, 100*got, 100*goodput)
	}
	if refused > 0.05*sent {
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
			tr.expect(t, "halved", time.Minute, 10, 0.9)
			tr.fake.SetLimits(perSender(20))
			time.Sleep(30 * time.Second)
			tr.expect(t, "doubled", time.Minute, 20, 0.9)
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
			tr.expect(t, "together", 5*time.Minute, 20, 0.8) // 90 % on average, 86 at the worst of sixty
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
			tr.expect(t, "50 ms", time.Minute, 10/0.053, 0.9)
			tr.fake.SetLatency(200 * time.Millisecond)
			time.Sleep(time.Second)
			tr.expect(t, "200 ms", time.Minute, 10/0.203, 0.9)
			tr.fake.SetMaxInFlight(20)
			time.Sleep(10 * time.Minute)
			if n := found(); n < 19 || n > 21 {
				t.Errorf("doubled: learned %d in flight", n)
			}
			tr.fake.SetMaxInFlight(5)
			time.Sleep(3 * time.Minute)
			tr.expect(t, "a quarter", 2*time.Minute, 5/0.203, 0.75) // rate and concurrency are both suspected, and both probe
		})
	})
}

// Throttles that have nothing to do with the bucket's rate must not stop it: here every
// eighth request, whatever the pace. At a pace of 20/s that leaves some 5/s.
func TestThrottlesOfAnotherCauseDoNotStopTheBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trouble atomic.Bool
		var n atomic.Int64
		tr := newTrial(t, 1, twiliotest.Config{}, sender, WithLimits(Limits{{Resource: Messages, Rate: 20}}), WithMaxRetries(1000))
		tr.clients[0].own.HTTPClient = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
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
			if rate := passed(3 * time.Minute); rate < 3.5 {
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
		tr.expect(t, "8 senders", 30*time.Second, 10/0.053, 0.85)
		stop.Store(true)
		wg.Wait()
	})
}

// Reads and writes of an account share its slots: neither starves.
func TestAccountsSlotsAreSharedFairly(t *testing.T) {
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

func TestPacingHoldsThenProbesThenClimbs(t *testing.T) {
	p := pacing{limit: 20}
	for _, step := range []struct {
		busy time.Duration
		want float64
	}{
		{0, 20}, {22 * time.Second, 20}, {23 * time.Second, 20.7}, {24 * time.Second, 21.4}, {25 * time.Second, 26.75},
		{27 * time.Second, 26.75 * 1.25 * 1.25}, {time.Hour, 21.4 * math.Pow(1.25, 90)},
	} {
		p.busy = step.busy
		if got := p.pace(); math.Abs(got/step.want-1) > 1e-9 {
			t.Errorf("after %v: %v/s, expected %v", step.busy, got, step.want)
		}
	}
	if slow := (pacing{limit: 0.5}); slow.hold() != 100*time.Second {
		t.Errorf("0.5/s is held for %v, expected 50 requests", slow.hold())
	}
	rough := pacing{limit: 3, rough: true, busy: 2500 * time.Millisecond}
	if got := rough.pace(); math.Abs(got-3*math.Exp2(2.5)) > 1e-9 {
		t.Errorf("slow start after 2.5 s: %v/s", got)
	}
}

// Only waiting for the pace lets it grow: an idle bucket learns nothing.
func TestIdlePacingDoesNotGrow(t *testing.T) {
	now := time.Now()
	p := pacing{limit: 20, last: now}
	p.paced(now.Add(time.Hour), 50*time.Millisecond)
	if p.busy != 100*time.Millisecond {
		t.Errorf("an idle hour counts as %v", p.busy)
	}
}

func TestCongestionSetsTheRate(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name     string
		p        pacing
		ev       congestion
		accepted float64
		listed   bool
		mixed    bool
		want     float64
		rough    bool
	}{
		{"first, unpaced: what was accepted", pacing{}, congestion{pace: Unlimited}, 20, false, false, 20, true},
		{"first, nothing accepted", pacing{}, congestion{pace: Unlimited}, 0, false, false, 1, true},
		{"listed: what was accepted", pacing{}, congestion{pace: 20}, 12, true, false, 12, false},
		{"listed, little sent: half", pacing{}, congestion{pace: 20}, 1, true, false, 10, false},
		{"a failed probe: as before", pacing{limit: 20}, congestion{pace: 21, probing: true}, 19, false, false, 20, false},
		{"a failed climb: what was accepted", pacing{limit: 20}, congestion{pace: 44, probing: true}, 40, false, false, 40, false},
		{"slow start ended: what was accepted", pacing{limit: 20, rough: true}, congestion{pace: 38, probing: true}, 30, false, false, 30, false},
		{"soon after the last: less", pacing{limit: 20}, congestion{pace: 20, soon: true}, 20, false, false, 19, false},
		{"and again", pacing{limit: 20, strikes: 1}, congestion{pace: 20, soon: true}, 20, false, false, 17, false},
		{"and again: what passes, cool-downs included", pacing{limit: 20, strikes: 2, base: 25}, congestion{pace: 20, soon: true, passed: 6}, 20, false, false, 6, false},
		{"and even then: it is not the rate", pacing{limit: 6, strikes: 3, base: 25}, congestion{pace: 6, soon: true, passed: 2}, 6, false, false, 25, false},
		{"perhaps concurrency: rough", pacing{limit: 20}, congestion{pace: 20}, 20, false, true, 20, true},
	} {
		p := tc.p
		p.congested(tc.ev, tc.accepted, tc.listed, tc.mixed, now)
		if p.limit != tc.want || p.rough != tc.rough || p.busy != 0 {
			t.Errorf("%s: %v/s, rough %v, busy %v; expected %v/s, %v", tc.name, p.limit, p.rough, p.busy, tc.want, tc.rough)
		}
	}
}

func TestConcurrencyProbesAndWithdraws(t *testing.T) {
	now := time.Now()
	var c concurrency
	if c.suspect(1, now) {
		t.Error("one request in progress is too many")
	}
	c.accepted(10, now)
	if c.suspect(10, now) || !c.suspect(11, now) {
		t.Error("10 were accepted: expected 11 to be suspect and 10 not")
	}
	c.congested(11, 60, now, now)
	if c.limit != 10 {
		t.Fatalf("throttled with 11 in progress: limit %d", c.limit)
	}
	for _, interval := range []time.Duration{30, 60, 120, 240, 300, 300} { // failed probes
		interval *= time.Second
		if now = now.Add(interval - 1); c.probe(now) {
			t.Errorf("probed before %v", interval)
		}
		if now = now.Add(1); !c.probe(now) || c.limit != 11 {
			t.Fatalf("after %v: limit %d, expected a probe of 11", interval, c.limit)
		}
		if c.congested(11, 11, now, now); c.limit != 10 {
			t.Fatalf("a failed probe left %d", c.limit)
		}
	}
	at := []int{11, 12, 13, 14} // probes that hold come faster and faster
	for i, interval := range []time.Duration{300, 300, 150, 75} {
		if now = now.Add(interval * time.Second); !c.probe(now) || c.limit != at[i] {
			t.Errorf("probe %d after %v s: limit %d, expected %d", i, int(interval), c.limit, at[i])
		}
	}
	if now = now.Add(time.Minute); c.probe(now) {
		now = now.Add(time.Second)
	}
	limit := c.good
	if c.congested(limit+1, limit, now, now); c.limit != limit {
		t.Errorf("a failed probe, one answer on its way: limit %d, expected %d", c.limit, limit)
	}
	now = now.Add(time.Minute - time.Second)
	if c.congested(limit+1, limit, now, now); c.limit != limit {
		t.Errorf("throttled once at the limit: %d, expected %d still", c.limit, limit)
	}
	now = now.Add(time.Second)
	if c.congested(limit+1, limit, now, now); c.limit != limit-1 {
		t.Errorf("throttled at the limit again: %d, expected one less than %d", c.limit, limit)
	}
	now = now.Add(time.Second)
	if c.congested(8, 3, now, now); c.limit != 4 { // others use the account, too
		t.Errorf("throttled with 8 in progress of which 3 are ours: limit %d", c.limit)
	}
	if now = now.Add(time.Minute); !c.suspect(9, now) {
		t.Error("what was accepted a minute ago still counts")
	}
}

// throttleWith has one request throttled that left with n of the account in progress.
func (l *lane) throttleWith(o Outcome) {
	done, err := l.l.Acquire(bg, l.r)
	if err != nil {
		panic(err)
	}
	o.Throttled, o.RetryAfter = true, time.Second
	done(o)
	time.Sleep(time.Second)
	_ = l.pass(bg) // concludes
}

func (l *lane) learned() (float64, int) {
	var s Stats
	l.l.describe(&s)
	for _, b := range s.Buckets {
		if b.Resource == l.r {
			return b.Learned, s.Accounts[0].Learned
		}
	}
	return 0, s.Accounts[0].Learned
}

// Which controller a throttle touches.
func TestEvidenceTellsRateFromConcurrency(t *testing.T) {
	for _, tc := range []struct {
		name        string
		accepted    int // in progress with a request that was accepted before
		o           Outcome
		rate        bool
		concurrency int
	}{
		{"says rate", 0, Outcome{ConcurrentRequests: 50, Rate: true}, true, 0},
		{"no hint, more than ever in progress: both", 10, Outcome{ConcurrentRequests: 11}, true, 5},
		{"no hint, as many were accepted: rate", 11, Outcome{ConcurrentRequests: 11}, true, 0},
		{"alone: rate", 0, Outcome{ConcurrentRequests: 1}, true, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			lane := newLane(newLimiter(t), unlisted)
			if tc.accepted > 0 {
				done, _ := lane.enter(bg)
				done(Outcome{ConcurrentRequests: tc.accepted})
			}
			lane.throttleWith(tc.o)
			if rate, conc := lane.learned(); (rate > 0) != tc.rate || conc != tc.concurrency {
				t.Errorf("%s: learned %v/s and %d in flight, expected a rate: %v, and %d", tc.name, rate, conc, tc.rate, tc.concurrency)
			}
		})
	}
}

// After a throttle that may mean either, a throttle with few in progress acquits
// concurrency, and more accepted than the rate learned acquits the rate.
func TestEvidenceAcquits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t), unlisted)
		lane.throttleWith(Outcome{ConcurrentRequests: 21})
		if _, conc := lane.learned(); conc != 10 {
			t.Fatalf("learned %d in flight", conc)
		}
		lane.throttleWith(Outcome{ConcurrentRequests: 1})
		if rate, conc := lane.learned(); rate == 0 || conc != 0 {
			t.Errorf("throttled alone: %v/s, %d in flight; expected concurrency to be acquitted", rate, conc)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t), unlisted)
		lane.throttleWith(Outcome{ConcurrentRequests: 21})
		for range 50 {
			_ = lane.pass(bg)
		}
		if rate, conc := lane.learned(); rate != 0 || conc != 10 {
			t.Errorf("more and more accepted: %v/s, %d in flight; expected the rate to be acquitted", rate, conc)
		}
	})
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
		lane.throttleWith(Outcome{Rate: true})
		if rate, _ := lane.learned(); rate != 0 {
			t.Errorf("learned %v/s", rate)
		}
	})
}

// SetLearning(false) forgets at once, also for those who wait.
func TestSwitchingLearningOffForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: Messages, Rate: 20})
		lane := newLane(l, sender)
		lane.throttleWith(Outcome{Rate: true})
		if rate, _ := lane.learned(); rate != 10 {
			t.Fatalf("learned %v/s", rate)
		}
		l.SetLearning(false)
		lane.left, lane.start = nil, time.Now()
		for range 3 {
			_ = lane.pass(bg)
		}
		if d := lane.left[2] - lane.left[1]; d != 50*time.Millisecond {
			t.Errorf("an interval of %v, expected that of 20/s", d)
		}
	})
}

// One stray throttle just after the beginning does not halve a configured rate.
func TestStrayThrottleCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 20}), sender)
		for range 1 {
			_ = lane.pass(bg)
		}
		lane.throttleWith(Outcome{})
		if rate, _ := lane.learned(); rate < 19 {
			t.Errorf("learned %v/s after one throttle at 20/s", rate)
		}
	})
}

// A learned rate below the cap grows back to it, and is then forgotten.
func TestRateGrowsBackToTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 20}), sender)
		lane.throttleWith(Outcome{Rate: true})
		for range 700 {
			_ = lane.pass(bg)
		}
		n := len(lane.left)
		if rate, _ := lane.learned(); rate != 0 || lane.left[n-1]-lane.left[n-2] != 50*time.Millisecond {
			t.Errorf("learned %v/s, last interval %v", rate, lane.left[n-1]-lane.left[n-2])
		}
	})
}

// What was learned outlives an idle bucket for an hour.
func TestLearnedBucketIsKeptForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t), unlisted)
		lane.throttleWith(Outcome{Rate: true})
		time.Sleep(55 * time.Minute)
		if rate, _ := lane.learned(); rate == 0 {
			t.Error("forgotten after 55 minutes")
		}
		time.Sleep(10 * time.Minute)
		var s Stats
		if lane.l.describe(&s); s.BucketsInAll != 0 {
			t.Errorf("%d buckets after 65 minutes", s.BucketsInAll)
		}
	})
}

// What was learned about an account does not keep the buckets of all its senders, and
// outlives them for an hour.
func TestAccountsLimitOutlivesItsBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t)
		newLane(l, unlisted).throttleWith(Outcome{ConcurrentRequests: 21})
		for i := range 1000 {
			_ = newLane(l, strconv.Itoa(i)).pass(bg)
		}
		learned := func() (buckets, slots int) {
			var s Stats
			l.describe(&s)
			if len(s.Accounts) > 0 {
				slots = s.Accounts[0].Learned
			}
			return s.BucketsInAll, slots
		}
		time.Sleep(3 * time.Minute)
		if buckets, slots := learned(); buckets > 1 || slots != 10 {
			t.Errorf("after 3 minutes: %d buckets, %d in flight learned", buckets, slots)
		}
		time.Sleep(time.Hour)
		_ = newLane(l, "1").pass(bg)
		if buckets, slots := learned(); buckets != 1 || slots != 0 {
			t.Errorf("after an hour: %d buckets, %d in flight learned", buckets, slots)
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
			w := newWorld(t, func(n int, _ *http.Request) *http.Response {
				time.Sleep(100 * time.Millisecond)
				if n == 5 {
					return respond(429, throttleBody, headers...)
				}
				return respond(201, createdBody, headers...)
			}, quiet)
			var first sync.WaitGroup
			first.Go(func() { w.sendAll(4) })
			time.Sleep(time.Millisecond) // the fifth is to be throttled, and nobody else
			w.sendAll(1)
			first.Wait()
			if a := w.c.Stats().Accounts[0]; a.Learned != 4 {
				t.Errorf("headers %v: %d in flight learned, expected 4, one less than this client had", headers, a.Learned)
			}
		})
	}
}

func TestAcceptancesCountASecond(t *testing.T) {
	var a acceptances
	start := time.Now()
	for i := range 5000 { // 100/s for 50 s
		a.add(start.Add(time.Duration(i) * 10 * time.Millisecond))
	}
	if n, _ := a.until(start.Add(49990 * time.Millisecond)); n != 100 {
		t.Errorf("%d within the last second, expected 100", n)
	}
	if n := len(a.ring); n > 256 {
		t.Errorf("keeps %d times for 100 a second", n)
	}
	for i := range 5000 { // 5,000/s
		a.add(start.Add(time.Minute + time.Duration(i)*200*time.Microsecond))
	}
	if n := len(a.ring); n > maxAcceptances {
		t.Errorf("keeps %d times", n)
	}
}
