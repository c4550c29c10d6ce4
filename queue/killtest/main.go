// Killtest tries to make a queue lose or double a message. It kills the processes that send and
// enqueue, again and again, with SIGKILL at random moments. Meanwhile a fake Twilio cuts connections,
// fails, throttles and works late. In the end it compares what was enqueued, what Twilio has accepted
// and what the queue says.
//
//	go run ./killtest -kills 200
//	go run ./killtest -kills 200 -proxy -gateway -clock 10s -engine all
//	go run ./killtest -kills 200 -worker ../cmd/pacer/pacer    with the daemon that operators run
//
// It exits 1 if a message was lost or doubled, or if the queue says something that is not so. It also
// does if the test could not be done. All of it happens on this machine, in a temporary folder and on
// loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	if task, ok := os.LookupEnv(childEnv); ok {
		if err := child(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command runs the test as args say, and returns the exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("killtest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.kills, "kills", 200, "how many processes to kill")
	flags.IntVar(&o.messages, "messages", 2000, "how many messages and calls to enqueue")
	flags.BoolVar(&o.pause, "pause", false, "instead: a campaign of that many, whose rate is changed and which is paused and killed while it runs")
	flags.StringVar(&o.engine, "engine", "sqlite", "the queue's engine; all: one after the other, each with its own result")
	flags.Uint64Var(&o.seed, "seed", 1, "of what is drawn: faults, lives, pauses; the moments differ from run to run all the same")
	flags.BoolVar(&o.proxy, "proxy", false, `workers reach Twilio through an HTTP proxy, with CONNECT and TLS. Now and then it dies, refuses, keeps silent or cuts tunnels: what was not written must not be in doubt, and what was cut must be`)
	flags.BoolVar(&o.gateway, "gateway", false, `now and then somebody else answers in Twilio's place and passes nothing on: redirects, login pages, empty answers, JSON without a SID. None of them may count as sent, as Twilio's refusal, or as a list without the message`)
	flags.DurationVar(&o.clock, "clock", 0, `how far the engine's clock is ahead of Twilio's, such as 10s or -10s; it changes to 0 and back. Redis: its server's clock is shifted, or Twilio's; other engines: Twilio's. No time may make a message seem not to be there; it may be parked`)
	flags.BoolVar(&o.clockStays, "clockstays", false, "with -clock: it does not change during the run")
	flags.StringVar(&o.program, "worker", "", "`path` of the program pacer: its worker is killed, in place of the test's own; for sqlite and redis, without -proxy")
	flags.DurationVar(&o.timeout, "timeout", 0, "after which the test has failed; 0: 3 minutes and 1.5 s for each kill")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder with the store")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := o.check(flags.Args()); err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}

	code := 0
	for _, engine := range o.engines() {
		o.engine = engine
		code = max(code, one(ctx, o, stdout, stderr))
	}
	return code
}

// one tests one engine, and returns the exit code.
func one(ctx context.Context, o options, stdout, stderr io.Writer) int {
	failed := fmt.Errorf("it has not ended within %v (-timeout)", o.timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, failed)
	defer cancel()
	rep, err := do(ctx, o, stderr)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		fmt.Fprintf(stderr, "killtest could not be done (seed %d): %v\n", o.seed, err)
		return 1
	}
	if err := rep.print(stdout, o.json); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if !rep.ok() {
		fmt.Fprintf(stderr, "the queue has broken its promise: run it again with -seed %d -keep\n", o.seed)
		return 1
	}
	return 0
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: expected only flags", rest[0])
	case o.kills < 0 || o.kills > 10_000:
		return fmt.Errorf("-kills %d: expected 0 to 10000", o.kills)
	case o.messages < 1 || o.messages > 100_000:
		return fmt.Errorf("-messages %d: expected 1 to 100000", o.messages)
	case o.clock.Abs() > time.Hour:
		return fmt.Errorf("-clock %v: expected -1h to 1h", o.clock)
	case o.clockStays && o.clock == 0:
		return errors.New("-clockstays: expected with -clock")
	case o.pause && (o.proxy || o.gateway || o.clock != 0):
		return errors.New("-pause measures an undisturbed pace: expected without -proxy, -gateway and -clock")
	case o.timeout < 0:
		return fmt.Errorf("-timeout %v: expected 0 or more", o.timeout)
	case o.timeout == 0:
		o.timeout = 3*time.Minute + time.Duration(o.kills)*1500*time.Millisecond
	}
	for _, engine := range o.engines() {
		if err := knownEngine(engine); err != nil {
			return err
		}
	}
	return o.checkWorker()
}

// engines are those that are to be tested.
func (o *options) engines() []string {
	if o.engine == "all" {
		return slices.Sorted(maps.Keys(engines))
	}
	return []string{o.engine}
}
