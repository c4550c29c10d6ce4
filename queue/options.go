package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A WorkerOption changes a [Worker].
type WorkerOption func(*Worker) error

// settings are what the options of a worker set, but for its alerts, its log and its slots.
type settings struct {
	attemptTimeout time.Duration // of one request, from connecting to the end of the answer
	leaseMargin    time.Duration // by which a lease is longer than the attempt's timeout
	grace          time.Duration
	settle         time.Duration
	retention      time.Duration // of results; 0: for ever

	policy   Policy            // for what policies does not name; "": the default
	policies map[string]Policy // by operation

	credentials        string // where the client's credentials come from; "": not known
	credentialsWatched bool   // a change there is in force within seconds

	keepResponses bool
	noDiscovery   bool                                // of the senders of Messaging Services
	onResult      func(context.Context, Result) error // nil: nobody is told of results
	tellers       int                                 // calls of onResult at a time
}

const defaultSlots = 200

func defaultSettings() settings {
	return settings{
		attemptTimeout: 35 * time.Second, leaseMargin: 25 * time.Second, grace: 35 * time.Second,
		settle: time.Minute, retention: 7 * 24 * time.Hour, policies: make(map[string]Policy), tellers: tellers,
	}
}

// lease returns for how long a claimed request belongs to a worker.
func (s *settings) lease() time.Duration { return s.attemptTimeout + s.leaseMargin }

// late reports that a request claimed at an instant must not be sent any more. A process
// that stood still in between may be taken for dead by now, and the request for in doubt.
// Both clocks are looked at. The monotonic one stands still while a machine is suspended,
// and the one on the wall can be set back.
func (s *settings) late(claimed, now time.Time) bool {
	most := s.leaseMargin / 2
	return now.Sub(claimed) > most || now.Round(0).Sub(claimed.Round(0)) > most
}

// WithConcurrency sets how many requests a worker has on the wire at a time, at most. The
// default is 200. It is no pace: that is the client's limits' affair.
//
// Of five or more, one bucket has at most about two thirds, and one product of Twilio's seven
// eighths. So what hangs leaves some to others. Those who wait for one get it by priority.
func WithConcurrency(n int) WorkerOption {
	return func(w *Worker) error {
		if n < 1 {
			return fmt.Errorf("queue: WithConcurrency: %d: expected at least 1", n)
		}
		w.slots = newSlots(n)
		return nil
	}
}

// WithCredentialsFrom says where the client's credentials come from, such as "/etc/pacer/token" or "TWILIO_AUTH_TOKEN".
// It must be no secret: other processes see it, and [Queue.Why] names it if Twilio refuses them. watched says that a
// change is in force within seconds. Otherwise the worker must be restarted for it.
func WithCredentialsFrom(source string, watched bool) WorkerOption {
	return func(w *Worker) error {
		if source == "" {
			return errors.New("queue: WithCredentialsFrom: no source: expected the name of a file or of an environment variable")
		}
		w.credentials, w.credentialsWatched = source, watched
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

// WithLeaseMargin sets how much longer than the attempt's timeout a claimed request belongs to
// its worker. After that, others take the worker for dead and the request for in doubt. The
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

// WithSettle sets how long after a request became in doubt Twilio is first asked about it. If
// it is not found, Twilio is asked once more, after as long. The default is 60 s. Twilio does
// not say how soon a list shows a new message: the default is a guess on the safe side.
func WithSettle(d time.Duration) WorkerOption {
	return func(w *Worker) error {
		if d <= 0 {
			return fmt.Errorf("queue: WithSettle: %v: expected a duration above 0", d)
		}
		w.settle = d
		return nil
	}
}

// WithInDoubt sets what is done with requests in doubt of the operations named, as by
// [pacer.Resource].String ("api/Messages:create"). If none is named, it is for all others. The
// last words of a name are enough, as in a limit: "verify/Verifications:create". A name that no
// operation of Twilio's has is an error, which tells the nearest one. See [Policy] for the
// default.
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

// WithPoolDiscovery says whether Twilio is asked which senders are in the pool of a Messaging
// Service. The worker has its client ask once, when it first sends through the service. The
// service then goes at the sum of their rates ([pacer.DefaultLimits]), unless a limit of the
// client's gives it a rate. The default is true. With false the service is not paced until
// Twilio throttles it, or as the client's limits say.
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
// [WithResultConcurrency]), in no particular order. After an error or a panic it is told again
// after 30 s, 1 min, 2 min and so on, up to an hour. That ends when retention deletes the
// result. A panic is logged with its stack. [AlertResults] tells of what fails again and again.
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

// policyFor returns the policy for a request in doubt: that of the longest name that fits, else
// the one for all others, else the default.
func (s *settings) policyFor(r pacer.Resource, request *Request) Policy {
	longest := ""
	for name := range s.policies {
		if len(name) > len(longest) && namesOperation(name, r) {
			longest = name
		}
	}
	if longest != "" {
		return s.policies[longest]
	}
	switch {
	case request.safe():
		return Resend
	case s.policy == Reconcile && !reconcilable(r.String()), s.policy == "" && !reconcilable(r.String()):
		return ParkInDoubt
	case s.policy == "":
		return Reconcile
	}
	return s.policy
}
