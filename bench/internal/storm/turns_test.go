package storm

import (
	"testing"
	"time"
)

// Tokens are taken one each second, by whom the letters say: a, b and c always have work, and x does not.
func TestTurns(t *testing.T) {
	for _, tt := range []struct {
		name, takes string
		rest        string // in this place of takes, this one rests for 30 s
		at          int
		least       time.Duration
		want        float64
	}{
		{name: "in rotation", takes: "abcabcabcabcabcabcabcabcabcabc", want: 14.0 / 3},
		{name: "one has every fifth", takes: "aabbcaabbcaabbcaabbcaabbcaabbc", want: 24.0 / 3},
		{name: "one has none", takes: "abababababababababababababababab", want: 32.0 / 3},
		{name: "one has none at the end", takes: "abcabcabcabcabcabcababababababab", want: 26.0 / 3},
		{name: "others' tokens count", takes: "xxxabcxxxabcxxxabcxxxabcxxxabcxxxabc", want: 29.0 / 3},
		{name: "it rests meanwhile", takes: "abcabcabcabcabcabcababababababab", rest: "c", at: 18, want: 14.0 / 3},
		{name: "it rests, but not for so long", takes: "abcabcabcababababababababababababababababababababababababababab", rest: "c", at: 9, want: 24.0 / 3},
		{name: "for a short time", takes: "abababababababababababababababab", least: 33 * time.Second, want: 0},
	} {
		v := turns{least: tt.least}
		takers := map[rune]*taker{'a': v.join(), 'b': v.join(), 'c': v.join()}
		now := time.Duration(0)
		for i, who := range tt.takes {
			if k := takers[[]rune(tt.rest + " ")[0]]; k != nil && i == tt.at {
				k.rests, k.until = true, now+30*time.Second
			}
			v.took(takers[who], now)
			now += time.Second
		}
		if got := v.end(now); got != tt.want {
			t.Errorf("%s: %.2f tokens each, expected %.2f", tt.name, got, tt.want)
		}
	}
}

func TestWhoTakesTurns(t *testing.T) {
	permits := []*Rule{{Model: &Concurrency{Limit: Always(10)}, Scope: Account}}
	always, hot, due := Stream{Bucket: "A", Callers: 2}, Stream{Bucket: "B", Callers: 2, Hot: true}, Stream{Bucket: "B", Callers: 2, Due: Every(time.Second)}
	for _, tt := range []struct {
		name    string
		rules   []*Rule
		streams []Stream
		callers int
		senders bool
	}{
		{"callers that always have work", nil, []Stream{always, hot, due}, 2, false},
		{"senders that share permits", permits, []Stream{always, {Bucket: "B", Callers: 1}}, 3, true},
		{"one sender", permits, []Stream{always}, 2, false},
		{"a sender without work", permits, []Stream{always, due}, 2, false},
		{"a sender in trouble", permits, []Stream{always, hot}, 2, false},
	} {
		s := newServer(&Scene{Streams: tt.streams, Rules: tt.rules, End: time.Minute}, 1)
		n := 0
		for i := range tt.streams {
			for range tt.streams[i].Callers {
				if s.taker(&tt.streams[i]) != nil {
					n++
				}
			}
		}
		if n != tt.callers || (s.record.senders != nil) != tt.senders {
			t.Errorf("%s: %d callers take turns, senders %v; expected %d and %v", tt.name, n, s.record.senders != nil, tt.callers, tt.senders)
		}
	}
}
