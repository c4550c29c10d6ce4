package twiliotest

import (
	"fmt"
	"net/http"
)

// A Suspension is how Twilio refuses the requests of a suspended account. The
// zero value is a 403 with code 20403. Twilio has several codes for it:
//
//   - 20403: the account "has been suspended or closed"
//     (https://www.twilio.com/docs/api/errors/20403).
//   - 20005: the account is not active, as when it ran out of funds
//     (https://www.twilio.com/docs/api/errors/20005).
//   - 10001: the account, or its parent, is suspended
//     (https://www.twilio.com/docs/api/errors/10001).
//   - 90010: the account is suspended
//     (https://www.twilio.com/docs/api/errors/90010).
//   - 20003: the credentials are not accepted
//     (https://www.twilio.com/docs/api/errors/20003).
//
// With which status each of them comes is not documented. Met in practice are
// 403 with the first four, 400 with 10001, and 401 with 20003 and 20005.
type Suspension struct {
	// Status is the HTTP status, from 400 to 599. 0: 403.
	Status int

	// Code is Twilio's error code. 0: 20403.
	Code int
}

func (s Suspension) check(field string) {
	errorStatus(field+".Status", s.Status)
	notNegative(field+".Code", s.Code)
}

// Suspend makes the Fake refuse every request of an account, of all products
// and for OAuth tokens, until [Fake.Lift]. An account "" is all accounts; one
// that is suspended by its SID as well is refused as that says. Requests in
// progress go on. Suspending a suspended account changes how it is refused.
// Suspend panics if s is impossible, such as a Status of 200.
//
// Refusals are sent at once and count in [Stats].Suspended and in
// [Fake.Refused]. They do not count towards any limit.
func (f *Fake) Suspend(account string, s Suspension) {
	s.check(fmt.Sprintf("Suspension of %q", account))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.suspended[account] = s
}

// Lift ends the suspension of an account. "" ends the one of all accounts, and
// not those of single ones. Lifting what is not suspended does nothing.
func (f *Fake) Lift(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.suspended, account)
}

// refuseSuspended is the answer to a request of a suspended account; nil if
// its account is not.
func (f *Fake) refuseSuspended(in *inbound) *answer {
	s, suspended := f.suspended[in.req.Account]
	if !suspended {
		s, suspended = f.suspended[""]
	}
	if !suspended {
		return nil
	}
	if s.Status == 0 {
		s.Status = http.StatusForbidden
	}
	if s.Code == 0 {
		s.Code = 20403
	}
	message := http.StatusText(s.Status)
	switch s.Code {
	case 10001, 90010:
		message = "Account is not active"
	case 20003:
		message = "Authenticate"
	case 20005:
		message = "Account not active"
	}
	f.stats.Suspended++
	return f.failure(in, s.Status, s.Code, message)
}
