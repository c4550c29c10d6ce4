package twiliotest

import (
	"net/http"
	"strconv"
	"time"
)

// A RetryAfter makes the value of the Retry-After header of a throttled
// answer. wait is the time until the limit would have room again, or 0 when
// that is not known, as for [Config].MaxInFlight. An empty value leaves the
// header out. It is called from many goroutines at once.
//
// Twilio documents whole seconds for one API (https://www.twilio.com/docs/api/errors/59004) and
// declares the header without a format for another (Verify). A 20429 of api.twilio.com has not been
// seen with one, which is [NoRetryAfter].
type RetryAfter func(wait time.Duration) string

// NoRetryAfter leaves the header out.
func NoRetryAfter(wait time.Duration) string { return "" }

// RetryAfterSeconds gives whole seconds, rounded up and at least 1: "3".
func RetryAfterSeconds(wait time.Duration) string {
	return strconv.FormatInt(int64(max(wait+time.Second-1, time.Second)/time.Second), 10)
}

// RetryAfterFraction gives seconds with as many decimals as needed: "0.35".
// This is outside HTTP's grammar but met in practice.
func RetryAfterFraction(wait time.Duration) string {
	return strconv.FormatFloat(wait.Seconds(), 'f', -1, 64)
}

// RetryAfterDate gives an HTTP date. As it has whole seconds, it is rounded up
// so as not to lie before the limit has room. It goes by package time, whatever
// the Fake's clock shows: see [Fake.SetClock].
func RetryAfterDate(wait time.Duration) string {
	at := time.Now().Add(wait)
	if whole := at.Truncate(time.Second); whole.Before(at) {
		at = whole.Add(time.Second)
	}
	return at.UTC().Format(http.TimeFormat)
}

// RetryAfterValue gives always the same value, for tests of what a client
// makes of "9223372037", "-5", "soon" or a date long past.
func RetryAfterValue(value string) RetryAfter {
	return func(time.Duration) string { return value }
}
