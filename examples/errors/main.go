// Errors shows what to do when pacer has given up. It shows what pacer.FromError says
// about each kind of failure, and what a program does about it. The program tries later,
// puts the request off, tells the user, or asks Twilio whether the message was sent.
//
//	go run ./examples/errors
//
// It talks to fake Twilios in memory, which fail as told, and needs no account.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	verify "github.com/twilio/twilio-go/rest/verify/v2"
)

const (
	from    = "+15005550006"
	to      = "+15555550100"
	invalid = "+15005550001" // Twilio's test number that is invalid
)

func main() {
	fmt.Println("What an error says when it is over, and what to do about it.")
	for _, show := range []func() error{exhausted, tooLong, final, inDoubt, invalidNumber} {
		if err := show(); err != nil {
			fmt.Fprintln(os.Stderr, "errors:", err)
			os.Exit(1)
		}
	}
}

// whatToDo is the part to copy: it decides what becomes of a request that failed.
func whatToDo(err error) string {
	if rl, ok := pacer.FromError(err); ok { // Twilio has not processed the request
		switch rl.Kind {
		case pacer.Throttled:
			if rl.RetryAfter > 0 {
				return fmt.Sprintf("put it off for %v or more; it was not sent", rl.RetryAfter)
			}
			return "try again in a minute; it was not sent"
		case pacer.NotSent:
			return "try again when there is time; it was not sent"
		case pacer.QueueFull:
			return "use another sender, or wait for hours until its queue is empty"
		case pacer.AttemptCap:
			return "tell the user to wait ten minutes, or start another verification"
		default: // pacer.Quota
			return "put it off until tomorrow, or ask Twilio for a larger quota"
		}
	}

	// Twilio's older and newer APIs have an error type each; Messages and Calls the first.
	var classic *client.TwilioRestError
	var v1 *client.RestErrorV1
	if errors.As(err, &classic) && classic.Status < 500 || errors.As(err, &v1) && v1.HttpStatusCode < 500 {
		return "tell the user, and do not try again: Twilio said no"
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return "try again: Twilio was never reached"
	}
	return "ask Twilio whether it was sent, before sending it again"
}

func explain(err error) {
	fmt.Printf("   error       %v\n", err)
	if rl, ok := pacer.FromError(err); ok {
		fmt.Printf("   FromError   true; kind %q, code %d, attempts %d, Retry-After %v\n", rl.Kind, rl.Code, rl.Attempts, rl.RetryAfter)
	} else {
		fmt.Println("   FromError   false: nothing to do with throttling")
	}
	fmt.Printf("   what to do  %s\n", whatToDo(err))
}

func exhausted() error {
	fmt.Println("\n1. Throttled on every attempt: somebody else is using up the account's limit")
	fake := twiliotest.New(twiliotest.Config{RetryAfter: twiliotest.RetryAfterValue("1")})
	fake.SetLimits([]twiliotest.Limit{{Resource: "Messages", Rate: 1, Window: time.Hour}})

	// Alerts are for the people who run the program; the caller has the error anyway.
	alert := func(a pacer.Alert) { fmt.Printf("   ALERT       %v\n", a) }
	tw, err := newClient(fake, pacer.WithMaxRetries(1), pacer.WithAlert(alert)) // the default is 5 retries
	if err != nil {
		return err
	}
	if err := send(tw, to, "uses up the limit"); err != nil {
		return err
	}
	return expect(send(tw, to, "throttled"))
}

func tooLong() error {
	fmt.Println("\n2. Twilio asks for an hour: above WithMaxRetryAfter (5 minutes) pacer does not wait at all")
	fake := twiliotest.New(twiliotest.Config{RetryAfter: twiliotest.RetryAfterValue("3600")})
	fake.SetLimits([]twiliotest.Limit{{Resource: "Messages", Rate: 1, Window: time.Hour}})
	tw, err := newClient(fake)
	if err != nil {
		return err
	}
	if err := send(tw, to, "uses up the limit"); err != nil {
		return err
	}
	start := time.Now()
	if err := expect(send(tw, to, "throttled")); err != nil {
		return err
	}
	received := fake.Stats().Received
	if err := send(tw, to, "another"); err == nil {
		return errors.New("expected an error")
	}
	fmt.Printf("   The next call for that sender failed likewise, with %d requests sent; the two took %v.\n",
		fake.Stats().Received-received, time.Since(start).Round(time.Millisecond))
	return nil
}

