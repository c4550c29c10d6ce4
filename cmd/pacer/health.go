package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
)

// A health answers the questions of those who supervise the worker.
type health struct {
	q                 *queue.Queue
	running, stopping atomic.Bool

	mu     sync.Mutex
	asked  time.Time // when the store was asked last
	err    error     // what it said
	probed time.Time // when it was last asked whether it takes something new
	full   error     // what it said to that
}

// How often the store is asked at most, however many ask this process. To ask whether it takes something new costs
// it a write, and is asked more rarely while it does.
const (
	askEvery   = time.Second
	probeEvery = 15 * time.Second
	againEvery = 3 * time.Second // while it takes nothing new
)

// ready returns why the worker does not send; nil: it does.
func (h *health) ready() error {
	switch {
	case h.stopping.Load():
		return errors.New("the worker stops")
	case !h.running.Load():
		return errors.New("the worker does not run yet")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.asked) < askEvery {
		return h.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, h.err = h.q.Engine().Now(ctx)
	every := probeEvery
	if h.full != nil {
		every = againEvery
	}
	if h.err == nil && time.Since(h.probed) >= every {
		h.full = queue.Probe(ctx, h.q.Engine())
		h.probed = time.Now()
	}
	if h.err == nil {
		h.err = h.full
	}
	h.asked = time.Now()
	return h.err
}

func (h *health) handler(metrics http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.ready(); err != nil {
			http.Error(w, "not ready: "+pacer.MaskNumbers(err.Error()), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

// shownAddress returns an address without its password.
func shownAddress(text string) string {
	a, err := engineurl.Parse(text)
	if err != nil {
		return "not valid"
	}
	return a.String()
}

// notifier returns a function that tells systemd of the service's state. Without systemd it does nothing:
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
func notifier(log *slog.Logger) func(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return func(string) {}
	}
	if socket[0] == '@' { // the abstract namespace
		socket = "\x00" + socket[1:]
	}
	return func(state string) {
		c, err := net.Dial("unixgram", socket)
		if err == nil {
			_, err = c.Write([]byte(state))
			err = errors.Join(err, c.Close())
		}
		if err != nil {
			log.Warn("pacer worker: systemd was not told of the service's state", "state", state, "error", err)
		}
	}
}

// watchdog tells systemd that the process lives, twice as often as it wants, until ctx ends.
func watchdog(ctx context.Context, notify func(string)) {
	micros, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros <= 0 {
		return
	}
	tick := time.NewTicker(max(time.Millisecond, time.Duration(micros)*time.Microsecond/2))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			notify("WATCHDOG=1")
		}
	}
}
