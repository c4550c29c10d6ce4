package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A WorkerOption changes a [Worker].
type WorkerOption func(*Worker) error

// WithConcurrency sets how many requests a worker has on the wire at a time, at most. The
// default is 200. It is no pace: that is the client's limits' affair.
//
// Of five or more, one bucket has at most about two thirds, and one product of Twilio's seven
// eighths, so that what hangs leaves some to others. Those who wait for one get it by priority.
func WithConcurrency(n int) WorkerOption {
	return func(w *Worker) error {
		if n < 1 {
			return fmt.Errorf("queue: WithConcurrency: %d: expected at least 1", n)
		}
		w.slots = newSlots(n)
		return nil
	}
}

// WithAttemptTimeout sets how long one request may take, from connecting to the end of
// the answer. The default is 35 s: Twilio itself gives up after some 30 s, and a shorter
// time makes requests in doubt. The client's own timeout does not apply.
func WithAttemptTimeout(d time.Duration) WorkerOption {
	return func(w *Worker) error {
		if d <= 0 {
			return fmt.Errorf("queue: WithAttemptTimeout: %v: expected a duration above 0", d)
		}
		w.attemptTimeout = d
		return nil
	}
}

// WithLeaseMargin sets how much longer than the attempt's timeout a request may be in a
// worker's hands before others take the worker for dead and the request for in doubt. The
// default is 25 s.
func WithLeaseMargin(d time.Duration) WorkerOption {
	return func(w *Worker) error {
		if d <= 0 {
			return fmt.Errorf("queue: WithLeaseMargin: %v: expected a duration above 0", d)
		}
		w.leaseMargin = d
		return nil
	}
}

// WithGrace sets how long requests on the wire may take to end when the worker stops.
// Those that take longer are cut off, and in doubt. The default is 35 s.
func WithGrace(d time.Duration) WorkerOption {
	return func(w *Worker) error {
		if d < 0 {
			return fmt.Errorf("queue: WithGrace: %v: expected 0 or more", d)
		}
		w.grace = d
		return nil
	}
}

// WithSettle sets how long after a request became in doubt Twilio is first asked about
// it, and how long until it is asked again, once, if it was not found. The default is
// 60 s. Twilio does not say how soon a list shows a new message: the default is a guess
// on the safe side.
func WithSettle(d time.Duration) WorkerOption {
	return func(w *Worker) error {
		if d <= 0 {
			return fmt.Errorf("queue: WithSettle: %v: expected a duration above 0", d)
		}
		w.settle = d
		return nil
	}
}

// WithInDoubt sets what is done with requests in doubt: with those of the operations
// named, as by [pacer.Resource].String ("api/Messages:create"), or, if none is named,
// with all others. The last words of a name are enough, as in a limit:
// "verify/Verifications:create". A name that no operation of Twilio's has is an error, which
// tells the nearest one. See [Policy] for the default.
func WithInDoubt(p Policy, resources ...string) WorkerOption {
	return func(w *Worker) error {
		if p != Reconcile && p != ParkInDoubt && p != Resend {
			return fmt.Errorf("queue: WithInDoubt: %q: expected %q, %q or %q", p, Reconcile, ParkInDoubt, Resend)
		}
		for _, r := range resources {
			if err := checkOperation(r); err != nil {
				return fmt.Errorf("queue: WithInDoubt: %w", err)
			}
			if p == Reconcile && !reconcilable(r) {
				return fmt.Errorf("queue: WithInDoubt: Reconcile for %q: expected %q or %q, or another policy", r, createMessage, createCall)
			}
		}
		if len(resources) == 0 {
			w.policy = p
		}
		for _, r := range resources {
			w.policies[r] = p
		}
		return nil
	}
}

// WithRetention sets how long results, and the [Unique] keys with them, are kept. The
// default is 7 days, 0 means for ever. Requests hold phone numbers and texts.
func WithRetention(d time.Duration) WorkerOption {
	return func(w *Worker) error {
		if d < 0 {
			return fmt.Errorf("queue: WithRetention: %v: expected 0 or more", d)
		}
		w.retention = d
		return nil
	}
}

// WithResponses keeps the bodies of Twilio's answers, up to 64 KB each, in the results:
// for lookups, say, of which the answer is the point.
func WithResponses() WorkerOption {
	return func(w *Worker) error { w.keepResponses = true; return nil }
}

// WithPoolDiscovery says whether the worker has its client ask Twilio which senders are in
// the pool of a Messaging Service, once, when it first sends through the service. The service
// then goes at the sum of their rates ([pacer.DefaultLimits]), unless a limit of the client's
// gives it a rate. The default is true. With false the service is not paced until Twilio
// throttles it, or as the client's limits say.
//
// No request waits for it. What fails is told once for each service, by the client
// ([pacer.AlertPoolUnknown]), and tried again an hour later at the earliest.
// [pacer.WithPoolDiscovery] is the same for other calls of the client.
func WithPoolDiscovery(on bool) WorkerOption {
	return func(w *Worker) error {
		w.noDiscovery = !on
		return nil
	}
}

