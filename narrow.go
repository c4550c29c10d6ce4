package pacer

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/internal/line"
)

// A narrow makes requests for single receivers and objects wait, in front of the limiter. One
// number that Twilio throttles must not make all others wait, as the bucket of its resource
// would. In the zero narrow nothing waits. It is safe for concurrent use.
//
// A key that was throttled has a cool-down: for as long as the answer says, else for 1, 2, 4, 8,
// 16 s, by how often in a row. Its requests wait in a line of their own. When the cool-down is
// over one of them goes as a probe. Each that is accepted lets two more go. If the key is
// throttled again after many acceptances, its requests are sent at the rate at which those were accepted.
//
// Some answers do not say whether they are about a key or about all of its resource. For these
// narrow counts how many keys are throttled that were not before, and how many others are
// accepted: see [spread].
type narrow struct {
	mu        sync.Mutex
	keys      map[key]*keyState
	resources map[Resource]*spread
	sweeper   *time.Timer // nil: there is nothing to forget
}

const (
	maxKeys       = 10_000      // in each map, some 5 MB; beyond it keys that nobody waits for are forgotten
	keyRemembered = time.Minute // after its cool-down, so that the next one is longer
)

// acquire is [Limiter].Acquire for a request for k, behind all others for k that wait. The
// caller has waited since arrived. k is nil for a request without a key.
func (n *narrow) acquire(ctx context.Context, l Limiter, r Resource, k *key, arrived time.Time) (func(Outcome), error) {
	if k == nil {
		return l.Acquire(ctx, r)
	}
	p, err := n.pass(ctx, k, r, arrived)
	if err != nil {
		return nil, err
	}
	var done func(Outcome)
	defer func() { // also if a limiter of the program's panics
		if done == nil {
			n.done(p, Outcome{Unused: true})
		}
	}()
	if done, err = l.Acquire(ctx, r); err != nil {
		done = nil
		return nil, err
	}
	p.left = time.Now()
	return n.ending(p, done), nil
}

// ending returns what ends both a passage and the limiter's part of a request.
func (n *narrow) ending(p passage, done func(Outcome)) func(Outcome) {
	if p.key == nil {
		return done
	}
	return func(o Outcome) {
		n.done(p, o)
		done(o)
	}
}

// pass waits in the key's line, within ctx.
func (n *narrow) pass(ctx context.Context, k *key, r Resource, arrived time.Time) (passage, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.keys[*k]
	if h == nil {
		return passage{key: k}, nil
	}
	deadline, _ := ctx.Deadline()
	w := line.NewWaiter(classOf(ctx), deadline, arrived)
	h.line.Join(w)
	defer func() {
		h.line.Leave(w)
		h.line.WakeHead()
	}()
	for {
		now := time.Now()
		delay, err := h.obstacle(r, deadline, now)
		if err != nil {
			return passage{}, err
		}
		sleep := line.UntilWoken
		if h.line.Head() == w {
			if delay == 0 {
				h.line.Admit(w)
				return h.leave(k, now), nil
			}
			sleep = delay
		}
		if err := w.Sleep(ctx, &n.mu, sleep); err != nil {
			return passage{}, &WaitError{RateLimit: notSent(r), Err: err}
		}
	}
}

// errKeyThrottled is wrapped where a request is not to wait for its key.
var errKeyThrottled = errors.New("its receiver or object was throttled, and is held")

