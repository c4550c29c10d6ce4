package storm

import (
	"math/rand/v2"
	"testing"
	"time"
)

// passed puts requests at these times, of milliseconds, to a model, and returns a letter for each: y passed, n refused.
func passed(m Model, key string, at ...int) string {
	out := ""
	for _, ms := range at {
		now := time.Duration(ms) * time.Millisecond
		full := m.Full(key, now, 0.5)
		m.Took(key, now, !full)
		if full {
			out += "n"
		} else {
			out += "y"
		}
	}
	return out
}

func TestWindows(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    Window
		at   []int
		want string
	}{
		{"sliding", Window{Limit: Always(2)}, []int{0, 500, 999, 1000, 1499, 1500}, "yynyny"},
		{"sliding does not count what it refuses", Window{Limit: Always(1)}, []int{0, 900, 1000}, "yny"},
		{"strict does", Window{Kind: Strict, Limit: Always(1)}, []int{0, 900, 1000, 1899, 2899}, "ynnny"},
		{"fixed", Window{Kind: Fixed, Limit: Always(2)}, []int{900, 950, 999, 1000, 1001, 1002, 2000}, "yynyyny"},
		{"token bucket", Window{Kind: TokenBucket, Limit: Always(2)}, []int{0, 1, 2, 501, 502, 5000, 5001, 5002}, "yynynyyn"},
		{"of a minute", Window{Limit: Always(2), Per: time.Minute}, []int{0, 30_000, 59_999, 60_000, 89_999, 90_000}, "yynyny"},
		{"a limit that falls and rises", Window{Limit: Steps{{0, 2}, {2 * time.Second, 1}, {4 * time.Second, 3}}}, []int{0, 1, 2, 2000, 2001, 4000, 4001, 4002, 4003}, "yynynyyyn"},
		{"another tenant", Window{Limit: Always(2), Tenant: 0.5, TenantSpan: Span{2 * time.Second, 4 * time.Second}}, []int{0, 1, 2001, 2002, 2999, 3001, 3002, 5000, 5001, 5002}, "yyynnynyyn"},
	} {
		if got := passed(&tt.w, "a", tt.at...); got != tt.want {
			t.Errorf("%s: %s, expected %s", tt.name, got, tt.want)
		}
	}
}

func TestWindowsCountEachKeyByItself(t *testing.T) {
	w := &Window{Limit: Always(1)}
	if got := passed(w, "a", 0, 1) + passed(w, "b", 2, 3); got != "ynyn" {
		t.Errorf("%s, expected ynyn", got)
	}
}

func TestConcurrencyCountsWhatIsInProgress(t *testing.T) {
	c := &Concurrency{Limit: Always(4), Others: Steps{{0, 1}, {time.Second, 3}}}
	done := c.Took("", 0, true)
	c.Took("", 0, true)
	if c.Took("", 0, false) != nil {
		t.Error("a refused request is in progress, expected not")
	}
	if n := c.InProgress("", 0); n != 3 || c.Full("", 0, 0) {
		t.Errorf("%d in progress, expected 3 and room for one", n)
	}
	if !c.Full("", time.Second, 0) {
		t.Error("there is room beside 2 and 3 others, expected none")
	}
	done()
	if !c.Full("", time.Second, 0) {
		t.Error("there is room beside 1 and 3 others, expected none")
	}
	done2 := c.Took("other", 0, true)
	if c.InProgress("other", 0) != 2 || c.InProgress("", 0) != 2 {
		t.Errorf("%d and %d in progress, expected 2 and 2", c.InProgress("other", 0), c.InProgress("", 0))
	}
	done2()
}

func TestNoise(t *testing.T) {
	rnd, n := rand.New(rand.NewPCG(1, 2)), 0
	for range 10_000 {
		if Random(0.1).Full("", 0, rnd.Float64()) {
			n++
		}
	}
	if n < 900 || n > 1100 {
		t.Errorf("10 %% at random refuses %d of 10000", n)
	}
	if !Random(1).Full("", 0, 0.999999) || Random(0).Full("", 0, 0) {
		t.Error("all at random is not all, or none is not none")
	}
	if got := passed(Periodic{Every: 10 * time.Second, For: 2 * time.Second}, "", 0, 1999, 2000, 9999, 10_000, 12_000); got != "nnyyny" {
		t.Errorf("periods: %s, expected nnyyny", got)
	}
	a := &Alternating{N: 3}
	if got := passed(a, "a", 0, 0, 0, 0, 0, 0) + passed(a, "b", 0, 0, 0); got != "yynyynyyn" {
		t.Errorf("each third: %s, expected yynyynyyn", got)
	}
}

