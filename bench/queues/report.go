package main

import (
	"io"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// A report is all that a run has to say.
type report struct {
	Environment output.Env `json:"environment"`
	Disk        disk       `json:"disk"`
	Parameters  params     `json:"parameters"`
	Rows        []row      `json:"rows"`
	Missed      []string   `json:"missed,omitempty"` // with -check
}

type params struct {
	amounts
	Adding   float64 `json:"enqueueSeconds"` // per round
	Batch    int     `json:"batch"`
	InFlight int     `json:"inFlight"`
	Body     int     `json:"bodyBytes"`
	Short    bool    `json:"short"`
}

func (o *options) parameters() params {
	return params{amounts: o.amounts, Adding: o.amounts.adding.Seconds(), Batch: batchSize, InFlight: inFlight, Body: bodyLength, Short: o.Short}
}

func (r report) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return r.table(w)
	}
	return output.JSON(w, r)
}
