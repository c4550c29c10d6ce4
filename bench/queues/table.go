package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// column is one of a table: a figure, and how it is written. 0 is one that was not
// measured, or does not exist for the engine.
type column struct {
	head  string
	value func(row) float64
	write func(float64) string
	less  bool // less is better
}

func perSecond(head string, of func(row) rounds) column {
	return column{head, func(r row) float64 { return of(r).most() }, count[float64], false}
}

func cost(head string, of func(row) rounds) column {
	return column{head, func(r row) float64 { return of(r).least() }, func(f float64) string { return count(f) + " µs" }, true}
}

func memoryOf(head string, of func(row) *memory, value func(*memory) float64, format string) column {
	return column{head, func(r row) float64 {
		if m := of(r); m != nil {
			return value(m)
		}
		return 0
	}, func(f float64) string { return fmt.Sprintf(format, f) }, true}
}

// tables are the columns of each.
func tables(a amounts) [][]column {
	times := func(f float64) string { return fmt.Sprintf("%.2f", f) }
	few, many := " "+count(a.Few), " "+count(a.Many)
	ofFew := func(r row) *memory { return r.MemoryFew }
	ofMany := func(r row) *memory { return r.MemoryMany }
	heap := func(m *memory) float64 { return megabytes(m.Heap) }
	anonymous := func(m *memory) float64 { return megabytes(m.Anonymous) }
	goroutines := func(m *memory) float64 { return float64(m.Goroutines) }
	return [][]column{{
		perSecond("enqueue/s", func(r row) rounds { return r.Enqueue }),
		perSecond("batched/s", func(r row) rounds { return r.Batched }),
		perSecond("worked off/s", func(r row) rounds { return r.Work }),
		cost("claim"+few, func(r row) rounds { return r.ClaimFew }),
		cost("claim"+many, func(r row) rounds { return r.ClaimMany }),
		{"ratio", func(r row) float64 { return ratio(r.ClaimMany.least(), r.ClaimFew.least()) }, times, true},
		cost("find"+few, func(r row) rounds { return r.FindFew }),
		cost("find"+many, func(r row) rounds { return r.FindMany }),
	}, {
		memoryOf("heap"+few, ofFew, heap, "%.1f MB"),
		memoryOf("heap"+many, ofMany, heap, "%.1f MB"),
		memoryOf("process"+few, ofFew, anonymous, "%.1f MB"),
		memoryOf("process"+many, ofMany, anonymous, "%.1f MB"),
		memoryOf("goroutines"+few, ofFew, goroutines, "%.0f"),
		memoryOf("goroutines"+many, ofMany, goroutines, "%.0f"),
	}}
}

const footer = `
Best of %[1]d rounds, in which the engines take turns; a claim is a round's median of %[2]d.
enqueue, batched: one goroutine, one or %[3]d messages to a transaction.
worked off: at no rate, %[4]d in flight, from the worker's start until the last result is on
the disk. The fake Twilio answers at once, in the same process; each message counted
was sent exactly once.
claim: of one message, durable, with that many waiting. With pacer of a random one of
%[5]s and %[6]s lanes, with the others of their one queue. find: what a worker of pacer's
asks before, once for many claims: which lanes have work. ratio: many to few.
heap, process, goroutines: of a worker process that has sent %[7]d messages and is sending
%[4]d, after a collection. process: all memory of its own, SQLite's too.
`

const footerShort = `A short run: to see that it runs. Compare nothing.
`

// table prints the tables, and how to read them.
func (r report) table(w io.Writer) error {
	var b strings.Builder
	e, a := r.Environment, r.Parameters.amounts
	fmt.Fprintf(&b, "messages of %d bytes, fsync in %s: p50 %.2f ms, p99 %.2f ms   (%s %s/%s, %d CPUs, %s)\n",
		r.Parameters.Body, r.Disk.Dir, r.Disk.P50, r.Disk.P99, e.Go, e.OS, e.Arch, e.CPUs, e.Date)
	for _, columns := range tables(a) {
		if lines := r.lines(columns); lines != nil {
			b.WriteByte('\n')
			output.Align(&b, lines, 1)
		}
	}
	b.WriteString("\nA job whose worker is killed while it sends is\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "  %-8s%s\n", row.Engine, row.Killed)
	}
	fmt.Fprintf(&b, footer, a.Rounds, a.Claims, batchSize, inFlight, count(a.FewSenders), count(a.ManySenders), a.SentByWorker)
	if r.Parameters.Short {
		b.WriteString(footerShort)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lines are those of one table: a head, the engines, and pacer's figure as a multiple
// of the best peer's. A column in which nothing was measured is left out; nil if all are.
func (r report) lines(columns []column) [][]string {
	columns = slices.DeleteFunc(columns, func(c column) bool {
		return !slices.ContainsFunc(r.Rows, func(r row) bool { return c.value(r) != 0 })
	})
	if len(columns) == 0 {
		return nil
	}
	head := []string{"engine"}
	for _, c := range columns {
		head = append(head, c.head)
	}
	lines := [][]string{head}
	for _, row := range r.Rows {
		line := []string{row.Engine}
		for _, c := range columns {
			line = append(line, cell(c.value(row), c.write))
		}
		lines = append(lines, line)
	}
	compared := []string{subject + " : best peer"}
	for _, c := range columns {
		compared = append(compared, cell(c.besidePeers(r.Rows), func(f float64) string { return fmt.Sprintf("%.2f x", f) }))
	}
	if slices.ContainsFunc(compared[1:], func(cell string) bool { return cell != nothing }) {
		lines = append(lines, compared)
	}
	return lines
}

const nothing = "-"

func cell(v float64, write func(float64) string) string {
	if v == 0 {
		return nothing
	}
	return write(v)
}

// besidePeers is pacer's figure divided by that of the best of the others.
func (c column) besidePeers(rows []row) float64 {
	var own, best float64
	for _, r := range rows {
		switch v := c.value(r); {
		case r.Engine == subject:
			own = v
		case v != 0 && (best == 0 || (v < best) == c.less):
			best = v
		}
	}
	return ratio(own, best)
}

// count writes a number for people: 1,000,000.
func count[N int | float64](n N) string {
	digits := strconv.FormatInt(int64(float64(n)+0.5), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
