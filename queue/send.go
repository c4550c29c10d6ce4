package queue

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A sender sends claimed jobs, one attempt each, and has the store record what became of them.
type sender struct {
	*base
	*board
	holder *holder

	claims     trouble      // with jobs that come from the store too late to be sent
	unrecorded atomic.Int64 // results that the store has failed to record, and is asked to record again
}

func newSender(b *base, known *board, h *holder) *sender {
	return &sender{base: b, board: known, holder: h,
		claims: trouble{n: &b.notifier, kind: AlertStore, advice: adviceStore, what: "claiming requests in time"}}
}

// send sends one claimed job and records what becomes of it. It has a turn and a slot, and gives
// both back.
func (s *sender) send(ctx context.Context, l *lane, j Job, turn *pacer.Turn, claimed time.Time) {
	defer s.wg.Done()
	defer func() { s.slots.give(l.Resource) }()
	defer turn.Drop()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		l.bucket.depart(-1)
	}()
	s.sendWith(ctx, l, j, turn, claimed, 0)
}

// sendWith sends a job with a turn. skipped is how many jobs were skipped before this one, as their receivers are held.
func (s *sender) sendWith(ctx context.Context, l *lane, j Job, turn *pacer.Turn, claimed time.Time, skipped int) {
	if now := time.Now(); s.late(claimed, now) || ctx.Err() != nil {
		s.claims.failed(ctx, fmt.Errorf("%v have passed since a request was claimed, half of the lease's margin is over", now.Sub(claimed).Round(time.Second)))
		s.record(j, Move{To: Ready})
		return
	}
	s.claims.worked()
	wire, cancel := context.WithTimeout(s.wire, s.attemptTimeout)
	defer cancel()
	s.mu.Lock()
	throttled := l.bucket.throttled
	s.mu.Unlock()

	began := time.Now()
	resp, err := turn.Send(wire, pacer.SentRequest{
		Method: j.Request.Method, URL: j.Request.URL, Form: url.Values(j.Request.Form),
		Header: j.Request.header(), Body: []byte(j.Request.Body), Throttled: throttled,
	})
	if wait, held := heldFor(err); held { // the turn is not used up
		s.record(j, Move{To: Ready, DueIn: dueAfter(wait)})
		if next, claimed, ok := s.another(ctx, l, skipped); ok {
			s.sendWith(ctx, l, next, turn, claimed, skipped+1)
		}
		return
	}
	ended := time.Now()
	m := s.apply(l, j, began, answerOf(&j, resp, err))
	if m.To == Sent { // other answers may be somebody else's, and say nothing about Twilio's clock
		s.clocks.twilioSaid(resp.Header, began, ended)
	}
	m.Reported = s.onResult == nil
	if limit, _ := pacer.FromError(err); limit.Kind == pacer.Throttled && !limit.Scope.Narrow() && m.DueIn > 0 {
		s.wg.Go(func() { s.putBack(ctx, j, claimed, m.DueIn) })
	}
	if m.Attempt {
		s.tally.add(l.Campaign)
	}
	if s.record(j, m) && m.To.Final() && s.onResult != nil {
		j.State, j.Outcome, j.Finished = m.To, *m.Outcome, j.Began.Add(time.Since(claimed)) // as the engine's clock has it
		if m.Attempt {
			j.Attempts++
		}
		s.reporter.report(j)
	}
}

// maxResponse bounds what is read of an answer, and maxKept what is kept of it.
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

// apply does what the meaning of an attempt asks for, and returns what becomes of the job.
func (s *sender) apply(l *lane, j Job, began time.Time, a attempt) Move {
	what, o := judge(a)
	limit, _ := pacer.FromError(a.err)
	switch what {
	case wasAccepted:
		s.holder.answered(l, began, true)
		if s.keepResponses && len(a.body) <= maxKept {
			o.Response = a.body
		}
		return Move{To: Sent, Attempt: true, Outcome: &o}
	case wasRefused:
		s.holder.answered(l, began, true)
		return Move{To: Failed, Attempt: true, Outcome: &o}
	case wasThrottled, wasExhausted:
		s.holder.answered(l, began, false)
		switch {
		case limit.Scope.Narrow():
			return Move{To: Ready, DueIn: s.holder.narrowly(l, j, limit, a.err), Outcome: &o}
		case what == wasThrottled:
			return Move{To: Ready, DueIn: s.holder.throttled(l, j, began, limit, a.err), Outcome: &o}
		default:
			s.holder.exhausted(l, began, limit, a.err)
		}
	case wasBarred:
		s.holder.answered(l, began, false)
		return s.holder.barred(l, j, began, a.err, &o)
	case wasUntaken:
		return s.untaken(l, j, began, &o)
	case wasUnproved:
		outages := s.holder.outages(l)
		s.holder.unanswered(l, began, o.Reason)
		return s.doubtful(j, &o, outages)
	case wasUnsent:
		return Move{To: Ready}
	}
	return Move{To: Ready, Outcome: &o}
}

// untaken is what becomes of a request that did not get as far as Twilio: it waits. If the answer
// has no code of Twilio's, the request itself may be at fault, such as one that is too long for an
// edge. Then others go before it, and if they pass it fails in the end.
func (s *sender) untaken(l *lane, j Job, began time.Time, o *Outcome) Move {
	outages := s.holder.outages(l)
	s.holder.unreached(l, began, o.Reason)
	m := Move{To: Ready, Outcome: o}
	if o.Status < http.StatusBadRequest && !j.Request.safe() {
		return m
	}
	if m.Attempt = o.Status != 0 && outages == 0; m.Attempt && j.Attempts+1 >= maxRounds {
		m.To = Failed
	} else if o.Status != 0 && (m.Attempt && j.Attempts > 0 || outages >= tellAfter) {
		m.DueIn = dueNow
	}
	return m
}

// maxSafeAttempts is how often a request is sent that does no harm if it is sent again.
const maxSafeAttempts = 10

// doubtful is what becomes of a request that may have been processed. outages is how many times in a row
// its bucket had been held by then. A failure while the bucket is held is
// not the request's fault.
func (s *sender) doubtful(j Job, o *Outcome, outages int) Move {
	switch s.policyFor(j.Lane.Resource, &j.Request) {
	case Resend:
		counts := outages == 0 || !j.Request.safe()
		if counts && j.Request.safe() && j.Attempts+1 >= maxSafeAttempts {
			return Move{To: Failed, Attempt: true, Outcome: o}
		}
		return Move{To: Ready, DueIn: backoff(j.Attempts), Attempt: counts, Outcome: o}
	case Reconcile:
		return Move{To: InDoubt, LookIn: s.settle, Attempt: true, Outcome: o}
	}
	s.raiseParked(j, o.Reason)
	return Move{To: InDoubt, Attempt: true, Outcome: o}
}
