package pacer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// serviceWith returns a fake whose service has so many long codes.
func serviceWith(numbers int, config twiliotest.Config) *twiliotest.Fake {
	fake := twiliotest.New(config)
	for i := range numbers {
		fake.AddServiceNumbers(serviceSID, fmt.Sprintf("+1500555%04d", i))
	}
	return fake
}

// asked is how many requests for a service's pool the fake has accepted.
func asked(fake *twiliotest.Fake) (n int) {
	for _, r := range fake.Accepted() {
		if strings.HasPrefix(r.Resource, "messaging/") {
			n++
		}
	}
	return n
}

// An import swap must not make a service with 50 numbers run at 1/s. It may have any number,
// so that it is not paced, and that is told once; the client asks nothing by itself.
func TestServiceOfUnknownSizeIsNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		fake := serviceWith(50, twiliotest.Config{})
		c := fakeClient(t, fake, alerts.option())
		start := time.Now()
		together(t, c.RestClient, 2000, messagesFrom(serviceSID))
		if took := time.Since(start); took > 50*time.Millisecond { // which the listener may take
			t.Errorf("2,000 messages took %v, expected no pace", took)
		}
		together(t, c.RestClient, 20, messagesFrom("MG"+strings.Repeat("0", 32)))
		time.Sleep(2 * time.Hour)
		together(t, c.RestClient, 20, messagesFrom(serviceSID))
		told := alerts.take()
		if len(told) != 2 {
			t.Fatalf("%v, expected one alert for each service", told)
		}
		for i, sid := range []string{serviceSID, "MG" + strings.Repeat("0", 32)} {
			a := told[i]
			if a.Kind != AlertPoolUnknown || a.Resource.Sender != sid || a.Time.IsZero() || !strings.Contains(a.Err.Error(), sid) ||
				!strings.Contains(a.Advice, "pacer.WithPoolDiscovery(true)") || !strings.Contains(a.Advice, "LearnMessagingService") {
				t.Errorf("%+v", a)
			}
			wantRule(t, a, Limit{Resource: Messages, Sender: sid, Rate: 10})
		}
		if n := asked(fake); n != 0 {
			t.Errorf("%d requests that the program did not make", n)
		}
	})
}

// Throttled, the service is learned: of 2,000 calls at 50/s all are sent within 90 s.
func TestServiceOfUnknownSizeIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := serviceWith(50, twiliotest.Config{
			Latency: 100 * time.Millisecond,
			Limits:  []twiliotest.Limit{{Resource: "Messages", Rate: 50, PerSender: true}},
		})
		c := fakeClient(t, fake, quiet)
		for range 2000 {
			go func() { _ = messagesFrom(serviceSID)(c.RestClient) }()
		}
		time.Sleep(90 * time.Second)
		if n := len(fake.Messages()); n < 1900 {
			t.Errorf("%d of 2,000 sent within 90 s", n)
		}
		time.Sleep(10 * time.Minute)
	})
}

// The pool is asked for once, at the first use, whoever is the first.
func TestPoolIsDiscoveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		fake := serviceWith(1200, twiliotest.Config{Latency: 100 * time.Millisecond})
		fake.AddServiceShortCodes(serviceSID, "12345")
		c := fakeClient(t, fake, alerts.option(), WithPoolDiscovery(true))
		together(t, c.RestClient, 20, messagesFrom(sender))
		time.Sleep(time.Hour)
		if n := asked(fake); n != 0 {
			t.Errorf("%d requests before a service is used", n)
		}
		alerts.take()
		together(t, c.RestClient, 50, messagesFrom(serviceSID))
		time.Sleep(time.Second)
		if got := rateOf(c, serviceSID); got != 1300 {
			t.Errorf("rate %v, expected 1300", got)
		}
		for range 100 {
			try(t, messagesFrom(serviceSID)(c.RestClient))
			time.Sleep(time.Hour)
		}
		if n := asked(fake); n != 3 { // two pages of numbers, one of short codes
			t.Errorf("%d requests, expected 3", n)
		}
		if told := alerts.take(); len(told) > 0 {
			t.Errorf("%v", told)
		}
	})
}

