package main

import (
	"io"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// A report is all that a run has to say.
type report struct {
	Environment output.Env `json:"environment"`
	Parameters  params     `json:"parameters"`
	Rows        []row      `json:"rows"`
	Missed      []string   `json:"missed,omitempty"` // with -check
}

type params struct {
	Messages int    `json:"messages"`
	Workers  int    `json:"workers"`
	Rate     int    `json:"rate"`
	Target   string `json:"target,omitempty"`
}

func (o *options) parameters() params {
	p := params{Messages: o.n, Workers: o.workers, Rate: o.rate}
	if o.target != nil {
		p.Target = o.target.String()
	}
	return p
}

func (r report) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return r.table(w)
	}
	type withShare struct {
		row
		Share float64 `json:"share"`
	}
	out := struct {
		report
		Rows []withShare `json:"rows"`
	}{report: r, Rows: []withShare{}}
	for _, row := range r.Rows {
		out.Rows = append(out.Rows, withShare{row, row.share()})
	}
	return output.JSON(w, out)
}
