package main

import (
	"encoding/json"
	"io"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// A report is all that a run has to say.
type report struct {
	Environment output.Env `json:"environment"`
	Parameters  params     `json:"parameters"`
	Seconds     float64    `json:"seconds"` // of real time that the run took
	Rows        []cell     `json:"rows"`
	Missed      []string   `json:"missed,omitempty"` // with -check
}

type params struct {
	Seed  uint64 `json:"seed"`
	Short bool   `json:"short"`
}

func (o *options) parameters() params { return params{Seed: o.seed, Short: o.short} }

func (r report) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return r.table(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