// A known pool paces from its first call on, and where that is felt it is told: it is pacer
// that has brought the limit.
func TestDiscoveredPoolPacesAndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		fake := serviceWith(5, twiliotest.Config{})
		c := fakeClient(t, fake, alerts.option(), WithPoolDiscovery(true))
		try(t, messagesFrom(serviceSID)(c.RestClient))
		time.Sleep(time.Second)
		start := time.Now()
		together(t, c.RestClient, 101, messagesFrom(serviceSID))
		if took := time.Since(start); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("101 messages took %v, expected 20 s at 5/s", took)
		}
		told := alerts.take()
		if len(told) != 1 || told[0].Kind != AlertPacedByDefault {
			t.Fatalf("%v", told)
		}
		for _, want := range []string{serviceSID, " 5/s", "in its pool: 5", "as Twilio lists it"} {
			if !strings.Contains(told[0].Err.Error(), want) {
				t.Errorf("%v: expected %q", told[0].Err, want)
			}
		}
		wantRule(t, told[0], Limit{Resource: Messages, Sender: serviceSID, Rate: 10})
	})
}

// No call waits for the answer about the pool, and the question waits for all others.
func TestPoolDiscoveryDisturbsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := serviceWith(5, twiliotest.Config{})
		fake.Inject(twiliotest.Fault{
			Kind: twiliotest.Slow, Delay: 8 * time.Second,
			Match: func(r *twiliotest.Request) bool { return strings.HasPrefix(r.Resource, "messaging/") },
		})
		var mu sync.Mutex
		priorities := map[string]Priority{}
		c := fakeClient(t, fake, WithPoolDiscovery(true), WithObserver(func(ctx context.Context, e Event) {
			mu.Lock()
			defer mu.Unlock()
			priorities[e.Resource.Product] = PriorityOf(ctx)
		}))
		start := time.Now()
		try(t, messagesFrom(serviceSID)(c.RestClient))
		if took := time.Since(start); took > 0 {
			t.Errorf("the first call took %v", took)
		}
		time.Sleep(time.Minute)
		if got := rateOf(c, serviceSID); got != 5 {
			t.Errorf("rate %v, expected 5", got)
		}
		mu.Lock()
		defer mu.Unlock()
		if priorities["messaging"] != Low || priorities["api"] != Normal {
			t.Errorf("priorities %v", priorities)
		}
	})
}

// What fails is told once, tried again an hour later at the earliest, and only if the service
// is used then. The calls feel nothing of it.
func TestFailedPoolDiscoveryIsToldOnceAndRepeatedRarely(t *testing.T) {
	for name, fault := range map[string]twiliotest.Fault{
		"no such service":      {Kind: twiliotest.RespondStatus, Status: 404, Code: 20404},
		"a server error":       {Kind: twiliotest.RespondStatus, Status: 500},
		"no connection":        {Kind: twiliotest.RefuseConnection},
		"throttled throughout": {Kind: twiliotest.RespondStatus, Status: 429, Code: 20429},
		"no answer":            {Kind: twiliotest.Slow, Delay: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var alerts alertLog
				fake := serviceWith(5, twiliotest.Config{})
				var tries atomic.Int64
				var works atomic.Bool
				fault.Match = func(r *twiliotest.Request) bool {
					if !strings.HasPrefix(r.Resource, "messaging/") {
						return false
					}
					tries.Add(1)
					return !works.Load()
				}
				fake.Inject(fault)
				c := fakeClient(t, fake, alerts.option(), WithPoolDiscovery(true))
				for range 10 { // over half an hour
					together(t, c.RestClient, 10, messagesFrom(serviceSID))
					time.Sleep(3 * time.Minute)
				}
				once := tries.Load()
				if once == 0 || once > 6 {
					t.Errorf("%d requests for one discovery", once)
				}
				time.Sleep(5 * time.Hour)
				if n := tries.Load(); n != once {
					t.Errorf("%d requests without use", n-once)
				}
				together(t, c.RestClient, 10, messagesFrom(serviceSID))
				time.Sleep(5 * time.Minute)
				if n := tries.Load(); n != 2*once {
					t.Errorf("%d requests for two discoveries, the first made %d", n, once)
				}
				works.Store(true)
				time.Sleep(time.Hour)
				try(t, messagesFrom(serviceSID)(c.RestClient))
				time.Sleep(time.Second)
				if got := rateOf(c, serviceSID); got != 5 {
					t.Errorf("rate %v, expected 5 after Twilio has answered", got)
				}
				told := alerts.take()
				if len(told) != 1 || told[0].Kind != AlertPoolUnknown || told[0].Err == nil || !strings.Contains(told[0].Err.Error(), serviceSID) ||
					!strings.Contains(told[0].Err.Error(), "could not be read") {
					t.Errorf("%v, expected one alert", told)
				}
				if told := ofKind(AlertPoolUnknown, told); len(told) > 0 {
					wantRule(t, told[0], Limit{Resource: Messages, Sender: serviceSID, Rate: 10})
				}
			})
		})
	}
}

