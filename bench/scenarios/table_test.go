package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func testReport(o *options) report {
	return report{
		Environment: output.Env{Go: "go1.25.0", OS: "linux", Arch: "amd64", CPUs: 2, Date: "2026-01-02T03:04:05Z"},
		Parameters:  o.parameters(),
		Rows: []row{
			{Scenario: "known", Client: "twilio-go", Possible: 1200, Accepted: 1200, Requests: 1800, Throttled: 600, P99: 0.0123, Lost: 900},
			{Scenario: "known", Client: "pacer", Possible: 1200, Accepted: 1182, Requests: 1182, P99: 3.04},
			{Scenario: "halves", Client: "pacer", Possible: 600, Accepted: 540, Requests: 545, Throttled: 5, P99: 6.2, Doubled: 1},
		},
	}
}

func TestTableIsAligned(t *testing.T) {
	var b bytes.Buffer
	if err := testReport(&options{timing: full}).write(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `60 callers, 1.5 x the possible offered   (go1.25.0 linux/amd64, 2 CPUs, 2026-01-02T03:04:05Z)

  scenario  client     goodput  throttled  lost  doubled  p99 wait  accepted  possible  requests
  known     twilio-go  100.0 %    33.33 %   900        0    0.01 s      1200      1200      1800
  known     pacer       98.5 %     0.00 %     0        0    3.04 s      1182      1200      1182

  halves    pacer       90.0 %     0.92 %     0        1    6.20 s       540       600       545

`
	got, foot, _ := strings.Cut(b.String(), "goodput: ")
	if got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
	if !strings.HasPrefix(foot, "accepted / possible, of a window of 60 s that begins 30 s after the start\n") || strings.Contains(foot, "short") {
		t.Errorf("footer is\n%s", foot)
	}
}

func TestShortRunSaysSo(t *testing.T) {
	var b bytes.Buffer
	if err := testReport(&options{timing: short, Flags: cmdline.Flags{Short: true}}).write(&b, false); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), footerShort) {
		t.Errorf("got\n%s\nexpected %q at its end", &b, footerShort)
	}
}

func TestJSONHasEveryFigure(t *testing.T) {
	var b bytes.Buffer
	rep := testReport(&options{timing: full})
	rep.Missed = []string{"halves: pacer: 1 doubled, expected 0"}
	if err := rep.write(&b, true); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Environment, Parameters map[string]any
		Rows                    []map[string]any
		Missed                  []string
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if p := got.Parameters; p["callers"] != 60.0 || p["convergeSeconds"] != 30.0 || p["measureSeconds"] != 60.0 || p["short"] != false {
		t.Errorf("parameters are %v", p)
	}
	if len(got.Missed) != 1 || got.Environment["go"] != "go1.25.0" {
		t.Errorf("missed is %q, environment %v", got.Missed, got.Environment)
	}
	if r := got.Rows[1]; r["goodput"] != 0.985 || r["throttledShare"] != 0.0 || r["lost"] != 0.0 || r["p99Seconds"] != 3.04 {
		t.Errorf("second row is %v", r)
	}
}
