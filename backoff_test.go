package pacer

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The fixed schedule, to the nanosecond: 1, 2, 4, 8, 16 s, six attempts, then the
// alert and the error.
func TestFixedSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts []Alert
		w := newWorld(t, always(throttle()), WithAlert(func(a Alert) { alerts = append(alerts, a) }))
		err := w.send()
		want := seconds(0, 1, 3, 7, 15, 31)
		if got := w.times(); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, expected %v", got, want)
		}
		rl, ok := FromError(err)
		if !ok || rl.Kind != Throttled || rl.Attempts != 6 || rl.Waited != 31*time.Second || rl.Status != 429 || rl.Code != 20429 || rl.RetryAfter != 0 {
			t.Errorf("FromError: %+v, %v", rl, ok)
		}
		if len(alerts) != 1 || alerts[0].Kind != AlertRetriesExhausted || alerts[0].RateLimit != rl {
			t.Errorf("alerts: %v", alerts)
		}
	})
}

// None of the backoff package's defaults shows: no randomised steps, no end after 15 minutes,
// and n retries are n+1 attempts. Calls do not share a schedule.
// Source: https://pkg.go.dev/github.com/cenkalti/backoff/v4#ExponentialBackOff.
func TestMaxRetriesAndScheduleOfEachCall(t *testing.T) {
	for retries, want := range map[int][]time.Duration{
		0: seconds(0),
		1: seconds(0, 1),
		5: seconds(0, 1, 3, 7, 15, 31),
		// the longest step is 16 s, and no total time ends the retries
		60: func() []time.Duration {
			at := seconds(0, 1, 3, 7, 15, 31)
			for len(at) < 61 {
				at = append(at, at[len(at)-1]+16*time.Second)
			}
			return at
		}(),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, always(throttle()), WithMaxRetries(retries), quiet)
			if err := w.send(); err == nil {
				t.Error("no error")
			}
			if got := w.times(); !slices.Equal(got, want) {
				t.Errorf("WithMaxRetries(%d): attempts at %v, expected %v", retries, got, want)
			}
		})
	}
}

// Retry-After is waited out exactly, plus a jitter of [0, 1 s) that is drawn for each
// wait. It is only ever added. Source: https://github.com/oras-project/oras-go/issues/1210.
func TestRetryAfterPlusJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var draws []time.Duration
		w := newWorld(t, always(throttle("Retry-After", "7")), quiet)
		w.c.cfg.jitter = func(below time.Duration) time.Duration {
			if below != time.Second {
				t.Errorf("jitter below %v, expected 1 s", below)
			}
			draws = append(draws, time.Duration(len(draws)+1)*10*time.Millisecond+1)
			return draws[len(draws)-1]
		}
		w.send()
		at := w.times()
		if len(at) != 6 || len(draws) < 5 {
			t.Fatalf("%d attempts, %d draws", len(at), len(draws))
		}
		for i := 1; i < len(at); i++ {
			if got, want := at[i]-at[i-1], 7*time.Second+draws[i-1]; got != want {
				t.Errorf("wait %d was %v, expected %v", i, got, want)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) { // with the real jitter
		var waits []time.Duration
		for range 50 {
			w := newWorld(t, always(throttle("Retry-After", "7")), quiet, WithMaxRetries(1))
			w.send()
			at := w.times()
			waits = append(waits, at[1]-at[0])
		}
		slices.Sort(waits)
		if waits[0] < 7*time.Second || waits[49] >= 8*time.Second || waits[0] == waits[49] {
			t.Errorf("waits from %v to %v, expected to spread over [7 s, 8 s)", waits[0], waits[49])
		}
	})
}

func TestFallbackJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always(throttle()), quiet, WithFallbackJitter(500*time.Millisecond), WithMaxRetries(2))
		w.c.cfg.jitter = func(below time.Duration) time.Duration { return below / 2 }
		w.send()
		if got, want := w.times(), []time.Duration{0, 1250 * time.Millisecond, 3500 * time.Millisecond}; !slices.Equal(got, want) {
			t.Errorf("attempts at %v, expected %v", got, want)
		}
	})
}

