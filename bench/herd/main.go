// Command herd sends the same herd of messages through several clients, each
// against a limiter of its own. It prints who delivered all, who lost some, and
// who hammered. See the README beside its module, and herd -h.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stdout)
	if err != nil {
		return cmdline.Unparsed(stderr, "herd", err)
	}

	// The clients are not told of a deadline, only stopped. One that knows its
	// deadline may give up early, and that is not what is measured.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := fmt.Errorf("not finished after %v: raise -timeout, or lower -n", o.timeout)
	defer time.AfterFunc(o.timeout, func() { cancel(late) }).Stop()

	rows, err := runAll(ctx, o, getenv, newProgress(stderr))
	rep := report{Environment: output.Environment(time.Now()), Parameters: o.parameters(), Rows: rows}
	if o.check && err == nil {
		rep.Missed = missed(rows)
	}
	if werr := rep.write(stdout, o.json); err == nil {
		err = werr
	}
	return cmdline.Exit(stderr, "herd", err, rep.Missed, o.check, "no figure missed")
}

// runAll runs every client in every scenario, one after the other. With an
// error it returns the rows of those that had finished.
func runAll(ctx context.Context, o *options, getenv func(string) string, p *progress) ([]row, error) {
	var rows []row
	for _, sc := range o.scenarios {
		p.scenario(sc, o)
		for _, e := range o.entrants {
			r, err := runOne(ctx, o, sc, e, getenv, p)
			if err != nil {
				return rows, fmt.Errorf("%s, %s: %w", sc.name, e.name, err)
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func runOne(ctx context.Context, o *options, sc scenario, e entrant, getenv func(string) string, p *progress) (row, error) {
	srv := sc.open(o, getenv)
	defer srv.close()
	wire := &wire{next: srv.transport}
	h := &herd{n: o.n, workers: o.workers, wire: wire}
	send := e.sender(ctx, setup{clients.Setup{User: srv.user, Password: srv.password, Transport: wire}, o.rate})
	stop := p.follow(e.name, h)
	seconds := h.run(ctx, send)
	if err := context.Cause(ctx); err != nil {
		stop()
		return row{}, err
	}
	r := h.row(seconds)
	r.Scenario, r.Client = sc.name, e.name
	r.Possible = sc.possible(o.rate, seconds.Seconds())
	r.Doubled = srv.doubled()
	stop()
	return r, sc.settle(ctx)
}
