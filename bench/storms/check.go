package main

import (
	"fmt"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// The rules that -check knows.
const (
	aPoint         = 0.01             // two shares that differ by less are the same
	asLittle       = 0.0001           // two shares of lost calls that differ by less are the same
	leastInNoise   = 0.90             // of the possible, where up to moderateNoise is refused at random
	leastInMuch    = 0.80             // where more is
	moderateNoise  = 0.05             //
	aboveNoise     = 0.005            // throttled, but for what is refused at random
	aboveMixed     = 0.05             // the same, where there is a limit to be found as well
	halfWithin     = time.Minute      // after the cool-down
	mostWithin     = 3 * time.Minute  // after the cool-down
	headWithin     = 30 * time.Second // beyond the cool-down
	othersAtMost   = 1.1              // mean wait of others, by that without the trouble
	throttledWhole = 0.05             // throttled, where the limit of a whole product is to hold everybody
	ofOneProcess   = 0.95             // of what one process without a store delivers
	aboveOne       = 0.005            // throttled, but for what one process is
	turnsWithin    = 20.0             // tokens of others, each in the mean, while one has five: half of its share
)

const checked = `noise      pacer reaches at least 90 % of the possible where up to 5 % of the requests are refused
           at random, 80 % where 10 % are, and is throttled for at most half a point more than that;
           for 5 points more where a limit has to be found as well
rule 1     learning is not worse than none, by more than a point, in share or in losses
rule 2     after the last throttled answer every bucket is at half of its old rate within 60 s of its
           cool-down's end, at 95 % within 3 minutes
rule 3     no head of a line waits for longer than 30 s beyond its cool-down
peers      none delivers more than a point more while it loses as little. Nobody is asked to beat
           the possible: what is above it counts as all of it
others     where one number, document, conversation or sender is throttled, the mean wait of all
           others is at most 1.1 times that without the trouble
whole      where a whole product is limited, at most 5 % of the requests are throttled
together   where the limit is known, pacer in eight processes delivers at least 95 % of what one process
           does without a store, although one of twenty answers of their store is 300 ms late. It is
           throttled for at most half a point more, and no caller has less than half of its share
Who delivers more is not better if it loses more: more than one call in 10,000. Rules 2 and 3 and others
are asked of pacer without learning, too.`

// missed says which rules pacer broke, and in which row.
func missed(cells []cell) []string {
	var out []string
	for i := range cells {
		c := &cells[i]
		miss := func(format string, args ...any) {
			out = append(out, c.Row+": "+c.Client+": "+fmt.Sprintf(format, args...))
		}
		if c.Client != learning && c.Client != notLearning {
			continue
		}
		recovery(c, miss)
		if c.Client == learning {
			amount(c, miss)
			for j := range cells {
				switch o := &cells[j]; {
				case o.Row != c.Row || o.Client == learning:
				case o.Client == together:
					if c.row.asOne {
						asOne(c, o, miss)
					}
				default:
					compare(c, o, miss)
				}
			}
		}
	}
	return out
}

// recovery checks rules 2 and 3 and the waits of others.
func recovery(c *cell, miss func(string, ...any)) {
	if c.HasTrouble && c.HalfCool > halfWithin {
		miss("rule 2: half of the old rate %s after the cool-down, expected within %s", never(c.HalfCool), spoken(halfWithin))
	}
	if c.HasTrouble && c.MostCool > mostWithin {
		miss("rule 2: 95 %% of the old rate %s after the cool-down, expected within %s", never(c.MostCool), spoken(mostWithin))
	}
	if c.Head > headWithin {
		miss("rule 3: the head of a line has waited %s beyond its cool-down, expected at most %s", spoken(c.Head), spoken(headWithin))
	}
	if c.Others > othersAtMost {
		miss("others: their mean wait is %.2f times that without the trouble, expected at most %g", c.Others, othersAtMost)
	}
}

// amount checks what is delivered and throttled.
func amount(c *cell, miss func(string, ...any)) {
	r := c.row
	least := leastInNoise
	if r.noise > moderateNoise {
		least = leastInMuch
	}
	if s := c.share(); r.noise > 0 && s < least {
		miss("noise: %s of the possible, expected at least %s", percent(s, 1), percent(least, 0))
	}
	above := aboveNoise
	if r.limited {
		above = aboveMixed
	}
	if s := c.ownShare(); r.noise > 0 && s > above {
		miss("noise: %s of the requests throttled beside what was refused at random, expected at most %s", percent(s, 2), percent(above, 1))
	}
	if s := c.throttledShare(); r.whole && s > throttledWhole {
		miss("whole: %s of the requests throttled, expected at most %s", percent(s, 2), percent(throttledWhole, 0))
	}
}

// compare checks pacer against another client of the same row.
func compare(c, other *cell, miss func(string, ...any)) {
	rule := "peers"
	if other.Client == notLearning {
		rule = "rule 1"
		if other.lostShare()+aPoint < c.lostShare() {
			miss("rule 1: %s of the calls lost, and %s without learning", percent(c.lostShare(), 2), percent(other.lostShare(), 2))
		}
	}
	if beats(other, c) {
		miss("%s: %s of the possible, and %s reaches %s and loses as little (%d, and %d)",
			rule, percent(c.share(), 1), other.Client, percent(other.share(), 1), c.Lost, other.Lost)
	}
}

// asOne checks pacer in several processes against pacer in one.
func asOne(one, all *cell, miss func(string, ...any)) {
	if s := all.share(); s < ofOneProcess*min(1, one.share()) {
		miss("together: eight processes reach %s of the possible, one %s: expected %s of that", percent(s, 1), percent(one.share(), 1), percent(ofOneProcess, 0))
	}
	if s := all.throttledShare(); s > one.throttledShare()+aboveOne {
		miss("together: %s of the requests of eight processes throttled, %s of those of one: expected at most %s more", percent(s, 2), percent(one.throttledShare(), 2), percent(aboveOne, 1))
	}
	if all.Starved > turnsWithin {
		miss("together: %.0f tokens for each caller while one had fewer than five: expected at most %.0f", all.Starved, turnsWithin)
	}
}

// beats reports that another client delivers more than a point more than pacer while it loses as little.
func beats(other, c *cell) bool {
	return min(1, other.share()) > c.share()+aPoint && other.lostShare() <= c.lostShare()+asLittle
}

func never(d time.Duration) string {
	if d == storm.Never {
		return "never"
	}
	return spoken(d)
}