// try lets a request pass, or refuses it at once, with a [*WaitError] whose RetryAfter says
// when to try again.
func (n *narrow) try(k *key, r Resource) (passage, error) {
	if k == nil {
		return passage{}, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.keys[*k]
	if h == nil {
		return passage{key: k}, nil
	}
	now := time.Now()
	delay, err := h.obstacle(r, time.Time{}, now)
	switch {
	case err != nil:
		return passage{}, err
	case delay == 0 && h.line.Len() == 0:
		return h.leave(k, now), nil
	case delay == 0 || delay == line.UntilWoken:
		delay = time.Second // others for k go first, or are in flight
	}
	return passage{}, h.refusal(r, delay, errKeyThrottled)
}

// done ends a passage with what became of the request.
func (n *narrow) done(p passage, o Outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	accepted := !o.Throttled && !o.Failed && !o.Unused
	if accepted && p.key.undecided() {
		n.spread(p.key.resource, now).accepts(p.key)
	}
	h := p.state
	if h == nil {
		return
	}
	h.inFlight--
	if accepted {
		h.accepts(p.left, now)
		if h.idle() && h.every == 0 && !p.left.Before(h.until) {
			delete(n.keys, *p.key)
		}
	}
	h.line.WakeHead()
}

// throttled takes in that a request for k, which left at the given time, was throttled. o
// says for how long, and asked is what the answer itself asked for; 0: nothing. byKey: the
// answer names a limit that the program has set up for its users. It returns what the limit
// is about. If that is narrow, the key has a cool-down, and o says so.
func (n *narrow) throttled(k *key, left time.Time, code int, byKey bool, asked time.Duration, o *Outcome) Scope {
	scope := k.scopeOf(code)
	if k == nil {
		return scope
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	h := n.keys[*k]
	if !scope.Narrow() && !byKey {
		if !k.undecided() || code != codePair && code != codeThrottled && code != 0 {
			return scope
		}
		if n.spread(k.resource, now).wide(h, code == codePair) {
			n.remember(k, h, now)
			if code == codePair {
				return scope
			}
			return ScopeResource
		}
	}
	o.Narrow = true
	if h = n.remember(k, h, now); h == nil {
		return k.scope
	}
	h.throttled(left, asked, o, now)
	return k.scope
}

// remember returns the record of a key that was throttled, h if it has one, else a new one; nil:
// there are too many.
func (n *narrow) remember(k *key, h *keyState, now time.Time) *keyState {
	if h != nil {
		return h
	}
	if len(n.keys) >= maxKeys {
		for other, h := range n.keys { // in random order: mostly the first is it
			if h.idle() {
				delete(n.keys, other)
				break
			}
		}
		if len(n.keys) >= maxKeys {
			return nil
		}
	}
	if n.keys == nil {
		n.keys = make(map[key]*keyState)
	}
	h = &keyState{row: row{cooldown: cooldown{until: now}}, scope: k.scope, window: math.MaxInt}
	n.keys[*k] = h
	n.sweepLater()
	return h
}

func (n *narrow) sweepLater() {
	if n.sweeper == nil {
		n.sweeper = time.AfterFunc(keyRemembered, n.sweep)
	}
}

// sweep forgets what is over. It runs in a timer's goroutine, and only while there is
// something to forget.
func (n *narrow) sweep() {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for k, h := range n.keys {
		if h.idle() && now.Sub(h.until) >= keyRemembered {
			delete(n.keys, k)
		}
	}
	for r, e := range n.resources {
		if now.Sub(e.at) >= keyRemembered && now.Sub(e.widened) >= wideFor {
			delete(n.resources, r)
		}
	}
	n.sweeper = nil
	if len(n.keys)+len(n.resources) > 0 {
		n.sweepLater()
	}
}

// spread returns what is known about a resource, up to date.
func (n *narrow) spread(r Resource, now time.Time) *spread {
	e := n.resources[r]
	if e == nil {
		e = &spread{}
		if len(n.resources) >= maxKeys {
			return e // nothing is known, and it is not kept
		}
		if n.resources == nil {
			n.resources = make(map[Resource]*spread)
		}
		n.resources[r] = e
		n.sweepLater()
	}
	rest := math.Exp2(-now.Sub(e.at).Seconds() / halfLife.Seconds())
	e.fresh, e.others, e.at = rest*e.fresh, rest*e.others, now
	return e
}
