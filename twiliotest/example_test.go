package twiliotest_test

import (
	"errors"
	"fmt"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// Two messages a minute are accepted, and the third is throttled.
func Example() {
	fake := twiliotest.New(twiliotest.Config{
		Limits:     []twiliotest.Limit{{Resource: "Messages", Rate: 2, Window: 60e9}},
		RetryAfter: twiliotest.NoRetryAfter, // as api.twilio.com
	})
	c := &client.Client{
		Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken),
		HTTPClient:  fake.Client(),
	}
	c.SetAccountSid(twiliotest.AccountSid)
	rest := twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})

	for _, text := range []string{"one", "two", "three"} {
		params := new(api.CreateMessageParams).SetFrom("+15005550006").SetTo("+15005550001").SetBody(text)
		m, err := rest.Api.CreateMessage(params)
		var refused *client.TwilioRestError
		switch {
		case err == nil:
			fmt.Println(text, *m.Status)
		case errors.As(err, &refused):
			fmt.Println(text, refused.Status, refused.Code, refused.Message)
		}
	}

	sent, err := rest.Api.ListMessage(nil)
	if err != nil {
		fmt.Println(err)
	}
	for _, m := range sent {
		fmt.Println("listed:", *m.Body)
	}
	fmt.Println("accepted:", len(fake.Messages()), "throttled:", fake.Stats().Throttled, "doubled:", len(fake.Duplicates()))
	// Output:
	// one queued
	// two queued
	// three 429 20429 Too Many Requests
	// listed: two
	// listed: one
	// accepted: 2 throttled: 1 doubled: 0
}

// A connection is cut after the message was accepted: the sender sees an
// error, and must not simply send again.
func ExampleFake_Inject() {
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{
		Kind:  twiliotest.DropAfterAccept,
		Match: func(r *twiliotest.Request) bool { return r.Method == "POST" && r.Resource == "Messages" },
		Times: 1,
	})
	rest := newRest(fake.Client())
	params := new(api.CreateMessageParams).SetFrom("+15005550006").SetTo("+15005550001").SetBody("hello")
	for range 2 {
		_, err := rest.Api.CreateMessage(params)
		fmt.Println("failed:", err != nil)
	}
	fmt.Println("accepted:", len(fake.Messages()), "doubled:", len(fake.Duplicates()))
	// Output:
	// failed: true
	// failed: false
	// accepted: 2 doubled: 1
}
