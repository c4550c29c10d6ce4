package queue_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twilio/twilio-go/client"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// Twilio's message may name a number. An alert shows the message without it, in each of its forms,
// and its Err stays Twilio's.
func TestAlertShowsNoNumberOfTwiliosMessage(t *testing.T) {
	const message = "The From phone number +15005550006 has exceeded the queue"
	a := queue.Alert{
		Kind: queue.AlertHeld, Err: fmt.Errorf("held: %w", &client.TwilioRestError{Status: 429, Code: 21611, Message: message}), Advice: "wait",
		Lane: queue.Lane{Resource: pacer.Resource{Account: "AC0123456789abcdef0123456789abcdef", Product: "api", Name: "Messages", Op: pacer.Create, Sender: "+15005550006"}},
	}
	inJSON, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string]string{"JSON": string(inJSON), "String": a.String(), "%v": fmt.Sprintf("%v", a), "%+v": fmt.Sprintf("%+v", a)} {
		if strings.Contains(text, "5005550006") || !strings.Contains(text, "has exceeded the queue") || !strings.Contains(text, "AC0123456789abcdef0123456789abcdef") {
			t.Errorf("%s: %s", form, text)
		}
	}
	var twilios *client.TwilioRestError
	if !errors.As(a.Err, &twilios) || twilios.Message != message {
		t.Errorf("%v: expected Twilio's own error", a.Err)
	}
	if inJSON, err := json.Marshal(queue.Alert{Kind: queue.AlertGrowing}); err != nil || !strings.Contains(string(inJSON), `"Err":null`) {
		t.Errorf("without an error: %s, %v", inJSON, err)
	}
}
