package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// column is one of the table. The first two are flush left, the others right.
type column struct {
	head string
	cell func(row) string
}

var columns = []column{
	{"scenario", func(r row) string { return r.Scenario }},
	{"client", func(r row) string { return r.Client }},
	{"goodput", func(r row) string { return fmt.Sprintf("%.1f %%", 100*r.goodput()) }},
	{"throttled", func(r row) string { return fmt.Sprintf("%.2f %%", 100*r.throttledShare()) }},
	{"lost", func(r row) string { return fmt.Sprint(r.Lost) }},
	{"doubled", func(r row) string { return fmt.Sprint(r.Doubled) }},
	{"p99 wait", func(r row) string { return fmt.Sprintf("%.2f s", r.P99) }},
	{"accepted", func(r row) string { return fmt.Sprint(r.Accepted) }},
	{"possible", func(r row) string { return fmt.Sprintf("%.0f", r.Possible) }},
	{"requests", func(r row) string { return fmt.Sprint(r.Requests) }},
}

const footer = `
goodput: accepted / possible, of a window of %[1]s that begins %[2]s after the start
or the change. possible: limit x time; with 10 requests in progress, 10 / response
time x time. A burst at either end can show a percent or two more than 100 %%.
throttled: of the requests in that window, those answered 429.
lost, doubled: calls that returned an error, and messages accepted again, in the
whole run, the time to adapt included.
p99 wait: of the calls that ended in the window, 99 of 100 took no longer, lost ones
too. With 60 callers who always have a message, a client that loses none makes each
wait for 60 / rate: 3 s at 20/s.
One run on a machine that may be shared: compare rows, not runs.
`

const footerShort = `A short run: the clients had hardly time to adapt. Compare nothing.
`

// table prints the table, and how to read it.
func (r report) table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d callers, %.1f x the possible offered   (%s)\n\n", callers, overload, r.Environment)
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.head
	}
	lines := [][]string{head}
	for i, row := range r.Rows {
		if i > 0 && row.Scenario != r.Rows[i-1].Scenario {
			lines = append(lines, nil)
		}
		line := make([]string, len(columns))
		for j, c := range columns {
			line[j] = c.cell(row)
		}
		lines = append(lines, line)
	}
	output.Align(&b, lines, 2)
	fmt.Fprintf(&b, footer, spoken(r.Parameters.timing.measure), spoken(r.Parameters.timing.converge))
	if r.Parameters.Short {
		b.WriteString(footerShort)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
