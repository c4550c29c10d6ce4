package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
)

// options is the command line.
type options struct {
	rows    []*row
	clients []*client
	seed    uint64
	cmdline.Flags
}

const help = `storms puts Twilio clients to models of servers and loads, one client in one model at a time, and prints what came of
it: how much of the possible each has reached, what it has lost, and how soon it was back after a trouble. All is in
one process and in virtual time (package testing/synctest): twenty minutes take a second, and no socket is opened.

Each client is the whole one, as a program uses it; only what is below its http.Client is a model. A model is composed of
limits (sliding, fixed, strict, token bucket, a minute's; of requests in progress), troubles (429s at random, in periods,
for a while, for one number) and a load (callers that always have work, ten senders, bursts, campaigns, a message a minute).

Try it:
  go run ./storms -row 'noise/20' -client pacer      pacer in random 429s, with learning and without
  go run ./storms -row '^storm/' -short              all clients in a storm of 3 minutes
  go run ./storms -check                             all; exit code 1 if a rule is broken
`

const helpAfter = `Clients: %s. All that retry may do so five times.

Rules of -check:
%s

Rows (* is part of a short run, as with clients; "pacer" after the name: the configured rate is the only limit
there, which other clients cannot be told):
%s`

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{seed: 1}
	fs := o.FlagSet("storms", "exit with 1, and say which row, if pacer breaks a rule; see below",
		"run the rows and clients with a *, shorter, in some 10 s; with -row and -client, those that they match")
	var rows, clients *regexp.Regexp
	fs.Func("row", "run only the rows with a name that this `regexp` matches", pattern(&rows))
	fs.Func("client", "run only the clients with a name that this `regexp` matches", pattern(&clients))
	fs.Uint64Var(&o.seed, "seed", o.seed, "`number` that all that is random in the models comes from")

	if err := cmdline.Parse(fs, args, usageTo, help, fmt.Sprintf(helpAfter, clientHelp(), checked, rowHelp())); err != nil {
		return nil, err
	}
	for _, r := range allRows() {
		if rows == nil && (r.short || !o.Short) || rows != nil && rows.MatchString(r.name) {
			o.rows = append(o.rows, r)
		}
	}
	for _, c := range allClients {
		if clients == nil && (c.short || !o.Short) || clients != nil && clients.MatchString(c.name) {
			o.clients = append(o.clients, c)
		}
	}
	switch {
	case len(o.rows) == 0:
		return nil, fmt.Errorf("-row: %q matches no row: expected one of %s", rows, cmdline.Names(allRows(), rowName))
	case len(o.clients) == 0:
		return nil, fmt.Errorf("-client: %q matches no client: expected one of %s", clients, cmdline.Names(allClients, clientName))
	case o.Check && !slices.ContainsFunc(o.clients, func(c *client) bool { return c.name == learning }):
		return nil, fmt.Errorf("-check: expected %s among the clients that -client matches, as it is what is checked", learning)
	}
	return o, nil
}

func pattern(to **regexp.Regexp) func(string) error {
	return func(v string) (err error) {
		*to, err = regexp.Compile(v)
		return err
	}
}

func rowName(r *row) string       { return r.name }
func clientName(c *client) string { return c.name }

func clientHelp() string {
	return cmdline.Names(allClients, func(c *client) string {
		if c.short {
			return c.name + " *"
		}
		return c.name
	})
}

func rowHelp() string {
	var b strings.Builder
	for _, r := range allRows() {
		mark, name := " ", r.name
		if r.short {
			mark = "*"
		}
		if r.pacerOnly {
			name += " (pacer)"
		}
		fmt.Fprintf(&b, "%s %-34s %s\n", mark, name, r.what)
	}
	return b.String()
}
