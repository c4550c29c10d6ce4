package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A bucket is what lanes share that differ only in their campaign. The worker's mu guards
// it.
type bucket struct {
	resource pacer.Resource
	account  *accountHold
	parked   time.Time // until when it is held
	stored   time.Time // the same, as the store had it last: of the engine's clock, and only to see that it has changed
	changed  time.Time // when this process has set parked last
	since    time.Time // when the last hold began; an attempt from before is the same event
	refused  time.Time // since when the account's refusals come here; zero: they do not

	throttled int // holds in a row for throttled answers
	answers   answers
	troubles  int // attempts in a row that Twilio did not answer properly
	holds     int // holds in a row for such attempts; above 0 the bucket is on probation
	wire      int // requests on the wire
	users     int // lanes, and requests on the wire

	refusing bool // the client's limiter has failed, and nothing was sent since
}

// An accountHold is what the buckets of one account share. The worker's mu guards it.
type accountHold struct {
	parked   time.Time // until when it is held
	since    time.Time // when the last hold began
	passed   time.Time // when Twilio did something for it last
	refusals int       // holds in a row; above 0 the account is on probation
	wire     int       // requests on the wire
	buckets  int
}

// idle reports that nobody uses the bucket, and that how often it was held in a row does
// not matter any more.
func (b *bucket) idle(now time.Time) bool {
	return b.users == 0 && now.Sub(b.parked) > time.Minute && now.Sub(b.account.parked) > time.Minute
}

// until returns until when the bucket is held.
func (b *bucket) until() time.Time {
	if b.account.parked.After(b.parked) {
		return b.account.parked
	}
	return b.parked
}

// room returns how many of n requests may go on the wire. After a hold one goes as a
// probe, and the others wait for what becomes of it.
func (b *bucket) room(n int) int {
	probation := b.holds > 0 && b.wire > 0 || b.account.refusals > 0 && b.account.wire > 0
	switch {
	case probation:
		return 0
	case b.holds > 0 || b.account.refusals > 0:
		return min(n, 1)
	}
	return n
}

// depart counts n requests that go on the wire, or come back from it if n is below 0.
func (b *bucket) depart(n int) {
	b.wire += n
	b.users += n
	b.account.wire += n
}

const (
	maxHold          = 24 * time.Hour
	quotaHold        = time.Hour
	queueFullHold    = 5 * time.Minute
	unauthorizedHold = time.Minute
	longHold         = 5 * time.Minute // from here on somebody should know
	alertAfter       = 6               // holds in a row for throttled answers
	tellAfter        = 3               // holds in a row because nothing reaches Twilio
	unansweredAfter  = 3               // attempts in a row without a proper answer: then the bucket is held
	lastProbe        = 5 * time.Second // how long after the others a bucket probes that its account was refused for
)

