package redispacer

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
)

// A store is a [pacer.BucketStore] on Redis.
type store struct {
	name   string
	who    string // this process
	rdb    redis.UniversalClient
	logger *slog.Logger
	alerts []func(pacer.Alert)
	told   sync.Mutex // held while alerts are
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	calls  sync.WaitGroup // added to with mu held, and not after closed
	closed bool
	away   bool      // Redis does not answer, or only in part
	failed time.Time // when it last did not
	clock  clock
}

// A bucket's tokens are promised for half a second ahead at most, so that a change of the
// rate bites within that time.
const horizon = 500 * time.Millisecond

// longestHold bounds the cool-down that one answer can ask for.
const longestHold = time.Hour

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

// Take implements [pacer.BucketStore], in one round trip.
func (s *store) Take(ctx context.Context, r pacer.Resource, d pacer.Demand) (pacer.Grant, error) {
	if err := s.begin(); err != nil {
		return pacer.Grant{}, err
	}
	defer s.calls.Done()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()

	rate := d.Rate
	if rate >= pacer.Unlimited {
		rate = 0
	}
	hold := min(d.Hold, longestHold)
	var message []byte
	if hold > 0 {
		var err error
		if message, err = json.Marshal(notice{From: s.who, Resource: r, Sender: r.Sender, Micros: hold.Microseconds(), TooLong: d.TooLong}); err != nil {
			return pacer.Grant{}, fmt.Errorf("redispacer: %w", err)
		}
	}
	key := s.bucketKey(r)
	sent := time.Now()
	answer, err := takeScript.Run(ctx, s.rdb, []string{key, key + ":users"},
		d.N, strconv.FormatFloat(rate, 'g', -1, 64), d.Burst, d.Unused, d.Last, hold.Microseconds(), d.Accepted, d.Learn,
		s.who, horizon.Microseconds(), s.channel(), message, d.Back).Slice()
	received := time.Now()
	var g pacer.Grant
	if err == nil {
		g, err = s.grant(answer, sent, received)
	}
	s.answered(err)
	if err != nil {
		return pacer.Grant{}, explain(err)
	}
	return g, nil
}

var errNoGrant = errors.New("redispacer: the script's answer makes no sense: another program has replaced it")

// grant reads the script's answer.
func (s *store) grant(answer []any, sent, received time.Time) (g pacer.Grant, err error) {
	const fields = 9
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
		if !(n[i] >= 0 && n[i] <= 1<<53) { // NaN as well
			return g, errNoGrant
		}
	}
	got, number, from, again, until, now, pace, learned, users := int(n[0]), int64(n[1]), n[2], n[3], n[4], n[5], n[6], n[7], int(n[8])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock.set(now, sent, received)
	g = pacer.Grant{N: got, Number: number, From: s.clock.local(from), Again: s.clock.local(again), Pace: pacer.Unlimited, Learned: learned, Processes: users}
	if pace > 0 {
		g.Pace, g.Every = pace, time.Duration(min(float64(time.Second)/pace, 1<<62))
	}
	if until > now {
		g.Hold = s.clock.local(until)
	}
	return g, nil
}

// A clock translates the server's time. It goes by the answer that took the shortest
// time, of late: the error is half of that.
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
	return c.local_.Add(time.Duration((us - c.server) * 1e3))
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

// answered takes note of whether Redis answers, and tells when that changes.
func (s *store) answered(err error) {
	if err != nil && s.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	was, now := s.away, time.Now()
	switch {
	case err != nil:
		s.away, s.failed = true, now
	case now.Sub(s.failed) > calm:
		s.away = false
	}
	is := s.away
	s.mu.Unlock()
	switch {
	case is && !was:
		s.alert(pacer.Alert{
			Kind: pacer.AlertNotShared, Time: now, Err: explain(err),
			Advice: "bring Redis back: until then each process keeps to its share of nine tenths of the rate, and learns of no throttle but its own",
		})
	case was && !is:
		s.logger.Info("redispacer: Redis answers again: limits are shared")
	}
}

func (s *store) alert(a pacer.Alert) {
	s.told.Lock()
	defer s.told.Unlock()
	for _, f := range s.alerts {
		f(a)
	}
	if len(s.alerts) == 0 {
		s.logger.Error("pacer: "+string(a.Kind), "error", a.Err, "advice", a.Advice)
	}
}

// checkEviction warns of a server that may drop buckets when its memory is full.
func (s *store) checkEviction() {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
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
func explain(err error) error {
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
		return fmt.Errorf("redispacer: Redis does not answer within %v: %w", patience, err)
	case errors.Is(err, errNoGrant):
		return err
	}
	return fmt.Errorf("redispacer: Redis cannot be reached: %w", err)
}
