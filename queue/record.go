package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// This file has the store record what became of an attempt.

// record moves a job out of Sending, and reports whether the job is where m says. While the
// store fails it goes on trying, beyond the grace period by a few seconds. A job that was sent
// and is not recorded is in doubt.
func (s *sender) record(j Job, m Move) bool {
	m.ID, m.Claim = j.ID, j.Claim
	m.From = []State{Sending, InDoubt} // InDoubt, as others may have given up waiting for this very answer
	asked := m.To == InDoubt && m.LookIn != 0
	if asked {
		m.From = []State{Sending}
	}
	if m.To.Final() {
		m.From = append(m.From, Ready, Delayed) // others may have put it back; nobody has sent it since, if the claim is the same
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.wire))
	defer cancel()
	stop := context.AfterFunc(s.wire, func() {
		time.AfterFunc(recordAfterGrace, cancel)
	})
	defer stop()
	waits := false
	defer func() {
		if waits {
			s.unrecorded.Add(-1)
		}
	}()
	for n := 0; ; n++ {
		err := s.engine.Move(ctx, m)
		var elsewhere *StateError
		switch {
		case err == nil:
			return true
		case errors.As(err, &elsewhere) && elsewhere.State == InDoubt && elsewhere.Claim == j.Claim && asked:
			// Twilio was asked about it already, while it was on the wire. That was too early, and
			// does not count.
			m.From, m.LookIn, asked = []State{InDoubt}, m.LookIn+s.settle, false
		case errors.As(err, &elsewhere), errors.Is(err, ErrNotFound):
			// If it is Sent at this claim, another worker has found this very request at Twilio.
			if m.To == Sent && elsewhere != nil && (elsewhere.State != Sent || elsewhere.Claim != j.Claim) {
				s.raise(Alert{Kind: AlertInDoubt, Lane: j.Lane, ID: j.ID, Advice: "look whether Twilio has it twice",
					Err: fmt.Errorf("it was sent as %s, but is %s by now: a worker was stopped for longer than its lease", m.Outcome.SID, elsewhere.State)})
			}
			return false
		case fatal(err) || !pause(ctx, backoff(n)):
			s.raise(Alert{Kind: AlertStore, Lane: j.Lane, ID: j.ID, Advice: adviceStore,
				Err: fmt.Errorf("cannot record that it is %s%s: %w", m.To, sidOf(m), err)})
			return false
		case !waits:
			waits = true
			if s.unrecorded.Add(1) == 1 { // one alert, however many results wait
				s.raise(Alert{Kind: AlertStore, Lane: j.Lane, ID: j.ID, Err: err, Advice: adviceStore})
			}
		}
	}
}

// recordAfterGrace is how long results may take to be recorded when all else has ended.
const recordAfterGrace = 5 * time.Second

// sidOf says in words which SID m records.
func sidOf(m Move) string {
	if m.Outcome == nil || m.Outcome.SID == "" {
		return ""
	}
	return " as " + m.Outcome.SID
}

// putBack gives a request its old place in the lane, when its wait is over, so that it goes before
// all that came later. If this fails, its place is that of requests that are due now.
func (s *sender) putBack(ctx context.Context, j Job, claimed time.Time, wait time.Duration) {
	if !pause(ctx, wait) {
		return
	}
	place := j.Due.Sub(j.Began.Add(time.Since(claimed))) // how long ago it was due; both times are of the engine's clock
	err := s.engine.Move(ctx, Move{ID: j.ID, From: []State{Delayed, Ready}, Claim: j.Claim, To: Ready, DueIn: place})
	if err != nil && s.logger != nil {
		s.logger.Debug("pacer queue: a request that was throttled has lost its place", "id", j.ID, "error", err)
	}
}
