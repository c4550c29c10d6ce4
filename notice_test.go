package pacer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	lookups "github.com/twilio/twilio-go/rest/lookups/v2"
)

const tollFreeSender = "+18335550006"

// messagesFrom returns how to send a message from a sender.
func messagesFrom(sender string) func(*RestClient) error {
	return func(rc *RestClient) error {
		p := message(sender)
		if strings.HasPrefix(sender, "MG") {
			p = message("").SetMessagingServiceSid(sender)
		}
		_, err := rc.Api.CreateMessage(p)
		return err
	}
}

func callFrom(sender string) func(*RestClient) error {
	return func(rc *RestClient) error {
		_, err := rc.Api.CreateCall((&api.CreateCallParams{}).SetFrom(sender).SetTo("+15005550001").SetUrl("https://example.com/twiml"))
		return err
	}
}

func lookUp(rc *RestClient) error {
	_, err := rc.LookupsV2.FetchPhoneNumber("+15005550001", &lookups.FetchPhoneNumberParams{})
	return err
}

// ofKind returns those of the alerts that are of one kind.
func ofKind(kind AlertKind, alerts []Alert) (of []Alert) {
	for _, a := range alerts {
		if a.Kind == kind {
			of = append(of, a)
		}
	}
	return of
}

// together makes n calls at a time and waits for all.
func together(t *testing.T, rc *RestClient, n int, call func(*RestClient) error) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := call(rc); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Each default that a program may meet: it is told once, with what a person needs.
func TestDefaultPaceIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		call    func(*RestClient) error
		calls   int
		tells   []string
		private string // is not told
		rule    Limit  // that the advice has
	}{
		"200 messages from a long code": {
			messagesFrom(sender), 200,
			[]string{"api/Messages:create from +1500•••0006", " 1/s", "long code", sourceMPS, "194 wait"}, sender,
			Limit{Resource: Messages, Sender: "+1500•••0006", Rate: 2},
		},
		"a toll-free number": {
			messagesFrom(tollFreeSender), 60,
			[]string{"from +1833•••0006", " 3/s", "toll-free number", sourceSkill, "wait now"}, tollFreeSender,
			Limit{Resource: Messages, Sender: "+1833•••0006", Rate: 6},
		},
		"a short code": {
			messagesFrom("12345"), 1000,
			[]string{"from 12345", " 100/s", "short code", sourceABT}, "",
			Limit{Resource: Messages, Sender: "12345", Rate: 200},
		},
		"the WhatsApp sandbox": {
			messagesFrom("whatsapp:+14155238886"), 4,
			[]string{"from whatsapp:+1415•••8886", " 1 in 3 s", "WhatsApp sandbox", sourceSandbox, "1 wait"}, "+14155238886",
			Limit{Resource: Messages, Sender: "whatsapp:+1415•••8886", Rate: 0.667},
		},
		"calls": {
			callFrom(sender), 20,
			[]string{"api/Calls:create leaves", " 1/s", sourceCPS, "14 wait"}, sender,
			Limit{Resource: Calls, Rate: 2},
		},
		"lookups": {
			lookUp, 20,
			[]string{"lookups/PhoneNumbers:read leaves", " 1/s", sourceLookup, "14 wait"}, "",
			Limit{Resource: Lookups, Rate: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var alerts alertLog
				c := fakeClient(t, twiliotest.New(twiliotest.Config{}), alerts.option())
				done := make(chan struct{})
				go func() { together(t, c.RestClient, tt.calls, tt.call); close(done) }()
				time.Sleep(4900 * time.Millisecond)
				if early := alerts.take(); len(early) > 0 {
					t.Errorf("within 4.9 s: %v", early)
				}
				time.Sleep(1200 * time.Millisecond)
				told := alerts.take()
				if len(told) != 1 {
					t.Fatalf("after 6.1 s: %v, expected one alert", told)
				}
				a := told[0]
				if a.Kind != AlertPacedByDefault || a.Resource.String() == "" || a.Time.IsZero() {
					t.Errorf("%+v", a)
				}
				for _, want := range tt.tells {
					if !strings.Contains(a.Err.Error(), want) {
						t.Errorf("%v: expected %q in it", a.Err, want)
					}
				}
				if tt.private != "" && strings.Contains(a.String(), tt.private) {
					t.Errorf("it tells the number: %v", a)
				}
				wantRule(t, a, tt.rule)
				<-done
				if more := alerts.take(); len(more) > 0 {
					t.Errorf("it is told again: %v", more)
				}
				if n := c.Stats().Alerts[AlertPacedByDefault]; n != 1 {
					t.Errorf("Stats count %d", n)
				}
			})
		})
	}
}

