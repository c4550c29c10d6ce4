package main

import (
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// noiseRows are 429s at random, from the end of the first minute on: minutes 6 to 20 are measured, and then the noise ends.
// A rate is configured, and is the only limit, or nothing is known and callers who have an answer in 50 ms make 1,200/s
// possible. The latter is very many calls, and so only minutes 4 and 5 are measured.
func noiseRows() []*row {
	var rows []*row
	for _, rate := range []int{20, 100, 0} {
		for _, percent := range []float64{0.1, 0.5, 1, 5, 10} {
			r := &row{noise: percent / 100, pacerOnly: rate > 0, short: rate == 20, seeds: 3}
			r.name = fmt.Sprintf("noise/%d/%g%%", rate, percent)
			r.what = fmt.Sprintf("%d/s configured, %g %% of the requests refused at random", rate, percent)
			if rate == 0 {
				r.name = fmt.Sprintf("noise/none/%g%%", percent)
				r.what = fmt.Sprintf("no limit known and 1,200/s possible, %g %% of the requests refused at random", percent)
			}
			if rate != 20 {
				r.seeds = 1
			}
			r.scene = func(short bool) *storm.Scene {
				sc := limited(one(60), 5, 20)
				switch {
				case rate == 0:
					sc = limited(one(60), 3, 5)
					sc.Latency = storm.Latency{Low: 50 * time.Millisecond}
				case short:
					sc = limited(one(60), 3, 8)
				case rate == 100:
					sc = limited(one(200), 5, 20)
				}
				sc.Told = float64(rate)
				return troubled(sc, storm.Span{From: minute, To: sc.End}, storm.Random(percent/100), refuse)
			}
			rows = append(rows, r)
		}
	}
	noisy := func(sc *storm.Scene, share float64) *storm.Scene {
		return troubled(sc, storm.Span{From: minute, To: sc.End}, storm.Random(share), refuse)
	}
	return append(rows,
		&row{name: "noise/limit/1%", what: "20/s, of which nobody is told, and 1 % refused at random", noise: 0.01, limited: true, short: true, seeds: 3, scene: func(short bool) *storm.Scene {
			return noisy(limited(one(60), 3, pick(short, 12.0, 8), window(20)), 0.01)
		}},
		&row{name: "noise/senders/1%", what: "ten senders of 6 callers each, no limit, 1 % refused at random", noise: 0.01, scene: func(short bool) *storm.Scene {
			return noisy(limited(senders(6), 3, pick(short, 8.0, 5)), 0.01)
		}},
		&row{name: "noise/in-flight/1%", what: "10 requests in progress, and 1 % refused at random", noise: 0.01, limited: true, seeds: 3, scene: func(short bool) *storm.Scene {
			sc := limited(one(60), 3, pick(short, 12.0, 8))
			sc.Rules = []*storm.Rule{{Model: &storm.Concurrency{Limit: storm.Always(10)}, Refusal: refuse, Scope: storm.Account}}
			return noisy(sc, 0.01)
		}},
	)
}
