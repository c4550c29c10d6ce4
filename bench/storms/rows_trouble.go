package main

import (
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// troubleRows are throttles that begin and end: what is asked is how soon all is as before. All begin after 2 minutes.
func troubleRows() []*row {
	total := func(name, what string, pacerOnly bool, f storm.Refusal, make func() *storm.Scene) *row {
		return &row{name: "storm/" + name, what: what, pacerOnly: pacerOnly, short: name == "one", scene: func(short bool) *storm.Scene {
			sc := troubled(make(), at(2, pick(short, 12.0, 5)), storm.Random(1), f)
			sc.Measured = storm.Span{From: minute, To: sc.End}
			return sc
		}}
	}
	told := func(rate float64) *storm.Scene {
		sc := limited(one(60), 1, 1)
		sc.Told = rate
		return sc
	}
	soon := storm.Refusal{Code: 20429}
	passing := func(name, what string, length float64, m func() storm.Model, f storm.Refusal, make func() *storm.Scene) *row {
		return &row{name: "passing/" + name, what: what, seeds: 3, scene: func(bool) *storm.Scene {
			sc := troubled(make(), at(2, 2+length), m(), f)
			sc.Measured = storm.Span{From: minute, To: sc.End}
			return sc
		}}
	}
	random := func(share float64) func() storm.Model { return func() storm.Model { return storm.Random(share) } }
	unknown := func() *storm.Scene { return limited(one(60), 1, 1, window(20)) }
	told20 := func() *storm.Scene { return told(20) }
	return []*row{
		total("one", "unknown 20/s; all refused for 10 minutes", false, refuse, unknown),
		total("absent", "unknown 20/s; all refused for 10 minutes, without Retry-After", false, soon, unknown),
		total("20", "20/s configured; all refused for 10 minutes", true, refuse, told20),
		total("senders", "ten senders of 6 callers each, no limit; all refused for 10 minutes", false, refuse, func() *storm.Scene { return limited(senders(6), 1, 1) }),
		total("senders/limit", "ten senders of 12 callers each, each with an unknown 20/s; all refused for 10 minutes", false, refuse, func() *storm.Scene { return limited(senders(12), 1, 1, window(20)) }),
		total("in-flight", "10 requests in progress, and Twilio says how many; all refused for 10 minutes", false, refuse, func() *storm.Scene {
			sc := limited(one(60), 1, 1)
			sc.Rules = []*storm.Rule{{Model: &storm.Concurrency{Limit: storm.Always(10), Header: true}, Refusal: refuse, Scope: storm.Account}}
			return sc
		}),
		total("others", "no limit; Twilio says that 8 requests of others are in progress; all refused for 10 minutes", false, refuse, func() *storm.Scene {
			sc := limited(one(60), 1, 1)
			sc.Rules = []*storm.Rule{{Model: &storm.Concurrency{Limit: storm.Always(1000), Others: storm.Always(8), Header: true}, Refusal: refuse, Scope: storm.Account}}
			return sc
		}),
		passing("periodic", "unknown 20/s; all refused in the first 5 s of each half minute, for 5 minutes", 5, func() storm.Model {
			return storm.Periodic{Every: 30 * time.Second, For: 5 * time.Second}
		}, refuse, unknown),
		passing("on-off", "unknown 20/s; all refused for 10 s, then nothing for 10 s, for 5 minutes", 5, func() storm.Model {
			return storm.Periodic{Every: 20 * time.Second, For: 10 * time.Second}
		}, refuse, unknown),
		passing("alternating", "unknown 20/s; each second request refused for 5 minutes", 5, func() storm.Model {
			return &storm.Alternating{N: 2}
		}, refuse, unknown),
		passing("third", "unknown 20/s; 30 % refused at random for 5 minutes", 5, random(0.3), refuse, unknown),
		passing("retry-after/absent", "20/s configured; 1 % refused at random for 5 minutes, without Retry-After", 5, random(0.01), soon, told20).only(),
		passing("retry-after/2.5", "20/s configured; 1 % refused at random for 5 minutes, with Retry-After: 2.5", 5, random(0.01), storm.Refusal{RetryAfter: "2.5"}, told20).only(),
		passing("retry-after/30", "20/s configured; 1 % refused at random for 5 minutes, with Retry-After: 30", 5, random(0.01), storm.Refusal{RetryAfter: "30"}, told20).only(),
		passing("retry-after/3600", "20/s configured; all refused for 5 s, with Retry-After: 3600", 5.0/60, random(1), storm.Refusal{RetryAfter: "3600"}, told20).only().lasting(8 * minute),
		{name: "tenant", what: "unknown 20/s; another program takes half of it in minutes 3 to 7", scene: func(bool) *storm.Scene {
			w := window(20)
			w.Tenant, w.TenantSpan = 0.5, at(2, 7)
			sc := recovering(limited(one(60), 1, 1, w), w.TenantSpan)
			sc.Measured = storm.Span{From: minute, To: sc.End}
			return sc
		}},
		{name: "dips", what: "unknown; 20/s become 5/s in minutes 3 to 7, and 20/s again", scene: func(bool) *storm.Scene {
			w := &storm.Window{Limit: storm.Steps{{Value: 20}, {At: 2 * minute, Value: 5}, {At: 7 * minute, Value: 20}}}
			sc := recovering(limited(one(60), 1, 1, w), at(2, 7))
			sc.Measured = storm.Span{From: minute, To: sc.End}
			return sc
		}},
	}
}

// only is r for those who can be told a rate.
func (r *row) only() *row { r.pacerOnly = true; return r }

// lasting is r with more time to recover.
func (r *row) lasting(d time.Duration) *row {
	scene := r.scene
	r.scene = func(short bool) *storm.Scene {
		sc := scene(short)
		sc.End = sc.Trouble.To + d
		sc.Measured.To = sc.End
		return sc
	}
	return r
}
