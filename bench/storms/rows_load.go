package main

import (
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// loadRows are loads other than callers that always have work.
func loadRows() []*row {
	stream := func(callers int, due storm.Schedule) []storm.Stream {
		return []storm.Stream{{Bucket: sender, Callers: callers, Due: due}}
	}
	return []*row{
		{name: "load/light", what: "a message a minute, each tenth of them refused once, for 3 hours", short: true, scene: func(short bool) *storm.Scene {
			sc := limited(stream(10, storm.Every(minute)), 0, pick(short, 60.0, 180), &storm.Alternating{N: 10})
			return sc
		}},
		{name: "load/light-then-campaign", what: "20/s configured; the same for 40 minutes, then 1,000 messages, in the minute that follows", pacerOnly: true, scene: func(bool) *storm.Scene {
			sc := limited(stream(10, storm.Every(minute)), 40, 41)
			sc.Streams = append(sc.Streams, storm.Stream{Bucket: sender, Callers: 1000, Due: storm.Campaign(1000, 40*minute)})
			sc.Rules = []*storm.Rule{{Model: &storm.Alternating{N: 10}, Refusal: refuse, Span: at(0, 40)}}
			sc.Told = 20
			return sc
		}},
		{name: "load/bursts", what: "unknown 20/s; 200 messages every two minutes, and nothing in between", short: true, scene: func(short bool) *storm.Scene {
			return limited(stream(200, storm.Bursts(200, 2*minute)), 3, pick(short, 21.0, 9), window(20))
		}},
		{name: "load/bursts/idle", what: "unknown 20/s; 600 messages every 20 minutes", scene: func(bool) *storm.Scene {
			return limited(stream(200, storm.Bursts(600, 20*minute)), 0, 105, window(20))
		}},
		{name: "load/campaign", what: "unknown 20/s; 6,000 messages at once, worked off by 60 callers, in the 5 minutes that they take at best", scene: func(bool) *storm.Scene {
			return limited(stream(60, storm.Campaign(6000, minute)), 1, 6, window(20))
		}},
		{name: "load/campaign/waiting", what: "unknown 20/s; 3,000 messages at once, each with a caller of its own, in the 2.5 minutes that they take at best", scene: func(bool) *storm.Scene {
			return limited(stream(3000, storm.Campaign(3000, minute)), 1, 3.5, window(20))
		}},
		{name: "load/below", what: "12 messages a second, where 20/s are allowed, and 1 % refused at random", scene: func(short bool) *storm.Scene {
			sc := limited(stream(200, storm.About(time.Second/12)), 3, pick(short, 12.0, 6), window(20))
			return troubled(sc, storm.Span{From: minute, To: sc.End}, storm.Random(0.01), refuse)
		}},
		{name: "load/below/told", what: "12 messages a second, 20/s configured, and 1 % refused at random", pacerOnly: true, scene: func(short bool) *storm.Scene {
			sc := limited(stream(200, storm.About(time.Second/12)), 3, pick(short, 12.0, 6))
			sc.Told = 20
			return troubled(sc, storm.Span{From: minute, To: sc.End}, storm.Random(0.01), refuse)
		}},
		{name: "load/near", what: "19 messages a second, where an unknown 20/s are allowed", scene: func(short bool) *storm.Scene {
			return limited(stream(200, storm.About(time.Second/19)), 3, pick(short, 12.0, 6), window(20))
		}},
	}
}
