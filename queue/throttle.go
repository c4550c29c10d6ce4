package queue

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/twilio-pacer/pacer"
)

// What a throttled answer means for others than its own request. The rules are those of
// docs/learning.md, section 2, as far as a worker can see them. The client's limiter has all
// of them, and closes the bucket in this process. The worker holds it in all processes.

const (
	sparedFor  = 100                     // times as long as a single answer has held a bucket, no other single one does
	lastOnes   = 16                      // answers that are looked at
	fewOnes    = 8                       // answers without which their share says nothing
	mostOf     = 0.6                     // share of them that is a limit or an outage, and no noise
	rowOf      = 3                       // throttled answers in a row that are an outage
	rowLasting = 1500 * time.Millisecond // if they have come for longer than that
)

// answers are what came of a bucket's requests since it was last held. The zero value is that
// of a bucket that was never held.
type answers struct {
	recent uint16    // the last ones, a bit each, the newest is the lowest; 1: throttled
	count  int       // since the hold
	passed bool      // one of them was no throttled one
	row    time.Time // when the first of those came that were throttled in a row
	spared time.Time // until when a single throttled answer does not hold the bucket
}

// accepted takes in an answer that was not throttled.
func (a *answers) accepted() {
	a.recent <<= 1
	a.count++
	a.passed = true
}

// throttled takes in a throttled answer, and reports whether the bucket is to be held for it, for
// so long.
func (a *answers) throttled(wait time.Duration, now time.Time) bool {
	if a.recent&1 == 0 {
		a.row = now
	}
	a.recent = a.recent<<1 | 1
	a.count++
	n := min(a.count, lastOnes)
	mostly := n >= fewOnes && float64(bits.OnesCount16(a.recent)) > mostOf*float64(n)
	inARow := bits.TrailingZeros16(^a.recent) >= rowOf && now.Sub(a.row) > rowLasting
	single := !now.Before(a.spared)
	if a.passed && !mostly && !inARow && !single {
		return false
	}
	spared := a.spared
	if *a = (answers{spared: spared}); single {
		a.spare(now.Add(wait), wait)
	}
	return true
}

// spare has no single answer hold the bucket for a while: one has held it until then, for so long.
func (a *answers) spare(until time.Time, held time.Duration) {
	a.spared = until.Add(sparedFor * min(held, longHold))
}

// throttled decides who waits for a throttled answer to j. The bucket is held for as long as
// Twilio says if it is a single answer, which is taken at its word, or if it shows a limit or an
// outage. Else it may be noise: the request alone waits, for so long, which is 0 otherwise. The
// client's limiter says what the others do meanwhile.
func (w *Worker) throttled(l *lane, j Job, began time.Time, limit pacer.RateLimit, err error) (alone time.Duration) {
	now := time.Now()
	w.mu.Lock()
	b := l.bucket
	step, own := backoff(min(b.throttled, 4)), backoff(min(max(b.throttled, int(j.Claim)-1-j.Attempts), 4))
	if limit.RetryAfter > 0 {
		step = limit.RetryAfter + rand.N(time.Second)
		own = step
	}
	holds := b.until().After(now) || step > longHold // it is held already, or nobody is to wait for it unseen
	if again := !began.Before(b.since); again {
		holds = b.answers.throttled(step, now) || holds
	}
	w.mu.Unlock()
	if !holds {
		return own
	}
	a := Alert{}
	if step > longHold {
		a = Alert{Kind: AlertHeld, Err: err, Advice: adviceHeld}
	}
	if !w.hold(l, began, step, a) {
		return 0
	}
	w.mu.Lock()
	b.throttled++
	n := b.throttled
	w.mu.Unlock()
	if n == alertAfter {
		w.raise(Alert{Kind: AlertThrottled, Lane: l.Lane, Err: err, Advice: adviceThrottled})
	}
	return 0
}

// putBack gives a request that has waited alone its place back, when that is over: it goes
// before all that came later. If this fails it has the place of those that are due now.
func (w *Worker) putBack(ctx context.Context, j Job, claimed time.Time, wait time.Duration) {
	if !pause(ctx, wait) {
		return
	}
	place := j.Due.Sub(j.Began.Add(time.Since(claimed))) // both by the engine's clock
	err := w.q.engine.Move(ctx, Move{ID: j.ID, From: []State{Delayed, Ready}, Claim: j.Claim, To: Ready, DueIn: place})
	if err != nil && w.logger != nil {
		w.logger.Debug("pacer queue: a request that was throttled has lost its place", "id", j.ID, "error", err)
	}
}
