package twiliotest

import (
	"fmt"
	"time"
)

// AccountSid and AuthToken are credentials for tests. A Fake accepts them unless [Config].Credentials
// leaves them out. They are no secrets and belong to no real account. AccountSid is also the account
// of requests which neither their path nor their credentials assign to one. Such are those made with
// an API key at any host but api.twilio.com.
const (
	AccountSid = "AC" + "0123456789abcdef0123456789abcdef"
	AuthToken  = "0123456789abcdef" + "0123456789abcdef"
)

// A Config says how a [Fake] behaves. The zero Config limits nothing and
// answers at once.
type Config struct {
	// Limits are the rates that are enforced. All that match a request must
	// have room for it. None: nothing is limited.
	Limits []Limit

	// MaxInFlight is how many requests of one account may be in progress. The one above is refused at
	// once with 429 and code 20429, which is what Twilio means by that code
	// (https://www.twilio.com/docs/errors/20429). Twilio does not publish its number. 0: any number.
	MaxInFlight int

	// Latency is how long an accepted request stays in progress before it is
	// answered. 0: no time at all.
	Latency time.Duration

	// ListLag is how long after its creation a message or call is first found
	// in lists. It can be fetched by its SID at once. Twilio promises nothing
	// about how soon its lists show what is new. 0: at once.
	ListLag time.Duration

	// Alterations are how what Twilio shows differs from what was sent. The
	// zero value: not at all.
	Alterations Alterations

	// Clock is how far the Fake's clock is ahead of package time's; negative:
	// behind. See [Fake.SetClock]. 0: it is right.
	Clock time.Duration

	// RetryAfter makes the Retry-After header of throttled answers.
	// nil: [RetryAfterSeconds].
	RetryAfter RetryAfter

	// Errors is the form of every error body.
	Errors ErrorFormat

	// TokenTTL is the lifetime of OAuth tokens. 0: one hour.
	TokenTTL time.Duration

	// Credentials are the users that are accepted (account SIDs or API key
	// SIDs, or OAuth client ids) and their passwords. nil: any user and
	// password that are not empty.
	Credentials map[string]string

	// Suspended are the accounts that are suspended from the start, by their
	// SIDs: see [Fake.Suspend] and [Fake.Lift]. nil: none.
	Suspended map[string]Suspension
}

// An ErrorFormat is the form of an error body. The zero value is FormatAuto.
type ErrorFormat int

const (
	// FormatAuto is FormatV1 for requests which carry the header "X-Twilio-ApiVersion: v1.0" or go to
	// one of the services that twilio-go v1.31.0 sends it to. They are conversations/v2, insights/v3,
	// intelligence/v3, knowledge/v2, memory/v1, numbers/v3, routes/v3 and voice/v3. It is
	// FormatClassic for all others.
	FormatAuto ErrorFormat = iota

	// FormatClassic is {"code", "message", "more_info", "status"}.
	FormatClassic

	// FormatV1 is that of Twilio's API standards v1.0:
	// {"code", "message", "httpStatusCode", "params", "userError"}.
	FormatV1

	// FormatHTML is a page of HTML, as a proxy in front of an API answers.
	// Neither it nor FormatEmpty comes with X-Twilio-Error-Code.
	FormatHTML

	// FormatEmpty is no body.
	FormatEmpty
)

// check panics for what can only be a mistake in the test.
func (c Config) check() {
	for i, l := range c.Limits {
		l.check(i)
	}
	notNegative("Config.MaxInFlight", c.MaxInFlight)
	notNegative("Config.Latency", c.Latency)
	notNegative("Config.ListLag", c.ListLag)
	notNegative("Config.TokenTTL", c.TokenTTL)
	for account, s := range c.Suspended {
		s.check(fmt.Sprintf("Config.Suspended[%q]", account))
	}
	if c.Errors < FormatAuto || c.Errors > FormatEmpty {
		panic(fmt.Sprintf("twiliotest: Config.Errors is %d, which is no ErrorFormat", c.Errors))
	}
}

func notNegative[T int | time.Duration](field string, v T) {
	if v < 0 {
		panic(fmt.Sprintf("twiliotest: %s is %v; it must not be negative", field, v))
	}
}

// anyStatus panics unless status is one an answer can have.
func anyStatus(field string, status int) {
	if status < 100 || status > 599 {
		panic(fmt.Sprintf("twiliotest: %s is %d; it must be from 100 to 599", field, status))
	}
}

// errorStatus panics unless status is one an error can have, or 0, which
// stands for a default.
func errorStatus(field string, status int) {
	if status != 0 && (status < 400 || status > 599) {
		panic(fmt.Sprintf("twiliotest: %s is %d; it must be from 400 to 599", field, status))
	}
}
