package pacer

import (
	"context"
	"time"
)

// config is what a client's calls need to know. It does not change after the constructor. A call
// reads it without a lock.
type config struct {
	maxRetries     int
	maxRetryAfter  time.Duration
	maxWait        time.Duration // 0: no limit
	fallbackJitter time.Duration
	jitter         func(below time.Duration) time.Duration

	limiter  Limiter
	local    *BucketLimiter // that limiter is or embeds; nil: it is another one
	discover func(Resource) // asks for the pool of the sender of a call; nil: nobody does

	callContext []func(context.Context, Resource) context.Context
	observers   []func(context.Context, Event)
	alerts      []*listener
	recorder    *recorder
	logs
}

// raise hands an alert to the program. Nobody listening is no reason to lose one: it
// then goes to the log. No mutex may be locked.
func (c *config) raise(a Alert) {
	c.recorder.raised(a.Kind)
	unheard := len(c.alerts) == 0
	for _, l := range c.alerts {
		if !l.tell(a) {
			unheard = true
			c.recorder.undelivered.Add(1)
		}
	}
	if c.logger != nil || unheard {
		c.logAlert(c.log(), a)
	}
}
