package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go/client"
)

// send sends one claimed job and records what becomes of it. It has a place on the wire.
func (w *Worker) send(ctx context.Context, l *lane, j Job, turn *pacer.Turn, claimed time.Time) {
	defer w.wg.Done()
	defer func() { <-w.slots }()
	defer turn.Drop()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		l.bucket.users--
	}()
	// A process that was stopped in between (SIGSTOP, a suspended machine) may be taken
	// for dead by now, and the job for in doubt.
	if late := time.Since(claimed) > w.leaseMargin/2; late || ctx.Err() != nil {
		w.record(j, Move{To: Ready})
		return
	}
	wire, cancel := context.WithTimeout(w.wire, w.attemptTimeout)
	defer cancel()
	w.mu.Lock()
	throttled := l.bucket.throttled
	w.mu.Unlock()

	began := time.Now()
	resp, err := turn.Send(wire, pacer.SentRequest{ //nolint:bodyclose // judge reads it to its end and closes it
		Method: j.Request.Method, URL: j.Request.URL, Form: url.Values(j.Request.Form),
		Header: j.Request.header(), Body: []byte(j.Request.Body), Throttled: throttled,
	})
	m := w.judge(l, j, began, resp, err)
	m.Reported = w.onResult == nil
	if w.record(j, m) && m.To.Final() && w.onResult != nil {
		j.State, j.Outcome, j.Finished = m.To, *m.Outcome, time.Now()
		if m.Attempt {
			j.Attempts++
		}
		w.report(w.wire, j)
	}
}

// maxResponse bounds what is read of an answer, and what is kept of it.
const (
	maxResponse = 1 << 20
	maxKept     = 64 << 10
)

// judge decides what an answer, or its lack, means for the job and its bucket.
func (w *Worker) judge(l *lane, j Job, began time.Time, resp *http.Response, err error) Move {
	if err == nil {
		w.passed(l)
		return w.accepted(resp)
	}
	status, code, reason := saidBy(err)
	o := &Outcome{Status: status, Code: code, Reason: reason}
	limit, notNow := pacer.FromError(err)
	switch {
	case notNow && limit.Kind == pacer.AttemptCap:
		w.passed(l)
		return Move{To: Failed, Attempt: true, Outcome: o}
	case notNow && limit.Kind == pacer.Throttled:
		w.throttled(l, began, limit, err)
		return Move{To: Ready, Outcome: o}
	case notNow && limit.Kind == pacer.NotSent:
		return Move{To: Ready}
	case notNow: // a quota, or the sender's queue: neither is the request's fault
		hold := quotaHold
		if limit.Kind == pacer.QueueFull {
			hold = queueFullHold
		}
		w.park(l, began, max(hold, limit.RetryAfter), Alert{Kind: AlertHeld, Err: err, Advice: adviceHeld})
		return Move{To: Ready, Outcome: o}
	case unauthorized(code, err):
		w.park(l, began, unauthorizedHold, Alert{Kind: AlertUnauthorized, Err: err, Advice: adviceUnauthorized})
		return Move{To: Ready, Outcome: o}
	case pacer.InDoubt(err):
		w.passed(l)
		return w.doubtful(j, o)
	case status != 0:
		w.passed(l)
		return Move{To: Failed, Attempt: true, Outcome: o}
	}
	w.unreachable(l, began, errors.New(reason)) // without the URL, which may have a number
	return Move{To: Ready, Attempt: true, Outcome: o}
}

func (w *Worker) accepted(resp *http.Response) Move {
	o := &Outcome{}
	if resp != nil {
		o.Status = resp.StatusCode
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
		_ = resp.Body.Close()
		if err != nil {
			o.Reason = "Twilio has accepted it, but its answer broke off before the SID" // so that the SID is not known
		}
		o.SID = sid(body)
		if w.keepResponses && len(body) <= maxKept {
			o.Response = body
		}
	}
	return Move{To: Sent, Attempt: true, Outcome: o}
}

// doubtful is what becomes of a request that may have been processed.
func (w *Worker) doubtful(j Job, o *Outcome) Move {
	now := time.Now()
	switch w.policyFor(j.Lane.Resource, &j.Request) {
	case Resend:
		if j.Request.safe() && j.Attempts+1 >= maxSafeAttempts {
			return Move{To: Failed, Attempt: true, Outcome: o}
		}
		return Move{To: Ready, Due: now.Add(backoff(j.Attempts)), Attempt: true, Outcome: o}
	case Reconcile:
		return Move{To: InDoubt, Look: now.Add(w.settle), Attempt: true, Outcome: o}
	}
	w.parkedInDoubt(j, o.Reason)
	return Move{To: InDoubt, Attempt: true, Outcome: o}
}

// maxSafeAttempts: what Twilio fails to answer so often is not worth more.
const maxSafeAttempts = 10

