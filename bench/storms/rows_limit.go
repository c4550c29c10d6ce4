package main

import (
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// limitRows are limits of a rate. Nobody is told of them but where it says so.
func limitRows() []*row {
	unknown := func(name, what string, make func() *storm.Window) *row {
		return &row{name: "unknown/" + name, what: what, scene: func(short bool) *storm.Scene {
			return limited(one(60), 2, pick(short, 12.0, 4), make())
		}}
	}
	answered := func(name string, f storm.Refusal) *row {
		return &row{name: "unknown/" + name, what: "20/s in a sliding window; Retry-After: " + name, scene: func(short bool) *storm.Scene {
			sc := limited(one(60), 2, 12, window(20))
			sc.Rules[0].Refusal = f
			return sc
		}}
	}
	const limit = 20
	told := func(name, what string, rate, noise float64) *row {
		return &row{name: name, what: what, noise: noise, seeds: pick(noise == 0, 3, 1), limited: rate != limit, short: rate == limit, scene: func(short bool) *storm.Scene {
			sc := limited(one(60), 3, pick(short, 12.0, 5), window(limit))
			sc.Told = rate
			if noise > 0 {
				troubled(sc, storm.Span{From: minute, To: sc.End}, storm.Random(noise), refuse)
			}
			return sc
		}}
	}
	steps := func(name, what string, from float64, steps ...storm.Step) *row {
		return &row{name: name, what: what, short: len(steps) == 2, scene: func(short bool) *storm.Scene {
			return limited(one(60), from, pick(short, 12.0, 5), &storm.Window{Limit: steps})
		}}
	}
	step := func(at float64, value float64) storm.Step {
		return storm.Step{At: time.Duration(at * float64(minute)), Value: value}
	}
	sliding := unknown("sliding", "20/s in a sliding window", func() *storm.Window { return window(20) })
	sliding.short = true
	saved := unknown("bucket", "a token bucket: 20/s, and 20 at once", func() *storm.Window {
		return &storm.Window{Kind: storm.TokenBucket, Limit: storm.Always(20)}
	})
	saved.seeds = 3 // what asking finds in the bucket is luck
	return []*row{
		told("known", "20/s, and those that can be told are told", 20, 0),
		told("known/noise/1%", "20/s, and those that can be told are told; 1 % refused at random", 20, 0.01),
		{name: "known/1", what: "five senders of 16 callers each, each with 1/s, the limit of a long code, and those that can be told are told", short: true, scene: func(short bool) *storm.Scene {
			sc := limited(senders(16)[:5], 2, pick(short, 12.0, 5), window(1))
			sc.Told = 1
			return sc
		}},
		told("above/2%", "20.5/s configured, and the limit is 20/s", 20.5, 0),
		told("above/50%", "30/s configured, and the limit is 20/s", 30, 0),
		told("above/noise/2%", "30/s configured, and the limit is 20/s; 2 % refused at random", 30, 0.02),
		sliding,
		unknown("fixed", "20/s, counted from each full second on", func() *storm.Window {
			return &storm.Window{Kind: storm.Fixed, Limit: storm.Always(20)}
		}),
		saved,
		unknown("strict", "20/s in a sliding window, in which refused requests count as well", func() *storm.Window {
			return &storm.Window{Kind: storm.Strict, Limit: storm.Always(20)}
		}),
		unknown("minute", "1,200 in a sliding window of a minute", func() *storm.Window {
			return &storm.Window{Limit: storm.Always(1200), Per: minute}
		}),
		answered("absent", storm.Refusal{}),
		answered("2.5", storm.Refusal{RetryAfter: "2.5"}),
		answered("30", storm.Refusal{RetryAfter: "30"}),
		steps("halves", "unknown; 20/s become 10/s, measured from then on", 3, step(0, 20), step(3, 10)),
		steps("doubles", "unknown; 20/s become 40/s, measured half a minute later", 3.5, step(0, 20), step(3, 40)),
		steps("steps", "unknown; 20/s, then 10, 30, 5 and 20/s, two minutes each", 2, step(0, 20), step(2, 10), step(4, 30), step(6, 5), step(8, 20)),
		{name: "limit/senders", what: "ten senders of 12 callers each, each with a limit of 20/s; code 63018", scene: func(short bool) *storm.Scene {
			sc := limited(senders(12), 2, pick(short, 8.0, 4), window(20))
			sc.Rules[0].Refusal.Code = 63018
			return sc
		}},
		{name: "slow", what: "unknown 20/s; answers of 2 s in the fourth minute", scene: func(short bool) *storm.Scene {
			sc := limited(one(60), 2, pick(short, 12.0, 6), window(20))
			sc.Latency.Slow, sc.Latency.SlowFor = at(3, 4), 2*time.Second
			return sc
		}},
		{name: "slow/told", what: "20/s configured and no limit; answers of 2 s in the fourth minute", pacerOnly: true, scene: func(bool) *storm.Scene {
			sc := limited(one(60), 2, 6)
			sc.Told = 20
			sc.Latency.Slow, sc.Latency.SlowFor = at(3, 4), 2*time.Second
			return sc
		}},
	}
}

// inFlightRows are limits of how many requests of the account are in progress. Nobody is told of them.
func inFlightRows() []*row {
	progress := func(name, what string, make func() *storm.Concurrency, latency storm.Latency) *row {
		return &row{name: "in-flight/" + name, what: what, short: name == "plain", scene: func(short bool) *storm.Scene {
			sc := limited(one(60), 2, pick(short, 10.0, 4))
			sc.Latency = latency
			sc.Rules = []*storm.Rule{{Model: make(), Refusal: refuse, Scope: storm.Account}}
			return sc
		}}
	}
	slower := storm.Latency{Low: 50 * time.Millisecond, Slow: storm.Span{From: 5 * minute}, SlowFor: 200 * time.Millisecond}
	return []*row{
		progress("plain", "10 requests in progress", func() *storm.Concurrency { return &storm.Concurrency{Limit: storm.Always(10)} }, usual),
		progress("slower", "10 requests in progress; answers of 50 ms become such of 200 ms", func() *storm.Concurrency { return &storm.Concurrency{Limit: storm.Always(10)} }, slower),
		progress("header", "10 requests in progress, and Twilio says how many", func() *storm.Concurrency { return &storm.Concurrency{Limit: storm.Always(10), Header: true} }, usual),
		progress("others", "20 requests in progress, 10 of them of other processes, and Twilio says how many", func() *storm.Concurrency {
			return &storm.Concurrency{Limit: storm.Always(20), Others: storm.Always(10), Header: true}
		}, usual),
		progress("steps", "20 requests in progress, 10 after minute 4, 20 after minute 7", func() *storm.Concurrency {
			return &storm.Concurrency{Limit: storm.Steps{{Value: 20}, {At: 4 * minute, Value: 10}, {At: 7 * minute, Value: 20}}}
		}, usual),
		{name: "in-flight/senders", what: "ten senders, 10 requests in progress in all", scene: func(short bool) *storm.Scene {
			sc := limited(senders(6), 2, pick(short, 10.0, 5))
			sc.Rules = []*storm.Rule{{Model: &storm.Concurrency{Limit: storm.Always(10)}, Refusal: refuse, Scope: storm.Account}}
			return sc
		}},
	}
}
