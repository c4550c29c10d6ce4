package cmdline

import (
	"errors"
	"strings"
	"testing"
)

func TestCommandLinesEndAsTheyShould(t *testing.T) {
	for _, tt := range []struct {
		args, stdout, stderr string
		code                 int
	}{
		{"-h", "Before.\n\nUsage: go run ./some [flags]\n\n  -check\n    \tchecks\n  -json\n", "", 0},
		{"-h", "\nAfter.\n\nExit code: 0; 1 if ", "", 0},
		{"-fast", "", "some: flag provided but not defined: -fast\nsome -h explains all flags.\n", Usage},
		{"-short", "", "some: flag provided but not defined: -short\nsome -h explains all flags.\n", Usage},
		{"-json now", "", "some: argument \"now\": expected flags only\nsome -h explains all flags.\n", Usage},
		{"-json", "", "", 0},
		{"-check", "", "some: nothing missed\n", 0},
	} {
		var f Flags
		var stdout, stderr strings.Builder
		fs := f.FlagSet("some", "checks", "")
		var code int
		if err := Parse(fs, strings.Fields(tt.args), &stdout, "Before.\n", "After.\n"); err != nil {
			code = Unparsed(&stderr, "some", err)
		} else {
			code = f.Exit(&stderr, "some", nil, nil)
		}
		if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || (tt.stdout == "") != (stdout.Len() == 0) || stderr.String() != tt.stderr {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; expected %d, %q, %q", tt.args, code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
		}
	}
}

func TestRunsEndAsTheyShould(t *testing.T) {
	for _, tt := range []struct {
		err    error
		missed []string
		stderr string
		code   int
	}{
		{errors.New("late"), []string{"a"}, "some: late\n", Failed},
		{nil, []string{"a", "b"}, "some: missed: a\nsome: missed: b\n", Failed},
		{nil, nil, "some: nothing missed\n", 0},
	} {
		var stderr strings.Builder
		if code := (Flags{Check: true}).Exit(&stderr, "some", tt.err, tt.missed); code != tt.code || stderr.String() != tt.stderr {
			t.Errorf("%v, %v: exit code %d, %q; expected %d, %q", tt.err, tt.missed, code, &stderr, tt.code, tt.stderr)
		}
	}
}
