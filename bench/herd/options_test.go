package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

func TestBadFlagsAreRefused(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-n 0", `"0" for flag -n: expected from 1 to 100000 messages`},
		{"-n many", `"many" for flag -n: expected from 1 to 100000 messages`},
		{"-workers 1001", `"1001" for flag -workers: expected from 1 to 1000 goroutines`},
		{"-rate -1", `"-1" for flag -rate: expected from 1 to 10000 messages per second`},
		{"-timeout 5", `"5" for flag -timeout: expected a duration above 0, such as 90s or 5m`},
		{"-timeout 0s", `"0s" for flag -timeout: expected a duration above 0`},
		{"-clients pacer,curl", `flag -clients: "curl" is unknown: expected some of twilio-go, go-retryablehttp, failsafe-go, node-autoretry, pacer`},
		{"-clients=", `"" is unknown`},
		{"-scenarios loose", `flag -scenarios: "loose" is unknown: expected some of sliding-window, strict`},
		{"-target ftp://localhost", `"ftp://localhost" for flag -target: expected an http or https URL`},
		{"-target localhost:4010", `expected an http or https URL`},
		{"-target http://", `expected an http or https URL`},
		{"-target http://localhost/api", `expected scheme, host and port only`},
		{"-target http://u:p@localhost", `expected scheme, host and port only`},
		{"-target https://api.twilio.com", `herd floods, and is never to be pointed at the real Twilio`},
		{"-target https://Twilio.COM.:443/", `herd floods`},
		{"-target https://api.dublin.ie1.twilio.com", `herd floods`},
		{"-target http://localhost -scenarios strict", `-scenarios: expected not beside -target`},
		{"-target http://localhost -check", `-check: expected not beside -target`},
		{"-check -clients twilio-go", `-check: expected pacer among -clients`},
		{"-speed 5", `flag provided but not defined: -speed`},
		{"fast", `argument "fast": expected flags only`},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(tt.args), noEnv, &stdout, &stderr); code != cmdline.Usage {
			t.Errorf("%s: exit code %d, expected %d", tt.args, code, cmdline.Usage)
		}
		if !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("%s: stderr is %q, expected %q in it", tt.args, &stderr, tt.want)
		}
	}
}

func TestGoodFlags(t *testing.T) {
	var usage bytes.Buffer
	o, err := parseOptions(strings.Fields("-n 7 -workers 2 -rate 3 -clients pacer,twilio-go -scenarios strict -timeout 90s"), &usage)
	if err != nil {
		t.Fatal(err)
	}
	if o.n != 7 || o.workers != 2 || o.rate != 3 || o.timeout != 90*time.Second {
		t.Errorf("options are %+v", o)
	}
	if len(o.entrants) != 2 || o.entrants[0].name != "twilio-go" || o.entrants[1].name != "pacer" {
		t.Errorf("clients are %v, expected twilio-go and pacer", cmdline.Names(o.entrants, func(e entrant) string { return e.name }))
	}
	if len(o.scenarios) != 1 || o.scenarios[0].name != "strict" {
		t.Errorf("scenarios are %v, expected strict", cmdline.Names(o.scenarios, func(s scenario) string { return s.name }))
	}
	for _, target := range []string{"http://127.0.0.1:4010/", "https://[::1]:8443", "http://nottwilio.com"} {
		if _, err := parseOptions([]string{"-target", target}, &usage); err != nil {
			t.Errorf("-target %s: %v", target, err)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, noEnv, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
	for _, word := range []string{"-n N", "-workers N", "-rate N", "-clients list", "-scenarios list", "-target URL", "-timeout duration", "-check", "-json", "Exit code"} {
		if !strings.Contains(stdout.String(), word) {
			t.Errorf("help lacks %q:\n%s", word, &stdout)
		}
	}
}