var (
	ruleInGo   = regexp.MustCompile(`pacer\.WithLimits\(pacer\.Limits\{\{(.*)\}\}\)`)
	ruleInJSON = regexp.MustCompile(`\[\{.*\}\]`)
)

// wantRule checks the line of Go and that of JSON in an alert's advice.
func wantRule(t *testing.T, a Alert, want Limit) {
	t.Helper()
	var rules Limits
	found := ruleInJSON.FindString(a.Advice)
	if err := json.Unmarshal([]byte(found), &rules); err != nil || len(rules) != 1 || rules[0] != want {
		t.Errorf("JSON in %q: %+v, %v, expected %+v", a.Advice, rules, err, want)
	}
	if strings.Contains(want.Sender, "•") {
		if _, err := ParseLimits([]byte(found)); err == nil {
			t.Errorf("a rule for a masked number is taken, and limits nothing: %s", found)
		}
	} else if _, err := ParseLimits([]byte(found)); err != nil {
		t.Errorf("%s: %v", found, err)
	}
	fields := ruleInGo.FindStringSubmatch(a.Advice)
	if fields == nil {
		t.Fatalf("no line of Go in %q", a.Advice)
	}
	words := []string{fmt.Sprintf("Resource: %q", want.Resource), fmt.Sprintf("Rate: %v", want.Rate)}
	if want.Sender != "" {
		words = append(words, fmt.Sprintf("Sender: %q", want.Sender))
	}
	for _, word := range words {
		if !strings.Contains(fields[1], word) {
			t.Errorf("%q has no %s", fields[1], word)
		}
	}
}

// The rule that the advice has, with the number filled in and a rate, is one that ends it.
func TestAdviceOfADefaultPaceEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		c := fakeClient(t, twiliotest.New(twiliotest.Config{}), alerts.option())
		go together(t, c.RestClient, 200, messagesFrom(sender))
		time.Sleep(7 * time.Second)
		told := alerts.take()
		if len(told) != 1 {
			t.Fatalf("%v", told)
		}
		text := strings.Replace(ruleInJSON.FindString(told[0].Advice), "+1500•••0006", sender, 1)
		text = strings.Replace(text, `"rate":2`, `"rate":100`, 1)
		limits, err := ParseLimits([]byte(text))
		try(t, err)
		try(t, c.SetLimits(limits))
		time.Sleep(3 * time.Second)
		if s := c.Stats(); s.Waiting != 0 {
			t.Errorf("%d calls wait still", s.Waiting)
		}
	})
}

// One call after the other: none waits for more than a second, and all of them together for
// minutes.
func TestDefaultPaceOfALoopIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		c := fakeClient(t, twiliotest.New(twiliotest.Config{Latency: 200 * time.Millisecond}), alerts.option())
		for range 6 {
			try(t, createOn(c.RestClient, sender))
		}
		if early := alerts.take(); len(early) > 0 {
			t.Errorf("after six messages: %v", early)
		}
		for range 20 {
			try(t, createOn(c.RestClient, sender))
		}
		told := alerts.take()
		if len(told) != 1 || !strings.Contains(told[0].Err.Error(), "; 0 wait now") {
			t.Errorf("%v", told)
		}
	})
}

// Few messages, of which one waits a moment now and then, are nothing to talk about.
func TestShortWaitsForADefaultAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		c := fakeClient(t, twiliotest.New(twiliotest.Config{}), alerts.option())
		for range 100 {
			together(t, c.RestClient, 4, messagesFrom(sender)) // three seconds of waiting
			time.Sleep(2 * time.Second)
		}
		if told := alerts.take(); len(told) > 0 {
			t.Errorf("%v", told)
		}
	})
}

