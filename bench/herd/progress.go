package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// follow shows how far the herd is until stop is called. On a terminal it is a bar that is drawn anew
// ten times a second, elsewhere a line when the client has finished.
func follow(screen *output.Screen, client string, h *herd) (stop func()) {
	end := screen.Follow(func() string { return line(client, h) }, time.Second/10, 0)
	return func() {
		end()
		if err := h.firstError(); err != nil {
			screen.Printf("    first lost: %v\n", err)
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
