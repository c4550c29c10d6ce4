package main

import (
	"slices"
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// This file fits text into the columns and lines of a terminal.

// A tint is how a line is coloured: the parameters of the terminal's sequence SGR. "" is not at all.
type tint string

const (
	strong tint = "1"
	red    tint = "31"
	yellow tint = "33"
	alarm  tint = "1;31"
	faint  tint = "2"
)

// A line is one line of the screen.
type line struct {
	text string
	tint tint
}

// textWidth returns how many columns of a terminal a text takes, without the sequences that colour it.
func textWidth(text string) int { return ansi.StringWidth(text) }

// visible returns text without control characters, and without those that turn the direction of a line.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, plain(text))
}

// fit returns text cut to so many columns. What was cut shows at the end.
func fit(text string, width int) string { return ansi.Truncate(text, width, "…") }

// A column is one of a grid.
type column struct {
	title string
	right bool // its cells stand at the right
	least int  // width to which it may be cut; 0: it may not
}

const gap = 2 // blanks between two columns

// grid returns a head and rows in columns. It leaves out columns without a cell, and cuts the widest of those that may be cut.
func grid(columns []column, rows [][]string, width int) (lines []string) {
	widths, total := make([]int, len(columns)), -gap
	for i, c := range columns {
		for _, row := range rows {
			if row[i] = visible(row[i]); row[i] != "" {
				widths[i] = max(widths[i], textWidth(c.title), textWidth(row[i]))
			}
		}
		if widths[i] > 0 {
			total += widths[i] + gap
		}
	}
	for ; total > width; total-- {
		widest := -1
		for i, c := range columns {
			if c.least > 0 && widths[i] > c.least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.title
	}
	for _, row := range append([][]string{head}, rows...) {
		var b strings.Builder
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			cell = fit(cell, widths[i])
			blanks := strings.Repeat(" ", widths[i]-textWidth(cell))
			if columns[i].right {
				cell = blanks + cell
			} else {
				cell += blanks
			}
			if b.Len() > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			b.WriteString(cell)
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// share deals out lines: one to each who wants more, in turn, as long as there are any.
func share(room int, wants []int) []int {
	shares := make([]int, len(wants))
	for slices.ContainsFunc(wants, func(n int) bool { return n > 0 }) {
		for i := range wants {
			if wants[i] > 0 && room > 0 {
				shares[i]++
				room--
				wants[i]--
			}
		}
		if room == 0 {
			break
		}
	}
	return shares
}