// backoff is 1, 2, 4, ... 60 s.
func backoff(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

// saidBy reads what is to be recorded of an error.
func saidBy(err error) (status, code int, reason string) {
	var classic *client.TwilioRestError
	var v1 *client.RestErrorV1
	switch {
	case errors.As(err, &classic) && classic != nil:
		return classic.Status, classic.Code, classic.Message
	case errors.As(err, &v1) && v1 != nil:
		return v1.HttpStatusCode, v1.Code, v1.Message
	}
	var where *url.Error // whose text has the URL, and a URL can have a number
	if errors.As(err, &where) {
		err = where.Err
	}
	return 0, 0, err.Error()
}

// unauthorized reports that Twilio, or twilio-go before it, does not take the credentials.
// A wrong token in a worker's configuration must not fail ten thousand requests.
// 20003: https://www.twilio.com/docs/api/errors/20003; the others are twilio-go's own, for
// credentials with illegal characters.
func unauthorized(code int, err error) bool {
	return code == 20003 || code == 21222 || code == 21224 || pacer.Unauthorized(err)
}

const (
	maxHold          = 24 * time.Hour
	quotaHold        = time.Hour
	queueFullHold    = 5 * time.Minute
	unauthorizedHold = time.Minute
	longHold         = 5 * time.Minute // from here on somebody should know
	alertAfter       = 6               // throttles, or failures, in a row
)

// passed notes that the bucket's requests get through.
func (w *Worker) passed(l *lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.bucket.throttled, l.bucket.failures = 0, 0
}

// throttled makes the bucket keep still.
func (w *Worker) throttled(l *lane, began time.Time, limit pacer.RateLimit, err error) {
	w.mu.Lock()
	step := backoff(min(l.bucket.throttled, 4))
	w.mu.Unlock()
	hold, a := step, Alert{}
	if limit.RetryAfter > 0 {
		hold = limit.RetryAfter + rand.N(time.Second)
	}
	if hold > longHold {
		a = Alert{Kind: AlertHeld, Err: err, Advice: adviceHeld}
	}
	if !w.park(l, began, hold, a) {
		return
	}
	w.mu.Lock()
	l.bucket.throttled++
	n := l.bucket.throttled
	w.mu.Unlock()
	if n == alertAfter {
		w.raise(Alert{Kind: AlertThrottled, Lane: l.Lane, Err: err, Advice: adviceThrottled})
	}
}

// unreachable makes the bucket keep still because nothing gets as far as Twilio.
func (w *Worker) unreachable(l *lane, began time.Time, err error) {
	w.mu.Lock()
	n := l.bucket.failures
	w.mu.Unlock()
	if !w.park(l, began, backoff(n), Alert{}) {
		return
	}
	w.mu.Lock()
	l.bucket.failures++
	w.mu.Unlock()
	if n+1 == alertAfter {
		w.raise(Alert{Kind: AlertUnreachable, Lane: l.Lane, Err: err, Advice: adviceUnreachable})
	}
}

// park keeps l's bucket still, here and in other processes. It reports false for a
// request that was on its way already when the bucket was parked last: that is the same
// event, and not another one.
func (w *Worker) park(l *lane, began time.Time, hold time.Duration, a Alert) bool {
	now := time.Now()
	until := now.Add(min(hold, maxHold))
	w.mu.Lock()
	b := l.bucket
	again := !began.Before(b.since)
	longer := until.After(b.parked)
	if longer {
		b.parked = until
	}
	if again {
		b.since = now
	}
	w.mu.Unlock()
	if longer {
		// In this process it holds already; that others learn of it is a courtesy.
		if err := w.q.engine.Park(w.wire, l.Resource, until); err != nil && w.logger != nil {
			w.logger.Warn("pacer queue: cannot tell other workers of a parked lane", "lane", l.Lane, "error", err)
		}
	}
	if again && a.Kind != "" {
		a.Lane, a.Err = l.Lane, fmt.Errorf("%w; held until %s", a.Err, until.Format(time.RFC3339))
		w.raise(a)
	}
	return again
}

// record moves a job out of Sending. It goes on trying while the store fails, beyond the
// grace period by a few seconds: what was sent and is not recorded is in doubt. It
// reports whether the job is where m says.
func (w *Worker) record(j Job, m Move) bool {
	m.ID, m.Claim = j.ID, j.Claim
	m.From = []State{Sending, InDoubt} // in doubt: others may have given up waiting for this very answer
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.wire))
	defer cancel()
	stop := context.AfterFunc(w.wire, func() {
		time.AfterFunc(recordAfterGrace, cancel)
	})
	defer stop()
	for n := 0; ; n++ {
		err := w.q.engine.Move(ctx, m)
		var elsewhere *StateError
		switch {
		case err == nil:
			return true
		case errors.As(err, &elsewhere), errors.Is(err, ErrNotFound):
			// Sent at this claim: what another worker has found at Twilio is this very one.
			if m.To == Sent && elsewhere != nil && (elsewhere.State != Sent || elsewhere.Claim != j.Claim) {
				w.raise(Alert{Kind: AlertInDoubt, Lane: j.Lane, ID: j.ID, Advice: "look whether Twilio has it twice",
					Err: fmt.Errorf("it was sent as %s, but is %s by now: a worker was stopped for longer than its lease", m.Outcome.SID, elsewhere.State)})
			}
			return false
		case fatal(err) || !pause(ctx, backoff(n)):
			w.raise(Alert{Kind: AlertStore, Lane: j.Lane, ID: j.ID, Advice: adviceStore,
				Err: fmt.Errorf("cannot record that it is %s%s: %w", m.To, sidOf(m), err)})
			return false
		case n == 0:
			w.raise(Alert{Kind: AlertStore, Lane: j.Lane, ID: j.ID, Err: err, Advice: adviceStore})
		}
	}
}

// recordAfterGrace is how long results may take to be recorded when all else has ended.
const recordAfterGrace = 5 * time.Second

func sidOf(m Move) string {
	if m.Outcome == nil || m.Outcome.SID == "" {
		return ""
	}
	return " as " + m.Outcome.SID
}
