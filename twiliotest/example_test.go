package twiliotest_test

import (
	"errors"
	"fmt"
	"net/http"

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

// A captive portal answers in Twilio's place: 200, and a page to log in. A
// program that takes this for success has lost a message.
func ExampleFault() {
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{
		Kind:    twiliotest.RespondStatus,
		Foreign: true,
		Status:  http.StatusOK,
		Header:  http.Header{"Content-Type": {"text/html"}},
		Body:    []byte("<html>Please log in.</html>"),
		Times:   1,
	})
	send := func(text string) error { // your own code
		params := new(api.CreateMessageParams).SetFrom("+15005550006").SetTo("+15005550001").SetBody(text)
		m, err := newRest(fake.Client()).Api.CreateMessage(params)
		if err == nil && m.Sid == nil {
			err = errors.New("no SID: it was not Twilio that answered")
		}
		return err
	}
	for _, text := range []string{"one", "two"} {
		fmt.Println(text, "failed:", send(text) != nil)
	}
	fmt.Println("accepted:", len(fake.Messages()), "refused:", len(fake.Refused()))
	// Output:
	// one failed: true
	// two failed: false
	// accepted: 1 refused: 1
}

// An account is suspended for a while. What your own code has not sent by then
// it must keep.
func ExampleFake_Suspend() {
	fake := twiliotest.New(twiliotest.Config{})
	rest := newRest(fake.Client())
	waiting := []string{"one", "two", "three"}
	sendAll := func() { // your own code
		for len(waiting) > 0 {
			params := new(api.CreateMessageParams).SetFrom("+15005550006").SetTo("+15005550001").SetBody(waiting[0])
			_, err := rest.Api.CreateMessage(params)
			var refused *client.TwilioRestError
			if errors.As(err, &refused) && refused.Code == 20005 {
				fmt.Println("suspended; waiting:", len(waiting))
				return
			}
			waiting = waiting[1:]
		}
	}
	fake.Suspend(twiliotest.AccountSid, twiliotest.Suspension{Status: 403, Code: 20005})
	sendAll()
	fake.Lift(twiliotest.AccountSid)
	sendAll()
	fmt.Println("accepted:", len(fake.Messages()), "suspended:", fake.Stats().Suspended)
	// Output:
	// suspended; waiting: 3
	// accepted: 3 suspended: 1
}
