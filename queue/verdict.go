package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A verdict says what an attempt means for its request and for what it shares.
type verdict string

const (
	wasAccepted  verdict = "accepted"  // success is proved: it is Sent
	wasRefused   verdict = "refused"   // Twilio has refused this request: it is Failed
	wasThrottled verdict = "throttled" // not now: it waits, and its bucket with it
	wasExhausted verdict = "exhausted" // a quota, or a sender's queue: the same, for long
	wasBarred    verdict = "barred"    // the account or its credentials: the account waits
	wasUntaken   verdict = "untaken"   // nothing reached Twilio: it waits, and its bucket with it
	wasUnproved  verdict = "unproved"  // Twilio may have processed it: in doubt
	wasUnsent    verdict = "unsent"    // the attempt was not made
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

// judge decides what an attempt means. It is a pure function of the attempt, and looks at
// what was written and answered, never at the type of an error. It errs on the side of
// doubt: what is neither proved to be accepted nor proved to be refused is unproved.
func judge(a attempt) (verdict, Outcome) {
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
		return wasUnproved, o
	case fact.Fate == pacer.Answered && twilioCode(fact.Code):
		return wasRefused, o
	}
	// Nothing was written, or somebody refused it who is not Twilio: Twilio's own
	// refusals have a code.
	return wasUntaken, o
}

// twilioCode reports whether an error code is one of Twilio's, which have five digits:
// https://www.twilio.com/docs/api/errors. A gateway's JSON may have a "code" of its own.
func twilioCode(code int) bool { return code >= 10000 && code < 100000 }

