// Package redisqueue keeps a [queue.Engine]'s jobs in Redis (6.2 or later): a single server,
// one with Sentinel, or a Cluster. Workers and producers may be on many machines.
//
// What a call has returned is as durable as the server makes it. With appendonly yes and
// appendfsync always it outlives a power loss. With everysec it outlives the end of the
// process, and a power loss may take the last two seconds. With neither it ends with the
// server. [Open] warns of such settings. A failover may take what the replica had not received
// yet, unless [Replicas] is used. docs/redis.md has what each failure does.
//
// Calls take the client's timeouts. An error from the connection does not say whether the call
// was done. Add with the same jobs may be called again. What Claim had claimed is in doubt when
// its lease ends. Move of what was moved returns a *queue.StateError that says so.
package redisqueue

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// layout is the version of what the keys hold.
const layout = 1

// oldest is the first Redis that has XAUTOCLAIM and exclusive ranges of streams.
var oldest = [2]int{6, 2}

// An Engine is a [queue.Engine] on a Redis. It is safe for concurrent use.
type Engine struct {
	rdb        redis.UniversalClient
	log        *slog.Logger
	name       string
	prefix     string // of all keys
	consumer   string // this engine, in the streams' groups
	epoch      string // what the key of the version says
	replicas   replicas
	operations queue.Operations // that the intake takes

	laneNames
	calls   *engine.Calls
	news    *engine.News
	others  others
	mending mending
	intake  intake
}

// pkg begins the errors of this package.
const pkg engine.Package = "redisqueue"

var _ queue.Engine = (*Engine)(nil)

// An Option changes an [Engine].
type Option func(*Engine) error

// Name names the queue: a Redis may hold several. The default is "queue". All keys of a
// queue begin with pacer:{name}: and so are in one slot of a Cluster.
func Name(name string) Option {
	return func(e *Engine) error {
		if name == "" || len(name) > 100 || strings.ContainsAny(name, "{} \t\r\n\x00") {
			return fmt.Errorf("redisqueue: Name: %.100q: expected 1 to 100 bytes without braces and white space", name)
		}
		e.name = name
		return nil
	}
}

// WithLogger sets where warnings go. The default is slog.Default.
func WithLogger(l *slog.Logger) Option {
	return func(e *Engine) error {
		if l == nil {
			return errors.New("redisqueue: WithLogger: nil: expected a *slog.Logger")
		}
		e.log = l
		return nil
	}
}

// WithOperations sets which operations may be ordered in the intake, the stream that producers
// in other languages write to. They are named as in "api/Messages:create", and "*" is all. The
// default is [queue.DefaultOperations]; append to it to allow more. Workers send what is
// ordered there with the account's credentials. What is not allowed is put into the stream of
// rejected entries. What this program enqueues itself is not concerned. Give all engines of a
// queue the same.
func WithOperations(names ...string) Option {
	return func(e *Engine) (err error) {
		if e.operations, err = queue.NewOperations(names...); err != nil {
			return fmt.Errorf("redisqueue: WithOperations: %w", err)
		}
		return nil
	}
}

// Replicas makes Add, Claim and Move wait (WAIT) until n replicas have received what was
// written. Then a failover to one of them loses nothing that was acknowledged. If they have not
// received it within timeout, the call returns an error. What it has written stays on the
// master, and Claim puts back what it has claimed. The timeout must be less than the client's
// ReadTimeout.
func Replicas(n int, timeout time.Duration) Option {
	return func(e *Engine) error {
		if n < 1 || timeout < time.Millisecond {
			return fmt.Errorf("redisqueue: Replicas: %d within %v: expected at least 1, and 1ms", n, timeout)
		}
		e.replicas = replicas{n, timeout}
		return nil
	}
}

