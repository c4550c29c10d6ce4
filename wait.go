package pacer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	foreignTokenAge = 10 * time.Second // that a token of another's source is used for without asking again
	maxRounds       = 3                // the last one keeps its permit while it waits for an access token
)

// depart waits until the attempt may be sent: for an access token, then for a permit. While an access
// token is fetched the attempt has no permit, since permits are for what can be sent. If the access
// token is no longer valid when the permit comes, the permit is given back. Then the attempt waits
// for both again.
//
// The last round is the exception: where the line is longer than a token lives, a call would
// wait for ever otherwise. If the call came with a Turn, that Turn's permit
// is given back too.
func (c *call) depart() (token string, err error) {
	a := c.authFor(c.resource)
	if a == nil {
		start := c.start
		if c.attempts > 0 {
			start = time.Now()
		}
		return "", c.takePermit(start)
	}
	ask := a.ask(c.ctx, &c.cfg.logs)
	for round := 1; ; round++ {
		if c.permit == nil {
			if token, err = tokenOf(ask(c.ctx)); err != nil {
				return "", c.noToken(err)
			}
		}
		got := time.Now()
		if err := c.takePermit(got); err != nil {
			return "", err
		}
		switch {
		case a.pacers == nil && token != "" && time.Since(got) < foreignTokenAge:
			return token, nil
		case round >= maxRounds:
			token, err = tokenOf(ask(c.ctx))
		default:
			var inTime bool
			if token, inTime, err = a.atOnce(c.ctx, ask); !inTime {
				c.giveBack(Outcome{Unused: true})
				continue
			}
		}
		if err != nil {
			return "", c.noToken(err)
		}
		return token, nil
	}
}

func (c *call) noToken(err error) error {
	c.giveBack(Outcome{Unused: true})
	c.last.unauthorized = true
	return &noToken{c.resource, err}
}

// takePermit waits for a permit of the limiter, from start on, unless the call has one: that of
// the program's own [Turn].
func (c *call) takePermit(start time.Time) error {
	switch {
	case c.permit != nil:
		return nil
	case c.once:
		return c.awaitPermit(c.ctx)
	}
	return c.acquire(start)
}

// acquire waits for a permit of the limiter, from start on, and no longer than WithMaxWait
// allows.
func (c *call) acquire(start time.Time) error {
	ctx := c.ctx
	if c.cfg.maxWait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, start.Add(c.cfg.maxWait-c.waits.total))
		defer cancel()
	}
	err := c.awaitPermit(ctx)
	wait := time.Since(start)
	c.waits.total += wait
	if wait >= aWait {
		c.cfg.recorder.waited(start.Add(wait), wait)
	}
	if err == nil {
		c.hasWaited(wait, start.Add(wait))
		return nil
	}
	c.noteRefusal(err)
	if c.cfg.maxWait > 0 && c.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !c.endsBefore(start.Add(c.cfg.maxWait)) {
		need := c.cfg.maxWait - c.waits.total // at least
		var refused *WaitError
		if errors.As(err, &refused) {
			need = refused.Need
		}
		err = c.overMaxWait(need)
	}
	return err
}

func (c *call) awaitPermit(ctx context.Context) (err error) {
	c.cfg.recorder.waiting.Add(1)
	defer c.cfg.recorder.waiting.Add(-1)
	if c.attempts > 0 || time.Since(c.start) >= aWait {
		ctx = context.WithValue(ctx, arrivalKey{}, arrival{c.start, c.attempts}) // its place is by that
	}
	c.permit, err = c.narrow.acquire(ctx, c.cfg.limiter, c.resource, c.key, c.start)
	return err
}

// noteRefusal takes in that the limiter has refused the call with err. It has waited for
// nothing, and yet a default pace is what its caller feels.
func (c *call) noteRefusal(err error) {
	var refused *WaitError
	if l := c.cfg.local; l != nil && errors.As(err, &refused) && refused.byPace {
		l.refusedByPace(c.resource)
	}
}

// hasWaited notes a wait in the limiter, which has ended now. Observers hear of it when the
// attempt is over: until then the call has the permit that it waited for.
func (c *call) hasWaited(wait time.Duration, now time.Time) {
	if wait >= aWait && c.observed() {
		c.waits.untold += wait
		c.waits.untilAt = now
	}
}

func (c *call) tellWaited() {
	if c.waits.untold == 0 {
		return
	}
	e := Event{Kind: EventWaited, Time: c.waits.untilAt, Wait: c.waits.untold, Attempt: c.attempts}
	if c.last.sent {
		e.Attempt--
	}
	c.waits.untold = 0
	c.tell(e)
}

// outlasts returns why the call cannot wait for d, if it cannot.
func (c *call) outlasts(d time.Duration) error {
	switch {
	case d == backoff.Stop:
		return nil
	case c.endsBefore(time.Now().Add(d)):
		return tooLate(c.resource, d)
	case c.cfg.maxWait > 0 && c.waits.total+d > c.cfg.maxWait:
		return c.overMaxWait(d)
	}
	return nil
}

func (c *call) overMaxWait(need time.Duration) error {
	return &WaitError{Need: need, Err: fmt.Errorf("%w: it takes another %v, WithMaxWait allows %v in all", ErrWaitTooLong, need.Round(time.Millisecond), c.cfg.maxWait)}
}

// endsBefore reports whether the context's deadline is before t.
func (c *call) endsBefore(t time.Time) bool {
	deadline, ok := c.ctx.Deadline()
	return ok && deadline.Before(t)
}

func (c *call) beforeRetry(err error, wait time.Duration) {
	c.waits.asleep = time.Now()
	c.cfg.recorder.waiting.Add(1)
	c.cfg.logRetry(c.resource, c.attempts, wait, *c.last.limit)
	if c.observed() {
		c.emit(Event{Kind: EventRetrying, Wait: wait, Err: err})
	}
}
