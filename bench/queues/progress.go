package main

import (
	"fmt"
	"io"
	"time"
)

// progress says what is being done.
type progress struct {
	w     io.Writer
	start time.Time
}

func (p *progress) say(format string, args ...any) {
	fmt.Fprintf(p.w, "%4.0f s  "+format+"\n", append([]any{time.Since(p.start).Seconds()}, args...)...)
}
