package pacer

import (
	"encoding/json"
	"fmt"
	"time"
)

// An EventKind names a moment in the life of a call.
type EventKind string

// The events of a call, in the order in which they come. A call that is not throttled
// has EventSent and EventDone, with EventWaited before them if it had to wait.
//
// While an attempt has a permit of the limiter nobody is told of it. Hence EventWaited comes
// when the attempt is over, just before its EventSent; Time is when the wait ended.
const (
	EventWaited    EventKind = "waited"    // it got its permit; Wait is how long it waited in the limiter
	EventSent      EventKind = "sent"      // an attempt was answered, or failed; Took is how long that took
	EventThrottled EventKind = "throttled" // the answer was a throttle; RetryAfter is what it asked for
	EventRetrying  EventKind = "retrying"  // it will be sent again after Wait
	EventGaveUp    EventKind = "gave up"   // it will not be sent again
	EventDone      EventKind = "done"      // the call returns; Wait is all its waiting, Took its whole time
)

// An Event is one step of one call, for [WithObserver].
type Event struct {
	Kind       EventKind
	Time       time.Time     // when it happened; an observer may hear of it later
	Resource   Resource      // Resource.String() is safe as a label, its Sender is not
	Method     string        // of HTTP
	Attempt    int           // 1 for the first; 0 if nothing has been sent yet
	Wait       time.Duration // see the kind
	Took       time.Duration // see the kind
	Status     int           // HTTP status, where there was an answer
	Code       int           // Twilio's error code, where there was one
	Scope      Scope         // what a throttled answer is about; "": it does not tell, or there was none
	RetryAfter time.Duration // as asked for by the answer; 0: it did not say
	Err        error         // of the attempt or the call; nil if it succeeded. Its own text may have numbers
}

// String returns the event in one line. It holds no phone number.
func (e Event) String() string {
	return fmt.Sprintf("%s: %s %v, attempt %d, status %d, code %d, wait %v, took %v, error %v", e.Kind, e.Method, e.Resource, e.Attempt, e.Status, e.Code, e.Wait, e.Took, shownError(e.Err))
}

// MarshalJSON writes Err as its text, and hides the middle of each phone number in it.
func (e Event) MarshalJSON() ([]byte, error) {
	type event Event
	return json.Marshal(struct {
		event
		Err any
	}{event(e), shownError(e.Err)})
}
