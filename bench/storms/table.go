package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// column is one of the table. The first two are flush left, the others right.
type column struct {
	head string
	cell func(cell) string
}

var columns = []column{
	{"row", func(c cell) string { return c.Row }},
	{"client", func(c cell) string { return c.Client }},
	{"share", func(c cell) string { return percent(c.share(), 1) }},
	{"worst min", func(c cell) string {
		if c.Worst < 0 {
			return "-"
		}
		return percent(c.Worst, 1)
	}},
	{"throttled", func(c cell) string { return percent(c.throttledShare(), 2) }},
	{"lost", func(c cell) string { return fmt.Sprint(c.Lost) }},
	{"p99 wait", func(c cell) string { return spoken(c.P99) }},
	{"50 % after", func(c cell) string { return after(c, c.Half) }},
	{"95 % after", func(c cell) string { return after(c, c.Most) }},
	{"head", func(c cell) string { return spoken(c.Head) }},
	{"others", func(c cell) string {
		if c.Others == 0 {
			return "-"
		}
		return fmt.Sprintf("x %.2f", c.Others)
	}},
	{"accepted", func(c cell) string { return fmt.Sprint(c.Accepted) }},
	{"possible", func(c cell) string { return fmt.Sprintf("%.0f", c.Possible) }},
}

func percent(share float64, digits int) string { return fmt.Sprintf("%.*f %%", digits, 100*share) }

func after(c cell, d time.Duration) string {
	switch {
	case !c.HasTrouble:
		return "-"
	case d == storm.Never:
		return "never"
	}
	return spoken(d)
}

// spoken is a duration for people: "0.35 s", "12 s", "6.5 min".
func spoken(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f min", d.Minutes())
}

// table prints the table, and how to read it.
func (r report) table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "virtual time, seed %d   (%s, %.0f s)\n\n", r.params.Seed, r.env, r.took.Seconds())
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.head
	}
	lines := [][]string{head}
	for i, cell := range r.cells {
		if i > 0 && cell.Row != r.cells[i-1].Row {
			lines = append(lines, nil)
		}
		line := make([]string, len(columns))
		for j, c := range columns {
			line[j] = c.cell(cell)
		}
		lines = append(lines, line)
	}
	output.Align(&b, lines, 2)
	b.WriteString(footer)
	if r.params.Short {
		b.WriteString(footerShort)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const footer = `
share: accepted / possible, in the measured minutes. possible: what a clairvoyant client reaches. It sends what the limits
let pass, less what is refused whatever the rate, and lets only the throttled calls wait: Retry-After + 0 to 1 s, else 1, 2,
4, 8, 16 s. Where callers that wait for their answers are what bounds the rate, those waits are in it.
worst min: the same of the worst minute. throttled: of the requests, those answered 429.
lost: calls that ended with an error, in the whole run.
p99 wait: from when a call was due to its end; of the others, where one is in trouble.
50 %, 95 % after: until the slowest bucket is at so much of its rate of the minute before, after a trouble has ended.
head: the longest that the first of a line has waited beyond the end of its bucket's cool-down.
others: their mean wait where one number, document, conversation or sender is throttled, by that where nothing is.
The models draw from the seed. pacer, and some peers, draw their own jitter, which cannot be seeded: figures of the same
seed differ by what that makes. storms -h says what each row is.
`

const footerShort = `A short run: some rows, and all shorter. The minutes 6 to 20 that the full run has of noise are 4 to 8.
`
