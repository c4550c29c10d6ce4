package main

import (
	"fmt"
	"io"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// progress shows how far a batch is: on a terminal a line that is drawn anew each
// second, elsewhere a line each half minute.
type progress struct {
	w    io.Writer
	live bool
}

func newProgress(w io.Writer) *progress { return &progress{w: w, live: output.Terminal(w)} }

// follow shows a batch until stop is called.
func (p *progress) follow(b batch, trials []*trial, start time.Time, length time.Duration) (stop func()) {
	fmt.Fprintf(p.w, "%s: %s\n", cmdline.Names(b, scenarioName), spoken(length))
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		every, format := 30*time.Second, "  %s\n"
		if p.live {
			every, format = time.Second, "\r\x1b[K  %s"
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(p.w, format, state(trials, time.Since(start), length))
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		if p.live {
			fmt.Fprint(p.w, "\r\x1b[K")
		}
		fmt.Fprintf(p.w, "  %s\n", state(trials, time.Since(start), length))
	}
}

// state is that of all trials together, in no more than 80 columns.
func state(trials []*trial, passed, length time.Duration) string {
	var delivered, lost int64
	for _, t := range trials {
		delivered += t.load.delivered.Load()
		lost += t.load.lost.Load()
	}
	return fmt.Sprintf("%.0f of %.0f s: %d delivered, %d lost by %d clients", min(passed, length).Seconds(), length.Seconds(), delivered, lost, len(trials))
}

// losses says why each client lost its first message: it may be wired wrongly.
func (p *progress) losses(trials []*trial) {
	said := map[string]bool{}
	for _, t := range trials {
		if t.load.first != nil && !said[t.entrant.name] {
			said[t.entrant.name] = true
			fmt.Fprintf(p.w, "  first lost by %s: %v\n", t.entrant.name, t.load.first)
		}
	}
}
