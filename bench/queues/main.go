// Command queues measures pacer's durable queue beside others that keep jobs in SQLite,
// and prints tables. See the README beside its module, and queues -h.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(start(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == asWorker {
		if err := workHere(ctx, args[1:], stdout); err != nil {
			fmt.Fprintf(stderr, "queues: %v\n", err)
			return cmdline.Failed
		}
		return 0
	}
	o, err := parseOptions(args, stdout)
	if err != nil {
		return cmdline.Unparsed(stderr, "queues", err)
	}
	return o.run(ctx, stdout, stderr)
}

func (o *options) run(ctx context.Context, stdout, stderr io.Writer) int {
	rep, err := o.measure(ctx, &progress{stderr, time.Now()})
	if err == nil {
		if o.check {
			rep.Missed = missed(rep.Rows, o.amounts)
		}
		err = rep.write(stdout, o.json)
	}
	return cmdline.Exit(stderr, "queues", err, rep.Missed, o.check, "no figure missed")
}

// measure measures all, or returns an error: half a table would be compared, too.
func (o *options) measure(ctx context.Context, p *progress) (rep report, err error) {
	d, err := newDisk()
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, d.remove()) }()
	if err := d.check(o.leastFsync); err != nil {
		return rep, err
	}
	rows := make([]row, len(o.engines))
	for i, e := range o.engines {
		rows[i] = row{Engine: e.name, Killed: e.killed}
	}
	r := &run{dir: d.Dir, engines: o.engines, amounts: o.amounts, progress: p}
	for _, m := range o.measures {
		p.say("%s: %s", m.name, m.what)
		if err := m.run(r, ctx, rows); err != nil {
			return rep, fmt.Errorf("not finished: %s: %w", m.name, err)
		}
	}
	return report{Environment: output.Environment(time.Now()), Disk: d, Parameters: o.parameters(), Rows: rows}, nil
}

// remove deletes a database and what SQLite keeps beside it.
func remove(path string) error {
	files, err := filepath.Glob(path + "*")
	for _, f := range files {
		err = errors.Join(err, os.RemoveAll(f))
	}
	return err
}
