//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func TestWhatOfAStoreMayEndByItself(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{redisError("LOADING Redis is loading the dataset in memory"), true},
		{redisError("CLUSTERDOWN The cluster is down"), true},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{&net.DNSError{Err: "no such host", Name: "redis"}, true},
		{redisError("NOAUTH Authentication required."), false},
		{redisError("WRONGPASS invalid username-password pair"), false},
		{queue.ErrOutdated, false},
		{os.ErrPermission, false},
	} {
		if got := away(fmt.Errorf("opened: %w", tt.err)); got != tt.want {
			t.Errorf("%v: %v, expected %v", tt.err, got, tt.want)
		}
	}
}

// After a power failure the worker may be up before its store.
func TestWorkerWaitsForItsStore(t *testing.T) {
	redistest.Need(t)
	store := redistest.For(t)
	must(t, store.Kill())
	_, url := server(t, twiliotest.Config{})
	address := freeAddress(t)
	cmd, log := daemon(t, "--queue", "redis://"+store.Addr+"/0", "--base-url", url, "--listen", address)
	eventually(t, "it says that it tries again", func() bool { return strings.Contains(log.String(), "is tried again") })
	must(t, store.Restart())
	eventually(t, "ready", func() bool { code, _ := get(t, "http://"+address+"/readyz"); return code == http.StatusOK })
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Error(err, log.String())
	}
}

func TestWorkerIsStoppedWhileItWaitsForItsStore(t *testing.T) {
	_, url := server(t, twiliotest.Config{})
	cmd, log := daemon(t, "--queue", "redis://"+freeAddress(t)+"/0", "--base-url", url, "--listen", "off")
	eventually(t, "it says that it tries again", func() bool { return strings.Contains(log.String(), "is tried again") })
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(log.String(), "pacer: stopped while the store could not be reached") {
		t.Error(err, log.String())
	}
}