// The n-th answer without a header waits the n-th step, also if others had one.
func TestScheduleCountsAllThrottles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(n int, _ *http.Request) *http.Response {
			if n == 1 {
				return throttle("Retry-After", "5")(n, nil)
			}
			return throttle()(n, nil)
		}, quiet, WithMaxRetries(3))
		w.c.cfg.jitter = func(time.Duration) time.Duration { return 0 }
		w.send()
		if got, want := w.times(), seconds(0, 5, 7, 11); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, expected %v", got, want)
		}
	})
}

// A Retry-After of 30 s outlasts the http.Client's timeout of 10 s. Source: https://pkg.go.dev/net/http#Client,
// whose Timeout would cover the waits between attempts, too.
func TestTimeoutDoesNotCutWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if n == 1 {
				return throttle("Retry-After", "30")(n, r)
			}
			if r.Cancel != nil { //nolint:staticcheck // http.Client.Timeout would set it
				t.Error("request has a Cancel channel")
			}
			if d, ok := r.Context().Deadline(); !ok || time.Until(d) != 10*time.Second {
				t.Errorf("attempt 2 has %v left, expected the whole 10 s", time.Until(d))
			}
			return respond(201, createdBody)
		})
		w.own.HTTPClient.Timeout = 10 * time.Second
		if err := w.send(); err != nil {
			t.Error(err)
		}
		if at := w.times(); len(at) != 2 || at[1] < 30*time.Second || at[1] >= 31*time.Second {
			t.Errorf("attempts at %v", at)
		}
	})
}

var retryAfters = []struct {
	header, date string
	want         time.Duration
}{
	{"7", "", 7 * time.Second},
	{" 7 ", "", 7 * time.Second},
	{"1.5", "", 1500 * time.Millisecond},
	{".5", "", 500 * time.Millisecond},
	{"0.000000001", "", 1},
	{"3600", "", time.Hour},
	{"31536000", "", 365 * 24 * time.Hour},
	// no overflow to the negative
	{"9223372036", "", 9223372036 * time.Second},
	{"9223372037", "", math.MaxInt64},
	{"18446744073709551615", "", math.MaxInt64},
	{strings.Repeat("9", 400), "", math.MaxInt64},
	{"1743000000", "", 1743000000 * time.Second},
	// digits and a point, nothing else
	{"", "", 0}, {"-1", "", 0}, {"+5", "", 0}, {"0x10", "", 0}, {"1e3", "", 0}, {"NaN", "", 0}, {"Inf", "", 0},
	{"soon", "", 0}, {"1h3", "", 0}, {"5 s", "", 0}, {"1.2.3", "", 0}, {".", "", 0}, {"5, 10", "", 0}, {"١", "", 0},
	// zero says nothing; the fixed schedule applies
	{"0", "", 0}, {"0.0", "", 0},
	// all three forms of a date, measured against the answer's Date
	{"Wed, 21 Oct 2015 07:28:10 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 10 * time.Second},
	{"Wednesday, 21-Oct-15 07:28:10 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 10 * time.Second},
	{"Wed Oct 21 07:28:10 2015", "Wed, 21 Oct 2015 07:28:00 GMT", 10 * time.Second},
	{"Thu, 21 Oct 1999 07:28:10 GMT", "nonsense", 0}, // past by this side's clock
	{"Thu, 21 Oct 1999 07:28:10 GMT", "", 0},
	{"Sat, 01 Jan 2000 00:00:20 GMT", "", 20 * time.Second}, // synctest begins in 2000
	{"Wed, 21 Oct 2015 07:28:10 GMT", "Wed, 21 Oct 2015 07:29:00 GMT", 0},
	{"Fri, 31 Dec 9999 23:59:59 GMT", "", math.MaxInt64},
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range retryAfters {
		h := http.Header{"Retry-After": {tt.header}}
		if tt.date != "" {
			h.Set("Date", tt.date)
		}
		if got := parseRetryAfter(h, now); got != tt.want {
			t.Errorf("Retry-After %.40q, Date %q: %v, expected %v", tt.header, tt.date, got, tt.want)
		}
	}
	if got := parseRetryAfter(http.Header{"Retry-After": {"3", "9"}}, now); got != 3*time.Second {
		t.Errorf("of several headers the first counts: got %v", got)
	}
	if got := parseRetryAfter(nil, now); got != 0 {
		t.Errorf("no header: %v", got)
	}
}

// Whatever Retry-After says: a call is sent again after at least a second of waiting
// (half a second where that is what the header says), or fails at once.
// Source: https://github.com/hashicorp/go-retryablehttp/issues/247.
func TestHostileRetryAfter(t *testing.T) {
	for _, tt := range retryAfters {
		if strings.HasPrefix(tt.header, "Sat") {
			continue // a point in time, which the first retry reaches
		}
		synctest.Test(t, func(t *testing.T) {
			headers := []string{"Retry-After", tt.header}
			if tt.date != "" {
				headers = append(headers, "Date", tt.date)
			}
			w := newWorld(t, always(throttle(headers...)), quiet)
			err := w.send()
			at := w.times()
			rl, ok := FromError(err)
			if !ok || rl.RetryAfter != tt.want {
				t.Errorf("%.40q: FromError %+v, %v", tt.header, rl, ok)
			}
			if tt.want > 5*time.Minute {
				if len(at) != 1 || time.Since(w.start) != 0 {
					t.Errorf("%.40q: attempts at %v", tt.header, at)
				}
				return
			}
			if len(at) != 6 {
				t.Fatalf("%.40q: %d attempts", tt.header, len(at))
			}
			least := seconds(0, 1, 3, 7, 15, 31)
			for i := range at {
				if tt.want == 0 && at[i] != least[i] {
					t.Errorf("%.40q: attempts at %v, expected the fixed schedule", tt.header, at)
					break
				}
				if i > 0 && (at[i]-at[i-1] < tt.want || (tt.want > 0 && at[i]-at[i-1] >= tt.want+time.Second)) {
					t.Errorf("%.40q: waited %v, expected %v and a jitter below 1 s", tt.header, at[i]-at[i-1], tt.want)
				}
			}
		})
	}
}

// On an answer that is no throttle Retry-After is a hint for polling, not a wait.
// Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after.
func TestRetryAfterOnSuccessIsNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always(func(int, *http.Request) *http.Response { return respond(201, createdBody, "Retry-After", "60") }))
		for range 2 {
			if err := w.send(); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(w.start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// A wait ends when its context does, at that moment. Nothing is sent afterwards, and the
// last answer is not lost. Source: https://pkg.go.dev/github.com/cenkalti/backoff/v4#Retry, which drops it.
func TestCancelEndsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always(throttle()), quiet)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(1500*time.Millisecond, cancel)
		err := w.sendWith(ctx)
		if d := time.Since(w.start); d != 1500*time.Millisecond {
			t.Errorf("returned after %v, expected 1.5 s", d)
		}
		if len(w.times()) != 2 {
			t.Errorf("attempts at %v", w.times())
		}
		wantWaitError(t, err, context.Canceled)
		if rl, _ := FromError(err); rl.Kind != NotSent || rl.Attempts != 2 || rl.Waited != 1500*time.Millisecond || rl.Status != 429 {
			t.Errorf("FromError: %+v", rl)
		}
		wantTwilioError(t, err, 429, 20429)
	})
}