// Open returns an engine on a Redis, which begins an empty queue if there is none. The client
// stays the caller's, who closes it after the engine. Open returns an error if Redis is too
// old, cannot be reached, or does not permit what is needed. A queue that a newer version has
// made is an error, too. It warns of settings with which data may be lost.
func Open(ctx context.Context, rdb redis.UniversalClient, opts ...Option) (*Engine, error) {
	if rdb == nil {
		return nil, errors.New("redisqueue: Open: nil client: expected one such as redis.NewUniversalClient returns")
	}
	e := &Engine{rdb: rdb, log: slog.Default(), name: "queue", calls: engine.NewCalls(), mending: mending{fromJob: "0", fromLane: "1"}}
	e.news = engine.NewNews(e.calls, nil, e.lookAround)
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o(e); err != nil {
			return nil, err
		}
	}
	e.prefix = "pacer:{" + e.name + "}:"
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	e.consumer = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), random(4))
	if err := e.checkServer(ctx); err != nil {
		return nil, err
	}
	if err := e.begins(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// random returns n bytes' worth of hexadecimal digits.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func (e *Engine) key(suffix string) string { return e.prefix + suffix }

// begins makes the queue if it is not there, and learns which it is.
func (e *Engine) begins(ctx context.Context) error {
	v, err := e.rdb.Get(ctx, e.key("v")).Result()
	if errors.Is(err, redis.Nil) { // only then it writes, so that an engine opens although memory is full
		if err := e.rdb.SetNX(ctx, e.key("v"), fmt.Sprintf("%d %s", layout, random(8)), 0).Err(); err != nil {
			return e.explain(err)
		}
		v, err = e.rdb.Get(ctx, e.key("v")).Result()
	}
	if err != nil {
		return e.explain(err)
	}
	number, _, ok := strings.Cut(v, " ")
	switch n, err := strconv.Atoi(number); {
	case !ok || err != nil || n < 1:
		return fmt.Errorf("redisqueue: %s: %w: key %s is not a queue's: use another Name", e.name, queue.ErrDamaged, e.key("v"))
	case n > layout:
		return fmt.Errorf("redisqueue: queue %s is of version %d, and this program knows %d: %w", e.name, n, layout, queue.ErrOutdated)
	}
	e.epoch = v
	// What may only read does not get further than this.
	err = e.rdb.XGroupCreateMkStream(ctx, e.key("in"), intakeGroup, "0").Err()
	if err != nil && !strings.Contains(err.Error(), "BUSYGROUP") && !errors.Is(e.explain(err), queue.ErrFull) {
		return e.explain(err)
	}
	return nil
}

// node returns a client of the node that has the queue's slot, whose connections WAIT and
// CONFIG must be sent over.
func (e *Engine) node(ctx context.Context) (redis.UniversalClient, error) {
	if c, ok := e.rdb.(*redis.ClusterClient); ok {
		n, err := c.MasterForKey(ctx, e.key("v"))
		if err != nil {
			return nil, e.explain(err)
		}
		return n, nil
	}
	return e.rdb, nil
}

// checkServer refuses a Redis that is too old, and warns of one that may lose data.
func (e *Engine) checkServer(ctx context.Context) error {
	node, err := e.node(ctx)
	if err != nil {
		return err
	}
	info, err := node.Info(ctx, "server").Result()
	if err != nil {
		if !refusedToSay(err) {
			return e.explain(err)
		}
		e.warn("INFO is not permitted: which version it is could not be checked", "expected", fmt.Sprintf("Redis %d.%d or later", oldest[0], oldest[1]))
	} else if err := checkVersion(field(info, "redis_version")); err != nil {
		return err
	}
	settings := map[string]string{}
	for _, name := range []string{"appendonly", "appendfsync", "maxmemory", "maxmemory-policy"} {
		v, err := node.ConfigGet(ctx, name).Result()
		if err == nil {
			if s, ok := v[name]; ok {
				settings[name] = s
			}
		} else if !refusedToSay(err) {
			return e.explain(err)
		}
	}
	for _, w := range warnings(settings) {
		e.warn(w)
	}
	return nil
}

// refusedToSay reports that an ACL or a managed service keeps a command from us.
func refusedToSay(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "NOPERM") || strings.Contains(text, "unknown command") || strings.Contains(text, "unknown subcommand")
}

func (e *Engine) warn(what string, args ...any) {
	e.log.Warn("redisqueue: "+what, append([]any{"queue", e.name}, args...)...)
}

// field returns a line's value of what INFO says.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k == name {
			return v
		}
	}
	return ""
}

func checkVersion(v string) error {
	parts := strings.SplitN(v, ".", 3)
	if len(parts) < 2 {
		return nil // what calls itself otherwise is tried
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 == nil && err2 == nil && (major < oldest[0] || major == oldest[0] && minor < oldest[1]) {
		return fmt.Errorf("redisqueue: Redis %s: expected %d.%d or later, as XAUTOCLAIM is needed: update the server", v, oldest[0], oldest[1])
	}
	return nil
}

// warnings says what can be lost with a server's settings.
func warnings(s map[string]string) (all []string) {
	const unknown = " could not be checked (CONFIG GET is not permitted, or the service does not say): make sure that "
	switch s["appendonly"] {
	case "":
		all = append(all, "appendonly"+unknown+"Redis writes an append-only file, appendfsync always")
	case "yes":
		switch s["appendfsync"] {
		case "always":
		case "everysec":
			all = append(all, "appendfsync is everysec: a power loss or a kernel crash can lose up to 2 s of what was acknowledged, and what was sent in that time may be sent again; the end of the process loses nothing: set appendfsync always")
		default:
			all = append(all, "appendfsync is "+s["appendfsync"]+": a power loss can lose all that the kernel has not written yet, some 30 s, and what was sent in that time may be sent again: set appendfsync always")
		}
	default:
		all = append(all, "appendonly is "+s["appendonly"]+": when Redis ends, what was enqueued and sent since the last snapshot is forgotten, and may be lost or sent again: set appendonly yes and appendfsync always")
	}
	switch policy := s["maxmemory-policy"]; {
	case policy == "":
		all = append(all, "maxmemory-policy"+unknown+"it is noeviction")
	case policy != "noeviction" && s["maxmemory"] != "0":
		all = append(all, "maxmemory-policy is "+policy+": with its memory full Redis deletes keys, and requests with them: set maxmemory-policy noeviction")
	}
	return all
}

// Close implements [queue.Engine]. It leaves the client open.
func (e *Engine) Close() error { return e.calls.Close() }
