package cmdline

import (
	"fmt"
	"io"
)

// Failed is the exit code of a run that could not be finished, or that a check has found wanting.
const Failed = 1

// Exit tells people how a run of the command ended, and returns its exit code. missed is what a
// check has found wanting. If it was a check, and there is nothing, fine is said.
func Exit(stderr io.Writer, command string, err error, missed []string, check bool, fine string) int {
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", command, err)
		return Failed
	}
	for _, m := range missed {
		fmt.Fprintf(stderr, "%s: missed: %s\n", command, m)
	}
	switch {
	case len(missed) > 0:
		return Failed
	case check:
		fmt.Fprintf(stderr, "%s: %s\n", command, fine)
	}
	return 0
}
