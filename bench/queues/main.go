// Command queues measures pacer's durable queue beside others that keep jobs in SQLite,
// and prints tables. See the README beside its module, and queues -h.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func main() { cmdline.Main(start) }

func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == asWorker {
		return cmdline.Exit(stderr, "queues", workHere(ctx, args[1:], stdout))
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
		if o.Check {
			rep.Missed = missed(rep.Rows, o.amounts)
		}
		err = rep.write(stdout, o.JSON)
	}
	return o.Exit(stderr, "queues", err, rep.Missed)
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
	return report{Environment: output.Environment(), Disk: d, Parameters: o.parameters(), Rows: rows}, nil
}

// remove deletes a database and what SQLite keeps beside it.
func remove(path string) error {
	files, err := filepath.Glob(path + "*")
	for _, f := range files {
		err = errors.Join(err, os.RemoveAll(f))
	}
	return err
}