// WithOnResult sets a function that is told of each request that became Sent or Failed. That
// includes what a deadline has ended, what was found at Twilio, and what dead workers
// left. Give all workers of a store such a function: one without it marks its results as
// told.
//
// The function is told at least once of each result, by 16 calls at a time (see
// [WithResultConcurrency]), in no particular order. After an error or a panic it is told
// again after 30 s, 1 min, 2 min and so on, up to an hour, until retention deletes the
// result. A panic is logged with its stack. [AlertResults] tells of what fails again and
// again.
//
// It may take long, and it may call the queue: sending goes on meanwhile. One process
// never tells a result twice at the same time. Another process's worker may tell it too, if
// a call takes more than 30 s. Its context ends with the grace period of [Worker.Run]. A
// function that goes on after that does not keep Run from returning.
func WithOnResult(f func(context.Context, Result) error) WorkerOption {
	return func(w *Worker) error {
		if f == nil {
			return errors.New("queue: WithOnResult: nil: expected a function")
		}
		w.onResult = f
		return nil
	}
}

// WithResultConcurrency sets how many calls of [WithOnResult]'s function run at a time, at
// most. The default is 16. Results that wait meanwhile are in the store, not in memory.
func WithResultConcurrency(n int) WorkerOption {
	return func(w *Worker) error {
		if n < 1 {
			return fmt.Errorf("queue: WithResultConcurrency: %d: expected at least 1", n)
		}
		w.tellers = n
		return nil
	}
}

// WithAlert adds a function that gets every [Alert], one at a time and in order. It is
// called in a goroutine of its own, and may take long, panic, or call the queue: nothing of
// the worker waits for it. Alerts beyond 1,000 that wait for it are only logged. A panic is
// logged with its stack. [Worker.Run] waits a second for it before it returns.
func WithAlert(f func(Alert)) WorkerOption {
	return func(w *Worker) error {
		if f == nil {
			return errors.New("queue: WithAlert: nil: expected a function")
		}
		w.alerts = append(w.alerts, &listener{tell: f})
		return nil
	}
}

// WithLogger sets where the worker logs. By default alerts that no [WithAlert] takes go to
// slog.Default, with a line at level Info when their cause has passed. Panics of the
// program's functions go there, too, and nothing else is logged.
// Neither phone numbers nor texts are logged. The worker never waits for the logger: of
// more than 1,000 entries that wait the rest is counted, and the count logged.
func WithLogger(l *slog.Logger) WorkerOption {
	return func(w *Worker) error {
		if l == nil {
			return errors.New("queue: WithLogger: nil: expected a *slog.Logger")
		}
		w.logger = newLogger(&w.logs, l)
		return nil
	}
}

// A Policy says what is done with a request that may have been sent: whose answer did not
// come, or whose worker died. Requests that only read or delete are simply sent again.
// The default is Reconcile for messages and calls, and ParkInDoubt for all others.
type Policy string

// The policies.
const (
	// Reconcile looks for the message or call at Twilio: found, it is Sent; surely not
	// there, it is sent; else it is parked. The rule is in the manual: see the package's documentation.
	Reconcile Policy = "reconcile"
	// ParkInDoubt leaves the decision to a person: [Queue.Requeue], [Queue.Confirm] or
	// [Queue.Cancel].
	ParkInDoubt Policy = "park"
	// Resend sends it again: rather twice than not at all.
	Resend Policy = "resend"
)

// An AlertKind names what an [Alert] is about.
type AlertKind string

