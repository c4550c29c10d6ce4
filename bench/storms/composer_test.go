package main

import (
	"strings"
	"testing"
	"time"
)

func TestScenesAreComposedOfEverything(t *testing.T) {
	seen := map[string]int{
		"sliding window": 0, "fixed window": 0, "token bucket": 0, "strict window": 0, "counted by the minute": 0, "another tenant": 0,
		" in progress (": 0, "of them of others": 0, "told in answers": 0, "answers tell": 0, "/s configured": 0, "/s from ": 0, "/s, but ": 0,
		"refused at random": 0, "in the first ": 0, "one of ": 0, "; all refused from": 0, "of it refused": 0, "always refused": 0, "it may send": 0,
		"code 20429": 0, "code 63018": 0, "code 60212": 0, "code 54009": 0, "code 50063": 0,
		`Retry-After ""`: 0, `Retry-After "1"`: 0, `Retry-After "2.5"`: 0, `Retry-After "30"`: 0, `Retry-After "3600"`: 0,
		"1 senders": 0, "10 senders": 0, "Verify, ": 0, "a call every": 0, " calls every": 0, "calls after a minute": 0, "calls a second": 0,
		"answers of 50ms to 350ms": 0, "answers of 2 s": 0, "without a connection": 0, "with status 500": 0,
	}
	longest := time.Duration(0)
	for seed := range uint64(2000) {
		sc, words := randomScene(seed)
		if _, again := randomScene(seed); again != words {
			t.Fatalf("seed %d composes\n%s\nand then\n%s", seed, words, again)
		}
		for part := range seen {
			if strings.Contains(words, part) {
				seen[part]++
			}
		}
		longest = max(longest, sc.End)
	}
	for part, n := range seen {
		if n < 5 {
			t.Errorf("%d of 2,000 scenes have %q, expected more", n, part)
		}
	}
	if longest > 16*time.Minute {
		t.Errorf("the longest scene has %v, expected at most 16 minutes", longest)
	}
}
