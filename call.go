package pacer

import (
	"context"
	"net/http"
	"time"
)

// A call is one request of the program's, from SendRequest to its return.
type call struct {
	*core
	ctx      context.Context // the program's, and what WithCallContext adds to it
	request  request
	resource Resource
	key      *key      // what narrower limits it may be subject to; nil: none
	start    time.Time // when the program made it; for a Turn, when the wait for that began
	once     bool      // it is a Turn's: it has its permit already, and its program sends it again, or does not

	permit   func(Outcome) // ends what the limiter has let pass; nil: the call has nothing of the limiter's
	schedule schedule
	wire     wire
	attempts int
	waits    waits
	resp     *http.Response
	last     last
}

// waits are those of one call.
type waits struct {
	total   time.Duration // in the limiter and between attempts
	asleep  time.Time     // since when the call waits for its next attempt; zero: it does not
	untold  time.Duration // in the limiter, of which observers were not told yet; 0: none
	untilAt time.Time     // when untold ended
}

// last is what is known of a call's last attempt, and of its last answer that meant "not now".
type last struct {
	answer       error      // that answer; nil: there was none
	limit        *RateLimit // what it said
	notNow       bool       // it is the answer to the last attempt
	sent         bool       // the call's error is that of an attempt; false: of a wait
	unauthorized bool       // no access token was to be had
}

// giveBack tells the limiter what became of its permit, once. It does nothing if the call has
// none.
func (c *call) giveBack(o Outcome) {
	if done := c.permit; done != nil {
		c.permit = nil
		done(o)
	}
}

func (c *call) wakeUp() {
	if !c.waits.asleep.IsZero() {
		c.cfg.recorder.waiting.Add(-1)
		c.waits.total += time.Since(c.waits.asleep)
		c.waits.asleep = time.Time{}
	}
}

// aWait is the shortest that counts as one: less is the limiter's own work.
const aWait = time.Millisecond

func (c *call) observed() bool { return len(c.cfg.observers) > 0 }

// emit tells observers of what happens now. The call must have no permit: they may take as
// long as they like, and use the client.
func (c *call) emit(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Attempt = c.attempts
	c.tell(e)
}

// tell completes e with what all events of the call have.
func (c *call) tell(e Event) {
	e.Resource, e.Method = c.resource, c.request.method
	for _, observe := range c.cfg.observers {
		observe(c.ctx, e)
	}
}

// byPacer marks the context of calls that no program has made. Their failure is told where
// they were made.
type byPacer struct{}
