package storm

import (
	"slices"
	"time"
)

// turns is who takes the tokens of one bucket, or the permits of an account. Each request that is not throttled has one.
type turns struct {
	taken  []time.Duration // when each was, in order
	takers []*taker
	least  time.Duration // what lasts for less is not judged: all may begin at once, and a sender slowly after a throttle
	worst  float64       // tokens for each taker, in the mean, while one had fewer than fewTurns
}

const fewTurns = 5

// A taker takes turns with others, and always has work but while it rests.
type taker struct {
	had   []int         // tokens that all had had when it began to ask, then when it had its own, the last few
	until time.Duration // when it asks again
	rests bool
}

// join adds a taker.
func (t *turns) join() *taker {
	k := &taker{had: []int{len(t.taken)}}
	t.takers = append(t.takers, k)
	return k
}

// took takes in that k has a token; nil: it is somebody's who does not always have work.
func (t *turns) took(k *taker, now time.Duration) {
	if k != nil {
		t.judge(k, now)
	}
	t.taken = append(t.taken, now)
	if k == nil {
		return
	}
	if k.rests { // earlier than it had to: it begins to count now
		k.rests, k.had = false, k.had[:0]
	}
	k.had = append(k.had, len(t.taken))
	k.had = k.had[max(0, len(k.had)-fewTurns):]
}

// judge notes how many tokens have gone to all while k has had fewer than fewTurns.
func (t *turns) judge(k *taker, now time.Duration) {
	if k.rests {
		if now < k.until {
			return
		}
		at, _ := slices.BinarySearch(t.taken, k.until)
		k.rests, k.had = false, []int{at}
	}
	if k.had[0] == len(t.taken) || now-t.taken[k.had[0]] < t.least {
		return
	}
	t.worst = max(t.worst, float64(len(t.taken)-k.had[0])/float64(len(t.takers)))
}

// end looks at those who have waited to the end, and returns the worst.
func (t *turns) end(now time.Duration) float64 {
	for _, k := range t.takers {
		t.judge(k, now)
	}
	return t.worst
}

// takeTurns finds out who takes turns. Senders do where the account's requests in progress are limited.
func (r *Record) takeTurns() {
	limited := slices.ContainsFunc(r.scene.Rules, func(rule *Rule) bool {
		_, ok := rule.Model.(*Concurrency)
		return ok && rule.Scope == Account
	})
	if !limited || len(r.buckets) < 2 || slices.ContainsFunc(r.scene.Streams, func(s Stream) bool { return !s.always() }) {
		return
	}
	r.senders = &turns{least: 10 * time.Second}
	for _, b := range r.buckets {
		b.sender = r.senders.join()
	}
}

// always reports that the callers of s always have work, and that nothing but their turn is in their way.
func (s *Stream) always() bool { return s.Due == nil && !s.Hot }

func (r *Record) taker(s *Stream) *taker {
	if !s.always() {
		return nil
	}
	return r.buckets[s.Bucket].turns.join()
}

// took takes in a request that is not throttled.
func (r *Record) took(c *Call, now time.Duration) {
	b := r.buckets[c.Stream.Bucket]
	b.turns.took(c.taker, now)
	if r.senders != nil {
		r.senders.took(b.sender, now)
	}
}

// rests takes in that c's caller, and its sender, do not ask for a turn until then.
func (r *Record) rests(c *Call, until time.Duration) {
	for _, k := range []*taker{c.taker, r.buckets[c.Stream.Bucket].sender} {
		if k != nil {
			k.rests, k.until = true, max(k.until, until)
		}
	}
}
