package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

// options is the command line.
type options struct {
	scenarios []scenario
	entrants  []entrant
	timing    timing
	cmdline.Flags
}

const help = `scenarios puts several Twilio clients to limits that are known, unknown, change, or
are shared, and prints one table of what came of it. Each client gets a fake Twilio
of its own (package twiliotest, on loopback), which throttles with 429, code 20429
and Retry-After: 1. %d callers offer %.1f times the largest possible rate of the
scenario. Clients have %v to adapt, after the start and after a change, and are
then measured for %v.

It takes %v: all clients of a scenario run at the same time, and so do known
and two-processes, then unknown, halves and doubles. -short takes %v.
`

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{scenarios: scenarios, entrants: entrants, timing: full}
	fs := o.FlagSet("scenarios", "exit with 1, and say which, if pacer misses a figure:\n"+checked,
		fmt.Sprintf("%v to adapt and %v to measure: to try it out, too short for figures that mean anything", short.converge, short.measure))
	fs.Func("scenarios", "run only these, from a comma-separated `list`", cmdline.Pick(&o.scenarios, scenarios, scenarioName))
	fs.Func("clients", "run only these, in the order of the table, from a comma-separated `list`", cmdline.Pick(&o.entrants, entrants, entrantName))

	before := fmt.Sprintf(help, callers, overload, spoken(full.converge), spoken(full.measure), spoken(total(scenarios, full)), spoken(total(scenarios, short)))
	after := fmt.Sprintf("Clients: %s.\nScenarios:\n%s", cmdline.Names(entrants, entrantName), scenarioHelp())
	if err := cmdline.Parse(fs, args, usageTo, before, after); err != nil {
		return nil, err
	}
	switch {
	case o.Check && o.Short:
		return nil, errors.New("-check: expected not beside -short, which leaves no time to adapt")
	case o.Check && !slices.ContainsFunc(o.entrants, func(e entrant) bool { return e.name == subject }):
		return nil, errors.New("-check: expected pacer among -clients, as its figures are checked")
	}
	if o.Short {
		o.timing = short
	}
	return o, nil
}

func scenarioName(s scenario) string { return s.name }
func entrantName(e entrant) string   { return e.name }

func scenarioHelp() string {
	text := ""
	for _, s := range scenarios {
		text += fmt.Sprintf("  %-14s %s\n", s.name, s.what)
	}
	return text
}

// spoken is a duration for people: "6.5 min", "90 s".
func spoken(d time.Duration) string {
	if d >= 2*time.Minute {
		return fmt.Sprintf("%g min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
