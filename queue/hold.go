package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A holder decides what an answer means for others than its own request: which bucket is held,
// or which account, and for how long. It holds them on the board for this process, and in the
// store for all others. It tells people of holds that are long, or that last.
type holder struct {
	*base
	*board
	toldNarrow time.Time // when an alert last told of limits of single receivers or objects; the board's mutex guards it
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
	lastProbe        = 5 * time.Second // by how much later the bucket that caused the account's hold probes
)

// backoff is 1, 2, 4, ... 60 s.
func backoff(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

// answered notes that Twilio has answered a request of the bucket. passed: it has done, or
// refused, what the request asked for.
func (h *holder) answered(l *lane, began time.Time, passed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := l.bucket
	b.unanswered = 0
	fresh := !began.Before(b.hold.since)
	if fresh {
		b.outages = 0
		if h.outage[b.resource] {
			delete(h.outage, b.resource)
			if len(h.outage) == 0 { // as the alert, once for an outage
				h.passed("Twilio is reached again", "lane", l.Lane)
			}
		}
	}
	if !passed {
		return
	}
	if b.throttled >= alertAfter {
		h.passed("the bucket is not throttled any more", "lane", l.Lane)
	}
	b.throttled = 0
	if fresh {
		b.answers.accepted()
	}
	b.barred = time.Time{}
	if !began.Before(b.account.since) {
		if b.account.refusals > 0 {
			h.passed("the account works again", "lane", l.Lane)
		}
		b.account.passed, b.account.refusals = time.Now(), 0
		if b.account.heldUntil.After(time.Now()) {
			b.account.heldUntil = time.Time{}
			h.store(Park{Resource: pacer.Resource{Account: b.resource.Account}, Reason: HoldUnauthorized})
		}
	}
}

// exhausted holds the bucket because a quota is used up, or a sender's queue is full. Neither is
// the request's fault.
func (h *holder) exhausted(l *lane, began time.Time, limit pacer.RateLimit, err error) {
	wait, reason := quotaHold, HoldQuota
	if limit.Kind == pacer.QueueFull {
		wait, reason = queueFullHold, HoldQueueFull
	}
	h.hold(l, began, Park{For: max(wait, limit.RetryAfter), Reason: reason, Code: limit.Code}, Alert{Kind: AlertHeld, Err: err, Advice: adviceHeld})
}

// unreached holds the bucket because nothing gets as far as Twilio, or because the answers are
// not proper ones.
func (h *holder) unreached(l *lane, began time.Time, reason string) {
	h.mu.Lock()
	b := l.bucket
	b.unanswered++
	n := b.outages
	h.mu.Unlock()
	if !h.hold(l, began, Park{For: backoff(n), Reason: HoldUnreachable}, Alert{}) {
		return
	}
	h.mu.Lock()
	b.outages++
	told := len(h.outage) > 0
	if b.outages >= tellAfter {
		h.outage[b.resource] = true
	}
	tell := b.outages == tellAfter && !told
	h.mu.Unlock()
	if tell { // one alert for an outage, however many buckets it stops
		h.raise(Alert{Kind: AlertUnreachable, Lane: l.Lane, Err: errors.New(reason), Advice: adviceUnreachable})
	}
}

// unanswered notes an attempt whose fate is open. Several in a row are Twilio's trouble, or that
// of somebody who answers in its place. Then the bucket is held, and probes, so that an outage
// does not put in doubt all that waits.
func (h *holder) unanswered(l *lane, began time.Time, reason string) {
	h.mu.Lock()
	l.bucket.unanswered++
	enough := l.bucket.unanswered >= unansweredAfter || l.bucket.outages > 0
	h.mu.Unlock()
	if enough {
		h.unreached(l, began, reason)
	}
}

// barred holds the account for which Twilio does nothing at all, because its credentials are
// wrong or it is suspended. There are two exceptions, in which the bucket alone is held:
//
//   - Other buckets of the account pass. The refusal is then about this bucket, such as for a key
//     that may not do everything.
//   - Others pass, and the same request is refused again and again. The refusal is then about the
//     request, which fails in the end.
func (h *holder) barred(l *lane, j Job, began time.Time, err error, o *Outcome) Move {
	now := time.Now()
	h.mu.Lock()
	b, a := l.bucket, l.bucket.account
	others := now.Sub(a.passed) < 2*unauthorizedHold
	alone := others && j.Attempts > 0 || !b.barred.IsZero() && a.passed.After(b.barred)
	if b.barred.IsZero() {
		b.barred = now
	}
	again := !began.Before(a.since) && !alone
	if again {
		a.since, a.stored = now, time.Time{}
		a.heldUntil = now.Add(unauthorizedHold)
		a.refusals++
	}
	tell := again && a.refusals == 1
	h.mu.Unlock()
	switch {
	case alone:
		h.hold(l, began, Park{For: unauthorizedHold, Reason: HoldUnauthorized, Code: o.Code}, Alert{})
	case again:
		h.hold(l, began, Park{For: unauthorizedHold + lastProbe, Reason: HoldUnauthorized, Code: o.Code}, Alert{})
		if _, ok := h.store(Park{Resource: pacer.Resource{Account: l.Resource.Account}, For: unauthorizedHold, Reason: HoldUnauthorized, Code: o.Code}); ok {
			h.mu.Lock()
			a.stored = time.Now()
			h.mu.Unlock()
		}
	}
	if tell {
		h.raise(Alert{Kind: AlertUnauthorized, Lane: l.Lane, Err: fmt.Errorf("%w%s; the account is tried again every %v", reasonError(err), h.foreignAccount(l.Resource), unauthorizedHold), Advice: adviceUnauthorized})
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
func (h *holder) foreignAccount(r pacer.Resource) string {
	own := h.client.AccountSid()
	if r.Account == "" || own == "" || own == r.Account {
		return ""
	}
	return fmt.Sprintf("; requests of account %s are sent with the credentials of %s: expected credentials of the same account, or of one above it", r.Account, own)
}

// outages returns how often in a row the lane's bucket was held because nothing reached Twilio.
func (h *holder) outages(l *lane) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return l.bucket.outages
}

// hold holds the lane's bucket as p says, in this process and in all others. It reports false for a request
// that was on its way already when the bucket was last held: that is the same event. The alert is
// raised for a new event, and only if it has a kind.
func (h *holder) hold(l *lane, began time.Time, p Park, a Alert) bool {
	now := time.Now()
	p.Resource, p.For = l.Resource, min(p.For, maxHold)
	until := now.Add(p.For)
	h.mu.Lock()
	of := &l.bucket.hold
	again := !began.Before(of.since)
	longer := until.After(of.until)
	if longer {
		of.until, of.changed = until, now
	}
	if again {
		of.since = now
	}
	h.mu.Unlock()
	if longer {
		if stored, ok := h.store(p); ok {
			h.mu.Lock()
			of.stored, of.changed = stored, time.Now()
			h.mu.Unlock()
		}
	}
	if again && a.Kind != "" {
		a.Lane, a.Err = l.Lane, fmt.Errorf("%w; held until %s", a.Err, until.Format(time.RFC3339))
		h.raise(a)
	}
	return again
}

// store has the store tell the other processes of a hold, and returns until when the store holds
// it now. If that fails it is only logged: in this process the hold stands already.
func (h *holder) store(p Park) (stored time.Time, ok bool) {
	stored, err := h.engine.Park(h.wire, p)
	if err != nil {
		h.warn("cannot tell other workers of a hold", "resource", p.Resource, "error", err)
	}
	return stored, err == nil
}

// storeFailed makes a lane wait for the store to work again. The dispatcher raises the alert.
func (h *holder) storeFailed(ctx context.Context, l *lane, err error) {
	if ctx.Err() != nil {
		return
	}
	h.warn("the store fails", "lane", l.Lane, "error", err)
	h.mu.Lock()
	defer h.mu.Unlock()
	l.notBefore = time.Now().Add(storePause)
}
