// Dropin is an ordinary twilio-go program: it sends messages, lists them and looks at
// an error, as twilio-go's README does. One line makes it paced: the import marked
// below. Nothing else differs, not even the types of clients and errors.
//
//	go run ./examples/dropin
//
// It talks to a fake Twilio in memory; with -real to Twilio itself.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/twilio/twilio-go/client"
	twilioApi "github.com/twilio/twilio-go/rest/api/v2010"

	twilio "github.com/twilio-pacer/pacer" // was: "github.com/twilio/twilio-go"
)

func main() {
	flag.Parse()
	fmt.Println("An ordinary twilio-go program with one import swapped: it keeps to one message a second, the limit")
	fmt.Println("of a long code, without having been told; sent any faster, all but the first would be refused.")
	fmt.Println()

	restClient := twilio.NewRestClientWithParams(twilio.ClientParams{
		Client: fakeTwilio(), // only here so that this program needs no account: see fake.go
	})
	from, to := "+15005550006", "+15555550100"
	if *real {
		from, to = os.Getenv("TWILIO_FROM"), os.Getenv("TWILIO_TO")
	}

	// Send messages.
	start := time.Now()
	for i := range *n {
		params := &twilioApi.CreateMessageParams{}
		params.SetFrom(from)
		params.SetTo(to)
		params.SetBody(fmt.Sprintf("Hello from Go, number %d!", i+1))

		resp, err := restClient.Api.CreateMessage(params)
		if err != nil {
			fmt.Println("Error sending SMS message: " + err.Error())
			os.Exit(1)
		}
		fmt.Printf("%4.1f s  Message Sid: %s, status: %s\n", time.Since(start).Seconds(), *resp.Sid, *resp.Status)
	}

	// List them.
	list := &twilioApi.ListMessageParams{}
	list.SetTo(to)
	list.SetLimit(*n)
	messages, err := restClient.Api.ListMessage(list)
	if err != nil {
		fmt.Println("Error listing messages: " + err.Error())
		os.Exit(1)
	}
	fmt.Printf("\nListed %d messages, the newest first:\n", len(messages))
	for _, m := range messages {
		fmt.Println("  " + *m.Body)
	}

	// An error has twilio-go's own type, and is not retried if trying again is no help.
	params := &twilioApi.CreateMessageParams{}
	params.SetFrom(from)
	params.SetTo(to) // and no body
	_, err = restClient.Api.CreateMessage(params)
	twilioError, ok := err.(*client.TwilioRestError)
	if !ok {
		fmt.Printf("Expected a *client.TwilioRestError, got %T: %v\n", err, err)
		os.Exit(1)
	}
	fmt.Printf("\nA message without a body: status %d, code %d, %q\n", twilioError.Status, twilioError.Code, twilioError.Message)
}
