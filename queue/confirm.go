package queue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twilio-pacer/pacer"
)

// This file records what a person, or a status callback, knows about a request.

// ReasonConfirmed begins the Outcome.Reason of a request that [Queue.Confirm] has made Sent. What it was before, and
// why, follows.
const ReasonConfirmed = "somebody has said that Twilio has it"

// Confirm says that Twilio has a request, with the SID of what it has created: a status
// callback proves it, or a person has looked. The request may be in doubt, wait to be sent
// again, or have failed wrongly. One that is Sent or Cancelled is a [*StateError].
//
// A message's SID is SM or MM and 32 hexadecimal digits, a call's is CA and as many. What
// other operations create has two letters and 32 such digits, or the newer form of Twilio's
// such as mem_profile_ and 26 characters. "" is only for operations that create nothing. Any
// other SID is an error, and so is one that is the result of another request of the queue.
func (q *Queue) Confirm(ctx context.Context, id ID, sid string) error {
	j, err := q.engine.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("queue: confirm %s: %w", id, err)
	}
	if err := checkSID(j.Lane.Resource, sid); err != nil {
		return fmt.Errorf("queue: confirm %s: %w", id, err)
	}
	if len(sid) == 34 {
		sid = sid[:2] + strings.ToLower(sid[2:]) // as Twilio writes it, so that it is found
	}
	if sid != "" && j.Lane.Resource.Op == pacer.Create {
		other, err := creator(ctx, q, sid, id)
		if err != nil {
			return fmt.Errorf("queue: confirm %s: %w", id, err)
		}
		if other != "" {
			return fmt.Errorf("queue: confirm %s: SID %s: expected that of this request; it is the result of request %s already", id, sid, other)
		}
	}
	o := Outcome{SID: sid, Reason: decided(ReasonConfirmed+"; before that it was "+string(j.State), &j)}
	return q.move(ctx, "confirm", Move{ID: id, From: []State{InDoubt, Sending, Ready, Delayed, Failed}, To: Sent, Outcome: &o})
}

// decided returns the Outcome.Reason of a request about which somebody has decided: what was said, and what was known before.
func decided(said string, j *Job) string {
	if was := j.Outcome.Reason; was != "" {
		return said + ": " + was
	}
	return said
}

// creator returns the request, other than not, that has created what has this SID; "": none
// of the queue's has.
func creator(ctx context.Context, q *Queue, sid string, not ID) (ID, error) {
	for j, err := range q.List(ctx, Filter{SID: sid}) {
		if err != nil {
			return "", err
		}
		if j.ID != not && j.Lane.Resource.Op != pacer.Write { // what changes a message has its SID, too
			return j.ID, nil
		}
	}
	return "", nil
}

// The SIDs that Twilio gives: https://www.twilio.com/docs/glossary/what-is-a-sid
var (
	messageSID = regexp.MustCompile(`^(SM|MM)[0-9a-fA-F]{32}$`)
	callSID    = regexp.MustCompile(`^CA[0-9a-fA-F]{32}$`)
	anySID     = regexp.MustCompile(`^([A-Z]{2}[0-9a-fA-F]{32}|[a-z]+(_[a-z]+)*_[0-9a-z]{26})$`)
)

// checkSID reports why sid cannot be that of what a request of the resource has created.
func checkSID(r pacer.Resource, sid string) error {
	form, expected := anySID, "two letters and 32 hexadecimal digits, 34 characters in all"
	switch r.String() {
	case createMessage:
		form, expected = messageSID, "that of a message, SM or MM and 32 hexadecimal digits, 34 characters in all"
	case createCall:
		form, expected = callSID, "that of a call, CA and 32 hexadecimal digits, 34 characters in all"
	}
	switch {
	case form.MatchString(sid), sid == "" && r.Op != pacer.Create:
		return nil
	case sid == "":
		return errors.New("no SID: expected " + expected)
	}
	// The whole is not told: it may be a phone number or a text in the wrong place.
	runes := []rune(sid)
	if len(runes) != 34 {
		return fmt.Errorf("the SID has %d characters: expected %s", len(runes), expected)
	}
	if at := 2 + slices.IndexFunc(runes[2:], notHex); at >= 2 {
		return fmt.Errorf("character %d of the SID is %q: expected %s", 1+at, runes[at], expected)
	}
	return fmt.Errorf("the SID begins with %q: expected %s", string(runes[:2]), expected)
}

func notHex(r rune) bool {
	return !('0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F')
}
