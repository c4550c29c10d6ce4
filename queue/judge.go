package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go/client"
)

// This file decides what one attempt means, by what was written and answered.

// A meaning says what an attempt means for its request, and for the bucket and account of it.
type meaning string

const (
	wasAccepted  meaning = "accepted"  // success is proved: it is Sent
	wasRefused   meaning = "refused"   // Twilio has refused this request: it is Failed
	wasThrottled meaning = "throttled" // not now: it waits, and its bucket with it
	wasExhausted meaning = "exhausted" // a quota, or a sender's queue: the same, for longer
	wasBarred    meaning = "barred"    // the account or its credentials: the account waits
	wasUntaken   meaning = "untaken"   // nothing reached Twilio: it waits, and its bucket with it
	wasUnproved  meaning = "unproved"  // Twilio may have processed it: in doubt
	wasUnsent    meaning = "unsent"    // the attempt was not made
)

// An attempt is one request as it was sent, and what came of it.
type attempt struct {
	request  *Request
	resource pacer.Resource
	status   int    // of a success or a redirect; 0: err says more
	body     []byte // of that answer, as far as it was read
	whole    bool   // all of the body was read
	err      error
}

// judge decides what an attempt means. It is a pure function of the attempt, and looks at what
// was written and answered, never at the type of an error. It errs on the side of doubt: an
// attempt that is neither proved to be accepted nor proved to be refused is unproved.
func judge(a attempt) (meaning, Outcome) {
	if a.err == nil {
		return judgeSuccess(a)
	}
	fact := pacer.AttemptOf(a.err)
	o := Outcome{Status: fact.Status, Code: fact.Code, Reason: answeredReason(fact, a.err)}
	limit, notNow := pacer.FromError(a.err)
	switch {
	case notNow && limit.Kind == pacer.NotSent:
		return wasUnsent, o
	case notNow && limit.Kind == pacer.AttemptCap:
		return wasRefused, o
	case notNow && limit.Kind == pacer.Throttled:
		return wasThrottled, o
	case notNow:
		return wasExhausted, o
	case pacer.Unauthorized(a.err):
		return wasBarred, o
	case pacer.InDoubt(a.err):
		o.Reason = unansweredReason(fact, a.err, o.Reason)
		return wasUnproved, o
	case fact.Fate == pacer.Answered && twilioCode(fact.Code):
		return wasRefused, o
	}
	// Nothing was written, or somebody has refused it who is not Twilio. Refusals of Twilio's
	// have a code.
	return wasUntaken, o
}

// twilioCode reports whether an error code is one of Twilio's, which have five digits:
// https://www.twilio.com/docs/api/errors. A gateway's JSON may have a "code" of its own.
func twilioCode(code int) bool { return code >= 10000 && code < 100000 }

// judgeSuccess decides about an answer that twilio-go takes for a success: 2xx and 3xx.
func judgeSuccess(a attempt) (meaning, Outcome) {
	o := Outcome{Status: a.status}
	switch proof := provesSuccess(a); {
	case proof == nil:
		o.SID = sid(a.body)
		return wasAccepted, o
	case !a.request.safe() && movedElsewhere(a.status):
		o.Reason = fmt.Sprintf("a redirect with status %d: somebody else answers in Twilio's place", a.status)
		return wasUntaken, o
	case a.request.safe():
		o.Reason = proof.Error()
		return wasUntaken, o // sending it again does no harm
	default:
		o.Reason = proof.Error()
		return wasUnproved, o
	}
}

// movedElsewhere reports a redirect whose sender has not processed the request.
func movedElsewhere(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// provesSuccess returns what an answer lacks to prove that Twilio has done what the
// request asks for. A gateway or a captive portal answers with 2xx, too.
func provesSuccess(a attempt) error {
	if a.status < 200 || a.status >= 300 {
		return fmt.Errorf("an answer with status %d, which proves nothing", a.status)
	}
	creates := map[string]*regexp.Regexp{createMessage: messageSID, createCall: callSID}[a.resource.String()]
	switch {
	case creates != nil && !creates.MatchString(sid(a.body)):
		return fmt.Errorf("an answer with status %d and without the SID of what Twilio would have created", a.status)
	case creates != nil:
		return nil
	case a.request.Method == http.MethodDelete && a.status == http.StatusNoContent && a.whole && len(bytes.TrimSpace(a.body)) == 0:
		return nil
	case !isJSON(a):
		return fmt.Errorf("an answer with status %d that is not Twilio's JSON", a.status)
	}
	return nil
}

// isJSON reports whether the body is JSON. Of a body that is too long to be kept the
// beginning tells.
func isJSON(a attempt) bool {
	body := bytes.TrimSpace(a.body)
	if len(a.body) >= maxResponse {
		return bytes.HasPrefix(body, []byte("{")) || bytes.HasPrefix(body, []byte("["))
	}
	return a.whole && json.Valid(body)
}

// answeredReason returns why an attempt has failed. Of an answer without a code of Twilio's
// only the status is told. The rest is a page of somebody else's, or says nothing.
func answeredReason(fact pacer.Attempt, err error) string {
	switch {
	case fact.Status < http.StatusBadRequest || twilioCode(fact.Code):
		return reasonOf(err)
	case fact.Status < http.StatusInternalServerError && fact.Status != http.StatusTooManyRequests:
		return fmt.Sprintf("status %d without Twilio's code: somebody else answers in Twilio's place", fact.Status)
	}
	return fmt.Sprintf("status %d", fact.Status)
}

// unansweredReason says in words of people that no answer came, where reason has those of a library.
func unansweredReason(fact pacer.Attempt, err error, reason string) string {
	switch {
	case fact.Fate != pacer.PerhapsWritten:
		return reason
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended before an answer"
	}
	return strings.TrimSuffix(reason, " (Twilio may have processed it)")
}

// saidBy reads what is recorded of an error: Twilio's code, and the text without the URL.
func saidBy(err error) (code int, reason string) {
	var classic *client.TwilioRestError
	var v1 *client.RestErrorV1
	switch {
	case errors.As(err, &classic) && classic != nil:
		return classic.Code, classic.Message
	case errors.As(err, &v1) && v1 != nil:
		return v1.Code, v1.Message
	}
	var where *url.Error // whose text has the URL, and a URL can have a number
	if errors.As(err, &where) {
		err = where.Err
	}
	return 0, err.Error()
}

// reasonError returns an error with what may be shown of err.
func reasonError(err error) error {
	code, reason := saidBy(err)
	if code == 0 {
		return errors.New(reason)
	}
	return fmt.Errorf("code %d: %s", code, reason)
}

// errNoAnswer stands for an error without a text of its own.
var errNoAnswer = errors.New("no answer")

// reasonOf returns an error's text without what may hold a phone number: the URL.
func reasonOf(err error) string {
	_, reason := saidBy(err)
	if reason == "" {
		return errNoAnswer.Error()
	}
	return reason
}