func TestRulesApplyInTheirSpanAndScope(t *testing.T) {
	cold, hot := &Stream{Bucket: "A"}, &Stream{Bucket: "A", Hot: true}
	r := &Rule{Span: Span{time.Second, 2 * time.Second}}
	for at, want := range map[time.Duration]bool{0: false, time.Second: true, 2*time.Second - 1: true, 2 * time.Second: false} {
		if r.applies(cold, at) != want {
			t.Errorf("in force at %v: %v, expected %v", at, !want, want)
		}
	}
	r = &Rule{HotOnly: true}
	if r.applies(cold, 0) || !r.applies(hot, time.Hour) {
		t.Error("a rule for hot streams is about others, or not always in force")
	}
	c := &Call{Stream: cold, Object: "x"}
	for scope, want := range map[Scope]string{Bucket: "A", Account: "", Object: "x"} {
		if got := (&Rule{Scope: scope}).key(c); got != want {
			t.Errorf("scope %d: key %q, expected %q", scope, got, want)
		}
	}
}

func TestHoldsAreTheArticles(t *testing.T) {
	for _, tt := range []struct {
		header string
		n      int
		want   time.Duration
	}{
		{"1", 3, time.Second}, {"2.5", 1, 2500 * time.Millisecond}, {"3600", 1, time.Hour},
		{"", 1, time.Second}, {"", 3, 4 * time.Second}, {"", 5, 16 * time.Second}, {"", 6, 16 * time.Second}, {"0", 2, 2 * time.Second},
	} {
		if got, _ := (Refusal{RetryAfter: tt.header}).hold(tt.n); got != tt.want {
			t.Errorf("Retry-After %q, answer %d: %v, expected %v", tt.header, tt.n, got, tt.want)
		}
	}
	if _, ok := (Refusal{RetryAfter: "3600"}).wait(1); ok {
		t.Error("an hour is waited for, expected the call to be given up")
	}
}

func TestLatency(t *testing.T) {
	l := Latency{Low: 50 * time.Millisecond, High: 350 * time.Millisecond, Slow: Span{time.Minute, 2 * time.Minute}, SlowFor: 2 * time.Second}
	rnd := rand.New(rand.NewPCG(1, 2))
	var sum, refused time.Duration
	for range 10_000 {
		d, r := l.draw(0, true, rnd), l.draw(0, false, rnd)
		if d < l.Low || d > l.High || r < l.Low || r > 2*l.Low {
			t.Fatalf("%v for an accepted, %v for a refused request", d, r)
		}
		sum += d
		refused += r
	}
	if got := sum / 10_000; got < l.mean(0)-5*time.Millisecond || got > l.mean(0)+5*time.Millisecond {
		t.Errorf("%v in the mean, expected %v", got, l.mean(0))
	}
	if got := refused / 10_000; got < l.refused()-time.Millisecond || got > l.refused()+time.Millisecond {
		t.Errorf("%v in the mean of refused ones, expected %v", got, l.refused())
	}
	if d := l.draw(time.Minute, true, rnd); d != 2*time.Second || l.mean(time.Minute) != d {
		t.Errorf("%v while it is slow, mean %v, expected 2s", d, l.mean(time.Minute))
	}
	if d := (Latency{Low: time.Second}).draw(0, true, rnd); d != time.Second {
		t.Errorf("%v without a High, expected 1s", d)
	}
}

func TestSchedules(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Schedule
		want []time.Duration
	}{
		{"every", Every(time.Second), []time.Duration{time.Second / 2, 3 * time.Second / 2}},
		{"bursts", Bursts(2, time.Minute), []time.Duration{time.Minute, time.Minute, 2 * time.Minute}},
		{"campaign", Campaign(2, time.Hour), []time.Duration{time.Hour, time.Hour, -1, -1}},
	} {
		for i, want := range tt.want {
			if got := tt.s(i); got != want {
				t.Errorf("%s: call %d is due at %v, expected %v", tt.name, i, got, want)
			}
		}
	}
	about, early := About(time.Second), 0
	for i := range 1000 {
		switch d := about(i) - time.Duration(i)*time.Second; {
		case d < 0 || d >= time.Second:
			t.Fatalf("call %d is due %v after its second begins", i, d)
		case d < time.Second/2:
			early++
		}
	}
	if early < 400 || early > 600 {
		t.Errorf("%d of 1000 are due in the first half of their second", early)
	}
}
