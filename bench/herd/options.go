package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

// options is the command line.
type options struct {
	n, workers, rate int
	target           *url.URL // nil: servers of its own
	entrants         []entrant
	scenarios        []scenario
	timeout          time.Duration
	cmdline.Flags
}

const help = `herd sends a herd of messages through several Twilio clients, one client after
the other, and prints what came of it. By default each client gets a fake Twilio
of its own (package twiliotest), which listens on loopback and takes -rate
messages per second from the one sender that all messages have.
`

const helpAfter = `Clients: %s.
Scenarios: %s.
`

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{n: 200, workers: 50, rate: 20, timeout: 5 * time.Minute, entrants: entrants, scenarios: scenarios}
	fs := o.FlagSet("herd", "exit with 1, and say which, if pacer misses a figure:\n"+checked, "")
	fs.Func("n", "send `N` messages (default 200)", intIn(&o.n, 1, 100_000, "messages"))
	fs.Func("workers", "from `N` goroutines (default 50)", intIn(&o.workers, 1, 1000, "goroutines"))
	fs.Func("rate", "the limiter takes `N` messages per second, and pacer is told so (default 20)", intIn(&o.rate, 1, 10_000, "messages per second"))
	fs.Func("clients", "run only these, in the order of the table, from a comma-separated `list`", cmdline.Pick(&o.entrants, entrants, entrantName))
	scenariosGiven := false
	pickScenarios := cmdline.Pick(&o.scenarios, scenarios, scenarioName)
	fs.Func("scenarios", "run only these, from a comma-separated `list`", func(v string) error { scenariosGiven = true; return pickScenarios(v) })
	fs.Func("target", "send to the server at `URL` instead, which answers for Twilio. The limiter is then that\nserver's, and what it accepted twice is not known. Credentials are taken from\nTWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or are fake ones. Never the real Twilio", func(v string) (err error) {
		o.target, err = parseTarget(v)
		return err
	})
	fs.Func("timeout", "stop after this `duration` in all (default 5m)", func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return errors.New("expected a duration above 0, such as 90s or 5m")
		}
		o.timeout = d
		return nil
	})

	after := fmt.Sprintf(helpAfter, cmdline.Names(entrants, entrantName), cmdline.Names(scenarios, scenarioName))
	if err := cmdline.Parse(fs, args, usageTo, help, after); err != nil {
		return nil, err
	}
	switch {
	case o.target != nil && scenariosGiven:
		return nil, errors.New("-scenarios: expected not beside -target, whose limiter is its own")
	case o.target != nil && o.Check:
		return nil, errors.New("-check: expected not beside -target, whose limiter and doubled messages cannot be seen")
	case o.Check && !slices.ContainsFunc(o.entrants, func(e entrant) bool { return e.name == "pacer" }):
		return nil, errors.New("-check: expected pacer among -clients, as its figures are checked")
	}
	if o.target != nil {
		o.scenarios = []scenario{targetScenario}
	}
	return o, nil
}

func scenarioName(s scenario) string { return s.name }
func entrantName(e entrant) string   { return e.name }

func intIn(to *int, low, high int, unit string) func(string) error {
	return func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			return fmt.Errorf("expected from %d to %d %s", low, high, unit)
		}
		*to = n
		return nil
	}
}
