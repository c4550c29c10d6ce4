package pacer

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/internal/line"
)

// A narrow holds back requests for single receivers and objects, in front of the limiter.
// One number that Twilio throttles must not keep all others waiting, as the bucket of its
// resource would. The zero narrow holds nothing. It is safe for concurrent use.
//
// A key that was throttled is held for as long as the answer says, else for 1, 2, 4, 8, 16 s,
// by how often in a row. Its requests wait in line. When the hold is over one of them goes as
// a probe, and each that is accepted lets two more go. If the key is throttled again after
// many acceptances, its requests are spaced as those were.
//
// Some answers leave open whether they are about a key or about all of its resource. For
// these narrow counts how many keys are throttled that were not before, and how many others
// pass: see [spread].
type narrow struct {
	mu        sync.Mutex
	keys      map[key]*held
	resources map[Resource]*spread
	sweeper   *time.Timer // nil: there is nothing to forget
}

const (
	maxKeys       = 10_000           // in each map, some 5 MB; beyond it keys that nobody waits for are forgotten
	keyRemembered = time.Minute      // after its hold, so that the next hold is longer
	provesRate    = 10               // acceptances between two holds that tell a rate
	spacedFor     = 30 * time.Second // then the spacing is tried without
)

// A held is what is known of one key that was throttled.
type held struct {
	row      // none: the key was throttled, and not held for it
	scope    Scope
	began    time.Time // when the last hold did
	line     line.Line
	inFlight int
	window   int // the most in flight

	opened time.Time     // when the last hold was over; zero: not yet
	passes int           // requests accepted that have left since
	left   time.Time     // when the last request did
	every  time.Duration // the least between two; 0: they are not spaced
}

// A passage is a request that has passed its key's line.
type passage struct {
	key  *key
	held *held // nil: it was not held
	left time.Time
}

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
				h.line.Passes(w)
				return h.leave(k, now), nil
			}
			sleep = delay
		}
		if err := w.Sleep(ctx, &n.mu, sleep); err != nil {
			return passage{}, &WaitError{RateLimit: notSent(r), Err: err}
		}
	}
}

// errHeld is wrapped where a request is not to wait for its key.
var errHeld = errors.New("its receiver or object was throttled, and is held")

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
	return passage{}, h.refusal(r, delay, errHeld)
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
	h := p.held
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
// is about. If that is narrow, the key is held, and o says so.
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
			n.hold(k, h, now)
			if code == codePair {
				return scope
			}
			return ScopeResource
		}
	}
	o.Narrow = true
	if h = n.hold(k, h, now); h == nil {
		return k.scope
	}
	h.throttled(left, asked, o, now)
	return k.scope
}

// hold returns the record of a key that was throttled, h if it has one, else a new one; nil:
// there are too many.
func (n *narrow) hold(k *key, h *held, now time.Time) *held {
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
		n.keys = make(map[key]*held)
	}
	h = &held{row: row{cooldown: cooldown{until: now}}, scope: k.scope, window: math.MaxInt}
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

// idle reports that no request waits for the key or is in flight.
func (h *held) idle() bool { return h.inFlight == 0 && h.line.Len() == 0 }

// throttled holds the key. Answers to requests that were on their way when the last hold began
// are of the same event, and can only prolong it.
func (h *held) throttled(left time.Time, asked time.Duration, o *Outcome, now time.Time) {
	before := h.times
	h.row.throttled(left)
	if h.times > before {
		h.began, h.window = now, 1
	}
	if asked == 0 {
		o.RetryAfter = time.Second << min(h.times-1, 4)
	}
	h.begin(*o, now)
	h.line.WakeHead()
	if h.refuse {
		h.line.WakeAll()
	}
	h.line.WakeEnding(h.until)
}

