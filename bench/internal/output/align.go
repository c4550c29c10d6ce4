package output

import (
	"strings"
	"unicode/utf8"
)

// Align prints lines of cells so that columns stand below each other: the first
// left of them flush left, the others flush right. A line without cells is empty.
func Align(b *strings.Builder, lines [][]string, left int) {
	width := map[int]int{}
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i < left {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
}
