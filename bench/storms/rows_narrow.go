package main

import (
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// narrowRows are throttles that are about one number, document, conversation or sender, the hot one: all others are to go
// on as if nothing were. And one that is about a whole product, which is to hold all.
func narrowRows() []*row {
	const document, conversation = "ET0000000000000000000000000000", "CH0000000000000000000000000000"
	verify := func(name string, code int) *row {
		return &row{
			name: "narrow/" + name, others: true, short: code == 60212,
			what: "Verify: one number asks every 5 s and is always refused, 2 others a second, each once",
			scene: func(short bool) *storm.Scene {
				return alone(storm.Random(1), code, pick(short, 12.0, 4), []storm.Stream{
					{Product: storm.Verify, Bucket: "verify", Object: "+1500555", Objects: 9000, Callers: 200, Due: storm.About(time.Second / 2)},
					{Product: storm.Verify, Bucket: "verify", Object: "+15005559999", Callers: 20, Due: storm.Every(5 * time.Second), Hot: true},
				})
			},
		}
	}
	return []*row{
		verify("verify-60212", 60212),
		verify("verify-20429", 20429),
		{
			name: "narrow/sync-54009", others: true, short: true,
			what: "Sync: one document is updated 25 times a second, where each may be 20 times, 50 others once a second each",
			scene: func(short bool) *storm.Scene {
				return alone(window(20), 54009, pick(short, 12.0, 3), []storm.Stream{
					{Product: storm.Sync, Bucket: "sync", Object: document, Objects: 50, Callers: 200, Due: storm.About(time.Second / 50)},
					{Product: storm.Sync, Bucket: "sync", Object: document + "9999", Callers: 100, Due: storm.About(time.Second / 25), Hot: true},
				})
			},
		},
		{
			name: "narrow/conversations-50063", others: true,
			what: "Conversations: one gets 20 messages a second, where each may get 10, 50 others one in 2 s each",
			scene: func(short bool) *storm.Scene {
				return alone(window(10), 50063, pick(short, 12.0, 4), []storm.Stream{
					{Product: storm.Conversations, Bucket: "conversations", Object: conversation, Objects: 50, Callers: 200, Due: storm.About(time.Second / 25)},
					{Product: storm.Conversations, Bucket: "conversations", Object: conversation + "9999", Callers: 100, Due: storm.About(time.Second / 20), Hot: true},
				})
			},
		},
		{
			name: "narrow/sender-63018", others: true,
			what: "ten senders with 5 messages a second each, no limit known; all of one of them are refused",
			scene: func(short bool) *storm.Scene {
				streams := senders(100)
				for i := range streams {
					streams[i].Due = storm.About(time.Second / 5)
				}
				streams[0].Hot = true
				return alone(storm.Random(1), 63018, pick(short, 12.0, 4), streams)
			},
		},
		{
			name: "whole/verify", whole: true, short: true,
			what: "Verify takes 10 a second in all, of any numbers; code 20429; 60 callers",
			scene: func(short bool) *storm.Scene {
				sc := limited([]storm.Stream{{Product: storm.Verify, Bucket: "verify", Object: "+1500555", Objects: 9000, Callers: 60}}, 2, pick(short, 12.0, 4), window(10))
				return sc
			},
		},
	}
}

// alone is a scene in which a rule is about hot streams alone, each object by itself.
func alone(m storm.Model, code int, to float64, streams []storm.Stream) *storm.Scene {
	sc := limited(streams, 2, to)
	sc.Rules = []*storm.Rule{{Model: m, Refusal: storm.Refusal{Code: code, RetryAfter: "1"}, Scope: storm.Object, HotOnly: true, Trouble: true}}
	return sc
}
