package output

import (
	"io"
	"os"
)

// Terminal reports whether w is one, whose line can be drawn anew.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
