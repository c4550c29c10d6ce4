package redisqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
)

const (
	// tick is how often other processes' news is looked for while somebody waits. It is
	// one small command for all who wait: a subscription would save it, and would have to
	// be made anew, and doubted, after every break of the connection.
	tick = 50 * time.Millisecond
	// recent is how long news is repeated to those who begin to wait: it may have come
	// between their call of Work and that of Await, while another caller's Work has seen
	// it.
	recent = 250 * time.Millisecond
)

// announce ends the calls of Await.
func (e *Engine) announce() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.news)
	e.news = make(chan struct{})
	e.newsAt = time.Now()
	e.pending = true
}

// Await implements [queue.Engine]. What this engine writes ends it at once, what others
// write after 50 ms. A Delayed job that becomes due does not: d is to end when Work has
// said that it is.
func (e *Engine) Await(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return queue.ErrClosed
	}
	if e.pending {
		e.pending = false
		e.mu.Unlock()
		return nil
	}
	if time.Since(e.newsAt) < recent {
		d = min(d, tick)
	}
	news := e.news
	e.mu.Unlock()
	end := time.NewTimer(d)
	defer end.Stop()
	look := time.NewTicker(tick)
	defer look.Stop()
	for {
		select {
		case <-news:
			return nil
		case <-end.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-e.open.Done():
			return queue.ErrClosed
		case <-look.C:
			e.lookAround()
		}
	}
}

// lookAround announces that others have written, or that this cannot be told: then Work
// says why. It does not wait for Redis; who closes the engine does.
func (e *Engine) lookAround() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.looking || e.closed {
		return
	}
	e.looking = true
	e.calls.Add(1)
	go func() {
		defer e.calls.Done()
		is := e.look()
		e.mu.Lock()
		e.looking = false
		changed := is != e.seen
		e.seen = is
		e.mu.Unlock()
		if changed {
			e.announce()
		}
	}()
}

// look returns what changes when somebody has written, or added to the intake.
func (e *Engine) look() string {
	var news *redis.StringCmd
	var in *redis.XInfoStreamCmd
	if _, err := e.rdb.Pipelined(e.open, func(p redis.Pipeliner) error {
		news, in = p.Get(e.open, e.key("news")), p.XInfoStream(e.open, e.key("in"))
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
