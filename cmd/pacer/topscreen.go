package main

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A screen is the terminal, while "pacer top" draws on it.
type screen struct {
	out    *os.File
	in     *os.File // nil: no keys come
	colour bool
	before *term.State // of in; nil: it was not changed
}

const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[2J" // the alternate screen, without a cursor, empty
	leave = "\x1b[0m\x1b[?25h\x1b[?1049l"
	home  = "\x1b[H"
)

// screen returns the terminal to which the output goes; nil: there is none, or one that can only print lines.
func (a *app) screen() *screen {
	out, ok := a.out.(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	s := &screen{out: out, colour: !noColour()}
	if in, ok := a.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		s.in = in
	}
	return s
}

// open makes the terminal ready: keys come at once, and what was on it can be restored.
func (s *screen) open() (err error) {
	if s.in != nil {
		if s.before, err = term.MakeRaw(int(s.in.Fd())); err != nil {
			return err
		}
	}
	if _, err = io.WriteString(s.out, enter); err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}

// close leaves the terminal as it was.
func (s *screen) close() error {
	_, err := io.WriteString(s.out, leave)
	if s.before != nil {
		err = errors.Join(err, term.Restore(int(s.in.Fd()), s.before))
	}
	return err
}

// size returns the terminal's columns and lines.
func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// show replaces what is on the screen, in one write, so that nothing flickers.
func (s *screen) show(text string, width, height int) error {
	_, err := io.WriteString(s.out, frame(text, width, height))
	return err
}

// frame returns what draws a page over another one. A line that fills the terminal is not erased behind its end: with the
// cursor on the last column, that would erase the last character.
func frame(text string, width, height int) string {
	var b strings.Builder
	b.WriteString(home)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l)
		if textWidth(l) < width {
			b.WriteString("\x1b[K")
		}
	}
	if len(lines) < height {
		b.WriteString("\r\n\x1b[J")
	}
	return b.String()
}

// keys returns the bytes that are typed. Its reader ends with the process, since a read from a terminal cannot be ended.
func (s *screen) keys() <-chan byte {
	if s.in == nil {
		return nil
	}
	typed := make(chan byte)
	go func() {
		one := make([]byte, 1)
		for {
			n, err := s.in.Read(one)
			if err != nil {
				return
			}
			if n == 1 {
				typed <- one[0]
			}
		}
	}()
	return typed
}

// quits reports whether a key ends the view: Ctrl-C, which is no signal while keys come at once, or q, unless a rate is typed.
func quits(key byte, typing bool) bool { return key == 0x03 || !typing && (key == 'q' || key == 'Q') }
