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
	Callers  int     `json:"callers"`
	Overload float64 `json:"overload"`
	Converge float64 `json:"convergeSeconds"`
	Measure  float64 `json:"measureSeconds"`
	Short    bool    `json:"short"`
	timing   timing
}

func (o *options) parameters() params {
	return params{
		Callers: callers, Overload: overload, Short: o.Short, timing: o.timing,
		Converge: o.timing.converge.Seconds(), Measure: o.timing.measure.Seconds(),
	}
}

func (r report) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return r.table(w)
	}
	type withShares struct {
		row
		Goodput        float64 `json:"goodput"`
		ThrottledShare float64 `json:"throttledShare"`
	}
	out := struct {
		report
		Rows []withShares `json:"rows"`
	}{report: r, Rows: []withShares{}}
	for _, row := range r.Rows {
		out.Rows = append(out.Rows, withShares{row, row.goodput(), row.throttledShare()})
	}
	return output.JSON(w, out)
}