// The alerts of a worker.
const (
	// AlertThrottled: a bucket was held six times in a row for throttled answers, and nothing
	// was accepted meanwhile: by a limit, an outage or noise. Its lanes wait, and are tried
	// again every 16 s or as Twilio asks; nothing is lost.
	AlertThrottled AlertKind = "throttled"
	// AlertHeld: a bucket is held for minutes or hours: a quota is used up, a
	// sender's queue is full, or Twilio asks for a long wait.
	AlertHeld AlertKind = "held"
	// AlertUnauthorized: Twilio does nothing for the account: its credentials are wrong, or
	// it is suspended. Nothing is failed for it; one request a minute tries again. It is
	// raised once, and again only after something has passed.
	AlertUnauthorized AlertKind = "unauthorized"
	// AlertUnreachable: Twilio cannot be reached, fails with 5xx, or somebody else answers
	// in its place; or the client's limiter fails. The requests wait. It is raised once
	// for an outage, however many buckets wait.
	AlertUnreachable AlertKind = "unreachable"
	// AlertInDoubt: a request is parked in doubt, and a person has to decide; or, without an
	// ID, Twilio's list cannot be read, so that nothing in doubt can be decided. The latter
	// is raised again each hour while it lasts.
	AlertInDoubt AlertKind = "in doubt"
	// AlertGrowing: more arrives than is sent, for a minute by now, although the worker
	// sends as fast as the limits allow.
	AlertGrowing AlertKind = "queue grows"
	// AlertStore: the store fails: the disk is full, the file is gone or damaged. What
	// was sent and cannot be recorded is in doubt should the worker end before it can.
	AlertStore AlertKind = "store"
	// AlertResults: the function given to [WithOnResult] has failed three times for one
	// result, or has not returned for five minutes. It is raised once an hour at most.
	AlertResults AlertKind = "results"
	// AlertStopped: [Worker.Run] has returned before all was done: requests were cut off
	// and are in doubt, or calls of [WithOnResult]'s function still run.
	AlertStopped AlertKind = "stopped"
)

// An Alert is something that a person should look at.
type Alert struct {
	Kind   AlertKind
	Time   time.Time
	Lane   Lane  // the zero Lane where it is about none; its String is free of numbers
	ID     ID    // of the request, if it is about one
	Err    error // what happened. It may be Twilio's own error, whose text may have numbers
	Advice string
}

// String returns the alert in one line, with the request's ID and the account's SID. It
// holds no phone number and no text.
func (a Alert) String() string {
	where := ""
	if a.Lane != (Lane{}) {
		where += " " + a.Lane.String()
	}
	if account := a.Lane.Resource.Account; account != "" {
		where += " of account " + account
	}
	if a.ID != "" {
		where += " request " + string(a.ID)
	}
	if where != "" {
		where += ":"
	}
	return fmt.Sprintf("pacer queue: %s:%s %v; %s", a.Kind, where, a.shownError(), a.Advice)
}

// MarshalJSON writes Err as its text, and hides the middle of each phone number in it.
func (a Alert) MarshalJSON() ([]byte, error) {
	type alert Alert
	return json.Marshal(struct {
		alert
		Err any
	}{alert(a), a.shownError()})
}

// shownError is the text of Err, in which Twilio's message may have had phone numbers. nil is nil.
func (a Alert) shownError() any {
	if a.Err == nil {
		return nil
	}
	return pacer.MaskNumbers(a.Err.Error())
}

const (
	adviceThrottled    = "it waits and is tried again; look at the client's Stats: where the resource or the account has a Learned limit, configure it, send less, or find what else sends for the account; where none has, this may be noise or an outage, which sending less does not end: ask Twilio"
	adviceNarrow       = "the limit is that of one receiver, document or the like: look who asks for it so often; its requests wait and are tried again, all others go on"
	adviceHeld         = "use other senders, or ask Twilio for more; what waits is sent when the time is over"
	adviceUnauthorized = "check the worker's credentials, and that the account is not suspended; what waits is sent afterwards"
	adviceUnreachable  = "check the network, the gateway and Twilio's status (https://status.twilio.com); what waits is sent afterwards"
	adviceLimiter      = "check what the client's limiter depends on; what waits is sent afterwards"
	adviceListRefused  = "let the worker's key read the list, or choose WithInDoubt(ParkInDoubt); what is in doubt waits until then, and is parked after an hour"
	adviceListFails    = "check the network, the gateway and Twilio's status (https://status.twilio.com); it is asked again every minute, and what is in doubt waits"
	adviceInDoubt      = "look whether Twilio has it, then Queue.Confirm it (it has), Queue.Requeue it (send again) or Queue.Cancel it"
	adviceGrowing      = "ask Twilio for more throughput, add numbers to the sender pool, or spread the load over time"
	adviceStore        = "free space, or restore the store; see docs/queue.md"
	adviceResults      = "mend the function given to WithOnResult; results stay in the store and are told again"
	adviceStopped      = "give Run a longer grace (WithGrace), and let OnResult end with its context; what is left is looked after by the next Run"
)

func (w *Worker) policyFor(r pacer.Resource, request *Request) Policy {
	longest := ""
	for name := range w.policies {
		if len(name) > len(longest) && namesOperation(name, r) {
			longest = name
		}
	}
	if longest != "" {
		return w.policies[longest]
	}
	switch {
	case request.safe():
		return Resend
	case w.policy == Reconcile && !reconcilable(r.String()), w.policy == "" && !reconcilable(r.String()):
		return ParkInDoubt
	case w.policy == "":
		return Reconcile
	}
	return w.policy
}