func TestLimitsOfTheProgramAreNotToldAsDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, `[{"resource": "Messages", "rate": 1}]`)
	one := func(l Limit) Option { l.Rate = 1; return WithLimits(Limits{l}) }
	none := func(*options) error { return nil }
	for name, tt := range map[string]struct {
		option  Option
		env     [2]string
		prepare func(*Client) error
		sender  string
	}{
		"a rule for all senders":         {option: one(Limit{Resource: Messages}), sender: sender},
		"a rule for the sender":          {option: one(Limit{Resource: Messages, Sender: sender}), sender: sender},
		"a rule for everything":          {option: WithLimits(ArticleLimits()), sender: sender},
		"the default, as a rule":         {option: WithLimits(Limits{DefaultLimits()[0].Limit}), sender: sender},
		"PACER_LIMITS":                   {option: none, env: [2]string{"PACER_LIMITS", `[{"resource": "Messages", "rate": 1}]`}, sender: sender},
		"PACER_LIMITS_FILE":              {option: none, env: [2]string{"PACER_LIMITS_FILE", path}, sender: sender},
		"SetLimits":                      {option: none, prepare: func(c *Client) error { return c.SetLimits(Limits{{Resource: Messages, Rate: 1}}) }, sender: sender},
		"SetMessagingServiceRate":        {option: none, prepare: func(c *Client) error { return c.cfg.local.SetMessagingServiceRate(serviceSID, 1) }, sender: serviceSID},
		"a rule for a Messaging Service": {option: one(Limit{Resource: Messages, Sender: serviceSID}), sender: serviceSID},
		"a service that is not to be paced": {
			option: WithLimits(Limits{{Resource: Messages, Sender: serviceSID, Rate: Unlimited}}), sender: serviceSID,
		},
		"LearnMessagingService": {option: none, prepare: func(c *Client) error {
			_, err := c.LearnMessagingService(bg, serviceSID)
			return err
		}, sender: serviceSID},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.env[0] != "" {
				t.Setenv(tt.env[0], tt.env[1])
			}
			synctest.Test(t, func(t *testing.T) {
				var alerts alertLog
				fake := twiliotest.New(twiliotest.Config{})
				fake.AddServiceNumbers(serviceSID, "+15005550001")
				c, err := New(ClientParams{Username: account, Password: "token"}, WithHTTPClient(fake.Client()), alerts.option(), tt.option)
				try(t, err)
				if tt.prepare != nil {
					try(t, tt.prepare(c))
				}
				together(t, c.RestClient, 20, messagesFrom(tt.sender))
				if told := alerts.take(); len(told) > 0 {
					t.Errorf("%v", told)
				}
			})
		})
	}
}

// Waits that Twilio's answers and permits in flight make are no default's.
func TestCoolDownsAndPermitsAreNotToldAsDefaults(t *testing.T) {
	t.Run("a cool-down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var alerts alertLog
			w := newWorld(t, first(1, throttle("Retry-After", "60")), WithLimits(nil), WithLearning(false), alerts.option())
			if errs := w.sendAll(5); len(errs) > 0 { // which wait for the pace for 4 s
				t.Error(errs)
			}
			if told := alerts.take(); len(told) > 0 {
				t.Errorf("%v", told)
			}
		})
	})
	t.Run("a learned rate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var alerts alertLog
			c := fakeClient(t, twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 10}}}), alerts.option())
			together(t, c.RestClient, 1000, messagesFrom("12345")) // 100/s by default
			if told := ofKind(AlertPacedByDefault, alerts.take()); len(told) > 0 {
				t.Errorf("%v", told)
			}
		})
	})
	t.Run("permits in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var alerts alertLog
			fake := twiliotest.New(twiliotest.Config{Latency: 5 * time.Second})
			c := fakeClient(t, fake, WithLimits(Limits{{Resource: Messages, MaxInFlight: 1}}), alerts.option())
			together(t, c.RestClient, 30, messagesFrom(sender))
			if told := alerts.take(); len(told) > 0 {
				t.Errorf("%v", told)
			}
		})
	})
}

