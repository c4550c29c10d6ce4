package pacer

import (
	"context"
	"fmt"
	"time"
)

// DiscoverPool does for the sender of r what [WithPoolDiscovery] does for the sender of each call. If
// it is a Messaging Service whose rate is not known, Twilio is asked for its pool, once, in the
// background. It does not wait. It is for programs that send with [Client.Turn], such as the worker
// of package queue. When ctx ends the asking ends, and the next use of the service may ask again. It
// does nothing if r has another sender, if a limit gives the service a rate, or without a
// [BucketLimiter]. It is safe for concurrent use.
func (c *Client) DiscoverPool(ctx context.Context, r Resource) {
	l := c.cfg.local
	if c.err != nil || l == nil || !isService(r.Sender) || !l.lacksPool(r) {
		return
	}
	if l.notices.beginAsking(r.Sender, time.Now()) {
		go c.discover(ctx, l, r)
	}
}

// discover asks Twilio for a pool, and gives its rate to the limiter. It is a goroutine.
func (c *Client) discover(ctx context.Context, l *BucketLimiter, r Resource) {
	sid, done := r.Sender, false
	defer func() { l.notices.endAsking(sid, done) }()
	defer c.cfg.recovered("the http.Client's transport, while a pool was asked for")
	asks, cancel := context.WithTimeout(context.WithValue(WithPriority(ctx, Low), byPacer{}, true), askingFor)
	defer cancel()
	p, err := c.pool(asks, sid)
	switch {
	case err == nil:
		l.setPool(sid, p)
		done = true
	case ctx.Err() != nil: // who wanted to know has gone
		done = true
	case l.notices.tellOnce(AlertPoolUnknown, Resource{Sender: sid}):
		c.cfg.raise(poolUnknown(r, fmt.Errorf("its pool could not be read: %w", err), adviceSetRate))
	}
}
