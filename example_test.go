package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// In these examples Twilio is a fake in memory. Without pacer.WithHTTPClient the same
// code talks to Twilio itself.

// credentials are those that a fake accepts.
var credentials = pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}

func message(from, body string) *api.CreateMessageParams {
	return (&api.CreateMessageParams{}).SetFrom(from).SetTo("+15555550100").SetBody(body)
}

func Example() {
	fake := twiliotest.New(twiliotest.Config{})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}

	params := &api.CreateMessageParams{}
	params.SetFrom("+15005550006")
	params.SetTo("+15555550100")
	params.SetBody("Your table is ready.")
	msg, err := c.WithContext(context.Background()).Api.CreateMessage(params)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(*msg.Status, *msg.Body)
	// Output: queued Your table is ready.
}

// The drop-in constructor. Credentials come from the environment, as in twilio-go.
func ExampleNewRestClient() {
	os.Setenv("TWILIO_ACCOUNT_SID", twiliotest.AccountSid)
	os.Setenv("TWILIO_AUTH_TOKEN", twiliotest.AuthToken)
	defer os.Unsetenv("TWILIO_ACCOUNT_SID")
	defer os.Unsetenv("TWILIO_AUTH_TOKEN")

	fake := twiliotest.New(twiliotest.Config{})
	rest := pacer.NewRestClient(pacer.WithHTTPClient(fake.Client())) // a *twilio.RestClient

	_, err := rest.Api.CreateMessage(message("+15005550006", "hello"))
	fmt.Println(err, len(fake.Messages()))
	// Output: <nil> 1
}

// With OAuth. The token is fetched when the first request needs it.
func ExampleNewRestClientWithParams() {
	fake := twiliotest.New(twiliotest.Config{})
	rest := pacer.NewRestClientWithParams(pacer.ClientParams{
		AccountSid: twiliotest.AccountSid,
		ClientCredentialProvider: &pacer.ClientCredentialProvider{
			GrantType:    "client_credentials",
			ClientId:     "OQ0123456789abcdef0123456789abcdef",
			ClientSecret: "secret",
		},
	}, pacer.WithHTTPClient(fake.Client()))

	for _, from := range []string{"+15005550006", "+15005550009"} {
		if _, err := rest.Api.CreateMessage(message(from, "hello")); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%d messages, %d token\n", len(fake.Messages()), fake.Stats().TokenFetches)
	// Output: 2 messages, 1 token
}

// New says at once what is wrong with an option.
func ExampleNew() {
	_, err := pacer.New(credentials,
		pacer.WithMaxRetries(3),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Calls, Rate: -1}}))
	fmt.Println(err)
	// Output: pacer: WithLimits: limits[0].rate: -1: expected requests per second above 0, or Unlimited
}

// A call whose turn does not come before the deadline is refused at once.
func ExampleClient_WithContext() {
	fake := twiliotest.New(twiliotest.Config{})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 0.1}})) // one in 10 s
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	rest := c.WithContext(ctx)
	_, err = rest.Api.CreateMessage(message("+15005550006", "leaves at once"))
	fmt.Println(err)
	_, err = rest.Api.CreateMessage(message("+15005550006", "would leave in 10 s"))
	fmt.Println(errors.Is(err, pacer.ErrWaitTooLong), errors.Is(err, context.DeadlineExceeded))
	fmt.Println(ctx.Err(), len(fake.Messages()))
	// Output:
	// <nil>
	// true true
	// <nil> 1
}

// A Messaging Service with 50 long codes may send 50 messages a second.
func ExampleWithLimits() {
	const service = "MG0123456789abcdef0123456789abcdef"
	fake := twiliotest.New(twiliotest.Config{})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithLimits(pacer.Limits{
			{Resource: pacer.Messages, Sender: service, Rate: 50},
			{Resource: pacer.Lookups, Rate: 10, MaxInFlight: 5},
		}))
	if err != nil {
		fmt.Println(err)
		return
	}

	start := time.Now()
	for i := range 3 {
		params := &api.CreateMessageParams{}
		params.SetMessagingServiceSid(service)
		params.SetTo("+15555550100")
		params.SetBody(fmt.Sprintf("message %d", i))
		if _, err := c.Api.CreateMessage(params); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(len(fake.Messages()), time.Since(start) >= 40*time.Millisecond)
	// Output: 3 true
}

// A call that waits feels new limits at once.
func ExampleClient_SetLimits() {
	fake := twiliotest.New(twiliotest.Config{})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 0.001}})) // one in 1,000 s
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Api.CreateMessage(message("+15005550006", "leaves at once"))
	fmt.Println(err)

	done := make(chan error)
	go func() {
		_, err := c.Api.CreateMessage(message("+15005550006", "waits"))
		done <- err
	}()
	if err := c.SetLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 100}}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-done)
	// Output:
	// <nil>
	// <nil>
}

