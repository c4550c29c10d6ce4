package pacer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
)

// A Kind says why Twilio (or pacer) would not take a request now, and so what helps.
type Kind string

// The kinds.
const (
	// Throttled: too many requests just now. Waiting seconds helps; pacer has done
	// so, and given up after the last retry.
	Throttled Kind = "throttled"
	// QueueFull: the sender has hours of messages queued. Use other senders, or
	// wait until its queue has drained.
	QueueFull Kind = "sender's queue is full"
	// AttemptCap: this verification, challenge or factor has used up its attempts.
	// Let it expire (minutes), or start another.
	AttemptCap Kind = "attempt cap"
	// Quota: a quota of hours or a day is used up.
	Quota Kind = "quota"
	// NotSent: the call ended while it waited (context, deadline,
	// [WithMaxWait]). Whatever was sent for it before was throttled.
	NotSent Kind = "not sent"
)

// codeThrottled is "Too Many Requests", https://www.twilio.com/docs/api/errors/20429.
const codeThrottled = 20429

// finalCodes are the codes that arrive with status 429 although waiting seconds does
// not help. Any other 429 is a throttle. Source: Twilio's list of error codes,
// https://www.twilio.com/docs/api/errors/CODE.
var finalCodes = map[int]Kind{
	21611: QueueFull,  // From has 10 hours of segments queued
	30454: Quota,      // message volume of a trial account
	60202: AttemptCap, // 5 checks of one verification, 10 min
	60203: AttemptCap, // 5 sends of one verification, 10 min
	60308: AttemptCap, // 5 attempts at a TOTP challenge
	60309: AttemptCap, // 3 push notifications for one challenge
	60310: AttemptCap, // 5 attempts at a TOTP factor
	60312: Quota,      // challenges created, 50 an hour, 100 a day
	60326: Quota,      // factors of one entity, 100 a day
	63038: Quota,      // messages in 24 hours
}

// rateCodes are the codes of throttles that are for certain about a rate; 20429 proper
// is about how many requests an account has in progress
// (https://www.twilio.com/docs/errors/20429). Source: Twilio's list of error codes.
var rateCodes = map[int]bool{
	25021: true, // Organizations API
	45010: true, // Flex API
	45719: true, // Flex webchat, participants
	45780: true, // Flex, 20/s and 5/s
	50063: true, // Chat, Conversations: actions per second
	50074: true,
	54009: true, // Sync: 20/s for each object
	59004: true, // Webhooks Configuration API
	60212: true, // Verify: starts for one number at once
	60616: true, // Lookup: the rate of a package
	60626: true, // Lookup: requests for one number
	63017: true, // messages/s of account and subaccounts
	63018: true, // messages/s of a channel's sender
}

// saysRate reports that a throttle is about the rate of a resource. TaskRouter answers
// 20429 and means a rate ("Rate limit exceeded for target Workflow-Create").
func saysRate(r Resource, code int) bool { return rateCodes[code] || r.Product == "taskrouter" }

// RateLimit is what a caller can learn from an error about throttling. Get it with
// [FromError].
type RateLimit struct {
	Kind       Kind
	Scope      Scope         // what the limit is about; "": the answer does not tell, or there was none
	Resource   string        // product, name and operation: "api/Messages:create"; holds no phone number
	Status     int           // HTTP status of the last answer; 0 if there was none
	Code       int           // Twilio's error code; 0 if there was none
	Attempts   int           // requests sent, all of them throttled
	Waited     time.Duration // time spent waiting, for the bucket and between attempts
	RetryAfter time.Duration // what the last answer asked for; 0 if it did not say
	RequestID  string        // Twilio-Request-Id of the last answer, for Twilio's support
}

// String returns the facts in one line.
func (rl RateLimit) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", rl.Resource, rl.Kind)
	if rl.Scope.Narrow() {
		fmt.Fprintf(&b, " (one %s)", rl.Scope)
	}
	switch {
	case rl.Attempts == 1:
		b.WriteString(" on the first attempt")
	case rl.Attempts > 1:
		fmt.Fprintf(&b, " after %d attempts", rl.Attempts)
	}
	if rl.Waited >= time.Millisecond {
		fmt.Fprintf(&b, ", waited %v", rl.Waited.Round(time.Millisecond))
	}
	if rl.RetryAfter >= time.Millisecond {
		fmt.Fprintf(&b, ", Retry-After %v", rl.RetryAfter.Round(time.Millisecond))
	}
	if rl.RequestID != "" {
		fmt.Fprintf(&b, ", request %s", rl.RequestID)
	}
	return b.String()
}

