package pacer

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// An AlertKind names what an [Alert] is about.
type AlertKind string

// The alerts. With the first three a call has been given up, and its caller has the
// error.
const (
	// AlertRetriesExhausted: a call was throttled on every one of its attempts. It is not
	// raised for the limit of one receiver ([ScopeReceiver]), which is one end user's affair.
	AlertRetriesExhausted AlertKind = "retries exhausted"
	// AlertRetryAfterTooLong: Twilio asked for a longer wait than [WithMaxRetryAfter]
	// allows.
	AlertRetryAfterTooLong AlertKind = "Retry-After too long"
	// AlertQuota: a quota of the account is used up, or a sender's queue is full;
	// seconds do not help.
	AlertQuota AlertKind = "quota used up"
	// AlertThrottled: more than 5 % of the last minute's requests were throttled
	// ([WithThrottledAlert]), by a limit, an outage or noise. Those for single receivers and
	// objects do not count. Resource is that of the last of them. It is raised once, and again
	// only after the share has been below half of it.
	AlertThrottled AlertKind = "throttled too often"
	// AlertLimitsRejected: a file of limits that is watched is gone, or not valid, or limits that
	// package redispacer has found in Redis are not valid. The limits that were in force stay so. It
	// is raised once for each state of the file.
	AlertLimitsRejected AlertKind = "limits rejected"
	// AlertNotShared: the [BucketStore] that keeps the limits which processes share does not answer,
	// or not for one bucket; Resource is that bucket's then. Each process goes on with its share. It is
	// raised once for each outage. Limiters of package redispacer raise it, too.
	AlertNotShared AlertKind = "limits not shared"
	// AlertPacedByDefault: calls wait because of a limit in [DefaultLimits], or of one that
	// [WithPoolDiscovery] has found, and no limit of the program's replaces it. Err says the
	// rate, its source and how many wait; Advice has the line of code or JSON that changes
	// it. It is a notice, logged at Warn. It is raised when calls have waited for
	// the pace for 5 s and none left at once in between. It is also raised when a call was
	// refused since it could not wait for the pace. It is raised once for each limiter and
	// sender, or resource without senders. A limiter remembers 100,000 of these, and raises
	// nothing for further ones.
	AlertPacedByDefault AlertKind = "paced by default"
	// AlertPoolUnknown: a Messaging Service is used that no limit gives a rate, and how many
	// senders it has is not known. It is not paced until Twilio throttles it. It is a notice,
	// logged at Warn, and raised once for each service and limiter. With [WithPoolDiscovery]
	// it is raised only if Twilio could not be asked.
	AlertPoolUnknown AlertKind = "pool unknown"
)

// An Alert is something that a person should look at, for [WithAlert].
type Alert struct {
	Kind      AlertKind
	Time      time.Time
	Resource  Resource  // the zero Resource where it is about no request
	RateLimit RateLimit // of the call that was given up
	Err       error     // what happened. It may wrap Twilio's own error, whose text may have numbers
	Advice    string    // what to do
}

// String returns the alert in one line. It holds no phone number.
func (a Alert) String() string {
	return fmt.Sprintf("pacer: %s: %v; %s", a.Kind, a.what(), a.Advice)
}

func (a Alert) what() any {
	if a.RateLimit == (RateLimit{}) {
		return a.shownError()
	}
	return a.RateLimit
}

// shownError is the text of Err for logs. What is wrong with limits pacer says itself, without
// numbers; the path of their file may have as many digits as a number.
func (a Alert) shownError() any {
	if a.Kind == AlertLimitsRejected && a.Err != nil {
		return a.Err.Error()
	}
	return shownError(a.Err)
}

// MarshalJSON writes Err as its text, and hides the middle of each phone number in it.
func (a Alert) MarshalJSON() ([]byte, error) {
	type alert Alert
	return json.Marshal(struct {
		alert
		Err any
	}{alert(a), a.shownError()})
}

// level is at which the log gets alerts of a kind: notices ask for a look, not for help.
func (k AlertKind) level() slog.Level {
	if k == AlertPacedByDefault || k == AlertPoolUnknown {
		return slog.LevelWarn
	}
	return slog.LevelError
}

const (
	adviceExhausted = "Twilio has not processed it, so send it again later; if Client.Stats has a Learned limit for the resource or the account, send less, spread the load over more senders, or ask Twilio for more throughput"
	adviceObject    = "one document, conversation or the like gets more requests than Twilio allows for it: send fewer about it, or spread them over several; all others go on"
	adviceQuota     = "stop sending what needs this quota until it is renewed, use other senders, or ask Twilio for more"
	adviceThrottled = "look at Client.Stats: where the resource or the account has a Learned limit, configure it, send less, or find what else sends for the account; where none has, this may be noise or an outage, which sending less does not end: ask Twilio"
	adviceNotShared = "bring the store of the shared limits back: until then each process keeps to its share of nine tenths of the rate, and hears of no throttle but its own"
	adviceRejected  = "mend the file; what was in force before stays so"
	adviceTooLong   = "put the request off until then (pacer.FromError(err) has the delay), or raise WithMaxRetryAfter"
)
