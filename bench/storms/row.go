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
	limited    bool    // there is a limit as well, and so not all that is throttled is noise
	seeds      int     // so many runs, each with a seed of its own, are summed; 0, and in a short run: one
	pacerOnly  bool    // the configured rate is the only limit, and peers cannot be told one
	shared     bool    // pacer takes part in several processes as well
	asOne      bool    // they must do as one process does
	others     bool    // the mean wait of streams that are not hot is compared with that without the trouble
	whole      bool    // the limit is of a whole product: it has to hold everybody
	short      bool    // it is part of a short run
}

func (r *row) takes(c *client) bool {
	if c.fleet != nil {
		return r.shared
	}
	return !r.pacerOnly || c.name == learning || c.name == notLearning
}

func allRows() []*row {
	var rows []*row
	for _, group := range [][]*row{noiseRows(), limitRows(), troubleRows(), inFlightRows(), loadRows(), narrowRows()} {
		rows = append(rows, group...)
	}
	for _, r := range rows {
		r.asOne, r.shared = sharedRows[r.name]
	}
	return rows
}

// sharedRows are those in which pacer takes part in several processes as well. true: they must do as one does. false: a
// limit has to be found, and processes hear of each other's answers later than of their own. What that costs is only shown.
var sharedRows = map[string]bool{
	"known": true, "known/1": true, "noise/20/1%": true, "noise/20/5%": true, "noise/100/1%": true,
	"noise/limit/1%": false, "above/50%": false, "unknown/sliding": false, "unknown/strict": false, "halves": false, "doubles": false,
	"storm/20": false, "storm/one": false, "passing/periodic": false, "passing/third": false, "tenant": false,
}

const minute = time.Minute

// An alphanumeric sender, for which pacer has no default: it is not paced until it is throttled.
const sender = "PACER"

// usual is how long most servers here take to answer.
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

// window is a sliding window of so many requests/s, that does not change.
func window(perSecond float64) *storm.Window { return &storm.Window{Limit: storm.Always(perSecond)} }

// at is a span in minutes from the start.
func at(from, to float64) storm.Span {
	return storm.Span{From: time.Duration(from * float64(minute)), To: time.Duration(to * float64(minute))}
}

// pick is the usual value, or that of a short run.
func pick[T any](short bool, usual, inShort T) T {
	if short {
		return inShort
	}
	return usual
}

// limited is a server with these limits, each of each bucket, and streams that want more. It is measured from the minute
// from on, until the minute to, which is its end.
func limited(streams []storm.Stream, from, to float64, limits ...storm.Model) *storm.Scene {
	sc := &storm.Scene{Latency: usual, Streams: streams, Measured: at(from, to), End: at(from, to).To}
	for _, m := range limits {
		sc.Rules = append(sc.Rules, &storm.Rule{Model: m, Refusal: refuse})
	}
	return sc
}

// troubled adds a model that refuses whatever it refuses in all buckets for a while, and 4 minutes to recover from it.
func troubled(sc *storm.Scene, span storm.Span, m storm.Model, f storm.Refusal) *storm.Scene {
	sc.Rules = append(sc.Rules, &storm.Rule{Model: m, Refusal: f, Scope: storm.Account, Span: span, Trouble: true})
	return recovering(sc, span)
}

// recovering says that there is a trouble in span, and adds 4 minutes to recover from it.
func recovering(sc *storm.Scene, span storm.Span) *storm.Scene {
	sc.Trouble = span
	sc.End = span.To + 4*minute
	return sc
}
