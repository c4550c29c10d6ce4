// Command herd sends the same herd of messages through several clients, each
// against a limiter of its own. It prints who delivered all, who lost some, and
// who hammered. See the README beside its module, and herd -h.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func main() {
	cmdline.Main(func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		return run(ctx, args, os.Getenv, stdout, stderr)
	})
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

	rows, err := runAll(ctx, o, getenv, output.NewScreen(stderr))
	rep := report{Environment: output.Environment(), Parameters: o.parameters(), Rows: rows}
	if o.Check && err == nil {
		rep.Missed = missed(rows)
	}
	return o.Exit(stderr, "herd", cmp.Or(err, rep.write(stdout, o.JSON)), rep.Missed)
}

// runAll runs every client in every scenario, one after the other. With an
// error it returns the rows of those that had finished.
func runAll(ctx context.Context, o *options, getenv func(string) string, screen *output.Screen) ([]row, error) {
	var rows []row
	for _, sc := range o.scenarios {
		screen.Printf("%s: %d messages, %d goroutines, %d/s\n", sc.name, o.n, o.workers, o.rate)
		for _, e := range o.entrants {
			r, err := runOne(ctx, o, sc, e, getenv, screen)
			if err != nil {
				return rows, fmt.Errorf("%s, %s: %w", sc.name, e.name, err)
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func runOne(ctx context.Context, o *options, sc scenario, e entrant, getenv func(string) string, screen *output.Screen) (row, error) {
	srv := sc.open(o, getenv)
	defer srv.close()
	wire := &wire{next: srv.transport}
	h := &herd{n: o.n, workers: o.workers, wire: wire}
	send := e.sender(ctx, setup{clients.Setup{User: srv.user, Password: srv.password, Transport: wire}, o.rate})
	stop := follow(screen, e.name, h)
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