// MarshalText makes a RateLimit readable where twilio-go prints an error's Details.
func (rl RateLimit) MarshalText() ([]byte, error) { return []byte(rl.String()), nil }

// detailsKey is where a RateLimit stands in the Details of a TwilioRestError or the
// Params of a RestErrorV1.
const detailsKey = "pacer"

// FromError reports what err, or an error that it wraps, says about throttling. It is false for
// errors that have nothing to do with it. When it is true Twilio has not processed the request.
// Twilio says: "An API Request that receives an error 429 response is never processed and is always
// safe to retry" (https://www.twilio.com/docs/errors/20429).
//
// It also reads errors of a plain twilio-go client; those lack attempts, waits and
// Retry-After.
func FromError(err error) (RateLimit, bool) {
	var wait *WaitError
	if errors.As(err, &wait) && wait != nil {
		return wait.RateLimit, true
	}
	a := readAnswer(err)
	if rl, ok := a.details[detailsKey].(RateLimit); ok {
		return rl, true
	}
	kind := classify(a.status, a.code)
	if kind == "" {
		return RateLimit{}, false
	}
	return RateLimit{Kind: kind, Scope: scopes[a.code], Status: a.status, Code: a.code, Attempts: 1}, true
}

// ErrWaitTooLong is wrapped by the error of a call that was refused. Its wait would have been
// longer than the call's context or [WithMaxWait] allows.
var ErrWaitTooLong = errors.New("the wait would be too long")

// A WaitError is the error of a call that ended while it waited. Twilio
// has not processed the request. It wraps Err and Answer, so that errors.Is finds
// context.Canceled, context.DeadlineExceeded or [ErrWaitTooLong], and errors.As the
// *client.TwilioRestError of the last throttled answer.
type WaitError struct {
	RateLimit
	Err    error         // why the wait ended
	Answer error         // the last throttled answer; nil if nothing was sent
	Need   time.Duration // how much longer the call would have had to wait; 0: not known

	byPace bool // a bucket has refused the wait for its pace, and not for a cool-down
}

// Error says what was waited for, for how long, and why the wait ended.
func (e *WaitError) Error() string {
	return fmt.Sprintf("pacer: %v: %v", e.RateLimit, e.Err)
}

// Unwrap returns Err and Answer.
func (e *WaitError) Unwrap() []error {
	if e.Answer == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Answer}
}

// noToken is the error of a call that was not sent for want of an access token.
type noToken struct {
	resource Resource
	err      error
}

func (e *noToken) Error() string {
	return fmt.Sprintf("pacer: %v was not sent: no access token: %v", e.resource, e.err)
}
func (e *noToken) Unwrap() error { return e.err }

// notSent is what is known about a request of r that was not sent.
func notSent(r Resource) RateLimit { return RateLimit{Kind: NotSent, Resource: r.String()} }

// tooLate refuses a wait that would outlast the context's deadline.
func tooLate(r Resource, need time.Duration) *WaitError {
	return &WaitError{
		RateLimit: notSent(r),
		Err:       fmt.Errorf("%w: it takes another %v, the context's deadline is sooner: %w", ErrWaitTooLong, need.Round(time.Millisecond), context.DeadlineExceeded),
		Need:      need,
	}
}

// classify tells whether an answer means "not now", and of which kind. The status
// decides; the code refines it.
func classify(status, code int) Kind {
	if kind := finalCodes[code]; kind != "" {
		return kind
	}
	if status == http.StatusTooManyRequests || code == codeThrottled {
		return Throttled
	}
	return ""
}

// An answer is what one of twilio-go's error values says.
type answer struct {
	status, code int
	details      map[string]any
}

// undecodable begins the text of the error that twilio-go gives for an error answer
// that is no JSON of Twilio's. It is the only trace that a BaseClient other than
// twilio-go's own leaves of such an answer.
const undecodable = "error decoding the response for an HTTP error code: "

