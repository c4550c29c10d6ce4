package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	lookups "github.com/twilio/twilio-go/rest/lookups/v2"
	verify "github.com/twilio/twilio-go/rest/verify/v2"
)

const (
	service = "VA0123456789abcdef0123456789abcdef"
	to      = "+15555550100"
)

// limits are what the fake accepts, per second. Verifications are not in the client's
// limits: it learns of this one from throttled answers.
func limits(messages int) []twiliotest.Limit {
	return []twiliotest.Limit{
		{Resource: "Messages", Rate: messages, PerSender: true},
		{Resource: "Calls", Rate: 5},
		{Resource: "lookups/PhoneNumbers", Rate: 20},
		{Resource: "verify/Verifications", Rate: 8},
	}
}

// load sends steadily, by a clock and not by the answers, until ctx ends. Every other
// phase is one of trouble. wait returns when all has stopped.
func load(ctx context.Context, c *pacer.Client, fake *twiliotest.Server, phase time.Duration, trouble bool) (wait func()) {
	var inTrouble atomic.Bool
	var checks, requests atomic.Int64
	fake.Inject(twiliotest.Fault{ // now and then somebody has typed the wrong code too often
		Kind: twiliotest.RespondStatus, Status: 429, Code: 60202, Message: "Max check attempts reached",
		Match: func(r *twiliotest.Request) bool {
			return r.Resource == "verify/VerificationCheck" && checks.Add(1)%30 == 0
		},
	})
	fake.Inject(twiliotest.Fault{ // somebody else sends for this account, too, and is not paced
		Kind: twiliotest.RespondStatus, Status: 429, Message: "Too Many Requests",
		Match: func(*twiliotest.Request) bool { return inTrouble.Load() && requests.Add(1)%8 == 0 },
	})

	rest := c.WithContext(ctx)
	var wg sync.WaitGroup
	every := func(d time.Duration, call func()) {
		wg.Go(func() {
			ticker := time.NewTicker(d)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					wg.Go(call)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for i := range 2 {
		from := fmt.Sprintf("+1500555000%d", i+6)
		every(100*time.Millisecond, func() { send(rest, from) })
	}
	every(300*time.Millisecond, func() {
		_, _ = rest.Api.CreateCall((&api.CreateCallParams{}).SetFrom("+15005550006").SetTo(to).SetUrl("https://example.com/voice"))
	})
	every(80*time.Millisecond, func() { _, _ = rest.LookupsV2.FetchPhoneNumber(to, &lookups.FetchPhoneNumberParams{}) })
	every(500*time.Millisecond, func() { _, _ = rest.Api.ListMessage((&api.ListMessageParams{}).SetPageSize(20).SetLimit(20)) })
	every(150*time.Millisecond, func() {
		_, _ = rest.VerifyV2.CreateVerification(service, (&verify.CreateVerificationParams{}).SetTo(to).SetChannel("sms"))
	})
	every(150*time.Millisecond, func() {
		_, _ = rest.VerifyV2.CreateVerificationCheck(service, (&verify.CreateVerificationCheckParams{}).SetTo(to).SetCode("123456"))
	})
	wg.Go(func() {
		ticker := time.NewTicker(phase)
		defer ticker.Stop()
		for ; ; trouble = !trouble {
			inTrouble.Store(trouble)
			if trouble {
				fake.SetLimits(limits(8))
			} else {
				fake.SetLimits(limits(30))
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return wg.Wait
}

func send(rest *twilio.RestClient, from string) {
	params := &api.CreateMessageParams{}
	params.SetFrom(from)
	params.SetTo(to)
	params.SetBody("Your table is ready.")
	_, _ = rest.Api.CreateMessage(params)
}
