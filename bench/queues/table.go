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

// columnsOf are those of the table of speeds.
func columnsOf(a amounts) []column {
	few, many := " "+count(a.Few.Waiting), " "+count(a.Many.Waiting)
	return []column{
		perSecond("enqueue/s", func(r row) rounds { return r.Enqueue }),
		perSecond("batched/s", func(r row) rounds { return r.Batched }),
		{"fill/s", func(r row) float64 { return r.Filled }, count[float64], false},
		perSecond("worked off/s", func(r row) rounds { return r.Work }),
		cost("claim"+few, func(r row) rounds { return r.ClaimFew }),
		cost("claim"+many, func(r row) rounds { return r.ClaimMany }),
		{"ratio", func(r row) float64 { return ratio(r.ClaimMany.least(), r.ClaimFew.least()) }, func(f float64) string { return fmt.Sprintf("%.2f", f) }, true},
		cost("find"+few, func(r row) rounds { return r.FindFew }),
		cost("find"+many, func(r row) rounds { return r.FindMany }),
	}
}

const footer = `
Best of %[1]d rounds, in which the engines take turns; a claim is a round's median of %[2]d.
enqueue, batched: one goroutine, one or %[3]d messages to a transaction, for pacer in %[5]s
lanes. fill: the same %[3]d, once, until as many wait as on the right, for pacer in %[6]s.
worked off: at no rate, %[4]d in flight, from the worker's start until the last result is on
the disk. The fake Twilio answers at once, in the same process; each message counted
was sent exactly once.
claim: of one message, durable, with that many waiting; for pacer in a random one of %[5]s
and of %[6]s lanes, for the others in their one queue. ratio: many to few. find: what a
worker of pacer's asks before, once for many claims: which lanes have work.
heap, process, goroutines: of a worker process that has sent %[7]d messages and is sending
%[4]d, after a collection. process: all memory of its own, SQLite's too. pacer's worker
needs some for each lane that has work, and none for what waits in it.
`

const footerShort = `A short run: to see that it runs. Compare nothing.
`

// table prints the tables, and how to read them.
func (r report) table(w io.Writer) error {
	var b strings.Builder
	a := r.Parameters.amounts
	fmt.Fprintf(&b, "messages of %d bytes, fsync in %s: p50 %.2f ms, p99 %.2f ms   (%s)\n",
		r.Parameters.Body, r.Disk.Dir, r.Disk.P50, r.Disk.P99, r.Environment)
	for _, lines := range [][][]string{r.speeds(columnsOf(a)), r.memories()} {
		if len(lines) > 1 {
			b.WriteByte('\n')
			output.Align(&b, lines, 1)
		}
	}
	b.WriteString("\nA job whose worker is killed while it sends is\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "  %-8s%s\n", row.Engine, row.Killed)
	}
	fmt.Fprintf(&b, footer, a.Rounds, a.Claims, batchSize, inFlight, count(a.Few.Lanes), count(a.Many.Lanes), a.SentByWorker)
	if r.Parameters.Short {
		b.WriteString(footerShort)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// speeds are a head, the engines, and pacer's figure as a multiple of the best peer's. A
// column in which nothing was measured is left out; nil if all are.
func (r report) speeds(columns []column) [][]string {
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

// memories are a head, and the engines with each of the backlogs.
func (r report) memories() [][]string {
	lines := [][]string{{"engine", "waiting", "lanes", "heap", "process", "goroutines"}}
	for i := range r.Parameters.backlogs() {
		for _, row := range r.Rows {
			if i >= len(row.Memory) {
				continue
			}
			m, lanes := row.Memory[i], nothing
			if row.Engine == subject {
				lanes = count(m.Lanes)
			}
			lines = append(lines, []string{
				row.Engine, count(m.Waiting), lanes, inMegabytes(float64(m.Heap)), cell(float64(m.Anonymous), inMegabytes), count(m.Goroutines),
			})
		}
	}
	return lines
}

func inMegabytes(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/(1<<20)) }

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
