package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// memory is that of a worker process in the midst of its work.
type memory struct {
	amount
	Heap       int64 `json:"heapBytes"`      // of Go, after a collection
	Anonymous  int64 `json:"anonymousBytes"` // all of the process's own, SQLite's too, which is not Go's; 0: not known here
	Goroutines int   `json:"goroutines"`
	Sending    int   `json:"sending"`
}

// asWorker is the first argument of a process that workerProcess starts; engine, file
// and number follow.
const asWorker = "worker-process"

// workerProcess lets another process of this program work on a file, and returns how
// much memory it needs. That is measured after it has sent that many messages, while it
// sends as many as it may.
func workerProcess(ctx context.Context, e engine, path string, sent int) (*memory, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, asWorker, e.name, path, strconv.Itoa(sent))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("worker process: %w", err)
	}
	m := new(memory)
	if err := json.Unmarshal(out, m); err != nil {
		return nil, fmt.Errorf("worker process: it has written %q: %w", out, err)
	}
	return m, nil
}

// workHere is that other process: it works, measures itself and ends, as if killed.
func workHere(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("%s with %d arguments: expected 3", asWorker, len(args))
	}
	var picked []engine
	if err := cmdline.Pick(&picked, engines, engineName)(args[0]); err != nil {
		return err
	}
	sent, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	s, err := picked[0].open(ctx, args[1])
	if err != nil {
		return err
	}
	gate := &gate{next: twiliotest.New(twiliotest.Config{}).Transport()}
	gate.open.Store(int64(sent))
	ended := make(chan error, 1)
	go func() { ended <- s.work(ctx, gate) }()
	if err := until(ctx, ended, func() (bool, error) { return gate.held.Load() >= inFlight, nil }); err != nil {
		return fmt.Errorf("with %d of %d requests held: %w", gate.held.Load(), inFlight, err)
	}
	time.Sleep(settle)
	return json.NewEncoder(stdout).Encode(measureSelf(int(gate.held.Load())))
}

// settle is how long a worker has to write the results of what was sent before the gate
// closed.
const settle = 500 * time.Millisecond

func measureSelf(sending int) memory {
	debug.FreeOSMemory() // collects first
	debug.FreeOSMemory() // and what finalizers and pools have let go
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return memory{Heap: int64(stats.HeapAlloc), Anonymous: anonymous(), Goroutines: runtime.NumGoroutine(), Sending: sending}
}

// anonymous reads what Linux says of the memory of this process that is no file's.
func anonymous() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "RssAnon:" {
			kB, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return kB << 10
		}
	}
	return 0
}

// A gate lets some requests through and then none. All that come later hang, so a worker
// stays in the midst of its work.
type gate struct {
	next       http.RoundTripper
	open, held atomic.Int64
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.open.Add(-1) >= 0 {
		return g.next.RoundTrip(r)
	}
	g.held.Add(1)
	defer g.held.Add(-1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}
