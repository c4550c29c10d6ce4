package cmdline

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// The exit codes besides 0.
const (
	Failed = 1 // a run could not be finished, or a check has found it wanting
	Usage  = 2 // the command line makes no sense
)

const exitCodes = `Exit code: 0; 1 if the run could not be finished, or -check missed a figure or found
a rule broken; 2 for a mistake on the command line.
`

// Unparsed tells people why the flags could not be parsed, and returns the command's exit code. It
// is 0 for flag.ErrHelp, as help was all that was wanted.
func Unparsed(stderr io.Writer, command string, err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n%s -h explains all flags.\n", command, err, command)
	return Usage
}

// Exit tells people of an error, if there is one, and returns the command's exit code.
func Exit(stderr io.Writer, command string, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", command, err)
	return Failed
}

// Exit tells people how a run of the command ended, and returns its exit code. missed is what a
// check has found wanting.
func (f Flags) Exit(stderr io.Writer, command string, err error, missed []string) int {
	if err != nil {
		return Exit(stderr, command, err)
	}
	for _, m := range missed {
		fmt.Fprintf(stderr, "%s: missed: %s\n", command, m)
	}
	switch {
	case len(missed) > 0:
		return Failed
	case f.Check:
		fmt.Fprintf(stderr, "%s: nothing missed\n", command)
	}
	return 0
}
