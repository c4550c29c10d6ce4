//go:build unix

package main

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// controls returns the control characters of a text besides new lines and tabs.
func controls(text string) (found []rune) {
	for _, r := range text {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			found = append(found, r)
		}
	}
	return found
}

// A reader of a log, a pager or a script gets text only, whatever a name or an answer of Twilio's has in it. Each command
// is a process whose standard output and standard error are pipes.
func TestPipesGetNoControlCharacters(t *testing.T) {
	s, all := seed(t), leaves()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(ways[name]) == 0 {
			t.Errorf("pacer %s: ways does not say how to run it", name)
		}
		for _, w := range ways[name] {
			t.Run(strings.TrimSpace(name+" "+w.args), func(t *testing.T) {
				s.fresh(t)
				p := piped(t, w.until, s.line(t, name, w)...)
				if p.code != w.code || p.out+p.err == "" {
					t.Errorf("exit code %d, expected %d: %s", p.code, w.code, p.out+p.err)
				}
				if found := controls(p.out + p.err); found != nil {
					t.Errorf("it prints %q: %q", found, p.out+p.err)
				}
			})
		}
	}
}

// piped runs a command line as a process of its own. It interrupts the process once it has printed until.
func piped(t *testing.T, until string, args ...string) printed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0") // else each one sleeps a second under -race
	out, errs := buffer{numbers: shows(args)}, buffer{numbers: shows(args)}    // which are no files, so that the process gets pipes
	cmd.Stdout, cmd.Stderr = &out, &errs
	must(t, cmd.Start())
	if until != "" {
		eventually(t, until, func() bool { return strings.Contains(out.String()+errs.String(), until) })
		must(t, cmd.Process.Signal(syscall.SIGTERM))
	}
	_ = cmd.Wait() // the exit code says it
	return printed{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// What is typed on a command line comes back in errors.
func TestErrorsHaveNoControlCharacters(t *testing.T) {
	seed(t).fresh(t)
	for _, args := range [][]string{
		{evil}, {"--" + evil}, {"queue", evil}, {"queue", "list", "--state", evil}, {"queue", "list", "--limit", evil}, {"queue", "show", evil},
		{"campaign", "show", evil}, {"campaign", "rate", "spring", evil}, {"why", evil}, {"hold", "end", evil}, {"limits", "check", evil},
		{"queue", "stats", "--queue", evil}, {"queue", "stats", "--queue", "sqlite:" + evil}, {"worker", "--config", evil}, {"worker", "--log-level", evil},
		{"send", "--priority", evil, "--to", receiver, "--from", receiver, "--body", evil}, {"campaign", "start", evil, "--csv", evil},
		{"limits", "set", written(t, "l.json", "[]"), "--share", evil}, {"help", evil},
		{"campaign", "start", "x", "--from", receiver, "--body", "x", "--csv", written(t, "l.csv", "to,"+evil+"\n"+evil+"\n")},
	} {
		p := doIn(t.Context(), t, "", args...)
		if p.code == exitDone && args[0] != "help" {
			t.Errorf("%q: exit code 0", args)
		}
		if found := controls(p.out + p.err); found != nil {
			t.Errorf("%q prints %q: %q", args, found, p.out+p.err)
		}
	}
}
