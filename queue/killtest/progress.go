package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// follow shows a state until it is stopped: on a terminal a line that is drawn anew,
// elsewhere a line each half minute.
func follow(w io.Writer, state func() string) (stop func()) {
	every, format, end := 30*time.Second, "%s\n", ""
	if f, ok := w.(*os.File); ok && terminal(f) {
		every, format, end = 250*time.Millisecond, "\r\x1b[K%s", "\r\x1b[K"
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, format, state())
			case <-done:
				fmt.Fprint(w, end)
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-ended
	})
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
