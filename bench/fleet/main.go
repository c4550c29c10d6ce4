// Command fleet lets processes share one account's limit through Redis, kills some of
// them, stops Redis, and prints one table of what came of it. See fleet -h.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/internal/redistest"
)

func main() { cmdline.Main(command) }

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
		return cmdline.Exit(stderr, "fleet", member(ctx, args[1], os.Stdin, stdout))
	}
	o, err := parseOptions(args, stdout)
	if err != nil {
		return cmdline.Unparsed(stderr, "fleet", err)
	}
	if err := redistest.Installed(); err != nil {
		return cmdline.Exit(stderr, "fleet", err)
	}
	rep := report{Environment: output.Environment(), Workers: workers}
	err = o.measure(ctx, &rep, &progress{Screen: output.NewScreen(stderr)})
	if o.Check && err == nil {
		rep.Missed = missed(o.scenarios, rep.Rows)
	}
	return o.Exit(stderr, "fleet", cmp.Or(err, rep.write(stdout, o.JSON)), rep.Missed)
}

// measure lives one scenario after the other through. With an error the report has those before.
func (o *options) measure(ctx context.Context, rep *report, p *progress) error {
	for _, s := range o.scenarios {
		p.begin(s)
		var r row
		var err error
		if s.Name == take {
			rep.Costs, err = costs(ctx, s.length)
		} else if r, err = s.run(ctx, p.show); err == nil {
			rep.Rows = append(rep.Rows, r)
		}
		p.Draw("")
		if err != nil {
			return fmt.Errorf("%s: not finished: %w", s.Name, err)
		}
	}
	return nil
}

func (rep *report) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return rep.table(w)
	}
	return output.JSON(w, rep)
}
