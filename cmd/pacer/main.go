// Pacer runs, watches and steers a durable queue of requests to Twilio, without a line of Go:
//
//	pacer demo       all of it without an account, against a fake Twilio
//	pacer worker     the daemon that sends what waits
//	pacer top        what happens in the queue, live in the terminal
//	pacer help       all commands, each with an example
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// The exit codes, as the help of the root command lists them.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitPerson   = 4
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals // who asks twice does not want to wait for the grace period
		fmt.Fprintln(os.Stderr, "pacer: stopped at once by a second signal; what was on the wire is in doubt")
		os.Exit(exitFailed)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command line, and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	redis.SetLogger(silent{})
	a := &app{in: in, out: out, errs: errs}
	root := a.root()
	root.SetArgs(append([]string{}, args...))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(errs, "pacer:", strings.TrimPrefix(lines(pacer.MaskNumbers(err.Error())), "pacer: "))
	code := exitOf(err)
	if code == exitUsage {
		fmt.Fprintln(errs, "pacer help, or --help behind a command, says how it is used")
	}
	return code
}

// silent is for go-redis, which writes to the standard error what its calls return as errors anyway.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// A usageError is a command line that makes no sense.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errPerson is the error of a command that has found something a person must decide.
var errPerson = errors.New("something needs a person")

// errNothing is the error of a command that has found nothing of what was asked for.
var errNothing = errors.New("nothing found")

func exitOf(err error) int {
	switch wrong := (usageError{}); {
	case errors.As(err, &wrong), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.Is(err, errPerson):
		return exitPerson
	case errors.Is(err, errNothing), errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrNoCampaign):
		return exitNotFound
	}
	return exitFailed
}

const about = `Pacer keeps requests to Twilio in a durable queue, sends them at the pace that Twilio
allows, and shows where they are.

The queue is an address: a file such as sqlite:queue.db, a Redis such as
redis://host:6379/0, or SQS. It is that of --queue, else of PACER_QUEUE. Credentials are
those of TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN. Commands that only look at a queue
need the account's SID and no token.

No phone number and no text is printed: numbers are masked, as in +1555•••0006. Option
--reveal shows numbers. In a pipe there are no control characters. With --json each
command prints one JSON value, and pacer top one in each line.

pacer man DIR writes a man page for each command into a folder.

Exit codes:
  0  done
  1  failed
  2  used wrongly
  3  nothing found
  4  something needs a person`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "pacer", Short: "Run, watch and steer a durable queue of requests to Twilio", Long: about,
		Example:      "  pacer demo\n  pacer worker --queue sqlite:queue.db --limits limits.json\n  pacer top --queue sqlite:queue.db",
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&a.queueAddress, "queue", "", "the queue's `address`, such as sqlite:queue.db (PACER_QUEUE)")
	flags.StringVar(&a.account, "account", "", "the account's `SID` (TWILIO_ACCOUNT_SID)")
	flags.StringVar(&a.baseURL, "base-url", "", "a server to send to in Twilio's place, such as that of pacer fake (PACER_BASE_URL)")
	flags.StringVar(&a.limitsFile, "limits", "", "a `file` of limits (PACER_LIMITS_FILE)")
	flags.StringVar(&a.share, "share", "", "the `address` of a Redis in which processes share their pace (PACER_SHARE)")
	flags.BoolVar(&a.json, "json", false, "print JSON")
	flags.BoolVar(&a.reveal, "reveal", false, "show phone numbers")
	root.AddCommand(a.version(), a.fake(), a.send(), a.demo(), a.worker(), a.campaign(), a.queue(), a.doubt(), a.limits(), a.doctor(),
		a.why(), a.top(), a.workers(), a.hold(), a.man())
	return root
}

// exactly is cobra.ExactArgs with the names of the arguments, and with our exit code.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usage("%d arguments: expected %d%s", len(args), len(names), strings.Join(append([]string{""}, names...), " "))
		}
		return nil
	}
}

// group returns a command that only has commands below it.
func group(name, short, example string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short, Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q of pacer %s", args[0], name)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(commands...)
	return c
}
