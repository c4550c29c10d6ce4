package main

import (
	"fmt"
	"strings"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// A message is what every engine keeps and sends.
type message struct {
	From string `json:"from"`
	To   string `json:"to"`
	Body string `json:"body"`
}

// bodyLength is that of every text, in bytes.
const bodyLength = 300

// messages are n of them, from the first-th on, whose senders take turns: with pacer
// each sender is a lane. Each has a text of its own, by which the fake Twilio
// knows a double.
func messages(first, n, senders int) []message {
	ms := make([]message, n)
	for i := range ms {
		text := fmt.Sprintf("message %d ", first+i)
		ms[i] = message{From: sender((first + i) % senders), To: "+15005550001", Body: text + strings.Repeat("x", bodyLength-len(text))}
	}
	return ms
}

func sender(i int) string { return fmt.Sprintf("+1500%07d", i) }

// create is the request that every engine's worker makes.
func (m message) create(rest *twilio.RestClient) error {
	_, err := rest.Api.CreateMessage(new(api.CreateMessageParams).SetFrom(m.From).SetTo(m.To).SetBody(m.Body))
	return err
}
