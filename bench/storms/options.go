package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
)

// options is the command line.
type options struct {
	rows               []*row
	clients            []*client
	seed               uint64
	check, json, short bool
}

const help = `storms puts Twilio clients to models of servers and loads, in virtual time.

Usage: go run ./storms [flags]

`

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{seed: 1}
	fs := flag.NewFlagSet("storms", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	rows, clients := regexp.MustCompile(""), regexp.MustCompile("")
	pattern := func(to **regexp.Regexp) func(string) error {
		return func(v string) (err error) {
			*to, err = regexp.Compile(v)
			return err
		}
	}
	fs.Func("row", "run only the rows whose name matches this `regexp`", pattern(&rows))
	fs.Func("client", "run only the clients whose name matches this `regexp`", pattern(&clients))
	fs.Uint64Var(&o.seed, "seed", o.seed, "of all that is random in the models")
	fs.BoolVar(&o.check, "check", false, "exit with 1, and say which, if a rule is broken")
	fs.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	fs.BoolVar(&o.short, "short", false, "some rows, shorter")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(usageTo)
		fmt.Fprint(usageTo, help)
		fs.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, err
	case fs.NArg() > 0:
		return nil, fmt.Errorf("argument %q: expected flags only", fs.Arg(0))
	}
	for _, r := range allRows() {
		if rows.MatchString(r.name) && (r.short || !o.short) {
			o.rows = append(o.rows, r)
		}
	}
	for _, c := range allClients {
		if clients.MatchString(c.name) {
			o.clients = append(o.clients, c)
		}
	}
	return o, nil
}
