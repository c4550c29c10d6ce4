package main

import "time"

// timing is how long the parts of a phase are.
type timing struct{ converge, measure time.Duration }

var (
	full  = timing{converge: 30 * time.Second, measure: time.Minute}
	short = timing{converge: 5 * time.Second, measure: 8 * time.Second}
)

// A window is a phase in time, counted from the scenario's start.
type window struct {
	phase
	begin    time.Duration // of the phase
	from, to time.Duration // measured: [from, to); the same if it is not
}

func (s scenario) windows(t timing) []window {
	var ws []window
	at := time.Duration(0)
	for _, p := range s.phases {
		w := window{phase: p, begin: at}
		w.from = at + t.converge
		w.to = w.from
		if p.row != "" {
			w.to += t.measure
		}
		at = w.to
		ws = append(ws, w)
	}
	return ws
}

func (s scenario) length(t timing) time.Duration {
	ws := s.windows(t)
	return ws[len(ws)-1].to
}

// A batch is run at the same time. All at once would be done sooner, but a small
// machine would be late then, and what a client had spaced would arrive bunched.
type batch []scenario

func batches(all []scenario) []batch {
	var out []batch
	for i, s := range all {
		if i == 0 || s.batch != all[i-1].batch {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], s)
	}
	return out
}

func (b batch) length(t timing) time.Duration {
	d := time.Duration(0)
	for _, s := range b {
		d = max(d, s.length(t))
	}
	return d
}

func total(all []scenario, t timing) time.Duration {
	d := time.Duration(0)
	for _, b := range batches(all) {
		d += b.length(t)
	}
	return d
}
