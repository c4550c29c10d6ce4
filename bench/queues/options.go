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
	measures   []measure
	engines    []engine
	amounts    amounts
	leastFsync time.Duration
	cmdline.Flags
}

const help = `queues lets pacer's durable queue and others keep and send the same messages, of
%d bytes, and prints one table of how fast they are. All have their file on the same
disk, in $TMPDIR or else the working directory, and an fsync for each commit. What
answers the workers is a fake Twilio in their process (package twiliotest).

It takes some minutes and some gigabytes; -short less than a minute.
`

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{measures: measures, engines: engines, amounts: full, leastFsync: leastFsync}
	fs := o.FlagSet("queues", "exit with 1, and say which, if pacer misses a figure:\n"+checked,
		fmt.Sprintf("%s instead of %s waiting, and little of everything: to try it out", count(short.Many.Waiting), count(full.Many.Waiting)))
	fs.Func("only", "measure only these, from a comma-separated `list`", cmdline.Pick(&o.measures, measures, measureName))
	fs.Func("engines", "only these, in the order of the table, from a comma-separated `list`", cmdline.Pick(&o.engines, engines, engineName))

	after := fmt.Sprintf("Engines: %s.\nFigures:\n%s", cmdline.Names(engines, engineName), measureHelp())
	if err := cmdline.Parse(fs, args, usageTo, fmt.Sprintf(help, bodyLength), after); err != nil {
		return nil, err
	}
	switch {
	case o.Check && o.Short:
		return nil, errors.New("-check: expected not beside -short, which does too little for figures")
	case o.Check && !slices.ContainsFunc(o.engines, func(e engine) bool { return e.name == subject }):
		return nil, errors.New("-check: expected pacer among -engines, as its figures are checked")
	}
	if o.Short {
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