// backoff is 1, 2, 4, ... 60 s.
func backoff(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

// answered notes that Twilio has answered a request of the bucket. passed: it has done, or
// refused, what the request asked for.
func (w *Worker) answered(l *lane, began time.Time, passed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := l.bucket
	b.troubles = 0
	if !began.Before(b.since) {
		b.holds = 0
		if w.outage[b.resource] {
			delete(w.outage, b.resource)
			if len(w.outage) == 0 { // as the alert, once for an outage
				w.passed("Twilio is reached again", "lane", l.Lane)
			}
		}
	}
	if !passed {
		return
	}
	if b.throttled >= alertAfter {
		w.passed("the bucket is not throttled any more", "lane", l.Lane)
	}
	b.throttled = 0
	if !began.Before(b.since) {
		b.answers.accepted()
	}
	b.refused = time.Time{}
	if !began.Before(b.account.since) {
		if b.account.refusals > 0 {
			w.passed("the account works again", "lane", l.Lane)
		}
		b.account.passed, b.account.refusals = time.Now(), 0
		if b.account.parked.After(time.Now()) {
			b.account.parked = time.Time{}
			w.park(pacer.Resource{Account: b.resource.Account}, 0)
		}
	}
}

// exhausted holds the bucket for a quota or a full queue: neither is the
// request's fault.
func (w *Worker) exhausted(l *lane, began time.Time, limit pacer.RateLimit, err error) {
	wait := quotaHold
	if limit.Kind == pacer.QueueFull {
		wait = queueFullHold
	}
	w.hold(l, began, max(wait, limit.RetryAfter), Alert{Kind: AlertHeld, Err: err, Advice: adviceHeld})
}

// unreached holds the bucket because nothing gets as far as Twilio, or because
// its answers are none.
func (w *Worker) unreached(l *lane, began time.Time, reason string) {
	w.mu.Lock()
	b := l.bucket
	b.troubles++
	n := b.holds
	w.mu.Unlock()
	if !w.hold(l, began, backoff(n), Alert{}) {
		return
	}
	w.mu.Lock()
	b.holds++
	told := len(w.outage) > 0
	if b.holds >= tellAfter {
		w.outage[b.resource] = true
	}
	tell := b.holds == tellAfter && !told
	w.mu.Unlock()
	if tell { // one alert for an outage, however many buckets it stops
		w.raise(Alert{Kind: AlertUnreachable, Lane: l.Lane, Err: errors.New(reason), Advice: adviceUnreachable})
	}
}

// unanswered notes an attempt whose fate is open. Several in a row are Twilio's trouble,
// or somebody else's who answers for it: then the bucket is held, and probes, so that an
// outage does not put in doubt all that waits.
func (w *Worker) unanswered(l *lane, began time.Time, reason string) {
	w.mu.Lock()
	l.bucket.troubles++
	enough := l.bucket.troubles >= unansweredAfter || l.bucket.holds > 0
	w.mu.Unlock()
	if enough {
		w.unreached(l, began, reason)
	}
}

// barred holds the account for which Twilio does nothing at all: its
// credentials are wrong, or it is suspended. If other buckets of the account pass, the
// refusal is about this one, such as for a key that may not do everything. If others pass
// and the same request is refused again and again, the refusal is about the request.
func (w *Worker) barred(l *lane, j Job, began time.Time, err error, o *Outcome) Move {
	now := time.Now()
	w.mu.Lock()
	b, a := l.bucket, l.bucket.account
	others := now.Sub(a.passed) < 2*unauthorizedHold
	alone := others && j.Attempts > 0 || !b.refused.IsZero() && a.passed.After(b.refused)
	if b.refused.IsZero() {
		b.refused = now
	}
	again := !began.Before(a.since) && !alone
	if again {
		a.since = now
		a.parked = now.Add(unauthorizedHold)
		a.refusals++
	}
	tell := again && a.refusals == 1
	w.mu.Unlock()
	switch {
	case alone:
		w.hold(l, began, unauthorizedHold, Alert{})
	case again:
		w.hold(l, began, unauthorizedHold+lastProbe, Alert{})
		w.park(pacer.Resource{Account: l.Resource.Account}, unauthorizedHold)
	}
	if tell {
		w.raise(Alert{Kind: AlertUnauthorized, Lane: l.Lane, Err: fmt.Errorf("%w%s; the account is tried again every %v", reasonError(err), w.foreignAccount(l.Resource), unauthorizedHold), Advice: adviceUnauthorized})
	}
	m := Move{To: Ready, Attempt: others && twilioCode(o.Code), Outcome: o} // else Twilio has not refused it
	switch {
	case m.Attempt && j.Attempts+1 >= maxRounds:
		m.To = Failed
	case !tell:
		m.DueIn = dueNow // others of the bucket probe next
	}
	return m
}

// foreignAccount says if requests are sent with another account's credentials. That is right
// for subaccounts of it, and mostly the mistake if Twilio refuses.
func (w *Worker) foreignAccount(r pacer.Resource) string {
	own := w.client.AccountSid()
	if r.Account == "" || own == "" || own == r.Account {
		return ""
	}
	return fmt.Sprintf("; requests of account %s are sent with the credentials of %s: expected credentials of the same account, or of one above it", r.Account, own)
}

// hold holds l's bucket, here and in other processes. It reports false for a
// request that was on its way already when the bucket was held last: that is the same
// event, and not another one.
func (w *Worker) hold(l *lane, began time.Time, wait time.Duration, a Alert) bool {
	now := time.Now()
	wait = min(wait, maxHold)
	until := now.Add(wait)
	w.mu.Lock()
	b := l.bucket
	again := !began.Before(b.since)
	longer := until.After(b.parked)
	if longer {
		b.parked, b.changed = until, now
	}
	if again {
		b.since = now
	}
	w.mu.Unlock()
	if longer {
		if stored, ok := w.park(l.Resource, wait); ok {
			w.mu.Lock()
			b.stored, b.changed = stored, time.Now()
			w.mu.Unlock()
		}
	}
	if again && a.Kind != "" {
		a.Lane, a.Err = l.Lane, fmt.Errorf("%w; held until %s", a.Err, until.Format(time.RFC3339))
		w.raise(a)
	}
	return again
}

// park tells the other processes of a hold. In this one it holds already: that others
// learn of it is a courtesy. It returns what the store has now.
func (w *Worker) park(r pacer.Resource, d time.Duration) (stored time.Time, ok bool) {
	stored, err := w.q.engine.Park(w.wire, r, d)
	if err != nil && w.logger != nil {
		w.logger.Warn("pacer queue: cannot tell other workers of a hold", "resource", r, "error", err)
	}
	return stored, err == nil
}

// adopt takes over what the store says of the bucket's hold, if somebody has changed it
// there: a hold that is lifted ends here, too. The store was read between look and read.
func (b *bucket) adopt(r ReadyLane, look, read time.Time) {
	if r.Parked.Equal(b.stored) || !b.changed.Before(look) {
		return
	}
	if r.Held > 0 { // another process has taken an answer at its word
		b.answers.spare(read.Add(r.Held), r.Held)
	}
	b.stored, b.parked = r.Parked, read.Add(r.Held)
}
