package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func testReport() report {
	two := 2
	return report{
		Environment: output.Env{Go: "go1.25.0", OS: "linux", Arch: "amd64", CPUs: 2, Date: "2026-01-02T03:04:05Z"},
		Parameters:  params{Messages: 200, Workers: 50, Rate: 20},
		Rows: []row{
			{Scenario: "sliding-window", Client: "twilio-go", Messages: 200, Delivered: 20, Lost: 180, Doubled: &two, Throttled: 180, Requests: 200, Seconds: 0.05, Possible: 20, P99: 0.0123},
			{Scenario: "sliding-window", Client: "pacer", Messages: 200, Delivered: 200, Throttled: 1, Requests: 201, Seconds: 10, Possible: 201, P99: 2.5},
			{Scenario: "strict", Client: "pacer", Messages: 200},
		},
	}
}

func TestTableIsAligned(t *testing.T) {
	var b bytes.Buffer
	if err := testReport().write(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `200 messages from 50 goroutines at a limit of 20/s   (go1.25.0 linux/amd64, 2 CPUs, 2026-01-02T03:04:05Z)

sliding-window
  client     delivered  lost  doubled  throttled  requests  seconds  share of limit  p99 of a call
  twilio-go         20   180        2        180       200     0.05         100.0 %         0.01 s
  pacer            200     0        -          1       201    10.00          99.5 %         2.50 s

strict
  client  delivered  lost  doubled  throttled  requests  seconds  share of limit  p99 of a call
  pacer           0     0        -          0         0     0.00           0.0 %         0.00 s

`
	got, _, _ := strings.Cut(b.String(), "delivered, lost:")
	if got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
	if !strings.Contains(b.String(), "possible = 1 + 20 x seconds") {
		t.Error("the footer does not say what is possible")
	}
}

func TestJSONHasEveryFigure(t *testing.T) {
	var b bytes.Buffer
	rep := testReport()
	rep.Missed = []string{"strict: pacer: 200 lost, expected 0"}
	if err := rep.write(&b, true); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if env := got["environment"].(map[string]any); env["go"] != "go1.25.0" || env["cpus"] != 2.0 || env["date"] == "" {
		t.Errorf("environment is %v", env)
	}
	if p := got["parameters"].(map[string]any); p["messages"] != 200.0 || p["workers"] != 50.0 || p["rate"] != 20.0 {
		t.Errorf("parameters are %v", p)
	}
	if got["missed"] == nil {
		t.Error("nothing missed, expected what was")
	}
	rows := got["rows"].([]any)
	first, second := rows[0].(map[string]any), rows[1].(map[string]any)
	if first["doubled"] != 2.0 || first["share"] != 1.0 || first["p99Seconds"] != 0.0123 {
		t.Errorf("first row is %v", first)
	}
	if doubled, there := second["doubled"]; !there || doubled != nil {
		t.Errorf("second row's doubled is %v, expected null", doubled)
	}
}