// obstacle returns how long the first in the key's line must wait; 0: it may leave. The error
// is for those that must not wait, as it would take longer than their deadline or than calls
// ever wait.
func (h *held) obstacle(r Resource, deadline, now time.Time) (time.Duration, error) {
	if h.refuses(now) {
		return 0, h.refusal(r, h.retryAt.Sub(now), ErrWaitTooLong)
	}
	delay := max(0, h.remaining(now))
	if delay == 0 && h.every > 0 {
		delay = max(0, h.left.Add(h.every).Sub(now))
	}
	if delay > 0 && !deadline.IsZero() && now.Add(delay).After(deadline) {
		return 0, tooLate(r, delay)
	}
	if delay == 0 && h.inFlight >= h.window {
		return line.UntilWoken, nil // an answer ends it
	}
	return delay, nil
}

// leave lets a request of the key pass.
func (h *held) leave(k *key, now time.Time) passage {
	if h.on {
		if h.passes >= provesRate {
			h.every = max(h.began.Sub(h.opened), time.Second) / time.Duration(h.passes)
		}
		h.end()
		h.opened, h.passes = now, 0
	}
	h.inFlight++
	h.left = now
	return passage{k, h, now}
}

// accepts notes that a request was accepted that has passed at the given time.
func (h *held) accepts(left, now time.Time) {
	if left.Before(h.opened) {
		return
	}
	h.passes++
	if left.Before(h.until) {
		return // the key was throttled since
	}
	h.row.accepted(left)
	if h.window < math.MaxInt {
		h.window++
	}
	if h.every > 0 && now.Sub(h.opened) >= spacedFor {
		h.every, h.opened, h.passes = 0, now, 0 // perhaps it may have more by now
	}
}

// refusal is for a request that must not wait. It may be tried again after the wait.
func (h *held) refusal(r Resource, wait time.Duration, err error) *WaitError {
	rl := notSent(r)
	rl.RetryAfter, rl.Scope = wait, h.scope
	return &WaitError{RateLimit: rl, Err: err}
}

// A spread says how far throttling has spread among the keys of a resource. It is for answers
// that may be about a single key or about all. If they are about all, mostly keys are throttled
// that were not before, and few others pass. If they are about a key, it is throttled again and
// again while others pass.
//
// A plain 20429 of Verify is taken to be about a number at first, as Twilio's page on it names
// mostly such causes. 63018 is taken to be about the sender at first. Once many keys of a
// resource were throttled, it has a limit of its own: for a while each further answer is
// about that, unless the same key is throttled again.
type spread struct {
	fresh   float64   // keys throttled that were not before; each loses weight with time
	others  float64   // requests accepted, each for another key than the one before
	at      time.Time // of these weights
	last    string    // the key that was accepted last
	widened time.Time // when an answer was about all last; zero: never
}

const (
	halfLife  = 10 * time.Second // of weights
	wideShare = 0.2              // of requests throttled for fresh keys, from which on it is about all
	wideFor   = 10 * time.Minute // for which a limit of the whole resource is remembered

	coincidences = 2 // holds of a key in a row that may be by the resource's limit
)

// undecided reports that answers to requests for k may leave open what they are about.
func (k *key) undecided() bool { return k.resource.Product == "verify" || k.resource.Product == "api" }

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

func (e *spread) accepts(k *key) {
	if e.last != k.id {
		e.others++
		e.last = k.id
	}
}

// wide reports whether a throttled answer is about all of the resource. h is what is known of
// its key; nil: it was not throttled before. mostly: such answers mostly are about all.
func (e *spread) wide(h *held, mostly bool) bool {
	if h == nil {
		e.fresh++
	}
	few := e.fresh < 1.5 || e.fresh < wideShare*(e.fresh+e.others)
	presumed := mostly || !e.widened.IsZero() && e.at.Sub(e.widened) < wideFor
	if !few || presumed && (h == nil || e.others < 1) {
		e.widened = e.at
		return true
	}
	if h != nil && h.times >= coincidences {
		e.widened = time.Time{}
	}
	return false
}