// Nothing is sent either when the context ends in a hook, at the very end of a wait.
// Source: https://github.com/gofri/go-github-ratelimit, which sends all the same.
func TestCancelledInHookSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := newWorld(t, always(throttle()), WithObserver(func(_ context.Context, e Event) {
			if e.Kind == EventRetrying {
				cancel()
			}
		}))
		wantWaitError(t, w.sendWith(ctx), context.Canceled)
		if len(w.times()) != 1 {
			t.Errorf("attempts at %v", w.times())
		}
	})
}

// A wait, jitter included, that ends after the deadline is refused at once.
// Source: https://github.com/basecamp/basecamp-cli/issues/712.
func TestDeadlineCountsJitter(t *testing.T) {
	for timeout, attempts := range map[time.Duration]int{5400 * time.Millisecond: 1, 5600 * time.Millisecond: 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, always(throttle("Retry-After", "5")), quiet)
			w.c.cfg.jitter = func(time.Duration) time.Duration { return 500 * time.Millisecond }
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			err := w.sendWith(ctx)
			if got := len(w.times()); got != attempts {
				t.Errorf("deadline in %v: %d attempts, expected %d", timeout, got, attempts)
			}
			if attempts == 1 && time.Since(w.start) != 0 {
				t.Errorf("deadline in %v: failed after %v, expected at once", timeout, time.Since(w.start))
			}
			wantWaitError(t, err, context.DeadlineExceeded)
			wantWaitError(t, err, ErrWaitTooLong)
			if rl, _ := FromError(err); rl.RetryAfter != 5*time.Second {
				t.Errorf("FromError: %+v", rl)
			}
		})
	}
}

func TestMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // 1 + 2 s, and 4 s more would be too long
		w := newWorld(t, always(throttle()), quiet, WithMaxWait(6*time.Second))
		err := w.send()
		if got, want := w.times(), seconds(0, 1, 3); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, expected %v", got, want)
		}
		if d := time.Since(w.start); d != 3*time.Second {
			t.Errorf("failed after %v, expected 3 s", d)
		}
		wantWaitError(t, err, ErrWaitTooLong)
		wantTwilioError(t, err, 429, 20429)
	})
	synctest.Test(t, func(t *testing.T) { // refused up front: the bucket's queue is too long
		w := newWorld(t, always(ok201), WithMaxWait(2500*time.Millisecond), WithLimits(Limits{{Resource: Messages, Rate: 1}}))
		errs := w.sendAll(5)
		if len(errs) != 2 || time.Since(w.start) != 2*time.Second {
			t.Errorf("%d refused, all done after %v; expected 2 of 5, after 2 s", len(errs), time.Since(w.start))
		}
		for _, err := range errs {
			wantWaitError(t, err, ErrWaitTooLong)
		}
	})
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, tt := range retryAfters {
		f.Add(tt.header, tt.date)
	}
	f.Fuzz(func(t *testing.T, header, date string) {
		now := time.Unix(1_800_000_000, 0)
		d := parseRetryAfter(http.Header{"Retry-After": {header}, "Date": {date}}, now)
		if d < 0 {
			t.Errorf("Retry-After %q, Date %q: %v", header, date, d)
		}
		s := &schedule{ctx: context.Background(), cfg: &config{maxRetries: 5, maxRetryAfter: 5 * time.Minute, jitter: uniform}}
		if hold := s.throttled(d); hold <= 0 {
			t.Errorf("Retry-After %q: the bucket holds for %v", header, hold)
		}
		if s.next != -1 && (s.next <= 0 || s.next < d) {
			t.Errorf("Retry-After %q: waits %v", header, s.next)
		}
	})
}

func seconds(s ...int) []time.Duration {
	d := make([]time.Duration, len(s))
	for i := range s {
		d[i] = time.Duration(s[i]) * time.Second
	}
	return d
}

// The largest delay that Twilio can ask for, and an option that allows it: the wait is long,
// and not negative.
func TestHugeRetryAfterDoesNotOverflow(t *testing.T) {
	opts, err := optionsOf([]Option{WithMaxRetryAfter(math.MaxInt64)})
	try(t, err)
	for _, retryAfter := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, longestWait, longestWait + 1} {
		s := schedule{ctx: bg, cfg: opts.config}
		if hold := s.throttled(retryAfter); hold <= 0 || s.next < hold || s.next > hold+time.Second || 2*hold < hold {
			t.Errorf("%v: hold %v, next %v", retryAfter, hold, s.next)
		}
	}
}

func TestHugeFallbackJitterDoesNotOverflow(t *testing.T) {
	opts, err := optionsOf([]Option{WithFallbackJitter(math.MaxInt64)})
	try(t, err)
	opts.jitter = func(below time.Duration) time.Duration { return below - 1 }
	s := schedule{ctx: bg, cfg: opts.config}
	if hold := s.throttled(0); hold != time.Second || s.next < hold || 2*s.next < s.next {
		t.Errorf("hold %v, next %v", hold, s.next)
	}
}

func TestCallWithAHugeRetryAfterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wait time.Duration
		w := newWorld(t, always(throttle("Retry-After", "99999999999999999999")), WithMaxRetryAfter(math.MaxInt64), WithMaxWait(math.MaxInt64), WithObserver(func(_ context.Context, e Event) {
			if e.Kind == EventRetrying {
				wait = e.Wait
			}
		}))
		ctx, cancel := context.WithCancel(bg)
		time.AfterFunc(time.Hour, cancel)
		if err := w.sendWith(ctx); !errors.Is(err, context.Canceled) || time.Since(w.start) != time.Hour || wait <= 0 {
			t.Errorf("%v after %v, told to wait %v", err, time.Since(w.start), wait)
		}
	})
}
