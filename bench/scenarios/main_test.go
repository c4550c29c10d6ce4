package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

// Every client in a scenario of each kind, over loopback and for moments: what it
// can show is that all is wired, not any figure.
func TestEveryClientTakesPart(t *testing.T) {
	o := &options{
		scenarios: []scenario{scenarios[1], scenarios[4], scenarios[5]}, entrants: entrants,
		timing: timing{converge: 50 * time.Millisecond, measure: 150 * time.Millisecond},
	}
	var stdout, stderr bytes.Buffer
	if code := o.run(t.Context(), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var names []string
	for line := range strings.Lines(stdout.String()) {
		if f := strings.Fields(line); len(f) > 10 && strings.HasPrefix(line, "  ") && f[0] != "scenario" {
			names = append(names, f[0]+" "+f[1])
		}
	}
	want := 0
	for _, scenario := range []string{"two-processes", "doubles", "in-flight-50ms", "in-flight-200ms"} {
		for _, e := range entrants {
			if want >= len(names) || names[want] != scenario+" "+e.name {
				t.Fatalf("row %d is not %s, %s:\n%s", want, scenario, e.name, &stdout)
			}
			want++
		}
	}
	if !strings.Contains(stderr.String(), "two-processes: ") || !strings.Contains(stderr.String(), " lost by 5 clients\n") {
		t.Errorf("progress is\n%s", &stderr)
	}
}

func TestAnInterruptedRunFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	o := &options{scenarios: scenarios[:1], entrants: entrants[4:], timing: full, Flags: cmdline.Flags{Check: true}}
	var stdout, stderr bytes.Buffer
	if code := o.run(ctx, &stdout, &stderr); code != cmdline.Failed {
		t.Errorf("exit code %d, expected %d", code, cmdline.Failed)
	}
	if want := "scenarios: not finished: context canceled\n"; !strings.HasSuffix(stderr.String(), want) {
		t.Errorf("stderr is %q, expected %q at its end", &stderr, want)
	}
}

func TestCheckFailsLoudly(t *testing.T) {
	// pacer is told a thousandth of the limit.
	o := &options{
		scenarios: []scenario{{name: "far", sender: number, told: 1, shared: 1, phases: []phase{{row: "far", rate: 1000}}}},
		entrants:  entrants[4:], Flags: cmdline.Flags{Check: true},
		timing: timing{converge: 10 * time.Millisecond, measure: 100 * time.Millisecond},
	}
	var stdout, stderr bytes.Buffer
	if code := o.run(t.Context(), &stdout, &stderr); code != cmdline.Failed {
		t.Errorf("exit code %d, expected %d", code, cmdline.Failed)
	}
	// How many of the hundred it was allowed is the machine's business.
	if missed := regexp.MustCompile(`scenarios: missed: far: pacer: \d\.\d % of the possible, expected at least 90 %\n`); !missed.MatchString(stderr.String()) {
		t.Errorf("stderr is %q, expected %s in it", &stderr, missed)
	}
}
