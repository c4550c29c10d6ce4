package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go/client"
)

// send sends one claimed job and records what becomes of it. It has a place on the wire.
func (w *Worker) send(ctx context.Context, l *lane, j Job, turn *pacer.Turn, claimed time.Time) {
	defer w.wg.Done()
	defer func() { w.slots.give(l.Resource) }()
	defer turn.Drop()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		l.bucket.depart(-1)
	}()
	w.sendWith(ctx, l, j, turn, claimed, 0)
}

// sendWith is send for a turn that so many jobs have left to others.
func (w *Worker) sendWith(ctx context.Context, l *lane, j Job, turn *pacer.Turn, claimed time.Time, skipped int) {
	if now := time.Now(); w.late(claimed, now) || ctx.Err() != nil {
		w.claims.failed(ctx, fmt.Errorf("%v have passed since a request was claimed, half of the lease's margin is over", now.Sub(claimed).Round(time.Second)))
		w.record(j, Move{To: Ready})
		return
	}
	w.claims.worked()
	wire, cancel := context.WithTimeout(w.wire, w.attemptTimeout)
	defer cancel()
	w.mu.Lock()
	throttled := l.bucket.throttled
	w.mu.Unlock()

	began := time.Now()
	resp, err := turn.Send(wire, pacer.SentRequest{
		Method: j.Request.Method, URL: j.Request.URL, Form: url.Values(j.Request.Form),
		Header: j.Request.header(), Body: []byte(j.Request.Body), Throttled: throttled,
	})
	if wait, held := heldFor(err); held { // the turn is not used up
		w.record(j, Move{To: Ready, DueIn: dueAfter(wait)})
		if next, claimed, ok := w.another(ctx, l, skipped); ok {
			w.sendWith(ctx, l, next, turn, claimed, skipped+1)
		}
		return
	}
	ended := time.Now()
	m := w.apply(l, j, began, answerOf(&j, resp, err))
	if m.To == Sent { // who else may have answered says nothing about Twilio's clock
		w.clocks.twilioSaid(resp.Header, began, ended)
	}
	m.Reported = w.onResult == nil
	if limit, _ := pacer.FromError(err); limit.Kind == pacer.Throttled && !limit.Scope.Narrow() && m.DueIn > 0 {
		w.wg.Go(func() { w.putBack(ctx, j, claimed, m.DueIn) })
	}
	if w.record(j, m) && m.To.Final() && w.onResult != nil {
		j.State, j.Outcome, j.Finished = m.To, *m.Outcome, j.Began.Add(time.Since(claimed)) // as the engine's clock has it
		if m.Attempt {
			j.Attempts++
		}
		w.report(w.wire, j)
	}
}

// late reports that a request claimed at an instant is not to be sent any more. A process
// that stood still in between may be taken for dead by now, and the request for in doubt.
// Both clocks are looked at: the monotonic one stands still while a machine is suspended,
// and the one on the wall can be set back.
func (w *Worker) late(claimed, now time.Time) bool {
	most := w.leaseMargin / 2
	return now.Sub(claimed) > most || now.Round(0).Sub(claimed.Round(0)) > most
}

// maxResponse bounds what is read of an answer, and what is kept of it.
const (
	maxResponse = 1 << 20
	maxKept     = 64 << 10
)

// answerOf reads what came of sending j.
func answerOf(j *Job, resp *http.Response, err error) attempt {
	a := attempt{request: &j.Request, resource: j.Lane.Resource, whole: true, err: err}
	if err != nil || resp == nil {
		return a
	}
	a.status = resp.StatusCode
	if resp.Body == nil {
		return a
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	_ = resp.Body.Close()
	a.body, a.whole = body, err == nil
	return a
}

// apply does what the verdict on an attempt asks for, and returns what becomes of the job.
func (w *Worker) apply(l *lane, j Job, began time.Time, a attempt) Move {
	v, o := judge(a)
	limit, _ := pacer.FromError(a.err)
	switch v {
	case wasAccepted:
		w.answered(l, began, true)
		if w.keepResponses && len(a.body) <= maxKept {
			o.Response = a.body
		}
		return Move{To: Sent, Attempt: true, Outcome: &o}
	case wasRefused:
		w.answered(l, began, true)
		return Move{To: Failed, Attempt: true, Outcome: &o}
	case wasThrottled, wasExhausted:
		w.answered(l, began, false)
		switch {
		case limit.Scope.Narrow():
			return Move{To: Ready, DueIn: w.narrowly(l, j, limit, a.err), Outcome: &o}
		case v == wasThrottled:
			return Move{To: Ready, DueIn: w.throttled(l, j, began, limit, a.err), Outcome: &o}
		default:
			w.exhausted(l, began, limit, a.err)
		}
	case wasBarred:
		w.answered(l, began, false)
		return w.barred(l, j, began, a.err, &o)
	case wasUntaken:
		return w.untaken(l, j, began, &o)
	case wasUnproved:
		holds := w.holds(l)
		w.unanswered(l, began, o.Reason)
		return w.doubtful(j, &o, holds)
	case wasUnsent:
		return Move{To: Ready}
	}
	return Move{To: Ready, Outcome: &o}
}

// untaken is what becomes of a request that did not get as far as Twilio: it waits. One
// that is answered without a code of Twilio's may be at fault itself, such as one that is
// too long for an edge of Twilio's: others go before it then, and if they pass it fails.
func (w *Worker) untaken(l *lane, j Job, began time.Time, o *Outcome) Move {
	holds := w.holds(l)
	w.unreached(l, began, o.Reason)
	m := Move{To: Ready, Outcome: o}
	if o.Status < http.StatusBadRequest && !j.Request.safe() {
		return m
	}
	if m.Attempt = o.Status != 0 && holds == 0; m.Attempt && j.Attempts+1 >= maxRounds {
		m.To = Failed
	} else if o.Status != 0 && (m.Attempt && j.Attempts > 0 || holds >= tellAfter) {
		m.DueIn = dueNow
	}
	return m
}

// holds returns how often in a row l's bucket was held because nothing reached Twilio.
func (w *Worker) holds(l *lane) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return l.bucket.holds
}

