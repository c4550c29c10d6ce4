// Command scenarios puts several clients to limits that are known, unknown,
// change or are shared, and prints one table of what came of it. See the README
// beside its module, and scenarios -h.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func main() { cmdline.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stdout)
	if err != nil {
		return cmdline.Unparsed(stderr, "scenarios", err)
	}
	return o.run(ctx, stdout, stderr)
}

func (o *options) run(ctx context.Context, stdout, stderr io.Writer) int {
	rows, err := runAll(ctx, o, output.NewScreen(stderr))
	rep := report{Environment: output.Environment(), Parameters: o.parameters(), Rows: rows}
	if o.Check && err == nil {
		rep.Missed = missed(rows)
	}
	return o.Exit(stderr, "scenarios", cmp.Or(err, rep.write(stdout, o.JSON)), rep.Missed)
}

// runAll runs one batch after the other. With an error it returns the rows of
// those that had finished.
func runAll(ctx context.Context, o *options, screen *output.Screen) ([]row, error) {
	var rows []row
	for _, b := range batches(o.scenarios) {
		more, err := runBatch(ctx, b, o, screen)
		if err != nil {
			return rows, fmt.Errorf("not finished: %w", err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func runBatch(ctx context.Context, b batch, o *options, screen *output.Screen) ([]row, error) {
	var trials []*trial
	for _, s := range b {
		for _, e := range o.entrants {
			t := newTrial(ctx, s, e, o.timing)
			defer t.close()
			trials = append(trials, t)
		}
	}
	start := time.Now()
	stop := follow(screen, b, trials, start, b.length(o.timing))
	var wg sync.WaitGroup
	for i, t := range trials {
		t.start = start.Add(stagger(i, len(trials)))
		wg.Go(t.run)
	}
	wg.Wait()
	stop()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	losses(screen, trials)
	return inOrder(trials), nil
}

// stagger is how long after the first the i-th of n trials starts: all within a
// second. Clients that wait for Retry-After wait for exactly a second, all their
// callers at once. If all such clients began together, every second would begin
// with hundreds of requests. A machine of two cores would be late for the others
// by a tenth of a second, and bunch what they had spaced.
func stagger(i, n int) time.Duration { return time.Second * time.Duration(i) / time.Duration(n) }

// inOrder are the rows of all clients, those of one name together.
func inOrder(trials []*trial) []row {
	var names []string
	byName := map[string][]row{}
	for _, t := range trials {
		for _, r := range t.rows() {
			if byName[r.Scenario] == nil {
				names = append(names, r.Scenario)
			}
			byName[r.Scenario] = append(byName[r.Scenario], r)
		}
	}
	var rows []row
	for _, name := range names {
		rows = append(rows, byName[name]...)
	}
	return rows
}