func readAnswer(err error) answer {
	if err == nil {
		return answer{}
	}
	var classic *client.TwilioRestError
	if errors.As(err, &classic) {
		if classic == nil {
			return answer{}
		}
		return answer{classic.Status, classic.Code, classic.Details}
	}
	var v1 *client.RestErrorV1
	if errors.As(err, &v1) {
		if v1 == nil {
			return answer{}
		}
		return answer{v1.HttpStatusCode, v1.Code, v1.Params}
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if text, ok := strings.CutPrefix(err.Error(), undecodable); ok {
			digits, _, _ := strings.Cut(text, ":")
			status, _ := strconv.Atoi(digits)
			return answer{status: status}
		}
	}
	return answer{}
}

// setStatus gives one of twilio-go's errors the status of the answer, where its body
// said none or another.
func setStatus(err error, status int) {
	var classic *client.TwilioRestError
	var v1 *client.RestErrorV1
	switch {
	case errors.As(err, &classic) && classic != nil:
		classic.Status = status
	case errors.As(err, &v1) && v1 != nil:
		v1.HttpStatusCode = status
	}
}

// withRateLimit returns err, twilio-go's error for a throttled answer, with rl in its
// Details or Params. Fields that the answer's body left out are filled in. An error
// that is of neither of twilio-go's types becomes a TwilioRestError.
func withRateLimit(err error, rl RateLimit) error {
	var v1 *client.RestErrorV1
	if errors.As(err, &v1) && v1 != nil {
		v1.HttpStatusCode = rl.Status
		v1.Code = nonZero(v1.Code, codeThrottled)
		v1.Message = nonZero(v1.Message, tooManyRequests)
		v1.Params = withDetail(v1.Params, rl)
		return err
	}
	var classic *client.TwilioRestError
	if !errors.As(err, &classic) || classic == nil {
		classic = &client.TwilioRestError{MoreInfo: moreInfo}
		err = classic
	}
	classic.Status = rl.Status
	classic.Code = nonZero(classic.Code, codeThrottled)
	classic.Message = nonZero(classic.Message, tooManyRequests)
	classic.Details = withDetail(classic.Details, rl)
	return err
}

func withDetail(details map[string]any, rl RateLimit) map[string]any {
	if details == nil {
		details = make(map[string]any, 1)
	}
	details[detailsKey] = rl
	return details
}

func nonZero[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

const (
	tooManyRequests = "Too Many Requests"
	moreInfo        = "https://www.twilio.com/docs/errors/20429"
)

// readableBody returns the body of a throttled answer, or, where twilio-go could not
// decode it (empty, an HTML page of the edge, SCIM), the body that Twilio's API sends.
func readableBody(body []byte, v1 bool) []byte {
	var into any = &client.TwilioRestError{}
	if v1 {
		into = &client.RestErrorV1{}
	}
	if json.NewDecoder(bytes.NewReader(body)).Decode(into) == nil {
		return body
	}
	if v1 {
		return fmt.Appendf(nil, `{"code":%d,"message":%q,"httpStatusCode":429}`, codeThrottled, tooManyRequests)
	}
	return fmt.Appendf(nil, `{"code":%d,"message":%q,"more_info":%q,"status":429}`, codeThrottled, tooManyRequests, moreInfo)
}

// accountCodes are the refusals that are about the account or its credentials, and not
// about the request. They come with status 401, 403 or 400. Source: Twilio's list of error
// codes, https://www.twilio.com/docs/api/errors/CODE.
var accountCodes = map[int]bool{
	10001: true, // the account is not active: no funds, suspended, or its parent is
	20003: true, // Twilio does not take the credentials
	20005: true, // the account is not active: no funds, or a trial that was not activated
	20006: true, // the credentials' privileges were revoked, or do not reach that far
	20403: true, // the account may not use the API: suspended or closed, mostly
	21222: true, // twilio-go's own: the user name has illegal characters
	21224: true, // twilio-go's own: the password has illegal characters
	70051: true, // the account or key is suspended, or a restricted key lacks a permission
	90010: true, // the account is not active
}

// Unauthorized reports that err is about the account and not about the request. No access token was
// to be had, Twilio did not take the credentials (status 401), or the account is suspended or closed.
// Twilio has not processed the request. Nothing else of that account will pass either, until a person
// has mended it.
func Unauthorized(err error) bool {
	var unsent *noToken
	if err == nil {
		return false
	}
	a := readAnswer(err)
	return errors.As(err, &unsent) || a.status == http.StatusUnauthorized || accountCodes[a.code] && a.status < 500
}
