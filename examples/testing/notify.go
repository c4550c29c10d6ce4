// Package notify stands for a package of yours that sends messages. Its test shows how
// to test such code: against a fake Twilio in memory, in virtual time, with no account,
// no network and no waiting.
//
//	go test -v ./examples/testing
package notify

import (
	"fmt"

	"github.com/twilio-pacer/pacer"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// From is the number that reminders come from.
const From = "+15005550006"

// A Reminder tells somebody of an appointment.
type Reminder struct {
	To          string
	Appointment int
}

// SendReminder sends one reminder. It takes a client instead of making one, which is
// all that a test needs. An error does not always mean that nothing was sent: see
// pacer.FromError, and examples/errors.
func SendReminder(client *pacer.RestClient, r Reminder) error {
	params := &api.CreateMessageParams{}
	params.SetFrom(From)
	params.SetTo(r.To)
	params.SetBody(fmt.Sprintf("Reminder: appointment %d is tomorrow.", r.Appointment))
	if _, err := client.Api.CreateMessage(params); err != nil {
		return fmt.Errorf("reminder of appointment %d: %w", r.Appointment, err)
	}
	return nil
}
