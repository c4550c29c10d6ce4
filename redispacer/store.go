package redispacer

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
)

// A store is a [pacer.BucketStore] on Redis.
type store struct {
	name     string
	who      string // this process
	rdb      redis.UniversalClient
	logger   *slog.Logger // of WithLogger, or slog's default
	logs     bool         // logger is of WithLogger
	alerts   []func(pacer.Alert)
	patience time.Duration // how long an answer of Redis is waited for
	demands  atomic.Int64  // so far: the number of the last one
	ctx      context.Context
	cancel   context.CancelFunc

	mu      sync.Mutex
	calls   sync.WaitGroup // added to with mu held, and not after closed
	closed  bool
	away    bool      // Redis does not answer, or only in part
	failed  time.Time // when it last did not
	heard   time.Time // when it last answered
	clock   clock
	usual   time.Duration   // that answers take, mostly
	broken  map[string]bool // keys of buckets that are damaged, of which an alert was told
	untold  []pacer.Alert   // that a goroutine tells
	telling bool            // that goroutine runs

	clients map[*func(pacer.Alert)]struct{} // that use the limiter, and raise its alerts
	outage  *pacer.Alert                    // that was told of the present outage; nil: none was
}

// A bucket's tokens are promised for half a second ahead at most, so that a change of the
// rate bites within that time.
const horizon = 500 * time.Millisecond

// longestHold bounds the cool-down that one answer can ask for, if calls wait for its end. If
// they do not, it lasts for retryHold at most, and then one request asks again.
const (
	longestHold  = time.Hour
	retryHold    = 5 * time.Minute
	longestRetry = 30 * 24 * time.Hour
)

//go:embed take.lua
var takeSource string

var takeScript = redis.NewScript(takeSource)

func (s *store) channel() string   { return s.name + ":throttled" }
func (s *store) limitsKey() string { return s.name + ":limits" }

// bucketKey names a bucket. A sender may be a phone number, and is not to be read there.
func (s *store) bucketKey(r pacer.Resource) string {
	sender := ""
	if r.Sender != "" {
		sum := sha256.Sum256([]byte(r.Sender))
		sender = fmt.Sprintf("/%x", sum[:8])
	}
	return fmt.Sprintf("%s:{%s/%s/%s%s}", s.name, r.Account, r.Region, r, sender)
}

// A demand that has no answer is sent again, over another connection, up to three times. One
// answer that is late must not keep the bucket waiting, and the script answers a demand that comes
// several times only once. It is sent again after 25, 75 and 150 ms, or later where answers usually take
// more than a quarter of that.
const (
	repeats     = 3
	repeatAfter = 25 * time.Millisecond
)

// Take implements [pacer.BucketStore], in one round trip.
func (s *store) Take(ctx context.Context, r pacer.Resource, d pacer.Demand) (pacer.Grant, error) {
	if err := s.begin(); err != nil {
		return pacer.Grant{}, err
	}
	defer s.calls.Done()
	keys, args, err := s.arguments(r, d)
	if err != nil {
		return pacer.Grant{}, err
	}
	began := time.Now()
	g, err := s.ask(ctx, keys, args)
	if err != nil && ctx.Err() == nil && damaged(err) {
		s.breaks(r, keys[0], s.explain(err))
		return pacer.Grant{}, fmt.Errorf("%w (key %s): %w", s.explain(err), keys[0], pacer.ErrBucketOnly)
	}
	s.answered(err, began)
	if err != nil {
		return pacer.Grant{}, s.explain(err)
	}
	s.heals(keys[0])
	return g, nil
}