// A panic of the program's transport ends no process, though it is in a goroutine of pacer's.
func TestPanicWhileAPoolIsAskedForEndsNothing(t *testing.T) {
	log := intoDefaultLog(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if r.URL.Host == "messaging.twilio.com" {
				panic("no " + sender)
			}
			return ok201(n, r)
		}, WithLimits(nil), WithPoolDiscovery(true))
		try(t, messagesFrom(serviceSID)(w.c.RestClient))
		time.Sleep(time.Minute)
		try(t, messagesFrom(serviceSID)(w.c.RestClient))
		if s := w.c.Stats(); s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
	if text := log.String(); !strings.Contains(text, "panic=") || strings.Contains(text, sender) {
		t.Errorf("%s", text)
	}
}

// Where the rate is known nothing is asked, and what the program says wins whenever it says it.
func TestPoolIsNotDiscoveredWhereTheRateIsKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		limits  Limits
		prepare func(*Client) error
		rate    float64
	}{
		"a rule":             {Limits{{Resource: Messages, Sender: serviceSID, Rate: 7}}, nil, 7},
		"a rule for all":     {Limits{{Resource: "*", Rate: 7}}, nil, 7},
		"not to be paced":    {Limits{{Resource: Messages, Rate: Unlimited}}, nil, Unlimited},
		"SetLimits":          {nil, func(c *Client) error { return c.SetLimits(Limits{{Resource: Messages, Rate: 7}}) }, 7},
		"set by the program": {nil, func(c *Client) error { return c.cfg.local.SetMessagingServiceRate(serviceSID, 7) }, 7},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := serviceWith(5, twiliotest.Config{})
				c := fakeClient(t, fake, WithLimits(tt.limits), WithPoolDiscovery(true))
				if tt.prepare != nil {
					try(t, tt.prepare(c))
				}
				together(t, c.RestClient, 3, messagesFrom(serviceSID))
				time.Sleep(time.Minute)
				if got := rateOf(c, serviceSID); asked(fake) != 0 || got != tt.rate {
					t.Errorf("%d requests, rate %v", asked(fake), got)
				}
			})
		})
	}
	t.Run("set while Twilio is asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fake := serviceWith(5, twiliotest.Config{Latency: time.Second})
			c := fakeClient(t, fake, WithPoolDiscovery(true))
			go func() { _ = messagesFrom(serviceSID)(c.RestClient) }()
			time.Sleep(1500 * time.Millisecond)
			try(t, c.cfg.local.SetMessagingServiceRate(serviceSID, 7))
			time.Sleep(time.Minute)
			if got := rateOf(c, serviceSID); asked(fake) != 2 || got != 7 {
				t.Errorf("%d requests, rate %v, expected the program's 7", asked(fake), got)
			}
		})
	})
}

// Many services that are used at the same time are asked about a few at a time, and all of
// them in the end.
func TestPoolDiscoveriesAreFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{Latency: time.Second})
		var now, most atomic.Int64
		var alerts alertLog
		c := fakeClient(t, fake, alerts.option(), WithPoolDiscovery(true), WithObserver(func(_ context.Context, e Event) {
			if e.Resource.Product == "messaging" && e.Kind == EventDone {
				now.Add(-1)
			}
		}), WithCallContext(func(ctx context.Context, r Resource) context.Context {
			if r.Product == "messaging" {
				most.Store(max(most.Load(), now.Add(1)))
			}
			return ctx
		}))
		const services = 20
		for i := range services {
			fake.AddServiceNumbers(fmt.Sprintf("MG%032x", i), "+15005550001")
		}
		for range 10 {
			for i := range services {
				go func() { _ = messagesFrom(fmt.Sprintf("MG%032x", i))(c.RestClient) }()
			}
			time.Sleep(10 * time.Second)
		}
		if n := asked(fake); n != 2*services || most.Load() != maxAsking {
			t.Errorf("%d requests, %d at a time", n, most.Load())
		}
		if told := alerts.take(); len(told) > 0 {
			t.Errorf("%v", told)
		}
	})
}

