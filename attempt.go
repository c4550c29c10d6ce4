package pacer

import (
	"errors"
	"fmt"
	"net/http"
)

// A Fate says how far an attempt got. It decides whether a request may be sent again.
type Fate string

// The fates of an attempt.
const (
	// NotWritten: no byte of the request was written. There was no connection, no proxy,
	// no TLS, or net/http refused the request. Sending it again is safe.
	NotWritten Fate = "not written"
	// PerhapsWritten: the request may have reached Twilio, and no answer came. It is also
	// the fate of an error of which pacer knows nothing.
	PerhapsWritten Fate = "perhaps written"
	// Answered: an answer came, or at least its status.
	Answered Fate = "answered"
)

// An Attempt is what is known about the last time a request was sent. The zero Attempt has
// no Fate; [AttemptOf] never returns it.
type Attempt struct {
	Fate   Fate
	Status int // HTTP status of the answer; 0: none came, or it is not known
	Code   int // Twilio's error code in the answer; 0: there was none
}

// AttemptOf returns how far the last attempt got that ended with err. pacer learns it where it
// happens, from [net/http/httptrace], and never guesses it from the kind of an error. An error of
// which pacer knows nothing is PerhapsWritten. Such are errors of a client.BaseClient of the
// program's own, and what twilio-go makes of an answer that it cannot decode. A nil error is
// Answered. AttemptOf is safe for concurrent use.
func AttemptOf(err error) Attempt {
	if err == nil {
		return Attempt{Fate: Answered}
	}
	var unsent *noToken // what it wraps is about another request
	if errors.As(err, &unsent) {
		return Attempt{Fate: NotWritten}
	}
	var known *attemptError
	if errors.As(err, &known) {
		return known.attempt
	}
	if a := readAnswer(err); a.status != 0 || a.code != 0 {
		return Attempt{Fate: Answered, Status: a.status, Code: a.code}
	}
	var wait *WaitError
	if errors.As(err, &wait) && wait != nil {
		return Attempt{Fate: NotWritten}
	}
	return Attempt{Fate: PerhapsWritten}
}

// InDoubt reports whether err leaves open if Twilio has processed the request. Either the request may
// have reached Twilio and no whole answer came, or the answer was a failure of Twilio's own (5xx).
// pacer never sends such a request again, since a message or call that was created cannot be taken
// back. Look for it at Twilio before you do.
//
// It is false for nil, for a throttled answer, for every other refusal (4xx), and if
// nothing was written. Redirects 301, 302, 307 and 308 are false, since whoever sends one
// has not processed the request. It is true for an error of which pacer knows nothing: see
// [AttemptOf], whose facts decide.
func InDoubt(err error) bool {
	if _, throttled := FromError(err); err == nil || throttled {
		return false
	}
	return AttemptOf(err).doubtful()
}

// doubtful reports whether an attempt that ended with an error may have been processed.
func (a Attempt) doubtful() bool {
	switch {
	case a.Fate == NotWritten:
		return false
	case a.Fate != Answered:
		return true
	case a.Status >= 400 && a.Status < 500:
		return false
	case a.Status == 0: // the answer had Twilio's code alone
		return a.Code >= 20500 && a.Code < 20600 // codes that repeat a status
	}
	return !movedElsewhere(a.Status)
}

// movedElsewhere reports a redirect that has the request sent anew: it was not processed. A
// 303 is none of them, as it says where the result of the request is
// (https://www.rfc-editor.org/rfc/rfc9110.html#section-15.4).
func movedElsewhere(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// An attemptError is the error of an attempt, with how far the attempt got. It stands
// inside the *url.Error that net/http makes, so that programs find the types they know.
type attemptError struct {
	attempt Attempt
	err     error
}

func (e *attemptError) Error() string { return e.err.Error() }
func (e *attemptError) Unwrap() error { return e.err }

// failed returns the error of a round trip that failed, which says how far it got.
func (a Attempt) failed(err error) error {
	meaning := "Twilio may have processed it"
	switch a.Fate {
	case NotWritten:
		meaning = "nothing was sent"
	case Answered:
		meaning = fmt.Sprintf("it was answered with status %d", a.Status)
	}
	return &attemptError{a, fmt.Errorf("%w (%s)", err, meaning)}
}

// Timeout and Temporary are for programs that ask a *url.Error, which asks its Err.
func (e *attemptError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.err, &t) && t.Timeout()
}

func (e *attemptError) Temporary() bool {
	var t interface{ Temporary() bool }
	return errors.As(e.err, &t) && t.Temporary()
}
