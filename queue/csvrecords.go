package queue

import (
	"bufio"
	"fmt"
	"io"
)

// This file splits a CSV file into rows of a bounded size.

// maxRecord bounds a row of a CSV file, in bytes.
const maxRecord = 1 << 20

// csvRecords is what csv.Reader reads from. A CR alone, which ended lines on old Macs,
// becomes an LF. A row that is too long, as when a quote is not closed, is an error: a
// csv.Reader would hold all of it in memory.
type csvRecords struct {
	in *bufio.Reader

	line, began int  // the line that is being read, and the one in which its row began, from 1
	length      int  // of the row so far, in bytes
	quoted      bool // in a quoted field, where the end of a line does not end the row
	err         error
}

func newCSVRecords(r io.Reader) *csvRecords {
	in := bufio.NewReader(r)
	if bom, _ := in.Peek(3); string(bom) == "\ufeff" {
		_, _ = in.Discard(3) // they are there
	}
	return &csvRecords{in: in, line: 1, began: 1}
}

// Read implements [io.Reader].
func (c *csvRecords) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.in.Read(p)
	for i, b := range p[:n] {
		if b == '\r' && c.next(p[i+1:n]) != '\n' {
			b, p[i] = '\n', '\n'
		}
		c.length++
		switch b {
		case '"':
			c.quoted = !c.quoted
		case '\n':
			c.line++
			if !c.quoted {
				c.began, c.length = c.line, 0
			}
		}
		if c.length > maxRecord {
			c.err = fmt.Errorf("line %d: a row of more than %d bytes: expected a shorter one; is a quote (\") in this line not closed?", c.began, maxRecord)
			return i, c.err
		}
	}
	return n, err
}

// next returns the byte after one: the first of rest, else the next one of the file; 0 at
// its end.
func (c *csvRecords) next(rest []byte) byte {
	if len(rest) == 0 {
		rest, _ = c.in.Peek(1) // the next Read tells of an error
	}
	if len(rest) == 0 {
		return 0
	}
	return rest[0]
}