// For programs that send by turns; its context ends it.
func TestDiscoverPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		fake := serviceWith(5, twiliotest.Config{Latency: time.Second})
		c := fakeClient(t, fake, alerts.option())
		ctx, cancel := context.WithCancel(bg)
		for _, other := range []Resource{from(sender), from(""), from("MG1"), {account, "us1", "lookups", "PhoneNumbers", Read, ""}} {
			c.DiscoverPool(ctx, other)
		}
		c.DiscoverPool(ctx, from(serviceSID))
		c.DiscoverPool(ctx, from(serviceSID))
		time.Sleep(500 * time.Millisecond)
		cancel()
		synctest.Wait()
		if got := rateOf(c, serviceSID); got != Unlimited {
			t.Errorf("rate %v after its context has ended", got)
		}
		c.DiscoverPool(bg, from(serviceSID))
		time.Sleep(3 * time.Second)
		if got := rateOf(c, serviceSID); got != 5 {
			t.Errorf("rate %v, expected 5", got)
		}
		if told := alerts.take(); len(told) > 0 {
			t.Errorf("%v", told)
		}
	})
	limiterClient(t, open{}).DiscoverPool(bg, from(serviceSID)) // there is nothing to do
	broken, _ := New(ClientParams{}, WithMaxRetries(-1))
	broken.DiscoverPool(bg, from(serviceSID))
}

func TestPoolDiscoveryNeedsABucketLimiter(t *testing.T) {
	_, err := New(ClientParams{Username: account, Password: "token"}, WithLimiter(open{}), WithPoolDiscovery(true))
	wantWords(t, err, "pacer: WithPoolDiscovery: expected a BucketLimiter", "LearnMessagingService")
	for name, opts := range map[string][]Option{
		"off":      {WithLimiter(open{}), WithPoolDiscovery(true), WithPoolDiscovery(false)},
		"embedded": {WithLimiter(struct{ *BucketLimiter }{newLimiter(t)}), WithPoolDiscovery(true)},
	} {
		if _, err := New(ClientParams{Username: account, Password: "token"}, opts...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(ClientParams{}, WithPoolDiscovery(true), WithMaxRetries(-1)); errors.Is(err, errNeedsBucketLimiter) {
		t.Errorf("%v", err)
	}
}

// "Not paced" is 0 in Stats, and never the number that Unlimited is.
func TestStatsPrintNoUnlimitedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, opts := range map[string][]Option{
			"a service of unknown size": nil,
			"Unlimited by a rule":       {WithLimits(Limits{{Resource: "*", Rate: Unlimited}})},
			"with a store that is away": {WithLimiter(sharedWith(t, deadStore{}))},
		} {
			c := fakeClient(t, twiliotest.New(twiliotest.Config{}), append(opts, quiet)...)
			try(t, messagesFrom(serviceSID)(c.RestClient))
			s := c.Stats()
			if b := s.Buckets[0]; b.Rate != 0 || b.Pace != 0 || b.Learned != 0 {
				t.Errorf("%s: %+v", name, b)
			}
			inJSON, err := json.Marshal(s)
			try(t, err)
			for _, text := range []string{fmt.Sprintf("%v %+v", s, s), string(inJSON)} {
				if strings.Contains(text, "e+308") || strings.Contains(text, "Inf") {
					t.Errorf("%s: %s", name, text)
				}
			}
		}
		try(t, json.Unmarshal([]byte("{}"), new(Stats)))
	})
}

// deadStore is a store that never answers.
type deadStore struct{}

func (deadStore) Take(context.Context, Resource, Demand) (Grant, error) {
	return Grant{}, errors.New("away")
}

func sharedWith(t *testing.T, s BucketStore) *BucketLimiter {
	l, err := NewSharedLimiter(nil, s)
	try(t, err)
	return l
}