// arguments returns those of the script.
func (s *store) arguments(r pacer.Resource, d pacer.Demand) (keys []string, args []any, err error) {
	hold, retry := min(d.CoolDownFor, longestHold), time.Duration(0)
	if d.TooLong {
		hold, retry = min(d.CoolDownFor, retryHold), min(d.CoolDownFor, longestRetry)
	}
	var message []byte
	if hold > 0 {
		if message, err = json.Marshal(notice{From: s.who, Resource: r, Sender: r.Sender, Micros: max(hold, retry).Microseconds(), TooLong: d.TooLong}); err != nil {
			return nil, nil, fmt.Errorf("redispacer: %w", err)
		}
	}
	key := s.bucketKey(r)
	return []string{key, key + ":users", key + ":line"}, []any{
		d.N, number(d.Rate), d.Burst, d.Unused, d.Last, hold.Microseconds(), d.Accepted, d.Throttled, d.Learn,
		number(d.Pace), number(d.Learned), s.who, horizon.Microseconds(), s.channel(), message, d.Back, s.demands.Add(1), retry.Microseconds(),
	}, nil
}

// number returns a rate as the script has it: 0 is none.
func number(rate float64) string {
	if rate >= pacer.Unlimited {
		rate = 0
	}
	return strconv.FormatFloat(rate, 'g', -1, 64)
}

// ask runs the script, and again while it does not answer. The first answer counts.
func (s *store) ask(ctx context.Context, keys []string, args []any) (g pacer.Grant, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	type result struct {
		grant pacer.Grant
		err   error
	}
	results := make(chan result, 1+repeats)
	try := func() {
		sent := time.Now()
		answer, err := takeScript.Run(ctx, s.rdb, keys, args...).Slice()
		var r result
		if r.err = err; err == nil {
			r.grant, r.err = s.grant(answer, sent, time.Now())
		}
		results <- r
	}
	go try()
	tries, failures, pause := 1, 0, max(repeatAfter, 4*s.usually())
	again := time.NewTimer(pause)
	defer again.Stop()
	for {
		select {
		case r := <-results:
			if failures++; r.err == nil || failures > repeats || !lost(r.err) || ctx.Err() != nil {
				return r.grant, r.err
			}
		case <-again.C:
			go try()
			if tries++; tries <= repeats {
				again.Reset(time.Duration(tries) * pause)
			}
		}
	}
}

// usually returns how long answers take, mostly.
func (s *store) usually() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usual
}

// took takes in how long an answer has taken: it follows their median.
func (s *store) took(d time.Duration) {
	if d > s.usual {
		s.usual += s.usual/16 + 100*time.Microsecond
	} else {
		s.usual -= s.usual / 16
	}
}

// lost reports that the answer may be lost, or late, so that it may help to ask again.
func lost(err error) bool {
	var answer redis.Error
	return !errors.As(err, &answer) && !errors.Is(err, errNoGrant)
}

// damaged reports that the server answers, and that only the keys of one bucket are in its way.
func damaged(err error) bool {
	return redis.HasErrorPrefix(err, "WRONGTYPE") || errors.Is(err, errNoGrant)
}

// errNoGrant is for an answer of the script that makes no sense.
var errNoGrant = errors.New("redispacer: the script's answer makes no sense: another program has replaced it, or a field of the bucket")

// grant reads the script's answer.
func (s *store) grant(answer []any, sent, received time.Time) (g pacer.Grant, err error) {
	const fields = 14
	if len(answer) != fields {
		return g, errNoGrant
	}
	var n [fields]float64
	for i, v := range answer {
		switch v := v.(type) {
		case int64:
			n[i] = float64(v)
		case string:
			if n[i], err = strconv.ParseFloat(v, 64); err != nil {
				return g, errNoGrant
			}
		default:
			return g, errNoGrant
		}
		if most := float64(1 << 53); !(n[i] >= 0) || n[i] > most && i != atPace && i != atLearned || math.IsInf(n[i], 0) { // NaN as well
			return g, errNoGrant
		}
	}
	now, pace := n[5], n[atPace]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock.set(now, sent, received)
	s.took(received.Sub(sent))
	g = pacer.Grant{
		N: int(n[0]), Number: int64(n[1]), From: s.clock.local(n[2]), Again: s.clock.local(n[3]), Pace: pacer.Unlimited, Learned: n[atLearned], Processes: int(n[8]),
		Learner: n[10] == 1, Accepted: int(n[11]), Throttled: int(n[12]), Heeded: n[13] == 1,
	}
	if pace > 0 {
		g.Pace, g.Every = pace, time.Duration(min(float64(time.Second)/pace, 1<<62))
	}
	if until := n[4]; until > now {
		g.CoolDownUntil = s.clock.local(until)
		if retry := n[9]; retry > 0 {
			g.RetryAt = s.clock.local(retry)
		}
	}
	return g, nil
}

