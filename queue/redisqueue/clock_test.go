//go:build unix

package redisqueue_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// otherClock makes a server's clock, as scripts see it, be ahead of this machine's.
type otherClock struct{ ahead time.Duration }

func (o otherClock) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (o otherClock) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

const readsClock = "local now = clock[1] * 1000000 + clock[2]"

func (o otherClock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		switch cmd.Name() {
		case "evalsha", "evalsha_ro": // so that the client sends the text
			err := redisError("NOSCRIPT the text is not known")
			cmd.SetErr(err)
			return err
		case "eval":
			text, _ := args[1].(string)
			if !strings.Contains(text, readsClock) {
				return fmt.Errorf("the script does not read the clock: %.80s", text)
			}
			args[1] = strings.Replace(text, readsClock, fmt.Sprintf("%s + (%d)", readsClock, o.ahead.Microseconds()), 1)
		}
		return next(ctx, cmd)
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// The promises of an engine hold by the server's clock, however far off this machine's is.
func TestEngineWithAnotherClock(t *testing.T) {
	if testing.Short() {
		t.Skip("the same as TestEngine, twice")
	}
	for _, ahead := range []time.Duration{time.Second, -30 * time.Second} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			rdb := redis.NewClient(&redis.Options{Addr: shared(t).Options().Addr})
			t.Cleanup(func() { _ = rdb.Close() })
			rdb.AddHook(otherClock{ahead})
			e := open(t, rdb)
			before := time.Now()
			at, err := e.Now(t.Context())
			if here := at.Add(-ahead); err != nil || here.Before(before.Add(-time.Millisecond)) || here.After(time.Now().Add(time.Millisecond)) {
				t.Fatalf("the engine's clock is %v ahead, %v: expected %v, or this tests nothing", time.Until(at), err, ahead)
			}
			suite(rdb).Run(t)
		})
	}
}
