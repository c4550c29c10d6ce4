package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go"
)

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
	if !utf8.ValidString(text) {
		return fmt.Errorf("queue: %s: not UTF-8: expected text in UTF-8", option)
	}
	return nil
}

// Unique names a request with a key of 1 to 512 bytes, so that it is enqueued once. While a
// request with that key is kept, Enqueue stores no other one. It returns the ID of the first,
// whatever has become of it. It is kept until its result is not kept any more
// ([WithRetention]). [Known] tells which of both it was. Another request under the same key is
// the error [ErrKeyTaken].
func Unique(key string) EnqueueOption {
	return func(j *Job) error {
		j.Unique = uniqueKey + key
		return checkText("Unique", key)
	}
}

// Known sets known to whether the request was not stored because one with its [Unique] key
// is kept already. It is set once the engine has answered, and always false where an
// engine cannot tell: a producer of sqsqueue's, which has no ledger.
func Known(known *bool) EnqueueOption {
	return func(j *Job) error {
		if known == nil {
			return errors.New("queue: Known: nil: expected the address of a bool")
		}
		*known, j.known = false, known
		return nil
	}
}

// ErrKeyTaken is wrapped by the error for a request whose [Unique] key is that of another
// request, which differs in method, URL, form or body. It was not stored.
var ErrKeyTaken = errors.New("its Unique key is that of another request, so that this one was not stored: expected the same request, or a key of its own")

// At sets when a request may be sent at the earliest. A time that has passed is now. A
// time after the year 9999 is an error.
func At(t time.Time) EnqueueOption {
	return func(j *Job) error { j.Due, j.in = t, 0; return nil }
}

// In sets after how long a request may be sent at the earliest, by the engine's clock. A
// producer without such a clock (sqsqueue without a ledger) takes this machine's. 0 or less is
// now.
func In(d time.Duration) EnqueueOption {
	return func(j *Job) error { j.Due, j.in = time.Now().Add(d), max(d, 0); return nil }
}

// Deadline sets until when sending a request makes sense: a one-time password of
// yesterday does not. If it has not been sent by then it becomes Failed. A deadline that
// has passed, is not after the time of [At] or [In], or is after the year 9999 is an error.
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
			return fmt.Errorf("queue: Label %.50q: value of %d bytes: expected at most %d", key, len(value), maxText)
		}
		if !utf8.ValidString(value) {
			return fmt.Errorf("queue: Label %.50q: value is not UTF-8: expected text in UTF-8", key)
		}
		return checkText("Label", key)
	}
}

// Enqueue stores the one request that build makes, durably, and returns its ID. The client that
// build gets sends nothing. Any of twilio-go's operations may be called with it, and answers at
// once with an empty result.
//
//	id, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error {
//		_, err := tw.Api.CreateMessage(params)
//		return err
//	}, queue.Unique("order-1234-shipped"))
//
// It is an error, and nothing is enqueued, if build makes no request, makes more than one, or
// returns an error. A request that could only fail later is an error, too. Such is a message
// without a receiver in the form of E.164, without a sender, or without a content. Such is a
// text of more than 1,600 characters, or one that is not UTF-8. Such is a header that is not
// allowed, and a request of more than 1 MiB. The list is in
// https://github.com/twilio-pacer/pacer/blob/main/docs/queue.md#what-is-refused.
//
// A receiver is stored as Twilio writes it: "+1 (500) 555-0006" becomes "+15005550006".
//
// If Enqueue returns an error from the engine, the request may be stored all the same. Enqueue
// it again with the same [Unique] key to be sure of one. With an error that wraps [ErrKeyTaken]
// it returns the ID of the request that has the key.
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
	added, err := q.add(ctx, []Job{j})
	if err != nil {
		return "", fmt.Errorf("queue: enqueue: %w", err)
	}
	j.tell(added[0])
	if added[0].Known {
		// Without an answer nothing is said: the request is stored, this one or another.
		if first, err := q.engine.Get(ctx, added[0].ID); err == nil && !first.Request.same(j.Request) {
			return added[0].ID, fmt.Errorf("queue: enqueue: %w", ErrKeyTaken)
		}
	}
	return added[0].ID, nil
}

// add stores jobs. What [In] has put off is due by the engine's clock. If that cannot be asked,
// as by a producer of sqsqueue's, the time stays as this machine's clock has it.
func (q *Queue) add(ctx context.Context, jobs []Job) ([]Added, error) {
	var now time.Time
	for i := range jobs {
		if jobs[i].in == 0 {
			continue
		}
		if now.IsZero() {
			var err error
			if now, err = q.engine.Now(ctx); err != nil {
				break
			}
		}
		jobs[i].Due = now.Add(jobs[i].in)
	}
	return q.engine.Add(ctx, jobs)
}

// tell sets what [Known] asks for.
func (j *Job) tell(a Added) {
	if j.known != nil {
		*j.known = a.Known
	}
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
// stored then. To go on after an error run it again with the same [Unique] keys. An item
// whose key is kept counts as Known, also if its request is another one.
func (q *Queue) EnqueueMany(ctx context.Context, items iter.Seq[Item]) (Enqueued, error) {
	return enqueueAll(ctx, q.add, func(yield func(Job, error) bool) {
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
		jobs  []Job
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
		for i, a := range r.added {
			r.jobs[i].tell(a)
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
			answer <- result{jobs, added, err}
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

// NewJob returns the job that [Queue.EnqueueRequest] stores for a request, with a new ID. It is
// for engines that take in requests which others have left with them. It checks the request and
// what the options set, as EnqueueRequest does. The account is as in [WithAccount]. An empty
// one means that the request's path has one, or that it is not known.
func NewJob(r Request, account string, opts ...EnqueueOption) (Job, error) {
	if account != "" {
		if err := checkAccountSID("account", account); err != nil {
			return Job{}, err
		}
	}
	resource := pacer.ResourceOf(r.Method, r.URL, url.Values(r.Form), account)
	if err := r.check(resource); err != nil {
		return Job{}, err
	}
	r.normalize(resource)
	id, err := uuid.NewV7()
	if err != nil {
		return Job{}, fmt.Errorf("queue: no random numbers for an ID: %w", err)
	}
	j := Job{ID: ID(id.String()), Request: r, Lane: Lane{Resource: resource}}
	var errs []error
	for _, opt := range opts {
		if opt != nil {
			errs = append(errs, opt(&j))
		}
	}
	return j, errors.Join(append(errs, j.checkTimes())...)
}

// RestClient returns a client for code that calls twilio-go and does not use the results. What
// it creates, changes or deletes is enqueued, with opts, and answers at once without a SID. A
// message or call has the status "queued". Reading through it is an error that says so. To
// bound how long enqueuing may take use [Queue.Enqueue].
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
