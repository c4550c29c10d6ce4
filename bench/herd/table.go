package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// column is one of the table. The first is flush left, the others flush right.
type column struct {
	head string
	cell func(row) string
}

var columns = []column{
	{"client", func(r row) string { return r.Client }},
	{"delivered", func(r row) string { return fmt.Sprint(r.Delivered) }},
	{"lost", func(r row) string { return fmt.Sprint(r.Lost) }},
	{"doubled", func(r row) string {
		if r.Doubled == nil {
			return "-"
		}
		return fmt.Sprint(*r.Doubled)
	}},
	{"throttled", func(r row) string { return fmt.Sprint(r.Throttled) }},
	{"requests", func(r row) string { return fmt.Sprint(r.Requests) }},
	{"seconds", func(r row) string { return fmt.Sprintf("%.2f", r.Seconds) }},
	{"share of limit", func(r row) string { return fmt.Sprintf("%.1f %%", 100*r.share()) }},
	{"p99 of a call", func(r row) string { return fmt.Sprintf("%.2f s", r.P99) }},
}

const footer = `
delivered, lost: calls that returned no error, and an error. doubled: messages
that the server accepted again. throttled: answers 429. requests: all attempts.
seconds: from the first call's start to the last one's end; a client that loses
messages is done early.
share of limit: delivered / possible, where possible = 1 + %d x seconds, an even
stream at the very limit, but at least %d, as a sliding window takes that many at
once. A client that sends in bursts can gain up to one window (%d messages)
once, and so show more than 100 %%; an even stream cannot.
p99: 99 of 100 calls took no longer, waits and retries included; lost ones too.
One run on a machine that may be shared: compare rows, not runs.
`

// table prints one table for each scenario, and how to read them.
func (r report) table(w io.Writer) error {
	var b strings.Builder
	p := r.Parameters
	fmt.Fprintf(&b, "%d messages from %d goroutines at a limit of %d/s   (%s)\n", p.Messages, p.Workers, p.Rate, r.Environment)
	if p.Target != "" {
		fmt.Fprintf(&b, "sent to %s; %d/s is what pacer was told, not what is known of its limiter\n", p.Target, p.Rate)
	}
	for i := 0; i < len(r.Rows); {
		j := i
		for j < len(r.Rows) && r.Rows[j].Scenario == r.Rows[i].Scenario {
			j++
		}
		fmt.Fprintf(&b, "\n%s\n", r.Rows[i].Scenario)
		align(&b, r.Rows[i:j])
		i = j
	}
	fmt.Fprintf(&b, footer, p.Rate, p.Rate, p.Rate)
	_, err := io.WriteString(w, b.String())
	return err
}

// align prints rows below the columns' heads.
func align(b *strings.Builder, rows []row) {
	lines := [][]string{make([]string, len(columns))}
	for i, c := range columns {
		lines[0][i] = c.head
	}
	for _, r := range rows {
		line := make([]string, len(columns))
		for i, c := range columns {
			line[i] = c.cell(r)
		}
		lines = append(lines, line)
	}
	output.Align(b, lines, 1)
}
