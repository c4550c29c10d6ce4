package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/internal/redistest"
)

// The test binary is a member of the fleet as well: the parent starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == asMember {
		if err := member(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"-scenarios nothing": `flag -scenarios: "nothing" is unknown: expected some of steady, churn, `,
		"now":                `"now": expected flags only`,
		"-fast":              "-fast",
	} {
		var stderr strings.Builder
		if code := command(t.Context(), strings.Fields(args), io.Discard, &stderr); code != cmdline.Usage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %q: expected %d and %s", args, code, &stderr, cmdline.Usage, want)
		}
	}
}

func TestGoodFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                              cmdline.Names(scenarios, func(s scenario) string { return s.Name + " " + s.length.String() }),
		"-scenarios take":               "take 12s",
		"-scenarios take,outage -short": "outage 12s, take 2.4s",
		"-scenarios steady -short":      "steady 10s",
	} {
		o, err := parseOptions(strings.Fields(args), io.Discard)
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		if got := cmdline.Names(o.scenarios, func(s scenario) string { return s.Name + " " + s.length.String() }); got != want {
			t.Errorf("%s: %s, expected %s", args, got, want)
		}
	}
}

// Each figure that is missed is said, and none that is not.
func TestMissed(t *testing.T) {
	s := scenario{Name: "x", leastRate: 0.97, mostThrottled: 0.005, leastShare: 0.5, mostAsked: 0.1, mostThrottledAway: 0.05, leastAlone: 0.95, leastOwn: 0.5, mostTrips: 100}
	good := row{OfLimit: 0.98, Throttled: 0.004, Least: 0.6, Asked: 0.09, OfAlone: 0.96, Own: 0.7, Trips: 90, Away: &away{Throttled: 0.04, Recovered: 1.5}}
	if got := missed([]scenario{s}, []row{good}); len(got) != 0 {
		t.Errorf("missed %q: expected none", got)
	}
	for want, change := range map[string]func(*row){
		"96.0 % of the limit":        func(r *row) { r.OfLimit = 0.96 },
		"0.60 % throttled":           func(r *row) { r.Throttled = 0.006 },
		"sent 0.40 of":               func(r *row) { r.Least = 0.4 },
		"0.200 round trips":          func(r *row) { r.Asked = 0.2 },
		"94.0 % of what one process": func(r *row) { r.OfAlone = 0.94 },
		"has 0.40 of an equal share": func(r *row) { r.Own = 0.4 },
		"101 round trips a second":   func(r *row) { r.Trips = 101 },
		"1 lost, 0 doubled":          func(r *row) { r.Lost = 1 },
		"0 lost, 2 doubled":          func(r *row) { r.Doubled = 2 },
		"6.00 % throttled while":     func(r *row) { r.Away = &away{Throttled: 0.06} },
		"back to normal after 2.5":   func(r *row) { r.Away = &away{Recovered: 2.5} },
		"back to normal after -1.0":  func(r *row) { r.Away = &away{Recovered: -1} },
	} {
		bad := good
		change(&bad)
		if got := missed([]scenario{s}, []row{bad}); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("missed %q: expected %q", got, want)
		}
	}
}

// What happened around the outage is read from the samples.
func TestAway(t *testing.T) {
	start := time.Now()
	r := &run{scenario: scenario{limit: 100}, stopped: start.Add(time.Second), back: start.Add(2 * time.Second)}
	accepted := 0
	for i := range 60 {
		switch at := time.Duration(i) * 100 * time.Millisecond; {
		case at <= time.Second, at > 3*time.Second:
			accepted += 10
		case at <= 2*time.Second:
			accepted += 5
		}
		r.samples = append(r.samples, point{start.Add(time.Duration(i) * 100 * time.Millisecond), accepted, 0})
	}
	a := r.away()
	if a.OfLimit < 0.4 || a.OfLimit > 0.6 || a.Recovered < 0.9 || a.Recovered > 1.2 {
		t.Errorf("%+v: expected half of the limit, and 1 s until it is back", a)
	}
}

// A fleet of two for a moment: what it prints are its own figures.
func TestScenario(t *testing.T) {
	redistest.Need(t)
	if testing.Short() {
		t.Skip("it starts processes")
	}
	s := scenario{Name: "two", limit: 50, processes: 2, length: time.Second, alone: true}
	r, err := s.run(t.Context(), func(*run) {})
	if err != nil {
		t.Fatal(err)
	}
	if r.Rate <= 0 || r.OfLimit != r.Rate/50 || r.Lost != 0 || r.Doubled != 0 || r.Least < 0 || r.Asked == 0 || r.OfAlone != r.Rate/r.Alone || r.Own < r.Least {
		t.Errorf("%+v", r)
	}
	var b strings.Builder
	if err := (&report{Environment: output.Environment(), Rows: []row{r}}).table(&b); err != nil || !strings.Contains(b.String(), "two") {
		t.Errorf("%v: %s", err, &b)
	}
}
