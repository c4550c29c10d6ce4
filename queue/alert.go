package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file tells people what happens in a worker: the alerts, and who hears of them.

// An AlertKind names what an [Alert] is about.
type AlertKind string

// The alerts of a worker.
const (
	// AlertThrottled: a bucket was held six times in a row for throttled answers, and nothing
	// was accepted meanwhile: by a limit, an outage or noise. Its lanes wait, and are tried
	// again every 16 s or as Twilio asks; nothing is lost.
	AlertThrottled AlertKind = "throttled"
	// AlertHeld: a bucket is held for minutes or hours. A quota is used up, a sender's queue is
	// full, or Twilio asks for a long wait.
	AlertHeld AlertKind = "held"
	// AlertUnauthorized: Twilio does nothing for the account: its credentials are wrong, or
	// it is suspended. Nothing is failed for it; one request a minute tries again. It is
	// raised once, and again only after something has passed.
	AlertUnauthorized AlertKind = "unauthorized"
	// AlertUnreachable: Twilio cannot be reached, fails with 5xx, or somebody else answers
	// in its place; or the client's limiter fails. The requests wait. It is raised once
	// for an outage, however many buckets wait.
	AlertUnreachable AlertKind = "unreachable"
	// AlertInDoubt: a request is parked in doubt, and a person has to decide. Without an ID, it
	// says that Twilio's list cannot be read, so that nothing in doubt can be decided. It is
	// raised again each hour while that lasts.
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
	// AlertNoWorker: work waits, and no worker has lived for half a minute. [Queue.Watch] raises it.
	AlertNoWorker AlertKind = "no worker"
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
	adviceInDoubt      = "look whether Twilio has it, then confirm it (it has), resend it (it has not) or cancel it (it is too late): pacer doubt"
	adviceInDoubtOver  = "look whether Twilio has it, then confirm it (it has) or cancel it: its campaign is over, so that it is not sent again"
	adviceGrowing      = "ask Twilio for more throughput, add numbers to the sender pool, or spread the load over time"
	adviceStore        = "free space, or restore the store; see docs/queue.md"
	adviceAway         = "start the store's server, or mend the way to it; workers go on by themselves then, and nothing is lost"
	adviceResults      = "mend the function given to WithOnResult; results stay in the store and are told again"
	adviceNoWorker     = "start a worker (pacer worker, or systemctl start pacer), or look why it does not run (systemctl status pacer, and its log); what waits is sent afterwards"
	adviceVanished     = "start it again (pacer worker, or systemctl start pacer), or look there in its log why it has ended; this is said for an hour"
	adviceStopped      = "give Run a longer grace (WithGrace), and let OnResult end with its context; what is left is looked after by the next Run"
)

// A listener is a function of WithAlert's.
type listener struct {
	outlet
	tell func(Alert)
}

// A notifier tells people what happens in a worker, by alerts and by the log. It waits for
// neither. It is safe for concurrent use.
type notifier struct {
	alerts []*listener
	logger *slog.Logger // nil: only what must not go unheard is logged
	loud   *slog.Logger // for that: logger, or slog.Default
	logs   outlet       // of both
}

// raise tells the program of a, and does not wait for it. It may be called from anywhere.
func (n *notifier) raise(a Alert) {
	a.Time = time.Now()
	logged := n.logger != nil || len(n.alerts) == 0
	attrs := []any{"error", a.shownError(), "advice", a.Advice}
	if a.Lane != (Lane{}) {
		attrs = append(attrs, "lane", a.Lane)
	}
	if a.ID != "" {
		attrs = append(attrs, "id", a.ID)
	}
	for _, l := range n.alerts {
		if lost := l.put(func() { n.guarded("a function given to WithAlert", func() { l.tell(a) }) }); lost > 0 {
			logged = true // else nobody would hear of it
			attrs = append(attrs, "alerts_not_delivered", lost)
		}
	}
	if logged {
		n.loud.Error("pacer queue: "+string(a.Kind), attrs...)
	}
}

// warn logs what is no alert, if the program has given a logger.
func (n *notifier) warn(what string, attrs ...any) {
	if n.logger != nil {
		n.logger.Warn("pacer queue: "+what, attrs...)
	}
}

// raiseParked raises the alert that a request is parked in doubt, and why.
func (n *notifier) raiseParked(j Job, why string) {
	n.raise(Alert{Kind: AlertInDoubt, Lane: j.Lane, ID: j.ID, Err: errors.New(why), Advice: adviceInDoubt})
}

// passed logs, where alerts are logged, that the cause of one has passed.
func (n *notifier) passed(what string, attrs ...any) {
	if n.logger != nil || len(n.alerts) == 0 {
		n.loud.Info("pacer queue: "+what, attrs...)
	}
}

// guarded calls a function of the program's. A panic of it is logged with its stack.
func (n *notifier) guarded(what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			n.panicked(what, p)
		}
	}()
	f()
}

// panicked logs a panic, with the stack of the goroutine that has recovered it.
func (n *notifier) panicked(what string, p any) {
	n.loud.Error("pacer queue: "+what+" has panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
