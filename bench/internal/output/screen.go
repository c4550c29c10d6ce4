package output

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A Screen shows how far a run is. On a terminal a text is drawn anew, elsewhere lines are printed.
type Screen struct {
	w     io.Writer
	live  bool
	drawn string
}

// NewScreen returns a screen on w.
func NewScreen(w io.Writer) *Screen {
	f, ok := w.(*os.File)
	if !ok {
		return &Screen{w: w}
	}
	info, err := f.Stat()
	return &Screen{w: w, live: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// Live reports whether the screen is a terminal.
func (s *Screen) Live() bool { return s.live }

// Draw puts a text in the place of the one that was drawn before. It does so on a terminal only.
func (s *Screen) Draw(text string) {
	if s.live {
		s.Printf("%s", text)
		s.drawn = text
	}
}

// Printf prints text that stays, in the place of what was drawn.
func (s *Screen) Printf(format string, args ...any) {
	erase := ""
	if s.drawn != "" {
		erase = "\r\x1b[J"
		if up := strings.Count(s.drawn, "\n"); up > 0 {
			erase = fmt.Sprintf("\r\x1b[%dA\x1b[J", up)
		}
	}
	fmt.Fprint(s.w, erase+fmt.Sprintf(format, args...))
	s.drawn = ""
}

// Follow shows a line until stop is called, which prints it a last time. On a terminal it is drawn
// anew after each duration live. Elsewhere it is printed after each plain; 0 means only at the end.
func (s *Screen) Follow(line func() string, live, plain time.Duration) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		every, show := plain, func() { s.Printf("%s\n", line()) }
		if s.live {
			every, show = live, func() { s.Draw(line()) }
		}
		for tick := time.Tick(every); ; { // nil if every is 0
			select {
			case <-tick:
				show()
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		s.Printf("%s\n", line())
	}
}
