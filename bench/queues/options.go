package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

// options is the command line.
type options struct {
	measures           []measure
	engines            []engine
	amounts            amounts
	leastFsync         time.Duration
	check, json, short bool
}

const help = `queues lets pacer's durable queue and others keep and send the same messages, of
%d bytes, and prints one table of how fast they are. All have their file on the same
disk, in $TMPDIR or else the working directory, and an fsync for each commit. What
answers the workers is a fake Twilio in their process (package twiliotest).

It takes some minutes and some gigabytes; -short less than a minute.

Usage: go run ./queues [flags]

`

const helpAfter = `
Engines: %s.
Figures:
%s
Exit code: 0; 1 if it could not be finished, or -check missed a figure;
2 for a mistake on the command line.
`

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{measures: measures, engines: engines, amounts: full, leastFsync: leastFsync}
	fs := flag.NewFlagSet("queues", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Func("only", "measure only these, from a comma-separated `list`", cmdline.Pick(&o.measures, measures, measureName))
	fs.Func("engines", "only these, in the order of the table, from a comma-separated `list`", cmdline.Pick(&o.engines, engines, engineName))
	fs.BoolVar(&o.check, "check", false, "exit with 1, and say which, if pacer misses a figure:\n"+checked)
	fs.BoolVar(&o.json, "json", false, "print JSON instead of tables, with the figures of every round")
	fs.BoolVar(&o.short, "short", false, fmt.Sprintf("%s instead of %s waiting, and little of everything: to try it out", count(short.Many.Waiting), count(full.Many.Waiting)))

	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(usageTo)
		fmt.Fprintf(usageTo, help, bodyLength)
		fs.PrintDefaults()
		fmt.Fprintf(usageTo, helpAfter, cmdline.Names(engines, engineName), measureHelp())
		return nil, err
	case err != nil:
		return nil, err
	case fs.NArg() > 0:
		return nil, fmt.Errorf("argument %q: expected flags only", fs.Arg(0))
	case o.check && o.short:
		return nil, errors.New("-check: expected not beside -short, which does too little for figures")
	case o.check && !slices.ContainsFunc(o.engines, func(e engine) bool { return e.name == subject }):
		return nil, errors.New("-check: expected pacer among -engines, as its figures are checked")
	}
	if o.short {
		o.amounts = short
	}
	return o, nil
}

func measureName(m measure) string { return m.name }
func engineName(e engine) string   { return e.name }

func measureHelp() string {
	text := ""
	for _, m := range measures {
		text += fmt.Sprintf("  %-8s %s\n", m.name, m.what)
	}
	return text
}
