// Package cmdline is what the command lines of the commands have in common.
package cmdline

import (
	"context"
	"io"
	"os"
	"os/signal"
)

// Main runs a command and ends the process with the exit code that run returns. An interrupt
// cancels the context.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
