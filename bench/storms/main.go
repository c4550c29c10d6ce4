// Command storms puts Twilio clients to models of servers and loads in virtual time, minutes in seconds. It prints what
// each reached of the possible, what it lost, and how soon it was back after a trouble. See the README beside its module,
// and storms -h.
package main

import (
	"flag"
	"io"
	"os"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// Without cmdline.Main an interrupt ends the process at once. Clients in virtual time would not notice a context that is cancelled.
func main() {
	o, err := parseOptions(os.Args[1:], os.Stdout)
	if err != nil {
		os.Exit(cmdline.Unparsed(os.Stderr, "storms", err))
	}
	inTest(func(t *testing.T) { os.Exit(o.run(t, os.Stdout, os.Stderr)) })
}

// inTest runs f in a test, because virtual time, testing/synctest, is given to tests only. f ends the process: package
// testing would print PASS.
func inTest(f func(*testing.T)) {
	testing.Init()
	_ = flag.CommandLine.Parse(nil) // the flags of package testing, not those of this command
	everything := func(string, string) (bool, error) { return true, nil }
	testing.Main(everything, []testing.InternalTest{{Name: "storms", F: f}}, nil, nil)
}

// run runs all and returns the exit code.
func (o *options) run(t *testing.T, stdout, stderr io.Writer) int {
	began := time.Now()
	rep := report{env: output.Environment(), params: params{Seed: o.seed, Short: o.Short}, cells: o.cells(t, &progress{Screen: output.NewScreen(stderr)})}
	rep.took = time.Since(began)
	if o.Check {
		rep.missed = missed(rep.cells)
	}
	return o.Exit(stderr, "storms", rep.write(stdout, o.JSON), rep.missed)
}
