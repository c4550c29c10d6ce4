package pacer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	askAgain  = time.Hour       // after a failure
	askingFor = 2 * time.Minute // at most, waits and retries included
	maxAsking = 4               // discoveries at a time
	maxAsked  = 10_000          // services whose failures are remembered
)

// WithPoolDiscovery has the client ask Twilio which senders are in the pool of a Messaging
// Service, once, when the service is first used. The service's rate is then the sum of
// theirs, as with [MessagingServiceSize], unless a rule of yours gives it one. The default
// is false: the client sends no request that the program did not make, and a service is not
// paced until Twilio throttles it ([AlertPoolUnknown] says so). The worker of package queue
// asks by default.
//
// It asks in the background, with [Low] priority, and as any other call: paced, retried, and
// seen by observers. No call waits for it. A failure is told once for each service, with
// AlertPoolUnknown; an hour later the next use of the service tries again. Changes of the
// pool are not noticed.
//
// It needs a [BucketLimiter], or a limiter that embeds one; another one of [WithLimiter] is
// the constructor's error.
func WithPoolDiscovery(on bool) Option {
	return func(c *config) error {
		c.discovery = on
		return nil
	}
}

// DiscoverPool does for the sender of r what [WithPoolDiscovery] does for the sender of each
// call: if it is a Messaging Service whose rate is not known, Twilio is asked for its pool,
// once, in the background. It does not wait. It is for programs that send with [Client.Turn],
// such as the worker of package queue. When ctx ends the asking ends, and the next use of the
// service may ask again. It does nothing if r has another sender, if a limit gives the
// service a rate, or without a [BucketLimiter]. It is safe for concurrent use.
func (c *Client) DiscoverPool(ctx context.Context, r Resource) {
	l := c.cfg.local
	if c.err != nil || l == nil || !isService(r.Sender) || !l.lacksPool(r) {
		return
	}
	if l.notices.beginAsking(r.Sender, time.Now()) {
		go c.discover(ctx, l, r)
	}
}

// beginAsking reports whether the pool of a service is to be asked for now. If so, endAsking
// must be called when that is done.
func (n *notices) beginAsking(sid string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, known := n.ask[sid]
	if known && now.Before(at) || !known && len(n.ask) >= maxAsked {
		return false
	}
	if n.ask == nil {
		n.ask = make(map[string]time.Time)
	}
	if n.asking >= maxAsking {
		n.ask[sid] = now // at its next use
		return false
	}
	n.asking++
	n.ask[sid] = now.Add(askAgain)
	return true
}

// endAsking ends what beginAsking began. done: there is nothing more to ask, or nobody who asks.
func (n *notices) endAsking(sid string, done bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asking--
	if done {
		delete(n.ask, sid)
	}
}

// isAsked reports whether to ask for the pool of a service is somebody's task.
func (n *notices) isAsked(sid string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, is := n.ask[sid]
	return is
}

// lacksPool reports whether r is not paced since nobody has said what its sender may send.
func (l *BucketLimiter) lacksPool(r Resource) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[r]; ok {
		return !b.allowed.listed
	}
	return !l.allow(r).listed
}

// byPacer marks the context of calls that no program has made. Their failure is told where
// they were made.
type byPacer struct{}

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

const (
	adviceAskForPool = "let pacer ask Twilio once, with pacer.WithPoolDiscovery(true) or pacer.MessagingServiceSize, or "
	adviceSetRate    = "an hour later pacer asks again; else "
)

// poolUnknown is the notice that the sender of r, a Messaging Service, is not paced.
func poolUnknown(r Resource, reason error, advice string) Alert {
	return Alert{
		Kind: AlertPoolUnknown, Time: time.Now(), Resource: r,
		Err:    fmt.Errorf("no rate is known for Messaging Service %s, so that it is not paced until Twilio throttles it: %w", r.Sender, reason),
		Advice: advice + adviceRule(Limit{Resource: Messages, Sender: r.Sender, Rate: 10}),
	}
}

var errNeedsBucketLimiter = errors.New("pacer: WithPoolDiscovery: expected a BucketLimiter, or one that embeds it, in WithLimiter; use MessagingServiceSize")
