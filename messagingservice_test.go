package pacer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go/client"
)

// A pool of 1,200 long codes, 5 toll-free numbers and 2 short codes: more than a page.
func TestLearnMessagingServiceSetsTheSum(t *testing.T) {
	fake := twiliotest.New(twiliotest.Config{})
	for i := range 1200 {
		fake.AddServiceNumbers(serviceSID, fmt.Sprintf("+1500555%04d", i))
	}
	for i := range 5 {
		fake.AddServiceNumbers(serviceSID, fmt.Sprintf("+1833555%04d", i))
	}
	fake.AddServiceShortCodes(serviceSID, "12345", "54321")
	c := fakeClient(t, fake)
	n, err := c.LearnMessagingService(bg, serviceSID)
	if n != 1207 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if requests := len(fake.Accepted()); requests != 3 {
		t.Errorf("%d requests, expected two pages of numbers and one of short codes", requests)
	}
	if got, want := rateOf(c, serviceSID), 1200.0+5*3+2*100; got != want {
		t.Errorf("rate %v, expected %v", got, want)
	}
	for other, want := range map[string]float64{"MG" + strings.Repeat("0", 32): Unlimited, sender: 1} {
		if got := rateOf(c, other); got != want {
			t.Errorf("from %s: rate %v, expected the default of %v", other, got, want)
		}
	}
}

func rateOf(c *Client, sender string) float64 {
	l := c.cfg.limiter.(*BucketLimiter)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(from(sender), time.Now()).allowed.rate
}

// Calls that wait at one a second, which the program has set, leave at the pool's pace at
// once.
func TestLearnMessagingServiceReachesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{})
		fake.AddServiceNumbers(serviceSID, "+15005550001", "+15005550002", "+15005550003", "+15005550004", "+15005550005")
		c := fakeClient(t, fake)
		try(t, c.cfg.local.SetMessagingServiceRate(serviceSID, 1))
		start := time.Now()
		var wg sync.WaitGroup
		for range 53 {
			wg.Go(func() {
				_, err := c.Api.CreateMessage(message("").SetMessagingServiceSid(serviceSID))
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(2100 * time.Millisecond)
		if n := len(fake.Messages()); n != 3 {
			t.Errorf("%d messages within 2.1 s, expected 3", n)
		}
		if n, err := c.LearnMessagingService(bg, serviceSID); n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		wg.Wait()
		if took := time.Since(start); took > 12500*time.Millisecond {
			t.Errorf("took %v, expected 50 of them at 5/s", took)
		}
	})
}

// Rules of the user's win where they give a rate; SetLimits does not undo the pool.
func TestMessagingServiceRateIsADefault(t *testing.T) {
	l := newLimiter(t)
	try(t, l.SetMessagingServiceRate(serviceSID, 50))
	for _, tt := range []struct {
		rules Limits
		rate  float64
	}{
		{nil, 50},
		{Limits{{Resource: Calls, Rate: 7}}, 50},
		{Limits{{Resource: Messages, MaxInFlight: 7}}, 50},
		{Limits{{Resource: Messages, Sender: serviceSID, Rate: 7}}, 7},
		{Limits{{Resource: Messages, Rate: 7}}, 7},
		{Limits{{Resource: "*", Rate: 7}}, 7},
		{Limits{{Resource: Messages, Rate: Unlimited}}, Unlimited},
		{Limits{}, 50},
	} {
		try(t, l.SetLimits(tt.rules))
		if a := l.allow(from(serviceSID)); a.rate != tt.rate || a.burst != 1 || !a.listed {
			t.Errorf("with %+v: %+v, expected a rate of %v", tt.rules, a, tt.rate)
		}
	}
	read := from(serviceSID)
	read.Op = Read
	if a := l.allow(read); a.listed {
		t.Errorf("reading: %+v", a)
	}
	if got := l.Limits(); len(got) != 0 {
		t.Errorf("it is among the limits: %v", got)
	}
	try(t, l.SetMessagingServiceRate(serviceSID, Unlimited))
	if a := l.allow(from(serviceSID)); a.rate != Unlimited {
		t.Errorf("%+v", a)
	}
}

func TestMessagingServiceErrors(t *testing.T) {
	l := newLimiter(t)
	for sid, words := range map[string][]string{
		"":            {"sid: \"\""},
		"MG123":       {"sid: \"MG123\""},
		account:       {account},
		sender:        {"+1500•••0006"},
		"ACME & Sons": {"ACME"},
	} {
		words = append(words, "pacer: SetMessagingServiceRate: sid:", "expected that of a Messaging Service, MG and 32 hex digits")
		wantWords(t, l.SetMessagingServiceRate(sid, 1), words...)
	}
	for _, rate := range []float64{0, -1, 1e-7, math.NaN(), math.Inf(-1)} {
		wantWords(t, l.SetMessagingServiceRate(serviceSID, rate), "requestsPerSecond: "+fmt.Sprint(rate), "expected at least 1e-06")
	}
	if a := l.allow(from(serviceSID)); a.listed {
		t.Errorf("an error has changed something: %+v", a)
	}

	fake := twiliotest.New(twiliotest.Config{})
	c := fakeClient(t, fake)
	ended, cancel := context.WithCancel(bg)
	cancel()
	broken, brokenErr := New(ClientParams{}, WithMaxRetries(-1))
	ask := func(ctx context.Context, c *Client, sid string) error {
		n, err := c.LearnMessagingService(ctx, sid)
		if n != 0 {
			t.Errorf("%d numbers beside %v", n, err)
		}
		return err
	}
	wantWords(t, ask(bg, c, "MG1"), "pacer: LearnMessagingService: sid: \"MG1\"", "expected")
	wantWords(t, ask(bg, limiterClient(t, open{}), serviceSID), "limiter pacer.open has no method SetMessagingServiceRate")
	if err := ask(bg, broken, serviceSID); err != brokenErr {
		t.Errorf("a client that is not usable: %v", err)
	}
	if err := ask(ended, c, serviceSID); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if n := len(fake.Accepted()); n != 0 {
		t.Errorf("%d requests, expected none so far", n)
	}
	wantWords(t, ask(bg, c, serviceSID), serviceSID, "no phone number and no short code in its pool", "expected one at least")

	// Twilio's own error, of the first list and of the second.
	for _, list := range []string{"PhoneNumbers", "ShortCodes"} {
		fake.AddServiceNumbers(serviceSID, "+15005550001", "+15005550002")
		fake.Inject(twiliotest.Fault{
			Kind: twiliotest.RespondStatus, Status: 404, Times: 1,
			Match: func(r *twiliotest.Request) bool { return strings.HasSuffix(r.Resource, list) },
		})
		err := ask(bg, c, serviceSID)
		var answer *client.TwilioRestError
		if !errors.As(err, &answer) || answer.Status != 404 || !strings.Contains(err.Error(), "Messaging Service "+serviceSID) {
			t.Errorf("%s: %v", list, err)
		}
	}
	if got := rateOf(c, serviceSID); got != Unlimited {
		t.Errorf("an error has set the rate to %v", got)
	}
}
