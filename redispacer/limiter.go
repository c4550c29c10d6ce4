// Package redispacer shares the limits of a Twilio account between all processes that
// use it: a [pacer.Limiter] whose token buckets are in Redis.
//
//	limiter, err := redispacer.New(&redis.UniversalOptions{Addrs: []string{"redis:6379"}}, limits)
//	client, err := pacer.New(pacer.ClientParams{}, pacer.WithLimiter(limiter))
//
// Each bucket is a counter that starts full, is taken from per request and refilled at the rate; at 0
// a request waits. One script does that, by the Redis server's clock. A process takes tokens a few at
// a time, as places in one schedule of all processes. So a busy bucket costs a small part of a round
// trip per request, and an idle one nothing. When throttled answers close a bucket it is closed for
// all. One process learns its rate, from the answers of all. In-flight limits and priorities are each
// process's own.
//
// While Redis does not answer, each process goes on with its share of nine tenths of the rate. It
// raises [pacer.AlertNotShared], and asks again twice a second.
package redispacer

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
)

// A Limiter is a [pacer.BucketLimiter] whose buckets are shared through Redis. It is safe
// for concurrent use, and is to be closed.
type Limiter struct {
	*pacer.BucketLimiter
	store *store
	own   pacer.Limits // of the constructor: in force while Redis has none
	ended chan struct{}
	once  sync.Once
	err   error
}

// An Option changes how a Limiter is made.
type Option func(*store) error

// WithName sets what the names of all keys begin with, "pacer" by default. Limiters of
// different names share nothing.
func WithName(name string) Option {
	return func(s *store) error {
		if name == "" || strings.ContainsAny(name, "{}: \n") {
			return fmt.Errorf("redispacer: WithName: %q: expected a word without braces, colons and spaces", name)
		}
		s.name = name
		return nil
	}
}

// WithAlert adds a function that gets [pacer.AlertNotShared] when Redis stops answering, or when the
// key of one bucket is damaged. It gets [pacer.AlertLimitsRejected] when the limits in Redis are not
// valid. It is called from a goroutine of its own, one alert at a time, and may take its time and use
// the client. [Limiter.Close] does not wait for it. Each client of the limiter raises these alerts,
// too ([pacer.WithAlert]). Without a function here they go to the logger of [WithLogger]; without a
// client they go to slog's default.
func WithAlert(f func(pacer.Alert)) Option {
	return func(s *store) error {
		if f == nil {
			return errors.New("redispacer: WithAlert: nil: expected a function")
		}
		s.alerts = append(s.alerts, f)
		return nil
	}
}

// WithLogger sets where the limiter logs; [slog.Default] by default.
func WithLogger(l *slog.Logger) Option {
	return func(s *store) error {
		if l == nil {
			return errors.New("redispacer: WithLogger: nil: expected a *slog.Logger")
		}
		s.logger, s.logs = l, true
		return nil
	}
}

// New returns a limiter for the Redis of opts: one server, Sentinel (MasterName) or
// Cluster (several Addrs), with TLS and credentials as opts say. Where opts say nothing
// attempts are not repeated and end after 250 ms, since calls wait for them. That Redis does
// not answer is no error.
//
// limits are in force for as long as Redis has none: see [Limiter.SetLimits]. Errors are
// those of limits and options. The limiter has a goroutine and connections, which
// [Limiter.Close] ends.
func New(opts *redis.UniversalOptions, limits pacer.Limits, more ...Option) (*Limiter, error) {
	if opts == nil || len(opts.Addrs) == 0 {
		return nil, errors.New("redispacer: New: opts.Addrs: empty: expected the address of a Redis server, such as \"localhost:6379\"")
	}
	s := &store{name: "pacer", logger: slog.Default(), who: rand.Text()[:12], patience: patience}
	for _, o := range more {
		if err := o(s); err != nil {
			return nil, err
		}
	}
	local, err := pacer.NewSharedLimiter(limits, s)
	if err != nil {
		return nil, err
	}
	s.rdb = redis.NewUniversalClient(quick(opts, s.patience))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	l := &Limiter{BucketLimiter: local, store: s, own: limits, ended: make(chan struct{})}
	go l.watch()
	return l, nil
}

// patience is how long Redis is waited for.
const patience = 250 * time.Millisecond

// quick returns opts with what go-redis would take seconds for made as quick as patience.
func quick(opts *redis.UniversalOptions, patience time.Duration) *redis.UniversalOptions {
	o := *opts
	o.ContextTimeoutEnabled = true
	for _, t := range []*time.Duration{&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout} {
		if *t == 0 {
			*t = patience
		}
	}
	if o.MaxRetries == 0 {
		o.MaxRetries = -1
	}
	if o.DialerRetries == 0 {
		o.DialerRetries = 1
	}
	return &o
}

// SetLimits replaces the limits of all processes, which follow within a second. They stay
// in Redis, as JSON under the key pacer:limits (of another name see [WithName]), where they
// can also be set by hand:
//
//	redis-cli SET pacer:limits "$(cat limits.json)"
//	redis-cli DEL pacer:limits
//
// Deleted, each process goes back to those that it was made with. Invalid limits, and
// a Redis that does not answer within a second, are an error and change nothing.
// [pacer.Client.SetLimits] and [pacer.Client.WatchLimits] come here as well, and so set
// the limits of all.
func (l *Limiter) SetLimits(limits pacer.Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	text, err := json.Marshal(append(pacer.Limits{}, limits...))
	if err != nil {
		return fmt.Errorf("redispacer: SetLimits: %w", err)
	}
	ctx, cancel := context.WithTimeout(l.store.ctx, 4*l.store.patience)
	defer cancel()
	if err := l.store.rdb.Set(ctx, l.store.limitsKey(), text, 0).Err(); err != nil {
		return fmt.Errorf("%w; the limits were not set", l.store.explain(err))
	}
	return l.BucketLimiter.SetLimits(limits)
}

