package main

import (
	"io"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// A report is all that a run has to say.
type report struct {
	env    output.Env
	params params
	took   time.Duration // in real time
	cells  []cell
	missed []string // with -check
}

type params struct {
	Seed  uint64 `json:"seed"`
	Short bool   `json:"short"`
}

func (r report) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return r.table(w)
	}
	rows := []jsonRow{}
	for _, c := range r.cells {
		rows = append(rows, c.json())
	}
	return output.JSON(w, struct {
		Environment output.Env `json:"environment"`
		Parameters  params     `json:"parameters"`
		Seconds     float64    `json:"realSeconds"`
		Rows        []jsonRow  `json:"rows"`
		Missed      []string   `json:"missed,omitempty"`
	}{r.env, r.params, r.took.Seconds(), rows, r.missed})
}

// A jsonRow is a cell for machines. Shares are of 1.
type jsonRow struct {
	Row            string  `json:"row"`
	Client         string  `json:"client"`
	Seeds          int     `json:"seeds"` // so many runs are summed
	Possible       float64 `json:"possible"`
	Accepted       int     `json:"accepted"`
	Share          float64 `json:"share"`
	WorstMinute    float64 `json:"worstMinute"` // -1: too little is possible in a minute
	Throttled      int     `json:"throttled"`
	Noise          int     `json:"refusedAtRandom"` // of these
	ThrottledShare float64 `json:"throttledShare"`
	Calls          int     `json:"calls"`
	Lost           int     `json:"lost"`
	LostShare      float64 `json:"lostShare"`
	MeanWait       float64 `json:"meanWaitSeconds"`
	P99Wait        float64 `json:"p99WaitSeconds"`
	Head           float64 `json:"headSeconds"`
	Others         float64 `json:"others,omitempty"` // mean wait, by that without the trouble

	// Seconds from the trouble's end, and from that of the cool-down, until half and 95 % of the old rate. -1: never.
	// They are absent where there is no trouble that ends.
	Half     *float64 `json:"halfAfterSeconds,omitempty"`
	Most     *float64 `json:"mostAfterSeconds,omitempty"`
	HalfCool *float64 `json:"halfAfterCoolDownSeconds,omitempty"`
	MostCool *float64 `json:"mostAfterCoolDownSeconds,omitempty"`
}

func (c cell) json() jsonRow {
	after := func(d time.Duration) *float64 {
		s := d.Seconds()
		switch {
		case !c.HasTrouble:
			return nil
		case d == storm.Never:
			s = -1
		}
		return &s
	}
	return jsonRow{
		Row: c.Row, Client: c.Client, Seeds: c.Seeds, Possible: c.Possible, Accepted: c.Accepted, Share: c.share(), WorstMinute: c.Worst,
		Throttled: c.Throttled, Noise: c.Noise, ThrottledShare: c.throttledShare(), Calls: c.Calls, Lost: c.Lost, LostShare: c.lostShare(),
		MeanWait: c.Mean.Seconds(), P99Wait: c.P99.Seconds(), Head: c.Head.Seconds(), Others: c.Others,
		Half: after(c.Half), Most: after(c.Most), HalfCool: after(c.HalfCool), MostCool: after(c.MostCool),
	}
}
