package output

import (
	"strings"
	"testing"
)

// What is drawn gives way to what is drawn or printed next.
func TestScreen(t *testing.T) {
	for live, want := range map[bool]string{
		false: "begin\nend\n",
		true:  "begin\na\r\x1b[Jb\nc\n\r\x1b[2A\x1b[Jend\n",
	} {
		var b strings.Builder
		s := &Screen{w: &b, live: live}
		s.Printf("begin\n")
		s.Draw("a")
		s.Draw("b\nc\n")
		s.Follow(func() string { return "end" }, 0, 0)()
		if b.String() != want {
			t.Errorf("on a terminal %t: %q, expected %q", live, &b, want)
		}
	}
}
