package pacer

import (
	"context"
	"time"
)

// A Limiter decides when a request may be sent. pacer brings one, [BucketLimiter]; an
// implementation of your own, given to [WithLimiter], can share limits with other
// processes. It must be safe for concurrent use. More methods, which are optional, let it take
// part in what a client does with its limiter: see [SetLimitsLimiter] and those after it.
type Limiter interface {
	// Acquire waits until a request of resource r may be sent, and returns done. The caller calls
	// done exactly once, with what became of the request. pacer calls it when the attempt is over,
	// before observers, alerts and the log hear of it. If the wait ends otherwise, Acquire returns an
	// error and takes nothing. The error is ctx.Err() when ctx ended. It wraps [ErrWaitTooLong] when
	// the wait cannot end before ctx's deadline. Such an error should be a [*WaitError], which can
	// say until when the resource has a cool-down. ctx says in which order those who wait should
	// leave: see [PriorityOf] and [ArrivalOf].
	Acquire(ctx context.Context, r Resource) (done func(Outcome), err error)
}

// A client looks for the methods of the following interfaces in its [Limiter]. Each is optional, and
// stands for itself. [BucketLimiter] has all of them, and so has a limiter that embeds one. Their
// methods must be safe for concurrent use.
type (
	// A SetLimitsLimiter lets its limits be replaced. It is for [Client.SetLimits],
	// [Client.WatchLimits] and PUT of [Client.LimitsHandler]. Calls that wait should feel new
	// limits at once. An error means that nothing has changed.
	SetLimitsLimiter interface {
		SetLimits(limits Limits) error
	}

	// A LimitsLimiter says which limits are in force, without pacer's defaults. It is for
	// [Client.Limits] and GET of [Client.LimitsHandler]. The slice belongs to the caller.
	LimitsLimiter interface {
		Limits() Limits
	}

	// A ServiceLimiter takes the rate of a Messaging Service, in requests per second: of all senders
	// in its pool together. It is for [Client.LearnMessagingService].
	ServiceLimiter interface {
		SetMessagingServiceRate(sid string, requestsPerSecond float64) error
	}

	// A StatsLimiter says what it does. It is for [Client.Stats], which calls it each time.
	StatsLimiter interface {
		Stats() LimiterStats
	}

	// A CoolDownLimiter ends a cool-down before its time. It is for [Client.EndCoolDown]. Calls that wait
	// for its end should leave at once, at the bucket's pace.
	CoolDownLimiter interface {
		EndCoolDown(r Resource)
	}

	// An AlertLimiter raises alerts of its own, such as [AlertNotShared]. Each client calls OnAlert
	// once, and then hands the alerts to [WithAlert], to its log and to [Stats].Alerts. The limiter
	// must call f without a lock. f may take some milliseconds. After stop it must not call f
	// again. pacer calls stop when the client is no longer in use.
	AlertLimiter interface {
		OnAlert(f func(Alert)) (stop func())
	}
)

// An Outcome is what became of a request that a [Limiter] has let pass. The zero
// Outcome is a request that was accepted: Twilio has looked at it, whatever it thought of
// its content.
type Outcome struct {
	// Throttled: Twilio answered 429, or code 20429, and did not process it.
	Throttled bool
	// RetryAfter is, for a throttled request, how long its resource must pause, if the limiter has it
	// do so. It is what the answer asks for, else a step of the fixed schedule.
	RetryAfter time.Duration
	// Step: RetryAfter is the step of the request's own call, as the answer has no
	// Retry-After. The call waits for so long. Its resource need not: the steps of
	// [BucketLimiter] are the bucket's own, and grow only while nothing is accepted.
	Step bool
	// TooLong: RetryAfter is longer than any call is to wait ([WithMaxRetryAfter]).
	TooLong bool
	// ConcurrentRequests is how many requests of the account, of this and other processes, Twilio had
	// in progress, itself included. It is from the header Twilio-Concurrent-Requests; 0 if it did not
	// say. A header of 0 says nothing.
	ConcurrentRequests int
	// Rate: the answer says that a rate was exceeded, and not how many requests the
	// account may have in progress. If it is false a throttle may mean either.
	Rate bool
	// Allowed and Remaining are what the answer says of the resource's own rate and of what is left
	// of it, throttled or not. They are from the headers X-Rate-Limit-Limit and
	// X-Rate-Limit-Remaining, which TaskRouter and Intelligence send. Allowed is 0 if it does not
	// say, and Remaining is below 0 if it says Allowed alone.
	Allowed, Remaining int
	// Narrow: the request was throttled, and that is not about its resource but about
	// one receiver or object, which has a cool-down elsewhere ([Scope.Narrow]). It is no reason for
	// a cool-down, and neither an acceptance nor a throttle as far as rates are concerned.
	// Throttled is true then, and RetryAfter is how long that cool-down lasts.
	Narrow bool
	// Retry: the request was not the first attempt of its call.
	Retry bool
	// Unused: no attempt was made, for want of an access token or because the call had
	// ended. The permit is free again, and nothing is to be counted or learned.
	Unused bool
	// Failed: an attempt was made that says nothing about any limit. It is neither an
	// acceptance nor a throttle, and its time on the wire is no measure. Throttled is false
	// then. No answer came, or the transport has panicked, or the answer was one of these:
	//   - a redirect, or a failure of Twilio's own (5xx),
	//   - a refusal of the account ([Unauthorized]),
	//   - a quota that waiting seconds does not renew ([Quota] and the like).
	Failed bool
	// Passed: with Failed, Twilio let the request pass before it failed, as a status of 5xx says.
	// So it took its part of what a limit allows. False: that is not known.
	Passed bool
}
