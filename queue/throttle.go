package queue

import (
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/steps"
)

// A throttled answer may mean a limit, an outage, or noise. The rules by which they are told apart
// are those of docs/learning.md, section 2, as far as a worker can see them. The client's limiter
// has all the rules, and closes the bucket in this process. The worker holds it in all processes.
const (
	sparedFor  = 100                     // after a single answer has held a bucket for d, no other single one holds it for 100 times d
	lastOnes   = 16                      // answers that are looked at
	fewOnes    = 8                       // answers without which their share says nothing
	mostOf     = 0.6                     // share of throttled answers above which they show a limit or an outage
	rowOf      = 3                       // throttled answers in a row that show an outage
	rowLasting = 1500 * time.Millisecond // if they have come for longer than this
)

// answers are what came of a bucket's requests since it was last held. They decide whether a
// throttled answer holds it. The zero value is that of a bucket that was never held.
type answers struct {
	recent uint16    // the last ones, a bit each: 1 is a throttled one, and the lowest bit is the newest
	count  int       // answers since the hold
	passed bool      // one of them was not throttled
	row    time.Time // when the present row of throttled answers began
	spared time.Time // until when a single throttled answer does not hold the bucket; zero: it does
}

// accepted notes an answer that was not throttled.
func (a *answers) accepted() {
	a.recent <<= 1
	a.count++
	a.passed = true
}

// throttled notes a throttled answer, and reports whether the bucket must be held for it. wait is
// for how long it would be held.
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

// spare keeps single answers from holding the bucket for a while. One has held it, for held, until
// the time given.
func (a *answers) spare(until time.Time, held time.Duration) {
	a.spared = until.Add(sparedFor * min(held, longHold))
}

// throttled decides who waits for a throttled answer to j. A single answer is taken at its word:
// the bucket is held for as long as Twilio says. So it is if the answer shows a limit or an outage.
// Otherwise the answer may be noise, and the request waits alone, for as long as throttled returns.
// It returns 0 if the bucket is held. The client's limiter says what the others do meanwhile.
func (h *holder) throttled(l *lane, j Job, began time.Time, limit pacer.RateLimit, err error) (alone time.Duration) {
	now := time.Now()
	h.mu.Lock()
	b := l.bucket
	step, own := steps.After(1+b.throttled), steps.After(1+max(b.throttled, int(j.Claim)-1-j.Attempts))
	if limit.RetryAfter > 0 {
		step = limit.RetryAfter + rand.N(time.Second)
		own = step
	}
	holds := b.heldUntil().After(now) || step > longHold // it is held already, or for so long that an alert must say so
	if again := !began.Before(b.hold.since); again {
		holds = b.answers.throttled(step, now) || holds
	}
	h.mu.Unlock()
	if !holds {
		return own
	}
	a := Alert{}
	if step > longHold {
		a = Alert{Kind: AlertHeld, Err: err, Advice: adviceHeld}
	}
	if !h.hold(l, began, Park{For: step, Reason: HoldThrottled, Code: limit.Code}, a) {
		return 0
	}
	h.mu.Lock()
	b.throttled++
	n := b.throttled
	h.mu.Unlock()
	if n == alertAfter {
		h.raise(Alert{Kind: AlertThrottled, Lane: l.Lane, Err: err, Advice: adviceThrottled})
	}
	return 0
}
