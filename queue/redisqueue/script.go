package redisqueue

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
)

// This file runs scripts, and says what errors of Redis mean for the queue.

//go:embed lua/*.lua
var sources embed.FS

// The scripts, each after what all of them need.
var (
	addScript     = script("add")
	claimScript   = script("claim")
	moveScript    = script("move")
	cancelScript  = script("cancel")
	promoteScript = script("promote")
	sweepScript   = script("sweep")
	repairScript  = script("repair")
	listScript    = script("list")
	placeScript   = script("place")
	pickScript    = script("pick")
	headsScript   = script("heads")
	parkScript    = script("park")
	reserveScript = script("reserve")
	putScript     = script("put")
	nowScript     = script("now")
)

func script(name string) *redis.Script {
	text := fmt.Sprintf("local DEADLINE, LEASE, DAMAGED, PERSON = '%s', '%s', '%s', '%s'\n", queue.ReasonDeadline, queue.ReasonLease, queue.ReasonDamaged, queue.HoldByPerson)
	for _, n := range []string{"lib", name} {
		b, err := sources.ReadFile("lua/" + n + ".lua")
		if err != nil {
			panic(err) // it is in the program
		}
		text += string(b)
	}
	return redis.NewScript(text)
}

// run runs a script. Redis may have forgotten it: then it is sent again.
func (e *Engine) run(ctx context.Context, s *redis.Script, args ...any) (any, error) {
	if err := e.calls.Begin(); err != nil {
		return nil, err
	}
	defer e.calls.End()
	v, err := s.Run(ctx, e.rdb, []string{e.key("v")}, append([]any{e.epoch}, args...)...).Result()
	return v, e.explain(err)
}

// replicas are what Replicas asks for. The zero value waits for none.
type replicas struct {
	n      int
	within time.Duration
}

// errReplicas is wrapped where a call has not reached as many replicas as it must.
var errReplicas = errors.New("written, but not received by as many replicas as Replicas asks for: look at the replicas' links (INFO replication)")

// write is run for what must survive a failover as well. If it returns errReplicas, the
// script's answer is valid.
func (e *Engine) write(ctx context.Context, s *redis.Script, args ...any) (any, error) {
	if e.replicas.n == 0 {
		return e.run(ctx, s, args...)
	}
	if err := e.calls.Begin(); err != nil {
		return nil, err
	}
	defer e.calls.End()
	node, err := e.node(ctx)
	if err != nil {
		return nil, err
	}
	args = append([]any{e.epoch}, args...)
	keys := []string{e.key("v")}
	// WAIT is about the writes of its own connection: a pipeline has one.
	try := func(run func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) (any, error, error) {
		p := node.Pipeline()
		answer := run(ctx, p, keys, args...)
		wait := p.Do(ctx, "WAIT", e.replicas.n, e.replicas.within.Milliseconds())
		_, _ = p.Exec(ctx) // each command has its error
		v, err := answer.Result()
		if err != nil {
			return nil, err, nil
		}
		n, err := wait.Int()
		switch {
		case err != nil:
			return v, nil, fmt.Errorf("redisqueue: %w: %w", errReplicas, err)
		case n < e.replicas.n:
			return v, nil, fmt.Errorf("redisqueue: %d of %d replicas within %v: %w", n, e.replicas.n, e.replicas.within, errReplicas)
		}
		return v, nil, nil
	}
	v, err, late := try(s.EvalSha)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		v, err, late = try(s.Eval)
	}
	if err != nil {
		return nil, e.explain(err)
	}
	return v, late
}

// explain says what an error means for the queue, and what to do. Redis's own texts hold
// no values.
func (e *Engine) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, queue.ErrClosed) || errors.Is(err, queue.ErrDamaged) {
		return err
	}
	if errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("redisqueue: the Redis client was closed: close it after the engine: %w", queue.ErrClosed)
	}
	var said redis.Error
	if !errors.As(err, &said) {
		return fmt.Errorf("redisqueue: Redis cannot be reached, or does not answer in time; what was asked for may have been done or not: %w", err)
	}
	text := err.Error()
	for _, k := range known {
		if strings.Contains(text, k.code) {
			if k.is != nil {
				return fmt.Errorf("redisqueue: queue %s: %w: %s: %w", e.name, k.is, k.advice, err)
			}
			return fmt.Errorf("redisqueue: queue %s: %s: %w", e.name, k.advice, err)
		}
	}
	return fmt.Errorf("redisqueue: queue %s: %w", e.name, err)
}

var errExists = errors.New("adding a job: there is another one of this ID")

// known has what Redis says. Redis 6.2 puts its own text around the error that a script meets,
// so that the code need not be at the beginning.
var known = []struct {
	code   string
	is     error
	advice string
}{
	{"PACERGONE", queue.ErrGone, "the keys have been deleted or replaced since it was opened (FLUSHALL, a server without a file, another database): put the data back, or restart this program to begin with what is there now"},
	{"PACEREXISTS", errExists, "give each job its own"},
	{"PACEROUTDATED", queue.ErrOutdated, "stop this program first when you update the others"},
	{"OOM command not allowed", queue.ErrFull, "Redis has no memory left: raise maxmemory, or let workers work it off; results are still recorded"},
	{"MISCONF", queue.ErrFull, "Redis cannot write its files: make room on the server's disk"},
	{"WRONGTYPE", queue.ErrDamaged, "a key is of another type: somebody else uses the name, use another Name"},
	{"READONLY", nil, "this Redis is a replica: connect to the master, or through Sentinel (redis.NewFailoverClient)"},
	{"NOAUTH", nil, "give the client its user name and password"},
	{"WRONGPASS", nil, "give the client the right user name and password"},
	{"NOPERM", nil, "this user may not do it: docs/redis.md has the rules that are needed (ACL SETUSER)"},
	{"No permissions", nil, "this user may not do it: docs/redis.md has the rules that are needed (ACL SETUSER)"},
	{"can't run this command or subcommand", nil, "this user may not do it: docs/redis.md has the rules that are needed (ACL SETUSER)"},
	{"MOVED", nil, "this is a node of a Cluster: use redis.NewClusterClient"},
	{"NOREPLICAS", nil, "too few replicas are connected (min-replicas-to-write): look at their links"},
	{"CLUSTERDOWN", nil, "the Cluster is not whole: redis-cli --cluster check"},
}
