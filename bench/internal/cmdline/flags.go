package cmdline

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// Flags are the flags that the commands have in common.
type Flags struct{ Check, JSON, Short bool }

// FlagSet returns the flag set of a command, with these flags in it. check and short say what the
// flags of these names do. Without a text for short the command has no such flag.
func (f *Flags) FlagSet(command, check, short string) *flag.FlagSet {
	fs := flag.NewFlagSet(command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(&f.Check, "check", false, check)
	fs.BoolVar(&f.JSON, "json", false, "print all figures as JSON instead of tables")
	if short != "" {
		fs.BoolVar(&f.Short, "short", false, short)
	}
	return fs
}

// Parse parses a command line that consists of flags only. If it asks for help, Parse prints it,
// with one text before and one after the flags, and returns flag.ErrHelp.
func Parse(fs *flag.FlagSet, args []string, stdout io.Writer, before, after string) error {
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(stdout)
		fmt.Fprintf(stdout, "%s\nUsage: go run ./%s [flags]\n\n", before, fs.Name())
		fs.PrintDefaults()
		fmt.Fprintf(stdout, "\n%s\n%s", after, exitCodes)
	case err == nil && fs.NArg() > 0:
		return fmt.Errorf("argument %q: expected flags only", fs.Arg(0))
	}
	return err
}
