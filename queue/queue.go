package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twilio/twilio-go/client"
)

// A Queue takes requests to Twilio and keeps them until a [Worker] may send them. It is
// safe for concurrent use. Several processes may have a Queue on the same store.
type Queue struct {
	engine  Engine
	account string
	depth   depth
	telling sync.Map // IDs of the results that workers are about to tell, or are telling
}

// An Option changes a [Queue].
type Option func(*Queue) error

// WithAccount sets the SID of the account for requests that name none in a
// PathAccountSid. The default is TWILIO_ACCOUNT_SID of the environment. It is no secret;
// the credentials are the worker's, and decide whose limits apply to requests without an
// account in their path, as for Verify. What is no account's SID is an error.
func WithAccount(sid string) Option {
	return func(q *Queue) error {
		q.account = sid
		return checkAccountSID("WithAccount", sid)
	}
}

// Open returns a Queue on an engine, which [Queue.Close] closes. It needs an account's SID,
// also in a process that only watches: see [WithAccount]. An invalid option is an error,
// and leaves the engine open.
func Open(engine Engine, opts ...Option) (*Queue, error) {
	if engine == nil {
		return nil, errors.New("queue: Open: nil engine: expected one such as sqlitequeue.Open returns")
	}
	q := &Queue{engine: engine}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(q); err != nil {
			return nil, err
		}
	}
	if q.account == "" {
		q.account = os.Getenv("TWILIO_ACCOUNT_SID")
		if q.account == "" {
			return nil, errors.New("queue: Open: no account: expected WithAccount, or TWILIO_ACCOUNT_SID in the environment, with the account's SID")
		}
		if err := checkAccountSID("TWILIO_ACCOUNT_SID", q.account); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// Close closes the engine. Stop the workers first: see [Worker.Run].
func (q *Queue) Close() error { return q.engine.Close() }

// Engine returns the engine, for what the Queue does not offer.
func (q *Queue) Engine() Engine { return q.engine }

// A Result is what has become of a request.
type Result struct {
	ID       ID
	State    State
	SID      string // of the message, call, ... that Twilio has created; "" if there is none, or it is not known
	Response []byte // Twilio's answer, JSON, where the worker keeps it: see WithResponses
	// Err says why the request is Failed: a *client.TwilioRestError if Twilio has
	// refused it. In doubt, or waiting after a failure, it says what happened last.
	// Otherwise it is nil.
	Err      error
	Attempts int // that may have reached Twilio
	Labels   map[string]string
	Lane     Lane
	// Recipient is Recipient.ID of a campaign's request, else the To, mostly a phone number; "": there is
	// none.
	Recipient string
	Key       string // of Unique; "": none
	Enqueued  time.Time
	Finished  time.Time // zero: not yet
}

func resultOf(j Job) Result {
	r := Result{
		ID: j.ID, State: j.State, SID: j.Outcome.SID, Response: j.Outcome.Response, Attempts: j.Attempts,
		Labels: j.Labels, Lane: j.Lane, Recipient: j.Recipient(), Key: j.Key(), Enqueued: j.Created, Finished: j.Finished,
	}
	switch o := j.Outcome; {
	case j.State == Sent || j.State == Cancelled:
	case o.Code != 0 || o.Status >= http.StatusBadRequest:
		r.Err = &client.TwilioRestError{Status: o.Status, Code: o.Code, Message: o.Reason}
		if o.Code != 0 {
			r.Err.(*client.TwilioRestError).MoreInfo = fmt.Sprintf("https://www.twilio.com/docs/errors/%d", o.Code)
		}
	case o.Reason != "":
		r.Err = errors.New(o.Reason)
	}
	return r
}

// Result returns what has become of a request so far. The error wraps [ErrNotFound] if
// there is none of that ID, or its result is not kept any more.
func (q *Queue) Result(ctx context.Context, id ID) (Result, error) {
	j, err := q.engine.Get(ctx, id)
	if err != nil {
		return Result{}, fmt.Errorf("queue: result of %s: %w", id, err)
	}
	return resultOf(j), nil
}

// Wait returns the result as soon as it is final. A request in doubt that is parked has
// no final result until a person decides: end such a wait with ctx.
func (q *Queue) Wait(ctx context.Context, id ID) (Result, error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		r, err := q.Result(ctx, id)
		if err != nil || r.State.Final() {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("queue: wait for %s, which is %s: %w", id, r.State, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// ReasonCancelled begins the Outcome.Reason of a request that [Queue.Cancel] has made Cancelled while it was in doubt.
// Why it was in doubt follows.
const ReasonCancelled = "somebody has cancelled it while it was in doubt, so that it may have been sent"

// Cancel keeps a request from being sent: one that waits, or one in doubt that is not to
// be sent again. If it is too late the error is a [*StateError].
func (q *Queue) Cancel(ctx context.Context, id ID) error {
	j, err := q.engine.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("queue: cancel %s: %w", id, err)
	}
	m := Move{ID: id, From: []State{Ready, Delayed}, To: Cancelled}
	if j.State == InDoubt {
		o := j.Outcome
		o.Reason = decided(ReasonCancelled, &j)
		m.From, m.Outcome = []State{InDoubt}, &o
	}
	return q.move(ctx, "cancel", m)
}

// Requeue lets a request be sent once more: one that is Failed, Cancelled, or in doubt. One in
// doubt may have been sent. With Requeue a person decides that it is sent all the same. Its
// deadline, if it has passed, does not apply any more. Nothing of a campaign that is over is sent:
// then the error wraps [ErrCampaignExpired] or [ErrCampaignCancelled].
func (q *Queue) Requeue(ctx context.Context, id ID) error {
	j, err := q.engine.Get(ctx, id)
	if err == nil && slices.Contains(requeued, j.State) {
		err = q.campaignOver(ctx, j.Lane.Campaign)
	}
	if err != nil {
		return fmt.Errorf("queue: requeue %s: %w", id, err)
	}
	// The deadline of a campaign's request is the end of the campaign, which still lies ahead.
	return q.move(ctx, "requeue", Move{ID: id, From: requeued, To: Ready, DueIn: dueNow, NoDeadline: j.Lane.Campaign == "", Outcome: &Outcome{}})
}

// requeued are the states from which a request can be sent once more.
var requeued = []State{Failed, Cancelled, InDoubt}

// campaignOver returns why nothing more of a campaign is sent; nil: it may be, or there is no campaign of that name.
func (q *Queue) campaignOver(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	d, err := (&Campaign{q, name}).load(ctx)
	switch {
	case errors.Is(err, ErrNoCampaign):
		return nil
	case err != nil:
		return err
	}
	return d.over(time.Now())
}

// dueNow, as DueIn, is the end of the line: behind all that is due already.
const dueNow time.Duration = -1

func (q *Queue) move(ctx context.Context, what string, m Move) error {
	err := q.engine.Move(ctx, m)
	if err == nil {
		return nil
	}
	var elsewhere *StateError
	if errors.As(err, &elsewhere) {
		said := &decisionError{state: elsewhere}
		if j, err := q.engine.Get(ctx, m.ID); err == nil && j.State == elsewhere.State {
			said.sid = j.Outcome.SID
		}
		err = said
	}
	return fmt.Errorf("queue: %s %s: %w", what, m.ID, err)
}

// A decisionError is a StateError in words for the person who has decided.
type decisionError struct {
	state *StateError
	sid   string // of what the job has created; "": none, or it is not known
}

func (e *decisionError) Error() string {
	sid := ""
	if e.sid != "" {
		sid = " (" + e.sid + ")"
	}
	if e.state.State == Sending {
		return "a worker is sending it now; nothing was changed"
	}
	return fmt.Sprintf("it is %s already%s; nothing was changed", e.state.State, sid)
}

func (e *decisionError) Unwrap() error { return e.state }

// page is how many jobs List reads at a time.
const page = 200

// List returns the jobs that f matches, in the order in which they were enqueued, reading
// on as the caller does. An error ends it. What is enqueued or moved meanwhile may or may
// not be among them.
func (q *Queue) List(ctx context.Context, f Filter) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		for after := ID(""); ; {
			jobs, err := q.engine.List(ctx, f, after, page)
			if err != nil {
				yield(Job{}, fmt.Errorf("queue: list: %w", err))
				return
			}
			for _, j := range jobs {
				if !yield(j, nil) {
					return
				}
			}
			if len(jobs) < page {
				return
			}
			after = jobs[len(jobs)-1].ID
		}
	}
}

// String says which job it is, and where it stands. It holds no phone number and no text.
func (j Job) String() string { return fmt.Sprintf("%s (%s, %s)", j.ID, j.Lane, j.State) }