// A call that a default's pace has refused has not waited, and its caller feels it all the same.
func TestRefusalByADefaultIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		option Option
		within time.Duration
	}{
		"a deadline":  {WithMaxRetries(5), 500 * time.Millisecond},
		"WithMaxWait": {WithMaxWait(500 * time.Millisecond), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var alerts alertLog
				c := fakeClient(t, twiliotest.New(twiliotest.Config{}), alerts.option(), tt.option)
				ctx, cancel := context.WithTimeout(bg, tt.within)
				defer cancel()
				rc := c.WithContext(ctx)
				try(t, createOn(rc, sender))
				for range 3 {
					if err := createOn(rc, sender); !errors.Is(err, ErrWaitTooLong) {
						t.Errorf("%v", err)
					}
				}
				told := alerts.take()
				if len(told) != 1 || told[0].Kind != AlertPacedByDefault || !strings.Contains(told[0].Err.Error(), "a call was refused") {
					t.Errorf("%v", told)
				}
			})
		})
	}
	t.Run("not by the hold of one receiver", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var alerts alertLog
			w := newWorld(t, first(1, func(int, *http.Request) *http.Response {
				return respond(429, `{"code": 60626, "message": "too many for this number", "status": 429}`, "Retry-After", "60")
			}), WithLimits(nil), WithMaxRetries(0), alerts.option())
			_ = lookUp(w.c.RestClient)
			alerts.take()
			time.Sleep(5 * time.Second) // the bucket is free, the number is held
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			if err := lookUp(w.c.WithContext(ctx)); !errors.Is(err, ErrWaitTooLong) {
				t.Errorf("%v", err)
			}
			if told := alerts.take(); len(told) > 0 {
				t.Errorf("%v", told)
			}
		})
	})
	t.Run("not in a cool-down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var alerts alertLog
			w := newWorld(t, throttle("Retry-After", "60"), WithLimits(nil), WithMaxRetries(0), alerts.option())
			_ = w.send()
			alerts.take()
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			if err := w.sendWith(ctx); !errors.Is(err, ErrWaitTooLong) {
				t.Errorf("%v", err)
			}
			if told := alerts.take(); len(told) > 0 {
				t.Errorf("%v", told)
			}
		})
	})
}

// Once for each sender and limiter: also after its bucket was dropped, and by which of two
// clients is all the same.
func TestDefaultPaceIsToldOnceForEachSenderAndLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		l := newLimiter(t)
		fake := twiliotest.New(twiliotest.Config{})
		a := limiterClient(t, l, WithHTTPClient(fake.Client()), alerts.option())
		b := limiterClient(t, l, WithHTTPClient(fake.Client()), alerts.option())
		senders := []string{"+15005550001", "+15005550002", "+15005550003"}
		for range 2 {
			var wg sync.WaitGroup
			for i, from := range senders {
				wg.Go(func() { together(t, []*Client{a, b}[i%2].RestClient, 20, messagesFrom(from)) })
			}
			wg.Wait()
			time.Sleep(2 * time.Hour)
		}
		of := map[string]int{}
		for _, alert := range alerts.take() {
			of[alert.Resource.Sender]++
		}
		for _, from := range senders {
			if of[from] != 1 {
				t.Errorf("%s: told %d times", from, of[from])
			}
		}
		c := fakeClient(t, fake, alerts.option()) // another limiter
		together(t, c.RestClient, 20, messagesFrom(senders[0]))
		if told := alerts.take(); len(told) != 1 {
			t.Errorf("with a limiter of its own: %v", told)
		}
	})
}

// What is remembered is bounded, and so is what waits to be told.
func TestNoticesAreBounded(t *testing.T) {
	l := newLimiter(t)
	for i := range maxPending + 10 {
		l.notices.add(notice{resource: from(fmt.Sprintf("+1500%07d", i)), limit: &defaultLimits[0]})
	}
	if n := len(l.notices.take()); n != maxPending {
		t.Errorf("%d wait, expected %d", n, maxPending)
	}
	last := from(fmt.Sprintf("+1500%07d", maxPending+9))
	if l.notices.add(notice{resource: last, limit: &defaultLimits[0]}); len(l.notices.take()) != 1 {
		t.Error("what found no place on the list is never told")
	}
	for i := range 2 * maxKnown {
		l.notices.tellOnce(AlertPacedByDefault, from(fmt.Sprint("+1501", i)))
	}
	if n := len(l.notices.known); n != maxKnown {
		t.Errorf("%d are remembered, expected %d", n, maxKnown)
	}
	if l.notices.tellOnce(AlertPacedByDefault, last) || l.notices.tellOnce(AlertPacedByDefault, from("+15029999999")) {
		t.Error("beyond the bound something is told")
	}
}