// StoredLimits returns the limits that are in Redis, whoever has set them. stored is false if there are none, so that each
// process uses those that it was made with. It waits for Redis for at most a second. What is stored and is no valid
// limits, and a Redis that does not answer, are errors. It is safe for concurrent use.
func (l *Limiter) StoredLimits(ctx context.Context) (limits pacer.Limits, stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*l.store.patience)
	defer cancel()
	text, err := l.store.limits(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("%w; the limits were not read", l.store.explain(err))
	}
	if text == "" {
		return nil, false, nil
	}
	if limits, err = pacer.ParseLimits([]byte(text)); err != nil {
		return nil, true, fmt.Errorf("redispacer: StoredLimits: key %s: %w", l.store.limitsKey(), err)
	}
	return limits, true, nil
}

// Take takes tokens out of a bucket in one round trip: it is what calls of the limiter wait
// for, and implements [pacer.BucketStore]. If the answer is late it asks again; Redis answers a
// demand that comes several times once. It is there for tools, and for limiters of your
// own ([pacer.NewSharedLimiter]) that are to use the same buckets. If Redis does not answer
// within 250 ms, and after Close, it returns an error that says what to do. If only this bucket is
// damaged the error wraps [pacer.ErrBucketOnly].
func (l *Limiter) Take(ctx context.Context, r pacer.Resource, d pacer.Demand) (pacer.Grant, error) {
	return l.store.Take(ctx, r, d)
}

// OnAlert implements [pacer.AlertLimiter], by which each client of the limiter raises its alerts.
func (l *Limiter) OnAlert(f func(pacer.Alert)) (stop func()) { return l.store.listen(f) }

// Close ends the limiter's goroutine and connections. Calls that still wait, and later ones,
// go on with this process's share. Closing again does nothing, and returns what the first
// one did.
func (l *Limiter) Close() error {
	l.once.Do(func() {
		l.store.cancel()
		<-l.ended
		l.err = l.store.close()
	})
	return l.err
}

// watch follows what is set in Redis and what other processes tell, until Close.
func (l *Limiter) watch() {
	defer close(l.ended)
	s := l.store
	s.checkEviction()
	sub := s.rdb.Subscribe(s.ctx, s.channel())
	defer sub.Close() //nolint:errcheck // it is the end
	told := sub.Channel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	seen := "" // the limits in Redis that were looked at last; "": none
	for {
		l.follow(&seen)
		select {
		case <-s.ctx.Done():
			return
		case <-look.C:
		case m, ok := <-told:
			if !ok {
				told = nil
				continue
			}
			if n, err := parseNotice(m.Payload); err == nil && n.From != s.who {
				l.Hold(n.Resource, pacer.Outcome{Throttled: true, RetryAfter: time.Duration(n.Micros) * time.Microsecond, TooLong: n.TooLong})
			}
		}
	}
}

// lookEvery is how often each process looks for limits that were set.
const lookEvery = 500 * time.Millisecond

// follow applies the limits in Redis if they have changed.
func (l *Limiter) follow(seen *string) {
	s, began := l.store, time.Now()
	ask := func() (string, error) {
		ctx, cancel := context.WithTimeout(s.ctx, s.patience)
		defer cancel()
		return s.limits(ctx)
	}
	text, err := ask()
	if err != nil && lost(err) {
		text, err = ask() // one answer may be late
	}
	s.answered(err, began)
	if err != nil || text == *seen {
		return
	}
	*seen = text
	limits := l.own
	if text != "" {
		limits, err = pacer.ParseLimits([]byte(text))
	}
	if err == nil {
		err = l.BucketLimiter.SetLimits(limits)
	}
	if err != nil {
		s.alert(pacer.Alert{
			Kind: pacer.AlertLimitsRejected, Time: time.Now(), Err: fmt.Errorf("key %s: %w", s.limitsKey(), err),
			Advice: "set valid limits there; what was in force before stays so",
		})
	}
}

// limits returns the text of the limits in Redis; "": there are none.
func (s *store) limits(ctx context.Context) (text string, err error) {
	text, err = s.rdb.Get(ctx, s.limitsKey()).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return text, err
}

// A notice tells other processes of a throttled answer.
type notice struct {
	From     string         `json:"from"`
	Resource pacer.Resource `json:"resource"`
	Sender   string         `json:"sender,omitempty"` // Resource's, which leaves it out of JSON; others need it, and nothing stores it
	Micros   int64          `json:"us"`
	TooLong  bool           `json:"tooLong,omitempty"`
}

func parseNotice(text string) (n notice, err error) {
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return notice{}, fmt.Errorf("redispacer: a notice of another process cannot be read: %w", err)
	}
	longest := longestHold
	if n.TooLong {
		longest = longestRetry
	}
	if n.Micros <= 0 || n.Micros > longest.Microseconds() || n.Resource.Name == "" {
		return notice{}, errors.New("redispacer: a notice of another process makes no sense")
	}
	n.Resource.Sender = n.Sender
	return n, nil
}
