package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A foreign limiter lets everything pass at once. It embeds nothing of pacer's, and has all the
// methods that a client looks for.
type foreign struct {
	mu     sync.Mutex
	limits pacer.Limits
	rates  map[string]float64
	passed int
	alert  func(pacer.Alert)
}

var (
	_ pacer.Limiter          = (*foreign)(nil)
	_ pacer.SetLimitsLimiter = (*foreign)(nil)
	_ pacer.LimitsLimiter    = (*foreign)(nil)
	_ pacer.ServiceLimiter   = (*foreign)(nil)
	_ pacer.StatsLimiter     = (*foreign)(nil)
	_ pacer.AlertLimiter     = (*foreign)(nil)
)

func (f *foreign) Acquire(ctx context.Context, _ pacer.Resource) (func(pacer.Outcome), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passed++
	return func(pacer.Outcome) {}, ctx.Err()
}

func (f *foreign) SetLimits(limits pacer.Limits) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits = slices.Clone(limits)
	return limits.Validate()
}

func (f *foreign) Limits() pacer.Limits {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.limits)
}

func (f *foreign) SetMessagingServiceRate(sid string, requestsPerSecond float64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rates = map[string]float64{sid: requestsPerSecond}
	return nil
}

func (f *foreign) Stats() pacer.LimiterStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pacer.LimiterStats{BucketsInAll: 1, Buckets: []pacer.BucketStats{{Counts: pacer.Counts{Requests: f.passed}}}}
}

func (f *foreign) OnAlert(alert func(pacer.Alert)) (stop func()) {
	f.alert = alert
	return func() {}
}

// A limiter of somebody else's takes part in all that a client does with its limiter.
func TestForeignLimiterTakesPart(t *testing.T) {
	const service = "MG0123456789abcdef0123456789abcdef"
	fake := twiliotest.New(twiliotest.Config{})
	fake.AddServiceNumbers(service, "+15005550001", "+15005550002")
	f := &foreign{}
	alerts := make(chan pacer.AlertKind, 10)
	c, err := pacer.New(credentials, pacer.WithLimiter(f), pacer.WithHTTPClient(fake.Client()), pacer.WithAlert(func(a pacer.Alert) { alerts <- a.Kind }))
	if err != nil {
		t.Fatal(err)
	}
	limits := pacer.Limits{{Resource: pacer.Messages, Rate: 7}}
	if err := c.SetLimits(limits); err != nil || !slices.Equal(c.Limits(), limits) {
		t.Errorf("SetLimits: %v, and the limits are %v", err, c.Limits())
	}
	if n, err := c.LearnMessagingService(context.Background(), service); n != 2 || err != nil || f.rates[service] != 2 {
		t.Errorf("LearnMessagingService: %d, %v, and the rates are %v", n, err, f.rates)
	}
	if s := c.Stats(); s.BucketsInAll != 1 || len(s.Buckets) != 1 || s.Buckets[0].Requests != f.passed || f.passed == 0 {
		t.Errorf("Stats: %+v", s.LimiterStats)
	}
	f.alert(pacer.Alert{Kind: pacer.AlertNotShared, Err: errors.New("gone")})
	if n, told := c.Stats().Alerts[pacer.AlertNotShared], <-alerts; n != 1 || told != pacer.AlertNotShared {
		t.Errorf("its alert: counted %d times, told %q", n, told)
	}
}

// A package offers one option that does several things.
func ExampleOptions() {
	// Quietly is what such a package has.
	told := make(chan string, 1) // an alert comes from another goroutine
	quietly := func(prefix string) pacer.Option {
		return pacer.Options(
			pacer.WithMaxRetries(0),
			pacer.WithAlert(func(a pacer.Alert) { told <- fmt.Sprint(prefix, " ", a.Kind) }),
		)
	}
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429})
	c, err := pacer.New(credentials, quietly("alert:"), pacer.WithHTTPClient(fake.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Api.CreateMessage(message("+15005550006", "hello"))
	fmt.Println(<-told)
	fmt.Println(err != nil)
	// Output:
	// alert: retries exhausted
	// true
}

func TestOptionsDoWhatEachOfThemDoes(t *testing.T) {
	_, err := pacer.New(credentials, nil, pacer.Options(nil, pacer.WithMaxRetries(-1), pacer.Options(pacer.WithMaxWait(-1))), pacer.WithLogger(nil))
	if err == nil {
		t.Fatal("no error of invalid options")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{"pacer: WithMaxRetries: -1", "pacer: WithMaxWait: -1ns", "pacer: WithLogger: nil"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d of %q: expected %q", i, err, want)
		}
	}
	opts := []pacer.Option{pacer.WithMaxRetries(1)}
	bundle := pacer.Options(opts...)
	opts[0] = pacer.WithMaxRetries(-1)
	if _, err := pacer.New(credentials, bundle); err != nil {
		t.Errorf("the bundle follows a slice that was changed later: %v", err)
	}
}
