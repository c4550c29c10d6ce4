package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/twilio/twilio-go/client"

	"github.com/twilio-pacer/pacer/twiliotest"
)

var (
	n    = flag.Int("n", 4, "how many `messages` to send")
	real = flag.Bool("real", false, "send to Twilio itself: real messages, which cost money")
)

// fakeTwilio returns a client of twilio-go's that talks to a fake Twilio in memory. With
// -real it returns nil: then credentials come from the environment, as always.
func fakeTwilio() client.BaseClient {
	if *real {
		for _, name := range []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM", "TWILIO_TO"} {
			if os.Getenv(name) == "" {
				fmt.Fprintf(os.Stderr, "dropin: -real needs the environment variable %s; without -real no account is needed\n", name)
				os.Exit(1)
			}
		}
		return nil
	}

	fake := twiliotest.New(twiliotest.Config{
		Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 1, PerSender: true}},
	})
	c := &client.Client{
		Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken),
		HTTPClient:  fake.Client(),
	}
	c.SetAccountSid(twiliotest.AccountSid)
	return c
}