func final() error {
	fmt.Println("\n3. Answers with status 429 for which no wait of seconds helps: pacer does not try again")
	fake := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{
		{Resource: "Messages", Rate: 1, Window: 24 * time.Hour, Code: 63038, Message: "Account exceeded the daily messages limit"},
		{Resource: "verify/Verifications", Rate: 1, Window: 10 * time.Minute, Code: 60203, Message: "Max send attempts reached"},
	}})
	tw, err := newClient(fake)
	if err != nil {
		return err
	}
	if err := send(tw, to, "the last one for today"); err != nil {
		return err
	}
	if err := expect(send(tw, to, "one too many")); err != nil {
		return err
	}

	fmt.Println()
	sendCode := func() error {
		params := &verify.CreateVerificationParams{}
		params.SetTo(to)
		params.SetChannel("sms")
		_, err := tw.VerifyV2.CreateVerification("VA00000000000000000000000000000001", params)
		return err
	}
	if err := sendCode(); err != nil {
		return err
	}
	return expect(sendCode())
}

func inDoubt() error {
	fmt.Println("\n4. Nobody knows whether it was sent: pacer does not send it again, because it could arrive twice")
	faults := []struct {
		what string
		kind twiliotest.FaultKind
	}{
		{"a 503, and in truth it was not sent", twiliotest.RespondStatus},
		{"a cut connection, and in truth it was sent", twiliotest.DropAfterAccept},
	}
	const text = "your order 1234 has been shipped"
	for _, f := range faults {
		fake := twiliotest.New(twiliotest.Config{})
		fake.Inject(twiliotest.Fault{Kind: f.kind, Times: 1})
		tw, err := newClient(fake)
		if err != nil {
			return err
		}
		fmt.Printf("   -- %s\n", f.what)
		if err := expect(send(tw, to, text)); err != nil {
			return err
		}
		sent, err := wasSent(tw, to, text)
		if err != nil {
			return err
		}
		fmt.Printf("   asked       was it sent? %v\n", sent)
		if !sent {
			if err := send(tw, to, text); err != nil {
				return err
			}
			fmt.Println("   done        sent again")
		}
		fmt.Printf("   result      messages at Twilio: %d, doubled: %d\n", len(fake.Messages()), len(fake.Duplicates()))
	}
	return nil
}

// wasSent asks Twilio for a message of the last minutes. The text should be unique, as
// with an order's number in it. A message can take some seconds to show up: ask late.
func wasSent(tw *pacer.Client, to, body string) (bool, error) {
	params := &api.ListMessageParams{}
	params.SetFrom(from)
	params.SetTo(to)
	params.SetDateSentAfter(time.Now().Add(-10 * time.Minute))
	params.SetLimit(50)
	messages, err := tw.Api.ListMessage(params)
	if err != nil {
		return false, err
	}
	for _, m := range messages {
		if m.Body != nil && *m.Body == body {
			return true, nil
		}
	}
	return false, nil
}

func invalidNumber() error {
	fmt.Println("\n5. A mistake in the request: pacer passes it on as it is, at once")
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{
		Kind: twiliotest.RespondStatus, Status: 400, Code: 21211, Message: "Invalid 'To' Phone Number",
		Match: func(r *twiliotest.Request) bool { return r.Form.Get("To") == invalid },
	})
	tw, err := newClient(fake)
	if err != nil {
		return err
	}
	return expect(send(tw, invalid, "hello"))
}

// newClient makes a client for a fake. Its limit is far above what is sent here, as
// if it were set wrongly.
func newClient(fake *twiliotest.Fake, opts ...pacer.Option) (*pacer.Client, error) {
	defaults := []pacer.Option{
		pacer.WithHTTPClient(fake.Client()), // without this line: Twilio itself
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 100}}),
		pacer.WithAlert(func(pacer.Alert) {}), // without this line alerts are logged
	}
	params := pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}
	return pacer.New(params, append(defaults, opts...)...)
}

func send(tw *pacer.Client, to, body string) error {
	params := &api.CreateMessageParams{}
	params.SetFrom(from)
	params.SetTo(to)
	params.SetBody(body)
	_, err := tw.Api.CreateMessage(params)
	return err
}

// expect explains an error, and says so if there is none.
func expect(err error) error {
	if err == nil {
		return errors.New("expected an error, the call succeeded")
	}
	explain(err)
	return nil
}
