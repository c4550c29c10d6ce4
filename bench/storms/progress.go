package main

import (
	"fmt"
	"sync"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// progress shows which cells are done: on a terminal in one line that is drawn anew, elsewhere in a line for each row.
type progress struct {
	*output.Screen

	mu        sync.Mutex
	all, over int
}

func (p *progress) begin(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = n
}

func (p *progress) started(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Draw(fmt.Sprintf("%d of %d: %s, %s", p.over, p.all, c.Row, c.Client))
}

func (p *progress) done(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over++
	switch {
	case !p.Live():
		p.Printf("%d of %d: %s, %s: %s of the possible\n", p.over, p.all, c.Row, c.Client, percent(c.share(), 1))
	case p.over == p.all:
		p.Draw("")
	}
}

func (p *progress) hangs(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Printf("%s, %s: still at it after %v of real time: does the client wait for 0 s for ever? SIGQUIT shows what it does\n", c.Row, c.Client, aLongRun)
}
