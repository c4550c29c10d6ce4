package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

func TestBadFlagsAreRefused(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-clients pacer,curl", `flag -clients: "curl" is unknown: expected some of twilio-go, go-retryablehttp, failsafe-adaptive, aws-adaptive, pacer`},
		{"-scenarios known,triples", `flag -scenarios: "triples" is unknown: expected some of known, two-processes, unknown, halves, doubles, in-flight`},
		{"-scenarios=", `"" is unknown`},
		{"-check -short", `-check: expected not beside -short`},
		{"-check -clients twilio-go", `-check: expected pacer among -clients`},
		{"-rate 5", `flag provided but not defined: -rate`},
		{"fast", `argument "fast": expected flags only`},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr); code != cmdline.Usage {
			t.Errorf("%s: exit code %d, expected %d", tt.args, code, cmdline.Usage)
		}
		if !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("%s: stderr is %q, expected %q in it", tt.args, &stderr, tt.want)
		}
	}
}

func TestGoodFlags(t *testing.T) {
	var usage bytes.Buffer
	o, err := parseOptions(strings.Fields("-scenarios in-flight,known -clients pacer -short -json"), &usage)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.scenarios) != 2 || o.scenarios[0].name != "known" || len(o.entrants) != 1 || o.timing != short || !o.JSON {
		t.Errorf("options are %+v", o)
	}
	if o, err := parseOptions(nil, &usage); err != nil || len(o.scenarios) != len(scenarios) || len(o.entrants) != len(entrants) || o.timing != full {
		t.Errorf("options are %+v, error %v", o, err)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
	for _, word := range []string{"-scenarios list", "-clients list", "-check", "-json", "-short", "Exit code", "6.5 min", "57 s", "two-processes"} {
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
