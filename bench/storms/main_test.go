package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

func parsed(t *testing.T, args ...string) *options {
	t.Helper()
	o, err := parseOptions(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// quick is a row of each product and of every client, for moments: what it can show is that all is wired, not any figure.
func quick() *row {
	return &row{name: "quick", others: true, shared: true, scene: func(bool) *storm.Scene {
		sc := limited([]storm.Stream{
			{Bucket: sender, Callers: 2},
			{Product: storm.Verify, Bucket: "verify", Object: "+1500555", Objects: 9, Callers: 2},
			{Product: storm.Sync, Bucket: "sync", Object: "ET0000000000000000000000000000", Objects: 9, Callers: 2},
			{Product: storm.Conversations, Bucket: "conversations", Object: "CH00000000000000000000000000000001", Callers: 2, Hot: true},
		}, 0, 0.2)
		return troubled(sc, at(0.2, 0.3), storm.Random(0.5), refuse)
	}}
}

func TestEveryClientTakesPart(t *testing.T) {
	o := parsed(t)
	o.rows = []*row{quick()}
	var stdout, stderr bytes.Buffer
	if code := o.run(t, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	for i, c := range allClients {
		found := false
		for line := range strings.Lines(stdout.String()) {
			found = found || strings.Contains(line, "quick  "+c.name+" ") && strings.Contains(line, "%") && strings.Contains(line, "x ")
		}
		if !found {
			t.Errorf("client %d, %s, has no line in\n%s", i, c.name, &stdout)
		}
	}
	if !strings.Contains(stderr.String(), "7 of 7: quick, ") {
		t.Errorf("progress is\n%s", &stderr)
	}
}

func TestCheckFailsLoudly(t *testing.T) {
	o := parsed(t, "-check", "-client", "^pacer$")
	// Random 429s that ask for more than any call waits for: nothing is delivered.
	o.rows = []*row{{name: "far", noise: 0.5, scene: func(bool) *storm.Scene {
		sc := limited(one(2), 0, 0.5)
		sc.Rules = []*storm.Rule{{Model: storm.Random(0.5), Refusal: storm.Refusal{RetryAfter: "100"}}}
		return sc
	}}}
	var stdout, stderr bytes.Buffer
	if code := o.run(t, &stdout, &stderr); code != cmdline.Failed || !strings.Contains(stderr.String(), "storms: missed: far: pacer: noise: ") {
		t.Errorf("exit code %d, expected %d; stderr is\n%s", code, cmdline.Failed, &stderr)
	}
}

func TestJSONHasEveryFigure(t *testing.T) {
	o := parsed(t, "-json", "-seed", "7", "-client", "learning off")
	o.rows = []*row{quick()}
	var stdout bytes.Buffer
	o.run(t, &stdout, io.Discard)
	var got struct {
		Parameters struct{ Seed int }
		Rows       []map[string]any
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || got.Parameters.Seed != 7 || len(got.Rows) != 1 {
		t.Fatalf("%v in\n%s", err, &stdout)
	}
	for _, key := range []string{"row", "client", "seeds", "possible", "accepted", "share", "worstMinute", "throttledShare", "lost", "lostShare",
		"p99WaitSeconds", "headSeconds", "others", "halfAfterSeconds", "mostAfterSeconds", "halfAfterCoolDownSeconds", "mostAfterCoolDownSeconds"} {
		if _, ok := got.Rows[0][key]; !ok {
			t.Errorf("there is no %s in\n%s", key, &stdout)
		}
	}
}

// A client without randomness of its own has the same figures each time, and others with another seed.
func TestTheSameSeedGivesTheSameFigures(t *testing.T) {
	measure := func(seed uint64) storm.Result {
		c := &cell{Row: "noise", Client: "go-retryablehttp", row: &row{scene: func(bool) *storm.Scene {
			return troubled(limited(one(20), 1, 3, window(20)), at(1, 3), storm.Random(0.05), refuse)
		}}}
		c.measure(t, &options{seed: seed})
		return c.Result
	}
	first, again, other := measure(1), measure(1), measure(2)
	if first != again {
		t.Errorf("the same seed gave\n%+v\nand\n%+v", first, again)
	}
	if first == other {
		t.Errorf("seeds 1 and 2 gave the same, %+v", first)
	}
}

// The rows that a short run has, for pacer alone. That it ends, and that each row has work which is done, is what is asked
// here: which figure is good enough is for -check.
func TestShortRunHasWorkInEachRow(t *testing.T) {
	args := []string{"-short", "-client", "pacer"}
	if testing.Short() {
		args = append(args, "-row", "^(known/noise/1%|load/bursts|narrow/verify-60212)$")
	}
	o := parsed(t, args...)
	for _, c := range o.cells(t, &progress{Screen: output.NewScreen(io.Discard)}) {
		// A burst that meets an empty window reaches more than an even flow.
		if s := c.share(); c.Possible < 50 || c.Accepted == 0 || s <= 0 || s > 1.35 {
			t.Errorf("%s, %s: %d of the possible %.0f; expected some, and at most 1.35 times as many", c.Row, c.Client, c.Accepted, c.Possible)
		}
		if c.P99 < 50*time.Millisecond || c.Calls < c.Accepted/2 || c.row.noise > 0 && c.Noise == 0 {
			t.Errorf("%s, %s: p99 wait %v, %d calls for %d accepted, %d refused at random; expected work of each kind", c.Row, c.Client, c.P99, c.Calls, c.Accepted, c.Noise)
		}
	}
}

func TestTableTellsWhatDoesNotApply(t *testing.T) {
	var b bytes.Buffer
	r := report{cells: []cell{
		{Row: "a", Client: learning, Result: storm.Result{Possible: 200, Accepted: 190, Throttled: 10, Worst: 0.5, Lost: 3, P99: 1500 * time.Millisecond, Head: 90 * time.Second}},
		{Row: "b", Client: learning, Result: storm.Result{HasTrouble: true, Half: 4 * time.Second, Most: storm.Never}, Others: 1.054},
	}}
	if err := r.write(&b, false); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == learning {
			got = append(got, strings.Join(f, " "))
		}
	}
	want := []string{"a pacer 95.0 % 50.0 % 5.00 % 3 1.50 s - - 90 s - 190 200", "b pacer 0.0 % 0.0 % 0.00 % 0 0.00 s 4.00 s never 0.00 s x 1.05 0 0"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lines are\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
