package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go"
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
// the credentials are the worker's.
func WithAccount(sid string) Option {
	return func(q *Queue) error {
		if !strings.HasPrefix(sid, "AC") {
			return fmt.Errorf("queue: WithAccount: %.40q: expected an account SID, which begins with AC", sid)
		}
		q.account = sid
		return nil
	}
}

// Open returns a Queue on an engine, which [Queue.Close] closes. An invalid option is an
// error, and leaves the engine open.
func Open(engine Engine, opts ...Option) (*Queue, error) {
	if engine == nil {
		return nil, errors.New("queue: Open: nil engine: expected one such as sqlitequeue.Open returns")
	}
	q := &Queue{engine: engine, account: os.Getenv("TWILIO_ACCOUNT_SID")}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(q); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// Close closes the engine. Stop the workers first: see [Worker.Run].
func (q *Queue) Close() error { return q.engine.Close() }

// Engine returns the engine, for what the Queue does not offer.
func (q *Queue) Engine() Engine { return q.engine }

// An EnqueueOption says when, in which order and under which name a request is sent.
type EnqueueOption func(*Job) error

// High lets a request overtake all others of its lane and of its [pacer.Resource] that
// wait: what somebody waits for, such as a one-time password.
func High(j *Job) error { j.Priority = pacer.High; return nil }

// Normal is the priority of a request for which nothing else is said.
func Normal(j *Job) error { j.Priority = pacer.Normal; return nil }

// Low lets others go first: what can wait. Of any ten requests that leave a lane one is
// the one that has waited longest, so that Low ones are sent, too.
func Low(j *Job) error { j.Priority = pacer.Low; return nil }

// maxText bounds keys, labels and names.
const maxText = 512

func checkText(option, text string) error {
	if text == "" || len(text) > maxText {
		return fmt.Errorf("queue: %s: text of %d bytes: expected 1 to %d", option, len(text), maxText)
	}
	return nil
}

// Unique names a request, so that it is enqueued once: while a request with that key is
// kept, Enqueue stores no other one and returns the ID of the first, whatever has become of
// it. It is kept until its result is not kept any more ([WithRetention]).
func Unique(key string) EnqueueOption {
	return func(j *Job) error {
		j.Unique = "u:" + key // apart from the keys of campaigns
		return checkText("Unique", key)
	}
}

// At sets when a request may be sent at the earliest. A time that has passed is now.
func At(t time.Time) EnqueueOption {
	return func(j *Job) error { j.Due = t; return nil }
}

// In sets after how long a request may be sent at the earliest.
func In(d time.Duration) EnqueueOption {
	return func(j *Job) error { j.Due = time.Now().Add(d); return nil }
}

// Deadline sets until when sending a request makes sense: a one-time password of
// yesterday does not. If it has not been sent by then it becomes Failed.
func Deadline(t time.Time) EnqueueOption {
	return func(j *Job) error {
		if !t.After(time.Now()) {
			return fmt.Errorf("queue: Deadline: %s has passed: expected a time ahead", t.Format(time.RFC3339))
		}
		j.Deadline = t
		return nil
	}
}

// Label adds a label of the program's own, which [Filter] can choose by.
func Label(key, value string) EnqueueOption {
	return func(j *Job) error {
		if j.Labels == nil {
			j.Labels = make(map[string]string)
		}
		j.Labels[key] = value
		if len(value) > maxText {
			return fmt.Errorf("queue: Label %q: value of %d bytes: expected at most %d", key, len(value), maxText)
		}
		return checkText("Label", key)
	}
}

// Enqueue stores the one request that build makes, durably, and returns its ID. build
// gets a client that sends nothing: any of twilio-go's operations may be called with it,
// and answers at once with an empty result.
//
//	id, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error {
//		_, err := tw.Api.CreateMessage(params)
//		return err
//	}, queue.Unique("order-1234-shipped"))
//
// It is an error, and nothing is enqueued, if build makes no request, more than one, or
// returns an error. If Enqueue returns an error from the engine, the request may be
// stored all the same; enqueue it again with the same [Unique] key to be sure of one.
func (q *Queue) Enqueue(ctx context.Context, build func(*twilio.RestClient) error, opts ...EnqueueOption) (ID, error) {
	r, err := newRecorder(q.account).one(build)
	if err != nil {
		return "", err
	}
	return q.EnqueueRequest(ctx, r, opts...)
}

// EnqueueRequest stores a request that is there already, as [Queue.Enqueue] does.
func (q *Queue) EnqueueRequest(ctx context.Context, r Request, opts ...EnqueueOption) (ID, error) {
	j, err := q.jobOf(r, opts)
	if err != nil {
		return "", err
	}
	added, err := q.engine.Add(ctx, []Job{j})
	if err != nil {
		return "", fmt.Errorf("queue: enqueue: %w", err)
	}
	return added[0].ID, nil
}

// An Item is one request for [Queue.EnqueueMany].
type Item struct {
	Build   func(*twilio.RestClient) error
	Options []EnqueueOption
}

// Enqueued counts what [Queue.EnqueueMany] or [Campaign.Enqueue] has done.
type Enqueued struct {
	New   int // stored
	Known int // not stored, since their Unique keys were there already
}

// batch is how many jobs are stored in one transaction.
const batch = 1000

// EnqueueMany stores the requests of items, in batches of 1,000, each all or none. It stops
// at the first error, which says at which item, counted from 0; what Enqueued counts is
// stored then. To go on after an error run it again with the same [Unique] keys.
func (q *Queue) EnqueueMany(ctx context.Context, items iter.Seq[Item]) (Enqueued, error) {
	return enqueueAll(ctx, q.engine.Add, func(yield func(Job, error) bool) {
		rec, n := newRecorder(q.account), 0
		for item := range items {
			j, err := q.job(rec, item.Build, item.Options)
			if err != nil {
				err = fmt.Errorf("item %d: %w", n, err)
			}
			if !yield(j, err) {
				return
			}
			n++
		}
	})
}

// enqueueAll adds jobs in batches, up to the first error among them, which it returns.
// While a batch is being stored the next one is made: both take about as long.
func enqueueAll(ctx context.Context, add func(context.Context, []Job) ([]Added, error), jobs iter.Seq2[Job, error]) (done Enqueued, err error) {
	type result struct {
		added []Added
		err   error
	}
	var storing chan result // of the batch before; nil: there is none
	stored := func() error {
		if storing == nil {
			return nil
		}
		r := <-storing
		storing = nil
		for _, a := range r.added {
			if a.Known {
				done.Known++
			} else {
				done.New++
			}
		}
		if r.err != nil {
			first := done.New + done.Known
			return fmt.Errorf("queue: enqueue from item %d on: %w", first, r.err)
		}
		return nil
	}
	defer func() { err = errors.Join(err, stored()) }() // also when jobs panics
	pending := make([]Job, 0, batch)
	store := func() error {
		if err := stored(); err != nil || len(pending) == 0 {
			return err
		}
		answer := make(chan result, 1)
		storing = answer
		go func(jobs []Job) {
			added, err := add(ctx, jobs)
			answer <- result{added, err}
		}(pending)
		pending = make([]Job, 0, batch)
		return nil
	}
	for j, err := range jobs {
		if err == nil {
			pending = append(pending, j)
		}
		if err == nil && len(pending) < batch {
			continue
		}
		if e := store(); e != nil {
			return done, e
		}
		if err != nil {
			return done, err
		}
	}
	return done, store()
}

func (q *Queue) job(rec *recorder, build func(*twilio.RestClient) error, opts []EnqueueOption) (Job, error) {
	r, err := rec.one(build)
	if err != nil {
		return Job{}, err
	}
	return q.jobOf(r, opts)
}

func (q *Queue) jobOf(r Request, opts []EnqueueOption) (Job, error) {
	return NewJob(r, q.account, opts...)
}

// NewJob returns the job that [Queue.EnqueueRequest] stores for a request, with a new ID:
// for engines that take requests in which others have left with them. account is as in
// [WithAccount].
func NewJob(r Request, account string, opts ...EnqueueOption) (Job, error) {
	if err := r.validate(); err != nil {
		return Job{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Job{}, fmt.Errorf("queue: no random numbers for an ID: %w", err)
	}
	j := Job{ID: ID(id.String()), Request: r}
	j.Lane.Resource = pacer.ResourceOf(r.Method, r.URL, url.Values(r.Form), account)
	var errs []error
	for _, opt := range opts {
		if opt != nil {
			errs = append(errs, opt(&j))
		}
	}
	return j, errors.Join(errs...)
}

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
	Enqueued time.Time
	Finished time.Time // zero: not yet
}

func resultOf(j Job) Result {
	r := Result{
		ID: j.ID, State: j.State, SID: j.Outcome.SID, Response: j.Outcome.Response, Attempts: j.Attempts,
		Labels: j.Labels, Lane: j.Lane, Enqueued: j.Created, Finished: j.Finished,
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

// Cancel keeps a request from being sent: one that waits, or one in doubt that is not to
// be sent again. If it is too late the error is a [*StateError].
func (q *Queue) Cancel(ctx context.Context, id ID) error {
	return q.move(ctx, "cancel", Move{ID: id, From: []State{Ready, Delayed, InDoubt}, To: Cancelled})
}

// Requeue lets a request be sent once more: one that is Failed, Cancelled, or in doubt.
// One in doubt may have been sent: Requeue is how a person decides that it is to be sent
// all the same. Its deadline, if it has passed, does not apply any more.
func (q *Queue) Requeue(ctx context.Context, id ID) error {
	return q.move(ctx, "requeue", Move{ID: id, From: []State{Failed, Cancelled, InDoubt}, To: Ready, Due: time.Now(), NoDeadline: true, Outcome: &Outcome{}})
}

// Confirm says that Twilio has a request that is in doubt, or fails wrongly, with the SID
// of what it has created: a status callback proves it, or a person has looked.
func (q *Queue) Confirm(ctx context.Context, id ID, sid string) error {
	return q.move(ctx, "confirm", Move{ID: id, From: []State{InDoubt, Sending}, To: Sent, Outcome: &Outcome{SID: sid}})
}

func (q *Queue) move(ctx context.Context, what string, m Move) error {
	if err := q.engine.Move(ctx, m); err != nil {
		return fmt.Errorf("queue: %s %s: %w", what, m.ID, err)
	}
	return nil
}

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

// RestClient returns a client for code that calls twilio-go and does not use the results:
// what it creates, changes or deletes is enqueued, with opts, and answers at once, a
// message or call with status "queued", all without a SID. Reading through it is an
// error that says so. To bound how long enqueuing may take use [Queue.Enqueue].
func (q *Queue) RestClient(opts ...EnqueueOption) *twilio.RestClient {
	return restClient(&capture{q.account, func(r Request) (string, error) {
		if r.Method == http.MethodGet {
			return "", fmt.Errorf("queue: %s: a client of Queue.RestClient only enqueues, it cannot read: expected a client of pacer's for this call",
				pacer.ResourceOf(r.Method, r.URL, nil, q.account))
		}
		if _, err := q.EnqueueRequest(context.Background(), r, opts...); err != nil {
			return "", err
		}
		return queuedAnswer(r), nil
	}})
}

// String says which job it is, and where it stands. It holds no phone number and no text.
func (j Job) String() string { return fmt.Sprintf("%s (%s, %s)", j.ID, j.Lane, j.State) }
