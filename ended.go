package pacer

import (
	"errors"
	"net/http"
	"time"
)

// ended makes the error that the caller gets.
func (c *call) ended(err error) error {
	c.wakeUp()
	var rl RateLimit
	if c.last.limit != nil {
		rl = *c.last.limit
	}
	rl.Resource, rl.Attempts, rl.Waited = c.resource.String(), c.attempts, c.waits.total
	var wait *WaitError
	isWait := errors.As(err, &wait)
	switch {
	case c.last.unauthorized:
		return err
	case isWait && wait.RetryAfter > 0:
		// The resource has a cool-down because of another call's answer. That is Twilio's
		// answer to this call, too, and has the type that programs expect of one.
		rl.Kind, rl.Scope, rl.RetryAfter = Throttled, wait.Scope, wait.RetryAfter
		rl.Status, rl.Code = http.StatusTooManyRequests, codeThrottled
		return withRateLimit(nil, rl)
	case isWait:
		rl.Kind = NotSent
		err = &WaitError{RateLimit: rl, Err: wait.Err, Answer: c.last.answer, Need: wait.Need}
	case !c.last.sent || c.last.notNow && err != c.last.answer: // from the limiter; from the wait between attempts
		rl.Kind = NotSent
		err = &WaitError{RateLimit: rl, Err: err, Answer: c.last.answer}
	case c.last.notNow: // and no further attempt
		err = withRateLimit(err, rl)
	default:
		return err // an answer that is no throttle, or a failure: as twilio-go gives it
	}
	if c.attempts > 0 && !c.once {
		c.gaveUp(rl, err)
	}
	return err
}

func (c *call) gaveUp(rl RateLimit, err error) {
	if c.observed() {
		c.emit(Event{Kind: EventGaveUp, Wait: c.waits.total, Status: rl.Status, Code: rl.Code, Scope: rl.Scope, RetryAfter: rl.RetryAfter, Err: err})
	}
	a := Alert{Time: time.Now(), Resource: c.resource, RateLimit: rl, Err: err}
	switch {
	case c.ctx.Value(byPacer{}) != nil:
		return
	case rl.Kind == QueueFull || rl.Kind == Quota:
		a.Kind, a.Advice = AlertQuota, adviceQuota
	case rl.Kind != Throttled || rl.Scope == ScopeReceiver: // the program's own decision, or one end user's affair
		return
	case rl.RetryAfter > c.cfg.maxRetryAfter:
		a.Kind, a.Advice = AlertRetryAfterTooLong, adviceTooLong
	case rl.Scope == ScopeObject:
		a.Kind, a.Advice = AlertRetriesExhausted, adviceObject
	default:
		a.Kind, a.Advice = AlertRetriesExhausted, adviceExhausted
	}
	c.cfg.raise(a)
}

// speak raises what the limiter has to tell. It is called when the call has ended: nobody
// waits for a listener with a permit in hand.
func (c *call) speak() {
	l := c.cfg.local
	if l == nil {
		return
	}
	sid := c.resource.Sender
	if isService(sid) && l.lacksPool(c.resource) && !l.notices.isAsked(sid) && l.notices.tellOnce(AlertPoolUnknown, Resource{Sender: sid}) {
		c.cfg.raise(poolUnknown(c.resource, errors.New("how many senders are in its pool only Twilio knows, and no limit gives it a rate"), adviceAskForPool))
	}
	if !l.notices.pending.Load() {
		return
	}
	for _, n := range l.notices.take() {
		c.cfg.raise(n.alert())
	}
}
