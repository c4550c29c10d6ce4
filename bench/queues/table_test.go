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
		Environment: output.Env{Go: "go1.26.0", OS: "linux", Arch: "amd64", CPUs: 2, Date: "2026-01-02T03:04:05Z"},
		Disk:        disk{Dir: "./bench-queues-1", P50: 0.2345, P99: 1.5},
		Parameters:  o.parameters(),
		Rows: []row{
			{
				Engine: "pacer", Killed: "in doubt", Enqueue: rounds{2500, 3000}, ClaimFew: rounds{410, 400}, ClaimMany: rounds{500, 600}, FindFew: rounds{90},
				Memory: []memory{{full.Few, 3 << 20, 8 << 20, 210, 100}, {full.Many, 7 << 19, 9 << 20, 10_215, 100}},
			},
			{
				Engine: "river", Killed: "doubled", Enqueue: rounds{1000}, ClaimFew: rounds{900}, ClaimMany: rounds{1000},
				Memory: []memory{{full.Few, 2 << 20, 0, 200, 100}, {full.Many, 2 << 20, 0, 200, 100}}, Filled: 9000,
			},
			{Engine: "goqite", Killed: "doubled", Enqueue: rounds{2000}, ClaimFew: rounds{500}, ClaimMany: rounds{500}},
		},
	}
}

func TestTablesAreAligned(t *testing.T) {
	var b bytes.Buffer
	if err := testReport(&options{amounts: full}).write(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `messages of 300 bytes, fsync in ./bench-queues-1: p50 0.23 ms, p99 1.50 ms   (go1.26.0 linux/amd64, 2 CPUs, 2026-01-02T03:04:05Z)

  engine             enqueue/s  fill/s  claim 1,000  claim 1,000,000   ratio  find 1,000
  pacer                  3,000       -       400 µs           500 µs    1.25       90 µs
  river                  1,000   9,000       900 µs         1,000 µs    1.11           -
  goqite                 2,000       -       500 µs           500 µs    1.00           -
  pacer : best peer     1.50 x       -       0.80 x           1.00 x  1.25 x           -

  engine    waiting   lanes    heap  process  goroutines
  pacer       1,000      10  3.0 MB   8.0 MB         210
  river       1,000       -  2.0 MB        -         200
  pacer   1,000,000  10,000  3.5 MB   9.0 MB      10,215
  river   1,000,000       -  2.0 MB        -         200

A job whose worker is killed while it sends is
  pacer   in doubt
  river   doubled
  goqite  doubled

`
	got, foot, _ := strings.Cut(b.String(), "Best of ")
	if got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
	if !strings.HasPrefix(foot, "3 rounds, in which") || strings.Contains(foot, "short") || strings.Contains(foot, "%!") {
		t.Errorf("footer is\n%s", foot)
	}
}

func TestShortRunSaysSo(t *testing.T) {
	var b bytes.Buffer
	if err := testReport(&options{amounts: short, Flags: cmdline.Flags{Short: true}}).write(&b, false); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), footerShort) {
		t.Errorf("got\n%s\nexpected %q at its end", &b, footerShort)
	}
}

func TestATableOfPeersComparesNothing(t *testing.T) {
	rep := testReport(&options{amounts: full})
	rep.Rows = rep.Rows[1:]
	var b bytes.Buffer
	if err := rep.write(&b, false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "best peer") {
		t.Errorf("got\n%s", &b)
	}
}

func TestJSONHasEveryFigure(t *testing.T) {
	rep := testReport(&options{amounts: full})
	rep.Missed = []string{"pacer: work: 1/s, expected at least 800/s"}
	var b bytes.Buffer
	if err := rep.write(&b, true); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Environment, Parameters, Disk map[string]any
		Rows                          []map[string]any
		Missed                        []string
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if p := got.Parameters; p["workedOff"] != 4000.0 || p["batch"] != 1000.0 || p["enqueueSeconds"] != 2.0 || p["short"] != false || p["rounds"] != 3.0 {
		t.Errorf("parameters are %v", p)
	}
	if len(got.Missed) != 1 || got.Environment["go"] != "go1.26.0" || got.Disk["fsyncP99Millis"] != 1.5 {
		t.Errorf("missed is %q, environment %v, disk %v", got.Missed, got.Environment, got.Disk)
	}
	r := got.Rows[0]
	if each, _ := r["enqueuePerSecond"].([]any); len(each) != 2 || each[1] != 3000.0 || r["killedWhileSending"] != "in doubt" || r["batchedPerSecond"] != nil {
		t.Errorf("first row is %v", r)
	}
	if ms, _ := r["memory"].([]any); len(ms) != 2 || ms[1].(map[string]any)["waiting"] != 1e6 || ms[1].(map[string]any)["heapBytes"] != 3670016.0 {
		t.Errorf("first row is %v", r)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[float64]string{0.4: "0", 999.5: "1,000", 999: "999", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%v is %q, expected %q", n, got, want)
		}
	}
}