// What to do when a call has failed.
func ExampleFromError() {
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: http.StatusTooManyRequests, RetryAfter: "3600"})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithAlert(func(pacer.Alert) {})) // else the log has it, too
	if err != nil {
		fmt.Println(err)
		return
	}

	_, err = c.Api.CreateMessage(message("+15005550006", "hello"))
	if rl, ok := pacer.FromError(err); ok { // Twilio has not processed the request
		fmt.Printf("%s, attempts %d, put off for %v\n", rl.Kind, rl.Attempts, rl.RetryAfter)
	}
	if te, ok := err.(*client.TwilioRestError); ok { // as with twilio-go
		fmt.Println(te.Status, te.Code)
	}
	// Output:
	// throttled, attempts 1, put off for 1h0m0s
	// 429 20429
}

// The connection breaks after Twilio has taken the message. It is not sent again.
func ExampleInDoubt() {
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}

	_, err = c.Api.CreateMessage(message("+15005550006", "order 1234 has been shipped"))
	if pacer.InDoubt(err) {
		fmt.Println("ask Twilio whether it was sent")
	}
	fmt.Println(fake.Stats().Received, len(fake.Messages()))
	// Output:
	// ask Twilio whether it was sent
	// 1 1
}

func ExampleParseLimits() {
	limits, err := pacer.ParseLimits([]byte(`[
	  {"resource": "Messages", "rate": 20},
	  {"resource": "Messages", "sender": "55501", "rate": 100},
	  {"resource": "lookups/PhoneNumbers", "rate": 10, "maxInFlight": 5},
	  {"resource": "verify/*", "rate": "unlimited"}
	]`))
	fmt.Println(len(limits), err)

	_, err = pacer.ParseLimits([]byte(`[
	  {"resource": "Messages", "rate": 20},
	  {"resource": "Calls", "rate": 0}
	]`))
	fmt.Println(err)
	// Output:
	// 4 <nil>
	// pacer: limits, line 3: limits[1].rate: 0: expected a rate or a maxInFlight, this rule limits nothing
}

// An alert is for the people who run the program; the caller has the error as well.
func ExampleWithAlert() {
	told := make(chan pacer.Alert, 1) // an alert comes from another goroutine
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: http.StatusTooManyRequests})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithMaxRetries(0), // so that this example does not wait for 31 s
		pacer.WithAlert(func(a pacer.Alert) { told <- a }))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Api.CreateMessage(message("+15005550006", "hello"))
	a := <-told
	fmt.Printf("%s: %s, attempts %d\n", a.Kind, a.Resource, a.RateLimit.Attempts)
	fmt.Println(err != nil)
	// Output:
	// retries exhausted: api/Messages:create, attempts 1
	// true
}

// Events as a metric: how many attempts, and how many of them were throttled.
func ExampleWithObserver() {
	fake := twiliotest.New(twiliotest.Config{})
	sent := map[string]int{} // calls run one after the other here; else guard it
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithObserver(func(_ context.Context, e pacer.Event) {
			if e.Kind == pacer.EventSent {
				sent[fmt.Sprint(e.Resource, " ", e.Status)]++ // holds no phone number
			}
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, from := range []string{"+15005550006", "+15005550009"} {
		if _, err := c.Api.CreateMessage(message(from, "hello")); err != nil {
			fmt.Println(err)
		}
	}
	if _, err := c.Api.ListMessage(&api.ListMessageParams{}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(sent)
	// Output: map[api/Messages:create 201:2 api/Messages:read 200:1]
}

// From a RestClient of the drop-in constructors to what pacer adds to it.
func ExampleClientOf() {
	rest := pacer.NewRestClientWithParams(credentials)
	c, ok := pacer.ClientOf(rest)
	fmt.Println(ok)
	fmt.Println(c.SetLimits(pacer.Limits{{Resource: pacer.Calls, Rate: 5}}))

	_, ok = pacer.ClientOf(twilio.NewRestClientWithParams(credentials))
	fmt.Println(ok)
	// Output:
	// true
	// <nil>
	// false
}

// Two clients of one account keep its limits together.
func ExampleBucketLimiter() {
	limiter, err := pacer.NewLimiter(pacer.Limits{{Resource: pacer.Calls, Rate: 0.1}}) // one in 10 s
	if err != nil {
		fmt.Println(err)
		return
	}
	fake := twiliotest.New(twiliotest.Config{})
	newClient := func(params pacer.ClientParams) *pacer.RestClient {
		return pacer.NewRestClientWithParams(params, pacer.WithLimiter(limiter),
			pacer.WithMaxWait(time.Second), pacer.WithHTTPClient(fake.Client()))
	}
	first := newClient(credentials)
	second := newClient(pacer.ClientParams{ // an API key of the same account
		Username: "SK0123456789abcdef0123456789abcdef", Password: "secret", AccountSid: twiliotest.AccountSid,
	})

	params := (&api.CreateCallParams{}).SetFrom("+15005550006").SetTo("+15555550100").SetUrl("https://example.com/twiml")
	_, err = first.Api.CreateCall(params)
	fmt.Println(err)
	_, err = second.Api.CreateCall(params)
	fmt.Println(errors.Is(err, pacer.ErrWaitTooLong), len(fake.Calls()))
	// Output:
	// <nil>
	// true 1
}
