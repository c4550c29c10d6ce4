package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/twilio-pacer/pacer/queue"
)

// pty opens a pseudo terminal: the end of who types and reads, and that of the program.
func pty(t *testing.T, width, height uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals here: ", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// readUntil reads what the program draws, until it has some words.
func readUntil(t *testing.T, person *os.File, words string) string {
	t.Helper()
	var all []byte
	some := make([]byte, 4096)
	for !bytes.Contains(all, []byte(words)) {
		n, err := person.Read(some)
		if all = append(all, some[:n]...); err != nil {
			t.Fatalf("%v before %q in %q", err, words, all)
		}
	}
	witness(string(all))
	return string(all)
}

// The real command draws on a terminal, and leaves it as it was, however it is ended.
func TestTopInATerminal(t *testing.T) {
	address := startCampaign(t)
	for name, c := range map[string]struct {
		width, height uint16
		env           string
		end           func(p *exec.Cmd, person *os.File) error
	}{
		"q":             {80, 24, "NO_COLOR=", func(_ *exec.Cmd, person *os.File) error { _, err := person.WriteString("q"); return err }},
		"Ctrl-C":        {200, 60, "NO_COLOR=1", func(_ *exec.Cmd, person *os.File) error { _, err := person.WriteString("x\x1b[A\x03"); return err }},
		"a signal":      {80, 24, "NO_COLOR=1", func(p *exec.Cmd, _ *os.File) error { return p.Process.Signal(syscall.SIGTERM) }},
		"its smallness": {1, 1, "NO_COLOR=1", func(_ *exec.Cmd, person *os.File) error { _, err := person.WriteString("q"); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			person, program := pty(t, c.width, c.height)
			before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			p := exec.CommandContext(t.Context(), os.Args[0], "top", "--queue", address)
			p.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm", c.env)
			p.Stdin, p.Stdout, p.Stderr = program, program, program
			p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			words := "Nothing is held."
			if c.height == 1 {
				words = "…"
			}
			drawn := readUntil(t, person, words)
			during, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil || during.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
				t.Errorf("%v: keys do not come at once: %+v", err, during)
			}
			if err := c.end(p, person); err != nil {
				t.Fatal(err)
			}
			drawn += readUntil(t, person, "\x1b[?25h\x1b[?1049l") // the cursor is shown, and the alternate screen is left
			if err := p.Wait(); err != nil {
				t.Error(err)
			}
			if after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS); err != nil || *after != *before {
				t.Errorf("%v: the terminal is not as it was: %+v, %+v", err, after, before)
			}
			if !strings.HasPrefix(drawn, "\x1b[?1049h\x1b[?25l") || strings.Contains(drawn, "\x1b[1m") != (c.env == "NO_COLOR=") {
				t.Errorf("%q", drawn)
			}
			for _, f := range strings.Split(strings.TrimPrefix(strings.TrimSuffix(drawn, leave), enter), home) {
				lines := strings.Split(f, "\r\n")
				if len(lines) > int(c.height) {
					t.Errorf("%d lines of %d: %q", len(lines), c.height, f)
				}
				for _, l := range lines {
					if l = strings.NewReplacer("\x1b[K", "", "\x1b[J", "").Replace(l); textWidth(l) > int(c.width) {
						t.Errorf("%d columns of %d: %q", textWidth(l), c.width, l)
					}
				}
			}
		})
	}
}

// Keys pause the real campaign of a real store, resume it, and change its rate.
func TestTopChangesACampaignByKeys(t *testing.T) {
	address := startCampaign(t)
	person, program := pty(t, 120, 30)
	p := exec.CommandContext(t.Context(), os.Args[0], "top", "--queue", address)
	p.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm", "NO_COLOR=1")
	p.Stdin, p.Stdout, p.Stderr = program, program, program
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, p.Start())
	readUntil(t, person, "Nothing is held.")
	for _, c := range []struct {
		keys, said string
		paused     bool
		rate       float64
	}{
		{"p", "Campaign spring is chosen. Press p again", false, 20},
		{"p", "spring is paused", true, 20},
		{"", "> spring  paused", true, 20},
		{"p", "spring is resumed", false, 20},
		{"r7.5q\r", "spring has a rate of 7.5/s", false, 7.5},
	} {
		_, err := person.WriteString(c.keys)
		must(t, err)
		readUntil(t, person, c.said)
		all := decode[[]campaignInfo](t, ok(t, "campaign", "list", "--json", "--queue", address))
		if c.paused != (all[0].State == queue.CampaignPaused) || all[0].Rate != c.rate {
			t.Errorf("%s: %+v", c.said, all[0])
		}
	}
	_, err := person.WriteString("q")
	must(t, err)
	must(t, p.Wait())
}
