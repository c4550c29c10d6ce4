package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func (rep *report) table(w io.Writer) error {
	var b strings.Builder
	e := rep.Environment
	fmt.Fprintf(&b, "%d workers to a process   (%s %s/%s, %d CPUs, %s)\n", rep.Workers, e.Go, e.OS, e.Arch, e.CPUs, e.Date)
	if len(rep.Rows) > 0 {
		lines := [][]string{{}, {"scenario", "", "limit", "seconds", "sent/s", "of limit", "throttled", "least:most", "Redis/request", "lost", "doubled", "without Redis", "of that"}}
		for _, r := range rep.Rows {
			least := "-"
			if r.Least > 0 {
				least = fmt.Sprintf("%.2f", r.Least)
			}
			alone, ofAlone := "-", "-"
			if r.Alone > 0 {
				alone, ofAlone = fmt.Sprintf("%.1f/s", r.Alone), percent(r.OfAlone, 1)
			}
			lines = append(lines, []string{
				r.Scenario, r.What, fmt.Sprintf("%d/s", r.Limit), fmt.Sprintf("%.0f", r.Seconds), fmt.Sprintf("%.1f", r.Rate), percent(r.OfLimit, 1),
				percent(r.Throttled, 2), least, fmt.Sprintf("%.3f", r.Asked), fmt.Sprint(r.Lost), fmt.Sprint(r.Doubled), alone, ofAlone,
			})
			if a := r.Away; a != nil {
				lines = append(lines, []string{"", "  meanwhile", "", "", fmt.Sprintf("%.1f", a.OfLimit*float64(r.Limit)), percent(a.OfLimit, 1), percent(a.Throttled, 2), "", "", "", "", "", ""})
				lines = append(lines, []string{"", fmt.Sprintf("  back to 90 %% %.1f s after its return", a.Recovered), "", "", "", "", "", "", "", "", "", "", ""})
			}
		}
		output.Align(&b, lines, 2)
	}
	if len(rep.Costs) > 0 {
		lines := [][]string{{}, {"a take", "keys", "one caller", "16 callers"}}
		for _, c := range rep.Costs {
			lines = append(lines, []string{c.Who, fmt.Sprint(c.Keys), fmt.Sprintf("%.0f us", c.Alone), fmt.Sprintf("%.0f/s", c.Together)})
		}
		output.Align(&b, lines, 1)
		b.WriteString("\npacer takes up to 50 tokens at once, the others one; redis_rate AllowN and throttled can\ntake more, but charge and lose what they cannot give. One caller: median of a round trip.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func percent(x float64, digits int) string { return fmt.Sprintf("%.*f %%", digits, 100*x) }

// progress shows how a scenario goes: on a terminal a table that is drawn anew, elsewhere a
// line for each scenario.
type progress struct {
	w     io.Writer
	live  bool
	drawn int // lines
	last  time.Time
}

func (p *progress) begin(s scenario) { fmt.Fprintf(p.w, "%s: %s, %v\n", s.Name, s.What, s.length) }

func (p *progress) show(r *run) {
	if !p.live || time.Since(p.last) < 500*time.Millisecond {
		return
	}
	p.last = time.Now()
	p.end()
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
	p.drawn = strings.Count(b.String(), "\n")
	_, _ = io.WriteString(p.w, b.String())
}

func (p *progress) end() {
	if p.drawn > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}