// judgeSuccess decides about an answer that twilio-go takes for a success: 2xx and 3xx.
func judgeSuccess(a attempt) (verdict, Outcome) {
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

// answeredReason returns why an attempt has failed. Of an answer that has no code of
// Twilio's only the status is told: the rest is a page of somebody else's, or says nothing.
func answeredReason(fact pacer.Attempt, err error) string {
	switch {
	case fact.Status < http.StatusBadRequest || twilioCode(fact.Code):
		return reasonOf(err)
	case fact.Status < http.StatusInternalServerError && fact.Status != http.StatusTooManyRequests:
		return fmt.Sprintf("status %d without Twilio's code: somebody else answers in Twilio's place", fact.Status)
	}
	return fmt.Sprintf("status %d", fact.Status)
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

// A window is when a request may have been sent, in Twilio's time.
type span struct{ from, to time.Time }

// near reports whether t is in the span or less than d from it.
func (s span) near(t time.Time, d time.Duration) bool {
	return !t.Before(s.from.Add(-d)) && (s.to.IsZero() || !t.After(s.to.Add(d)))
}

// How far from a request's span things at Twilio count.
const (
	// clockMargin allows for times of whole seconds and for the way to Twilio.
	clockMargin = 5 * time.Second
	// otherMargin is how far from the span something with another text makes it unsure
	// that Twilio does not have the request. Clocks may have been set meanwhile: two that
	// are off by two minutes, and are set from one side to the other, make eight.
	otherMargin = 10 * time.Minute
	// setMargin is by how much clocks may have been set for a match still to count.
	setMargin = 5 * time.Minute
	// earlyMargin is how long before the span the same text makes it unsure.
	earlyMargin = time.Hour
)

// maxRounds is how often a request is sent of which Twilio never shows anything: each
// round is a chance to send it twice.
const maxRounds = 5

// A doubt is what is known about a request in doubt when Twilio has been asked.
type doubt struct {
	job     *Job
	span    span // when it may have been sent, by Twilio's clock
	wide    bool // a clock was set by minutes of late
	listed  []created
	belongs func(sid string) (bool, error)   // to another job of the queue
	pending func(look string) (n twins)      // jobs that may have been sent and look like this
	redacts func() (altered bool, err error) // whether the account's lists hide numbers
}

// A finding is what a doubt comes to. One of the fields is set, or none: Twilio does not
// have the request.
type finding struct {
	sid    string // Twilio has it
	wait   string // why it cannot be told yet
	unsure string // why a person has to tell
}

// find decides what became of a request in doubt. The rule, which docs/queue.md explains:
//
// Something at Twilio is unexplained if it was made through the API, to the request's
// receiver, by its sender or service, and no job has it as its result. One that has the
// same text, from the request's span, is the request's. That Twilio does not have the
// request is concluded only if nothing unexplained is near the span. Times decide between
// Sent and parked, and never make a request sent again.
func (d *doubt) find() (finding, error) {
	f := url.Values(d.job.Request.Form)
	calls := d.job.Lane.Resource.String() == createCall
	own := partyOf(f.Get("To"))
	if own.text == "" {
		return finding{unsure: "it has no number or address that Twilio's list could be asked for"}, nil
	}
	for _, field := range singleFields {
		if len(f[field]) > 1 {
			return finding{unsure: fmt.Sprintf("it has %d values of %s, and nobody knows which one Twilio takes", len(f[field]), field)}, nil
		}
	}
	earliest := earlyMargin
	if calls { // without a text every call of the pair would count
		earliest = otherMargin
	}
	comparable := !calls && canCompare(f)
	var same, others, early, late []string
	var exact string // the first of the same whose receiver is written as in the request
	for _, c := range d.listed {
		if c.inbound() || !mayBe(f, c) {
			continue
		}
		taken, err := d.belongs(c.SID)
		if err != nil {
			return finding{}, err
		}
		if taken {
			continue
		}
		at, readable := c.at()
		if !readable {
			return finding{unsure: "Twilio's list has a time that cannot be read"}, nil
		}
		alike := calls || comparable && sameText(f, c)
		switch {
		case !alike && d.span.near(at, otherMargin):
			others = append(others, c.SID)
			if n := d.pending(c.looks(&d.job.Lane)); n.doubtful+n.sending > 0 && d.job.Looks < maxLooks {
				return finding{wait: "something else to this receiver is in doubt or being sent"}, nil
			}
		case !alike:
		case d.span.near(at, 0) && surely(f, c):
			same = append(same, c.SID)
			if exact == "" && c.To == f.Get("To") { // before one of a twin's that is written otherwise
				exact = c.SID
			}
		case d.span.near(at, 0):
			others = append(others, c.SID)
		case at.Before(d.span.from) && d.span.near(at, earliest):
			early = append(early, c.SID)
		case at.After(d.span.from):
			late = append(late, c.SID)
		}
	}
	t := d.pending(looks(d.job))
	doubtful := max(1, t.doubtful)
	switch n := len(same) + len(late); {
	case n == 0 && len(early) > 0:
		return finding{unsure: "Twilio has one that looks the same from before it was sent: " + early[0]}, nil
	case n > 0 && t.sending > 0:
		return finding{wait: "one that looks the same is being sent"}, nil
	case len(late) > 0 && d.job.Looks < maxLooks:
		return finding{wait: "one that looks the same was sent later"}, nil
	case len(late) > 0:
		return finding{unsure: "Twilio has one that looks the same from after its attempt was over: " + late[0]}, nil
	case n == doubtful && d.wide:
		return finding{unsure: "a clock was set by minutes of late, so that it cannot be told whether this is the one: " + same[0]}, nil
	case n == doubtful && exact != "":
		return finding{sid: exact}, nil
	case n == doubtful:
		return finding{sid: same[0]}, nil
	case n > 0:
		return finding{unsure: fmt.Sprintf("Twilio has %d that look the same, for %d in doubt: %s", n, doubtful, same[0])}, nil
	}
	return d.absent(f, calls || comparable, own, others)
}

// absent decides whether it is proved that Twilio does not have the request.
func (d *doubt) absent(f url.Values, comparable bool, own party, others []string) (finding, error) {
	switch {
	case len(others) > 0 && !comparable:
		return finding{unsure: "Twilio has something for this receiver from that time, and its text cannot be compared: " + others[0]}, nil
	case len(others) > 0:
		return finding{unsure: "Twilio has something for this receiver from that time, and it cannot be told whether it is this one: " + others[0]}, nil
	case !own.exact:
		return finding{unsure: "its receiver is not written as Twilio's list writes numbers, so that the list may miss it"}, nil
	case d.job.Attempts >= maxRounds:
		return finding{unsure: fmt.Sprintf("it was sent %d times, and each time Twilio has neither taken nor refused it", d.job.Attempts)}, nil
	case d.job.Lane.Resource.String() == createCall:
		return finding{}, nil
	case f.Get("AddressRetention") == "obfuscate":
		return finding{unsure: "it asks Twilio to hide its receiver (AddressRetention), so that the list may miss it"}, nil
	}
	altered, err := d.redacts()
	if err == nil && altered {
		return finding{unsure: "the account's lists hide receivers (message redaction), so that they may miss it"}, nil
	}
	return finding{}, err
}

// maxLooks is how often that is waited for which should pass by itself.
const maxLooks = 3
