package pacer

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A bucket in use takes 1.8 KB at 1/s and 4 KB at 1,000/s, at most. What throttled answers
// have taught is not in it.
func TestMemoryOfBucketInUse(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector has memory of its own")
	}
	const buckets = 500
	for _, tc := range []struct {
		rate float64
		most int64 // bytes
	}{{1, 1800}, {80, 3300}, {100, 3300}, {1000, 4000}} {
		l := newLimiter(t, Limit{Resource: Messages, Rate: tc.rate})
		before := heap()
		synctest.Test(t, func(t *testing.T) {
			for range int(3*tc.rate) + 1 {
				for i := range buckets {
					done, err := l.Acquire(bg, from(strconv.Itoa(i)))
					if err != nil {
						t.Fatal(err)
					}
					done(Outcome{})
				}
				time.Sleep(time.Duration(1.03 * float64(time.Second) / tc.rate))
			}
			each := (heap() - before) / buckets
			t.Logf("%v/s: %d bytes", tc.rate, each)
			if each > tc.most {
				t.Errorf("%v/s: %d bytes, expected %d at most", tc.rate, each, tc.most)
			}
		})
		runtime.KeepAlive(l)
	}
}

// An account whose limit in flight was learned is forgotten an hour after its last use,
// whether or not it is ever used again.
func TestAccountsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t)
		for i := range 20 {
			r := from(unlisted)
			r.Account = fmt.Sprint("AC", i)
			x := &lane{l: l, r: r}
			x.serve(30, 10*time.Second, 0, 10, Outcome{})
			r.Sender = "x" // a bucket that learns nothing
			if err := (&lane{l: l, r: r}).pass(bg); err != nil {
				t.Fatal(err)
			}
		}
		accounts := func() (n int) {
			var s Stats
			s.LimiterStats = l.Stats()
			return len(s.Accounts)
		}
		time.Sleep(50 * time.Minute)
		if n := accounts(); n != 20 {
			t.Errorf("%d accounts after 50 minutes", n)
		}
		time.Sleep(15 * time.Minute)
		if n := accounts(); n != 0 || len(l.gates) != 0 {
			t.Errorf("%d accounts, %d gates after 65 minutes", n, len(l.gates))
		}
		if time.Sleep(2 * time.Minute); l.sweeper != nil {
			t.Error("it is still swept")
		}
	})
}

// A head that has waited for the account's permit, and then has to wait for its resource's,
// does not begin anew at the account's.
func TestPlaceForTheAccountsPermitIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: "*", Rate: Unlimited, MaxInFlight: 4}, Limit{Resource: Messages, Rate: Unlimited, MaxInFlight: 2})
		messages := 0
		var mu sync.Mutex
		load := func(r Resource, answer time.Duration) {
			for j := range 4 {
				go func() {
					for time.Since(l.start) < time.Minute {
						done, err := l.Acquire(bg, r)
						if err != nil {
							t.Error(err)
							return
						}
						time.Sleep(answer + time.Duration(j)*time.Millisecond)
						mu.Lock()
						if r.Name == Messages {
							messages++
						}
						mu.Unlock()
						done(Outcome{})
					}
				}()
			}
		}
		for i := range 10 {
			load(from(fmt.Sprint(sender, i)), 100*time.Millisecond)
		}
		for i := range 3 {
			load(Resource{Account: account, Region: "us1", Product: "api", Name: fmt.Sprint("Other", i), Op: Read}, 30*time.Millisecond)
		}
		time.Sleep(2 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if got := float64(messages) / 60; got < 19 { // two permits of 0.1 s
			t.Errorf("%.1f messages/s, expected nearly 20", got)
		}
	})
}

// A throttled answer wakes those that cannot wait for the cool-down's end, at once, and
// nobody else.
func TestCoolDownEndsHopelessWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := newLane(newLimiter(t, Limit{Resource: Messages, Rate: 0.1}), sender)
		done, err := lane.enter(bg)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan time.Duration, 3)
		for _, timeout := range []time.Duration{41 * time.Second, 42 * time.Second, time.Hour} {
			ctx, cancel := context.WithTimeout(bg, timeout)
			defer cancel()
			go func() {
				if lane.pass(ctx) != nil {
					ended <- timeout
				}
			}()
		}
		time.Sleep(time.Second)
		done(Outcome{Throttled: true, RetryAfter: 50 * time.Second})
		time.Sleep(time.Second)
		if n := len(ended); n != 2 {
			t.Errorf("%d have failed, expected the two whose deadline is within the cool-down", n)
		}
		time.Sleep(2 * time.Minute)
		if n := len(ended); n != 2 {
			t.Errorf("%d have failed in the end", n)
		}
	})
}
