package main

import (
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// A row is a scene that clients are put to.
type row struct {
	name, what string
	scene      func(short bool) *storm.Scene
	noise      float64 // share of 429s at random, for the checks of those; 0: none
	seeds      int     // so many runs, each with a seed of its own, are summed; 0: one
	told       bool    // only clients that can be told a rate take part
	others     bool    // the mean wait of those that are not in trouble is compared with that without it
	short      bool    // it is part of a short run
}

func (r *row) takes(c *client) bool {
	return !r.told || c.name == learning || c.name == notLearning
}

func allRows() []*row {
	var rows []*row
	rows = append(rows, noiseRows()...)
	rows = append(rows, limitRows()...)
	rows = append(rows, stormRows()...)
	rows = append(rows, inFlightRows()...)
	return rows
}

const minute = time.Minute

// An alphanumeric sender, for which pacer has no default: it is not paced until it is throttled.
const sender = "PACER"

var usual = storm.Latency{Low: 50 * time.Millisecond, High: 350 * time.Millisecond}

// refuse is the usual answer to what is refused.
var refuse = storm.Refusal{Code: 20429, RetryAfter: "1"}

// one is a bucket for which callers always have work.
func one(callers int) []storm.Stream {
	return []storm.Stream{{Bucket: sender, Callers: callers}}
}

// senders are ten buckets for which callers always have work, so many for each.
func senders(callers int) []storm.Stream {
	var out []storm.Stream
	for i := range 10 {
		out = append(out, storm.Stream{Bucket: fmt.Sprintf("%s%d", sender, i), Callers: callers})
	}
	return out
}

// noiseRows are 429s at random, from the end of the first minute on, at a rate that is configured, or at the 1,200/s that
// callers make who have an answer in 50 ms. The latter is many calls, and shorter.
func noiseRows() []*row {
	var rows []*row
	for _, rate := range []int{20, 100, 0} {
		for _, percent := range []float64{0.1, 0.5, 1, 5, 10} {
			r := &row{noise: percent / 100, told: rate > 0, short: rate == 20 && percent > 1}
			r.name = fmt.Sprintf("noise/%d/%g%%", rate, percent)
			r.what = fmt.Sprintf("%d/s configured, %g %% of the requests refused at random", rate, percent)
			if rate == 0 {
				r.name = fmt.Sprintf("noise/none/%g%%", percent)
				r.what = fmt.Sprintf("no limit known and 1,200/s possible, %g %% of the requests refused at random", percent)
			}
			r.scene = func(short bool) *storm.Scene {
				sc := &storm.Scene{Told: float64(rate), Latency: usual, Streams: one(60)}
				from, to := 5*minute, 20*minute
				switch {
				case short:
					from, to = 3*minute, 6*minute
				case rate == 0:
					from, to = 3*minute, 5*minute
				}
				switch rate {
				case 100:
					sc.Streams = one(200)
				case 0:
					sc.Latency = storm.Latency{Low: 50 * time.Millisecond}
				}
				trouble(sc, storm.Random(percent/100), refuse, storm.Span{From: minute, To: to}, 4*minute)
				sc.Measured = storm.Span{From: from, To: to}
				return sc
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// trouble adds a model that is in force for a while, and time to recover from it.
func trouble(sc *storm.Scene, m storm.Model, f storm.Refusal, span storm.Span, after time.Duration) {
	sc.Rules = append(sc.Rules, &storm.Rule{Model: m, Refusal: f, Scope: storm.Account, Span: span, Trouble: true})
	sc.Trouble = span
	sc.End = span.To + after
}

// limited is an unknown limit of 20/s or as limit says, and callers that want more.
func limited(w *storm.Window, length time.Duration) *storm.Scene {
	return &storm.Scene{
		Latency: usual, Streams: one(60),
		Rules:    []*storm.Rule{{Model: w, Refusal: refuse}},
		Measured: storm.Span{From: 2 * minute, To: length}, End: length,
	}
}

func limitRows() []*row {
	long := func(short bool) time.Duration {
		if short {
			return 5 * minute
		}
		return 12 * minute
	}
	return []*row{
		{name: "unknown/sliding", what: "20/s in a sliding window", short: true, scene: func(short bool) *storm.Scene {
			return limited(&storm.Window{Limit: storm.Always(20)}, long(short))
		}},
		{name: "halves", what: "unknown; 20/s become 10/s, measured from then on", short: true, scene: func(short bool) *storm.Scene {
			sc := limited(&storm.Window{Limit: storm.Steps{{Value: 20}, {At: 3 * minute, Value: 10}}}, long(short))
			sc.Measured.From = 3 * minute
			return sc
		}},
		{name: "doubles", what: "unknown; 20/s become 40/s, measured half a minute later", short: true, scene: func(short bool) *storm.Scene {
			sc := limited(&storm.Window{Limit: storm.Steps{{Value: 20}, {At: 3 * minute, Value: 40}}}, long(short))
			sc.Measured.From = 3*minute + 30*time.Second
			return sc
		}},
	}
}

func stormRows() []*row {
	total := func(sc *storm.Scene, short bool) *storm.Scene {
		length := 10 * minute
		if short {
			length = 3 * minute
		}
		trouble(sc, storm.Random(1), refuse, storm.Span{From: 2 * minute, To: 2*minute + length}, 5*minute)
		sc.Measured = storm.Span{From: minute, To: sc.End}
		return sc
	}
	return []*row{
		{name: "storm/one", what: "unknown 20/s; all refused for 10 minutes", short: true, scene: func(short bool) *storm.Scene {
			return total(limited(&storm.Window{Limit: storm.Always(20)}, 0), short)
		}},
		{name: "storm/senders", what: "ten senders at 6 calls each; all refused for 10 minutes", scene: func(short bool) *storm.Scene {
			return total(&storm.Scene{Latency: usual, Streams: senders(6)}, short)
		}},
		{name: "storm/20", what: "20/s configured; all refused for 10 minutes", told: true, short: true, scene: func(short bool) *storm.Scene {
			return total(&storm.Scene{Latency: usual, Streams: one(60), Told: 20}, short)
		}},
	}
}

func inFlightRows() []*row {
	scene := func(m *storm.Concurrency, short bool) *storm.Scene {
		sc := limited(nil, 10*minute)
		if short {
			sc.Measured.To, sc.End = 5*minute, 5*minute
		}
		sc.Rules = []*storm.Rule{{Model: m, Refusal: refuse, Scope: storm.Account}}
		return sc
	}
	return []*row{
		{name: "in-flight/plain", what: "10 requests in progress", short: true, scene: func(short bool) *storm.Scene {
			return scene(&storm.Concurrency{Limit: storm.Always(10)}, short)
		}},
		{name: "in-flight/header", what: "10 requests in progress, and Twilio says how many", scene: func(short bool) *storm.Scene {
			return scene(&storm.Concurrency{Limit: storm.Always(10), Header: true}, short)
		}},
		{name: "in-flight/others", what: "20 requests in progress, 10 of them of other processes, and Twilio says how many", scene: func(short bool) *storm.Scene {
			return scene(&storm.Concurrency{Limit: storm.Always(20), Others: storm.Always(10), Header: true}, short)
		}},
	}
}
