package pacer_test

import (
	"fmt"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// The auth token is rotated while the program runs.
func ExampleClient_SetCredentials() {
	fake := twiliotest.New(twiliotest.Config{Credentials: map[string]string{twiliotest.AccountSid: "newtoken"}})
	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: "oldtoken"}, pacer.WithHTTPClient(fake.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	params := (&api.CreateMessageParams{}).SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready.")
	_, err = c.Api.CreateMessage(params)
	fmt.Println("unauthorized:", pacer.Unauthorized(err))

	if err := c.SetCredentials(twiliotest.AccountSid, "newtoken"); err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Api.CreateMessage(params)
	fmt.Println("error:", err)
	// Output:
	// unauthorized: true
	// error: <nil>
}