// Where rates are in the script's answer.
const atPace, atLearned = 6, 7

// A clock translates the server's time. It goes by the answer that took the shortest
// time recently: the error is half of that.
type clock struct {
	server float64 // us
	local_ time.Time
	error  time.Duration
}

const clockLasts = time.Minute

// set takes in that the server's time was now at some moment between sent and received.
func (c *clock) set(now float64, sent, received time.Time) {
	half := received.Sub(sent) / 2
	middle := sent.Add(half)
	off := c.local(now).Sub(middle)
	if c.local_.IsZero() || half <= c.error || off.Abs() > half+c.error || received.Sub(c.local_) > clockLasts {
		c.server, c.local_, c.error = now, middle, half
	}
}

// local returns the server's time us in the time of this process.
func (c *clock) local(us float64) time.Time {
	return c.local_.Add(time.Duration(min(max((us-c.server)*1e3, -1<<62), 1<<62)))
}

func (s *store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.calls.Add(1)
	return nil
}

var errClosed = errors.New("redispacer: the limiter is closed")

func (s *store) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	if err := s.rdb.Close(); err != nil {
		return fmt.Errorf("redispacer: closing: %w", err)
	}
	return nil
}

// An outage is over when nothing has failed for so long: of several keys, and nodes of a
// Cluster, one may fail whenever it is asked for, and others answer in between.
const calm = 2 * lookEvery

// answered takes note of whether Redis answers what was asked at a time, and tells when that
// changes. That one answer does not come means nothing if another one has come since.
func (s *store) answered(err error, asked time.Time) {
	if err != nil && s.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	was, now := s.away, time.Now()
	if err == nil {
		s.heard = now
	}
	switch {
	case err != nil && lost(err) && s.heard.After(asked):
	case err != nil:
		s.away, s.failed = true, now
	case now.Sub(s.failed) > calm:
		s.away, s.outage = false, nil
	}
	is := s.away
	s.mu.Unlock()
	switch {
	case is && !was:
		s.alert(pacer.Alert{
			Kind: pacer.AlertNotShared, Time: now, Err: s.explain(err),
			Advice: "bring Redis back: until then each process keeps to its share of nine tenths of the rate, and learns of no throttle but its own",
		})
	case was && !is:
		s.logger.Info("redispacer: Redis answers again: limits are shared")
	}
}

// alert has a goroutine tell those who want to know. It may take its time, and use the client
// whose limiter this is.
func (s *store) alert(a pacer.Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untold = append(s.untold, a)
	if !s.telling {
		s.telling = true
		go s.tell()
	}
}

// listen has a client raise the limiter's alerts until stop, and that of an outage which is told
// already.
func (s *store) listen(raise func(pacer.Alert)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == nil {
		s.clients = map[*func(pacer.Alert)]struct{}{}
	}
	s.clients[&raise] = struct{}{}
	if s.outage != nil {
		go raise(*s.outage)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.clients, &raise)
	}
}

