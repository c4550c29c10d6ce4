package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

// The worker processes that a test starts are this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asWorker {
		os.Exit(start(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// tiny is enough to see that all is wired.
var tiny = amounts{
	Rounds: 1, adding: time.Millisecond, Jobs: 120, Claims: 5, SentByWorker: 20,
	Few: amount{150, 3}, Many: amount{700, 150},
}

func tinyRun(t *testing.T) *options {
	t.Setenv("TMPDIR", t.TempDir())
	return &options{measures: measures, engines: engines, amounts: tiny}
}

// With every engine, a worker process of its own, and nothing left behind. With -short it is the
// first engine alone.
func TestEveryEngineTakesPart(t *testing.T) {
	o := tinyRun(t)
	if testing.Short() {
		o.engines = engines[:1]
	}
	var stderr bytes.Buffer
	rep, err := o.measure(t.Context(), &progress{&stderr, time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Rows) != len(o.engines) {
		t.Fatalf("%d rows, expected %d", len(rep.Rows), len(o.engines))
	}
	for i, r := range rep.Rows {
		if r.Engine != engines[i].name || r.Killed == "" {
			t.Errorf("row %d is %q, %q, expected of %q", i, r.Engine, r.Killed, engines[i].name)
		}
		for name, f := range map[string]rounds{"enqueue": r.Enqueue, "batched": r.Batched, "work": r.Work, "claim few": r.ClaimFew, "claim many": r.ClaimMany} {
			if len(f) != tiny.Rounds || f.least() <= 0 {
				t.Errorf("%s: %s is %v, expected %d figures", r.Engine, name, f, tiny.Rounds)
			}
		}
		if len(r.Memory) != 3 || r.Filled <= 0 {
			t.Errorf("%s: %d memories, filled %v/s, expected 3 and some", r.Engine, len(r.Memory), r.Filled)
		}
		for i, m := range r.Memory {
			if m.amount != tiny.backlogs()[i] || m.Heap <= 0 || m.Sending < inFlight || m.Sending > slots || m.Goroutines < inFlight {
				t.Errorf("%s: memory is %+v, expected that of one that sends %d to %d", r.Engine, m, inFlight, slots)
			}
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAnInterruptedRunFailsAndCleansUp(t *testing.T) {
	o := tinyRun(t)
	o.amounts.adding = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	var stdout, stderr bytes.Buffer
	if code := o.run(ctx, &stdout, &stderr); code != cmdline.Failed || stdout.Len() > 0 {
		t.Errorf("exit code %d, stdout %q, expected %d and nothing", code, &stdout, cmdline.Failed)
	}
	if !strings.Contains(stderr.String(), "queues: not finished: enqueue: ") || !strings.Contains(stderr.String(), "context canceled") {
		t.Errorf("stderr is %q", &stderr)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestADiskWhoseFsyncCostsNothingIsRefused(t *testing.T) {
	o := tinyRun(t)
	o.leastFsync = time.Hour
	var stdout, stderr bytes.Buffer
	if code := o.run(t.Context(), &stdout, &stderr); code != cmdline.Failed || !strings.Contains(stderr.String(), "expected a disk, on which it takes at least 1h0m0s") {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
}

func TestAWorkerProcessThatFailsIsAnError(t *testing.T) {
	unknown := engine{name: "paper"}
	if _, err := workerProcess(t.Context(), unknown, "", 1); err == nil || !strings.Contains(err.Error(), "worker process: exit status 1") {
		t.Errorf("error is %v", err)
	}
}
