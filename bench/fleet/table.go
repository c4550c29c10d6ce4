package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

func (rep *report) table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d workers to a process   (%s)\n", rep.Workers, rep.Environment)
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