// doubtful is what becomes of a request that may have been processed. holds is from before
// the attempt was noted: what fails while the bucket is held is not the request's fault.
func (w *Worker) doubtful(j Job, o *Outcome, holds int) Move {
	switch w.policyFor(j.Lane.Resource, &j.Request) {
	case Resend:
		counts := holds == 0 || !j.Request.safe()
		if counts && j.Request.safe() && j.Attempts+1 >= maxSafeAttempts {
			return Move{To: Failed, Attempt: true, Outcome: o}
		}
		return Move{To: Ready, DueIn: backoff(j.Attempts), Attempt: counts, Outcome: o}
	case Reconcile:
		return Move{To: InDoubt, LookIn: w.settle, Attempt: true, Outcome: o}
	}
	w.parkedInDoubt(j, o.Reason)
	return Move{To: InDoubt, Attempt: true, Outcome: o}
}

// maxSafeAttempts: what Twilio fails to answer so often is not worth more.
const maxSafeAttempts = 10

// saidBy reads what is to be recorded of an error.
func saidBy(err error) (code int, reason string) {
	var classic *client.TwilioRestError
	var v1 *client.RestErrorV1
	switch {
	case errors.As(err, &classic) && classic != nil:
		return classic.Code, classic.Message
	case errors.As(err, &v1) && v1 != nil:
		return v1.Code, v1.Message
	}
	var where *url.Error // whose text has the URL, and a URL can have a number
	if errors.As(err, &where) {
		err = where.Err
	}
	return 0, err.Error()
}

// reasonError returns an error with what may be shown of err.
func reasonError(err error) error {
	code, reason := saidBy(err)
	if code == 0 {
		return errors.New(reason)
	}
	return fmt.Errorf("code %d: %s", code, reason)
}

// record moves a job out of Sending. It goes on trying while the store fails, beyond the
// grace period by a few seconds: what was sent and is not recorded is in doubt. It
// reports whether the job is where m says.
func (w *Worker) record(j Job, m Move) bool {
	m.ID, m.Claim = j.ID, j.Claim
	m.From = []State{Sending, InDoubt} // in doubt: others may have given up waiting for this very answer
	asked := m.To == InDoubt && m.LookIn != 0
	if asked {
		m.From = []State{Sending}
	}
	if m.To.Final() {
		m.From = append(m.From, Ready, Delayed) // and may have put it back; at this claim nobody has sent it since
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.wire))
	defer cancel()
	stop := context.AfterFunc(w.wire, func() {
		time.AfterFunc(recordAfterGrace, cancel)
	})
	defer stop()
	waits := false
	defer func() {
		if waits {
			w.unrecorded.Add(-1)
		}
	}()
	for n := 0; ; n++ {
		err := w.q.engine.Move(ctx, m)
		var elsewhere *StateError
		switch {
		case err == nil:
			return true
		case errors.As(err, &elsewhere) && elsewhere.State == InDoubt && elsewhere.Claim == j.Claim && asked:
			// Looked for already, while it was on the wire: that look was too early, and
			// does not count.
			m.From, m.LookIn, asked = []State{InDoubt}, m.LookIn+w.settle, false
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
		case !waits:
			waits = true
			if w.unrecorded.Add(1) == 1 { // one alert, however many results wait
				w.raise(Alert{Kind: AlertStore, Lane: j.Lane, ID: j.ID, Err: err, Advice: adviceStore})
			}
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
