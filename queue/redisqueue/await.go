package redisqueue

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// This file notices what other processes have written.

// Await implements [queue.Engine]. What this engine writes ends it at once, what others write
// after 50 ms. A Delayed job that becomes due does not end it, so the caller gives a d that
// ends then.
func (e *Engine) Await(ctx context.Context, d time.Duration) error { return e.news.Await(ctx, d) }

// others is what this engine knows of what others write.
type others struct {
	looking atomic.Bool // a look is under way
	seen    string      // what look returned last; it belongs to the look that is under way
}

// lookAround announces that others have written, or that this cannot be told: then Work
// says why. It does not wait for Redis; who closes the engine does. A subscription would
// save these small commands, and would have to be made anew after every break of the connection.
func (e *Engine) lookAround() {
	if !e.others.looking.CompareAndSwap(false, true) {
		return
	}
	e.calls.Go(func(open context.Context) {
		is := e.look(open)
		changed := is != e.others.seen
		e.others.seen = is
		e.others.looking.Store(false)
		if changed {
			e.news.Announce()
		}
	})
}

// look returns what changes when somebody has written, or added to the intake.
func (e *Engine) look(open context.Context) string {
	var news *redis.StringCmd
	var in *redis.XInfoStreamCmd
	if _, err := e.rdb.Pipelined(open, func(p redis.Pipeliner) error {
		news, in = p.Get(open, e.key("news")), p.XInfoStream(open, e.key("in"))
		return nil
	}); err != nil && news.Err() != nil && news.Err() != redis.Nil {
		return "failed: " + err.Error()
	}
	last := ""
	if in.Err() == nil {
		last = in.Val().LastGeneratedID
	}
	return fmt.Sprint(news.Val(), " ", last)
}