// tell tells alerts, one at a time, until there is none.
func (s *store) tell() {
	for {
		s.mu.Lock()
		if len(s.untold) == 0 {
			s.telling = false
			s.mu.Unlock()
			return
		}
		a := s.untold[0]
		s.untold = s.untold[1:]
		if s.away && a.Kind == pacer.AlertNotShared && a.Resource == (pacer.Resource{}) {
			s.outage = &a
		}
		clients := slices.Collect(maps.Keys(s.clients))
		s.mu.Unlock()
		for _, f := range s.alerts {
			f(a)
		}
		for _, raise := range clients {
			(*raise)(a)
		}
		if len(s.alerts) == 0 && (s.logs || len(clients) == 0) {
			s.logger.Error("pacer: "+string(a.Kind), "error", a.Err, "advice", a.Advice)
		}
	}
}

// breaks tells, once, that a bucket is damaged.
func (s *store) breaks(r pacer.Resource, key string, err error) {
	s.mu.Lock()
	known := s.broken[key]
	if !known && len(s.broken) < maxBroken {
		if s.broken == nil {
			s.broken = map[string]bool{}
		}
		s.broken[key] = true
	}
	s.mu.Unlock()
	if !known {
		s.alert(pacer.Alert{
			Kind: pacer.AlertNotShared, Time: time.Now(), Resource: r, Err: fmt.Errorf("key %s: %w", key, err),
			Advice: "delete this key and those that begin like it: until then each process keeps to its share of nine tenths of this bucket's rate; all others are shared",
		})
	}
}

// maxBroken bounds how many damaged buckets are remembered.
const maxBroken = 1000

// heals takes note that a bucket is in order.
func (s *store) heals(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken[key] {
		delete(s.broken, key)
		s.logger.Info("redispacer: the bucket is in order again: its limit is shared", "key", key)
	}
}

// checkEviction warns of a server that may drop buckets when its memory is full.
func (s *store) checkEviction() {
	ctx, cancel := context.WithTimeout(s.ctx, s.patience)
	defer cancel()
	info, err := s.rdb.Info(ctx, "memory").Result()
	if err != nil {
		return // follow tells whether Redis answers
	}
	for line := range strings.Lines(info) {
		if policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:"); ok && strings.HasPrefix(policy, "allkeys") && !strings.Contains(info, "\nmaxmemory:0\r") {
			s.logger.Warn("redispacer: this Redis drops keys when its memory is full, cool-downs and learned rates among them: use noeviction or a volatile policy with room to spare", "maxmemory-policy", policy)
		}
	}
}

// explain adds to an error of Redis' what to do.
func (s *store) explain(err error) error {
	for _, known := range [...]struct{ prefix, advice string }{
		{"NOAUTH", "give the password in UniversalOptions.Password"},
		{"Protocol error: unauthenticated", "give the password in UniversalOptions.Password"}, // to a command of more than ten words
		{"WRONGPASS", "the user name or password in UniversalOptions is not the server's"},
		{"NOPERM", "let this user run EVALSHA, EVAL, GET, SET, SUBSCRIBE, PUBLISH, PING and what take.lua calls, on keys and channels that begin with the limiter's name (docs/redis.md)"},
		{"READONLY", "this server is a replica: name the master, or Sentinel with MasterName"},
		{"WRONGTYPE", "another program has a key of that name: choose another with WithName"},
		{"OOM", "the server's memory is full: raise maxmemory"},
		{"LOADING", "the server is reading its data: wait"},
		{"MASTERDOWN", "the replica has lost its master: wait for the failover, or name another server"},
		{"CLUSTERDOWN", "the cluster is not whole: see CLUSTER INFO"},
		{"MOVED", "this is a Cluster: give several Addrs, or IsClusterMode"},
		{"MISCONF", "the server cannot save, and so refuses to write: see its log"},
	} {
		if redis.HasErrorPrefix(err, known.prefix) {
			return fmt.Errorf("redispacer: %w: %s", err, known.advice)
		}
	}
	var n net.Error
	switch {
	case errors.As(err, &n) && n.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("redispacer: Redis does not answer within %v: %w", s.patience, err)
	case errors.Is(err, errNoGrant):
		return err
	}
	return fmt.Errorf("redispacer: Redis cannot be reached: %w", err)
}
