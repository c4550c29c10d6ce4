package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// progress shows how far the herd is. On a terminal it is a bar that is drawn anew
// ten times a second, elsewhere a line when a client has finished.
type progress struct {
	w    io.Writer
	live bool
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, live: output.Terminal(w)}
}

func (p *progress) scenario(s scenario, o *options) {
	fmt.Fprintf(p.w, "%s: %d messages, %d goroutines, %d/s\n", s.name, o.n, o.workers, o.rate)
}

// follow shows h until stop is called.
func (p *progress) follow(client string, h *herd) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if p.live {
			p.draw(client, h, done)
		}
	}()
	if !p.live {
		<-ended
	}
	return func() {
		close(done)
		<-ended
		if p.live {
			fmt.Fprint(p.w, "\r\x1b[K")
		}
		fmt.Fprintln(p.w, line(client, h))
		if err := h.firstError(); err != nil {
			fmt.Fprintf(p.w, "    first lost: %v\n", err)
		}
	}
}

func (p *progress) draw(client string, h *herd, done <-chan struct{}) {
	tick := time.NewTicker(time.Second / 10)
	defer tick.Stop()
	for {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line(client, h))
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

const barWidth = 12

// line is one client's state, in no more than 80 columns for the usual herds.
func line(client string, h *herd) string {
	delivered, lost := h.delivered.Load(), h.lost.Load()
	full := int(min(int64(h.n), delivered+lost)) * barWidth / h.n
	return fmt.Sprintf("  %-16s [%s%s] %d delivered, %d lost, %d throttled", client,
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), delivered, lost, h.wire.throttled.Load())
}
