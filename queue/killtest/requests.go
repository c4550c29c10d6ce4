package main

import (
	"fmt"
	"iter"
	"net/url"
	"regexp"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer/queue"
)

// The requests are numbered. What one is follows from its number, so that every process
// makes the same ones. Of ten, eight are messages from four numbers, one is from a
// Messaging Service, and one is a call.

const service = "MG0123456789abcdef0123456789abcdef"

func isCall(n int) bool { return n%10 == 8 }

// name tells requests apart. It is the text of a message and the URL of a call.
func name(n int) string {
	if isCall(n) {
		return fmt.Sprintf("https://example.com/calls/%d", n)
	}
	return fmt.Sprintf("message %d", n)
}

// nameOf is the name of a request with that form.
func nameOf(form url.Values) string { return form.Get("Body") + form.Get("Url") }

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = name(i)
	}
	return all
}

// recipient is that of request n. One message in four goes to somebody who gets another
// one from the same sender at about the same time. Who looks for it at Twilio must not
// take one for the other. Two such calls could not be told apart by anybody, as Twilio
// does not list what a call was to say.
func recipient(n int) string {
	if n/10%4 == 3 && !isCall(n) {
		n -= 10
	}
	return fmt.Sprintf("+1555%07d", n)
}

func sender(n int) string { return fmt.Sprintf("+1500555%04d", n%10/2%4) }

// build makes request n.
func build(n int) func(*twilio.RestClient) error {
	return func(rc *twilio.RestClient) error {
		var err error
		switch {
		case isCall(n):
			_, err = rc.Api.CreateCall(new(api.CreateCallParams).SetFrom(sender(n)).SetTo(recipient(n)).SetUrl(name(n)))
		case n%10 == 7:
			_, err = rc.Api.CreateMessage(new(api.CreateMessageParams).SetMessagingServiceSid(service).SetTo(recipient(n)).SetBody(name(n)))
		default:
			_, err = rc.Api.CreateMessage(new(api.CreateMessageParams).SetFrom(sender(n)).SetTo(recipient(n)).SetBody(name(n)))
		}
		return err
	}
}

func priority(n int) queue.EnqueueOption {
	switch n % 20 {
	case 3:
		return queue.High
	case 5:
		return queue.Low
	}
	return queue.Normal
}

// items are the requests from number from to number to-1.
func items(from, to int) iter.Seq[queue.Item] {
	return func(yield func(queue.Item) bool) {
		for n := from; n < to; n++ {
			if !yield(queue.Item{Build: build(n), Options: []queue.EnqueueOption{queue.Unique(name(n)), priority(n)}}) {
				return
			}
		}
	}
}

var number = regexp.MustCompile(`\+\d{5,}`)

// masked hides what could be a phone number in what others have said.
func masked(text string) string { return number.ReplaceAllString(text, "+***") }
