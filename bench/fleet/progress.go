package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// progress shows how a scenario goes: on a terminal a table that is drawn anew, elsewhere a
// line for each scenario.
type progress struct {
	*output.Screen
	last time.Time
}

func (p *progress) begin(s scenario) { p.Printf("%s: %s, %v\n", s.Name, s.What, s.length) }

func (p *progress) show(r *run) {
	if !p.Live() || time.Since(p.last) < 500*time.Millisecond {
		return
	}
	p.last = time.Now()
	var b strings.Builder
	now := r.at(time.Now())
	before := r.at(now.at.Add(-time.Second))
	rate := float64(now.accepted-before.accepted) / max(now.at.Sub(before.at).Seconds(), 0.1)
	const width = 50
	bar := min(width, int(rate/float64(r.limit)*width))
	state := ""
	if !r.stopped.IsZero() && r.back.IsZero() {
		state = "  Redis is stopped"
	}
	fmt.Fprintf(&b, "  %s%s %5.0f/s of %d, %d throttled%s\n", strings.Repeat("#", bar), strings.Repeat(".", width-bar), rate, r.limit, now.throttled, state)
	most := int64(1)
	for _, m := range r.members {
		most = max(most, m.last.Load().Sent)
	}
	for _, m := range slices.Clone(r.members) {
		c := m.last.Load()
		bar := int(c.Sent * width / most)
		fmt.Fprintf(&b, "  %s%s %s %d sent\n", strings.Repeat("=", bar), strings.Repeat(" ", width-bar), m.Name, c.Sent)
	}
	p.Draw(b.String())
}
