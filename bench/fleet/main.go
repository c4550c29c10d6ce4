// Command fleet lets processes share one account's limit through Redis, kills some of
// them, stops Redis, and prints one table of what came of it. See fleet -h.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/internal/redistest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	scenarios          []scenario
	costs              bool
	check, json, short bool
}

func parseOptions(args []string, usageTo io.Writer) (*options, error) {
	o := &options{costs: true}
	var only string
	fs := flag.NewFlagSet("fleet", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&only, "only", "", "only these scenarios, from a comma-separated `list`: steady, churn, outage, busy, below, answers-1, answers-5, answers-20, late, slots, many, noise; or take")
	fs.BoolVar(&o.check, "check", false, "exit with 1, and say which, if a figure is missed")
	fs.BoolVar(&o.json, "json", false, "print JSON instead of tables")
	fs.BoolVar(&o.short, "short", false, "a quarter of the time")
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
	o.scenarios = scenarios(o.short)
	switch only {
	case "":
	case "take":
		o.scenarios = nil
	default:
		o.costs = false
		if err := cmdline.Pick(&o.scenarios, o.scenarios, func(s scenario) string { return s.Name })(only); err != nil {
			return nil, fmt.Errorf("-only: %w", err)
		}
	}
	return o, nil
}

const help = `fleet lets processes, mostly eight of twenty workers each, share one limit through Redis
(package redispacer) and send messages to a fake Twilio whose window slides. It starts its
own redis-server. Beside some of them one process sends the same load without Redis. It takes
about nine minutes; -short two and a half.

Usage: go run ./fleet [flags]

`

// A report is all that a run has to say.
type report struct {
	Environment output.Env `json:"environment"`
	Workers     int        `json:"workersPerProcess"`
	Rows        []row      `json:"rows"`
	Costs       []cost     `json:"costs,omitempty"`
	Missed      []string   `json:"missed,omitempty"` // with -check
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 2 && args[0] == asMember {
		if err := member(ctx, args[1], os.Stdin, stdout); err != nil {
			fmt.Fprintf(stderr, "fleet: %v\n", err)
			return cmdline.Failed
		}
		return 0
	}
	o, err := parseOptions(args, stdout)
	if err != nil {
		return cmdline.Unparsed(stderr, "fleet", err)
	}
	if err := redistest.Installed(); err != nil {
		fmt.Fprintf(stderr, "fleet: %v\n", err)
		return cmdline.Failed
	}
	rep := report{Environment: output.Environment(time.Now()), Workers: workers}
	err = o.measure(ctx, &rep, &progress{w: stderr, live: output.Terminal(stderr)})
	if o.check && err == nil {
		rep.Missed = missed(o.scenarios, rep.Rows)
	}
	if werr := rep.write(stdout, o.json); err == nil {
		err = werr
	}
	return cmdline.Exit(stderr, "fleet", err, rep.Missed, false, "")
}

func (o *options) measure(ctx context.Context, rep *report, p *progress) error {
	for _, s := range o.scenarios {
		p.begin(s)
		r, err := s.run(ctx, p.show)
		p.end()
		if err != nil {
			return fmt.Errorf("%s: not finished: %w", s.Name, err)
		}
		rep.Rows = append(rep.Rows, r)
	}
	if !o.costs {
		return nil
	}
	var err error
	rep.Costs, err = costs(ctx, o.short)
	return err
}

// missed says which figures were missed.
func missed(scenarios []scenario, rows []row) (out []string) {
	for i, r := range rows {
		s := scenarios[i]
		miss := func(format string, args ...any) { out = append(out, s.Name+": "+fmt.Sprintf(format, args...)) }
		if r.OfLimit < s.leastRate {
			miss("%.1f %% of the limit, expected at least %.1f %%", 100*r.OfLimit, 100*s.leastRate)
		}
		if s.mostThrottled > 0 && r.Throttled > s.mostThrottled {
			miss("%.2f %% throttled, expected at most %.2f %%", 100*r.Throttled, 100*s.mostThrottled)
		}
		if r.Least < s.leastShare {
			miss("the smallest process sent %.2f of what the largest did, expected at least %.2f", r.Least, s.leastShare)
		}
		if s.mostAsked > 0 && r.Asked > s.mostAsked {
			miss("%.3f round trips per request, expected at most %.3f", r.Asked, s.mostAsked)
		}
		if s.leastAlone > 0 && r.OfAlone < s.leastAlone {
			miss("%.1f %% of what one process without Redis sends, expected at least %.1f %%", 100*r.OfAlone, 100*s.leastAlone)
		}
		if r.Own < s.leastOwn {
			miss("the smallest process has %.2f of an equal share, expected at least %.2f", r.Own, s.leastOwn)
		}
		if s.mostTrips > 0 && r.Trips > s.mostTrips {
			miss("%.0f round trips a second, expected at most %.0f", r.Trips, s.mostTrips)
		}
		if r.Lost > 0 || r.Doubled > 0 {
			miss("%d lost, %d doubled", r.Lost, r.Doubled)
		}
		if a := r.Away; a != nil {
			if a.Throttled > s.mostThrottledAway {
				miss("%.2f %% throttled while Redis was stopped, expected at most %.2f %%", 100*a.Throttled, 100*s.mostThrottledAway)
			}
			if a.Recovered < 0 || a.Recovered > 2 {
				miss("back to normal after %.1f s (-1: never), expected within 2 s", a.Recovered)
			}
		}
	}
	return out
}

func (rep *report) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return rep.table(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rep)
}
