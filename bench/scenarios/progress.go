package main

import (
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// follow shows how far a batch is until stop is called: on a terminal each second, elsewhere each
// half minute.
func follow(screen *output.Screen, b batch, trials []*trial, start time.Time, length time.Duration) (stop func()) {
	screen.Printf("%s: %s\n", cmdline.Names(b, scenarioName), spoken(length))
	return screen.Follow(func() string { return "  " + state(trials, time.Since(start), length) }, time.Second, 30*time.Second)
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
func losses(screen *output.Screen, trials []*trial) {
	said := map[string]bool{}
	for _, t := range trials {
		if t.load.first != nil && !said[t.entrant.name] {
			said[t.entrant.name] = true
			screen.Printf("  first lost by %s: %v\n", t.entrant.name, t.load.first)
		}
	}
}