// A limiter of the program's has no defaults of pacer's.
func TestOwnLimiterIsNotToldOfDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		fake := twiliotest.New(twiliotest.Config{})
		c := limiterClient(t, everySecond{make(chan struct{}, 1)}, WithHTTPClient(fake.Client()), alerts.option())
		together(t, c.RestClient, 20, messagesFrom(sender))
		together(t, c.RestClient, 3, messagesFrom(serviceSID))
		if told := alerts.take(); len(told) > 0 {
			t.Errorf("%v", told)
		}
	})
}

// everySecond is a limiter that lets one request through each second.
type everySecond struct{ turn chan struct{} }

func (e everySecond) Acquire(context.Context, Resource) (func(Outcome), error) {
	e.turn <- struct{}{}
	time.Sleep(time.Second)
	<-e.turn
	return func(Outcome) {}, nil
}

// If nobody listens notices are in the log, at Warn, without numbers.
func TestNoticesAreLoggedAsWarnings(t *testing.T) {
	for name, own := range map[string]bool{"slog.Default": false, "WithLogger": true} {
		t.Run(name, func(t *testing.T) {
			log := intoDefaultLog(t)
			opt := WithMaxRetries(5)
			if own {
				log = &safeLog{}
				opt = log.option()
			}
			synctest.Test(t, func(t *testing.T) {
				c := fakeClient(t, twiliotest.New(twiliotest.Config{}), opt)
				together(t, c.RestClient, 20, messagesFrom(sender))
				together(t, c.RestClient, 20, messagesFrom(serviceSID))
			})
			text := log.String()
			for _, want := range []string{`level=WARN msg="pacer: paced by default"`, `level=WARN msg="pacer: pool unknown"`, serviceSID, "PACER_LIMITS"} {
				if strings.Count(text, want) < 1 {
					t.Errorf("no %q in the log: %s", want, text)
				}
			}
			if strings.Contains(text, sender) || strings.Contains(text, "level=ERROR") || strings.Count(text, "\n") != 2 {
				t.Errorf("expected two warnings without a number: %s", text)
			}
		})
	}
}

// The worker of a queue waits for turns, one in each lane: none of them for long.
func TestDefaultPaceOfTurnsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		w := newWorld(t, ok201, WithLimits(nil), alerts.option())
		for range 20 {
			turn, err := w.c.Turn(bg, from(sender))
			try(t, err)
			resp, err := turn.Send(bg, SentRequest{Method: http.MethodPost, URL: "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json"})
			try(t, err)
			resp.Body.Close()
			at, cancel := context.WithTimeout(bg, time.Millisecond)
			if _, err := w.c.Turn(at, from(sender)); err == nil {
				t.Error("two turns at a time")
			}
			cancel()
		}
		if told := alerts.take(); len(told) != 1 || told[0].Kind != AlertPacedByDefault {
			t.Errorf("%v", told)
		}
	})
}

// Who is told may use the client, panic or block: the calls go on, and no permit is lost.
func TestNoticeCostsTheCallsNothing(t *testing.T) {
	for name, f := range map[string]func(*Client){
		"it panics":                       func(*Client) { panic("no") },
		"it blocks":                       func(*Client) { time.Sleep(time.Hour) },
		"it sends from the paced sender":  func(c *Client) { _ = createOn(c.RestClient, sender) },
		"it sends with the only permit":   func(c *Client) { _ = createOn(c.RestClient, "12345") },
		"it changes the limits meanwhile": func(c *Client) { _ = c.SetLimits(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			intoDefaultLog(t)
			synctest.Test(t, func(t *testing.T) {
				var c *Client
				var told atomic.Int64
				c = fakeClient(t, twiliotest.New(twiliotest.Config{}), WithLimits(Limits{{Resource: "*", MaxInFlight: 1}}),
					WithAlert(func(Alert) { told.Add(1); f(c) }))
				start := time.Now()
				together(t, c.RestClient, 20, messagesFrom(sender))
				if took := time.Since(start); took > 21*time.Second {
					t.Errorf("20 messages took %v", took)
				}
				time.Sleep(2 * time.Hour)
				if s := c.Stats(); s.InFlight != 0 || s.Waiting != 0 || told.Load() != 1 {
					t.Errorf("told %d times, %+v", told.Load(), s)
				}
			})
		})
	}
}
