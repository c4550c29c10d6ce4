package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

func TestBadFlagsAreRefused(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-engines river,redis", `flag -engines: "redis" is unknown: expected some of pacer, river, goqite`},
		{"-only work,sleep", `flag -only: "sleep" is unknown: expected some of enqueue, batched, work, waiting`},
		{"-check -short", `-check: expected not beside -short`},
		{"-check -engines river", `-check: expected pacer among -engines`},
		{"-rate 5", `flag provided but not defined: -rate`},
		{"fast", `argument "fast": expected flags only`},
	} {
		var stdout, stderr bytes.Buffer
		if code := start(t.Context(), strings.Fields(tt.args), &stdout, &stderr); code != cmdline.Usage {
			t.Errorf("%s: exit code %d, expected %d", tt.args, code, cmdline.Usage)
		}
		if !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("%s: stderr is %q, expected %q in it", tt.args, &stderr, tt.want)
		}
	}
}

func TestGoodFlags(t *testing.T) {
	var usage bytes.Buffer
	o, err := parseOptions(strings.Fields("-only work,enqueue -engines goqite -short -json"), &usage)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.measures) != 2 || o.measures[0].name != "enqueue" || len(o.engines) != 1 || o.amounts != short || !o.JSON || !o.Short {
		t.Errorf("options are %+v", o)
	}
	if o, err := parseOptions(nil, &usage); err != nil || len(o.measures) != len(measures) || len(o.engines) != len(engines) || o.amounts != full || o.leastFsync != leastFsync {
		t.Errorf("options are %+v, error %v", o, err)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := start(t.Context(), []string{"-h"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
	for _, word := range []string{"-only list", "-engines list", "-check", "-json", "-short", "Exit code", "100,000 instead of 1,000,000", "goqite", "waiting"} {
		if !strings.Contains(stdout.String(), word) {
			t.Errorf("help lacks %q:\n%s", word, &stdout)
		}
	}
	for line := range strings.Lines(stdout.String()) {
		if len(line) > 105 {
			t.Errorf("line of %d columns: %s", len(line), line)
		}
	}
}
