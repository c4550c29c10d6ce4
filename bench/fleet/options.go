package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

// options is the command line.
type options struct {
	scenarios []scenario
	cmdline.Flags
}

const help = `fleet lets processes, mostly eight of twenty workers each, share one limit through Redis
(package redispacer) and send messages to a fake Twilio whose window slides. It starts its
own redis-server. Beside some of them one process sends the same load without Redis. It takes
about nine minutes; -short two and a half.
`

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{scenarios: slices.Clone(scenarios)}
	fs := o.FlagSet("fleet", "exit with 1, and say which, if a figure is missed", "a quarter of the time")
	fs.Func("scenarios", "run only these, from a comma-separated `list`", cmdline.Pick(&o.scenarios, scenarios, func(s scenario) string { return s.Name }))

	after := "Scenarios:\n"
	for _, s := range scenarios {
		after += fmt.Sprintf("  %-10s %s\n", s.Name, s.What)
	}
	if err := cmdline.Parse(fs, args, usageTo, help, after); err != nil {
		return nil, err
	}
	if o.Short {
		for i, s := range o.scenarios {
			o.scenarios[i] = s.shortened()
		}
	}
	return o, nil
}
