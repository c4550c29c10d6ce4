package storm

import (
	"testing"
	"time"
)

const second = time.Second

func TestHeadOfALine(t *testing.T) {
	a, b, c := &Call{}, &Call{}, &Call{}
	for _, tt := range []struct {
		name string
		do   func(l *line)
		want time.Duration
	}{
		{"who goes at once has not waited", func(l *line) { l.join(a, second); l.left(a, second) }, 0},
		{"who waits alone", func(l *line) { l.join(a, second); l.left(a, 4*second) }, 3 * second},
		{"the second waits from when it is the head", func(l *line) {
			l.join(a, 0)
			l.join(b, 0)
			l.left(a, 2*second)
			l.left(b, 5*second)
		}, 3 * second},
		{"time in which nobody waits does not count", func(l *line) { l.join(a, 0); l.left(a, 0); l.join(b, 100*second); l.left(b, 101*second) }, second},
		{"a cool-down does not count", func(l *line) { l.join(a, 0); l.held = 10 * second; l.left(a, 12*second) }, 2 * second},
		{"a throttled call waits from its time on", func(l *line) { l.join(a, 0); l.left(a, 0); l.rejoin(a, 10*second); l.left(a, 14*second) }, 4 * second},
		{"it may go before", func(l *line) {
			l.join(a, 0)
			l.left(a, 0)
			l.rejoin(a, 10*second)
			l.left(a, 9*second)
			l.join(b, 20*second)
			l.left(b, 21*second)
		}, second},
		{"they come back in the order of their times", func(l *line) {
			for _, call := range []*Call{a, b, c} {
				l.join(call, 0)
				l.left(call, 0)
			}
			l.rejoin(a, 30*second)
			l.rejoin(b, 10*second)
			l.rejoin(c, 20*second)
			l.left(b, 11*second)
			l.left(c, 22*second)
			l.left(a, 33*second)
		}, 3 * second},
		{"who gives up waits no longer", func(l *line) { l.join(a, 0); l.gone(a, second); l.look(100 * second) }, 0},
		{"who still waits at the end has waited", func(l *line) { l.join(a, 0); l.look(100 * second) }, 100 * second},
		{"so has a throttled call", func(l *line) { l.join(a, 0); l.left(a, 0); l.rejoin(a, 10*second); l.look(100 * second) }, 90 * second},
	} {
		*a, *b, *c = Call{}, Call{}, Call{}
		var l line
		tt.do(&l)
		if l.longest != tt.want {
			t.Errorf("%s: %v, expected %v", tt.name, l.longest, tt.want)
		}
	}
}

// recordOf is a record of one bucket with so many accepted in each second.
func recordOf(trouble Span, end time.Duration, accepted func(second int) uint32) *Record {
	sc := &Scene{Streams: []Stream{{Bucket: "A", Callers: 1}}, Latency: Latency{Low: 50 * time.Millisecond}, Trouble: trouble, Measured: Span{0, end}, End: end}
	r := newRecord(sc)
	for i := range seconds(end) {
		r.buckets["A"].accepted[i] = accepted(i)
	}
	return r
}

func TestRecovery(t *testing.T) {
	trouble := Span{60 * second, 120 * second}
	steady := func(after func(i int) uint32) func(int) uint32 {
		return func(i int) uint32 {
			switch {
			case i < 60:
				return 20
			case i < 120:
				return 0
			}
			return after(i - 120)
		}
	}
	for _, tt := range []struct {
		name       string
		after      func(i int) uint32
		half, most time.Duration
	}{
		{"at once", func(int) uint32 { return 20 }, 0, 0},
		{"after 30 s", func(i int) uint32 { return min(20, 20*uint32(i/30)) }, 28 * second, 30 * second},
		{"in steps", func(i int) uint32 { return []uint32{0, 10, 19}[min(2, i/20)] }, 20 * second, 40 * second},
		{"half for ever", func(int) uint32 { return 10 }, 0, Never},
		{"never", func(int) uint32 { return 0 }, Never, Never},
	} {
		r := recordOf(trouble, 300*second, steady(tt.after))
		res := r.result(300 * second)
		if res.Half != tt.half || res.Most != tt.most {
			t.Errorf("%s: half after %v, 95 %% after %v; expected %v and %v", tt.name, res.Half, res.Most, tt.half, tt.most)
		}
	}
}

func TestRecoveryCountsFromTheEndOfTheCoolDown(t *testing.T) {
	r := recordOf(Span{60 * second, 120 * second}, 300*second, func(i int) uint32 {
		if i < 60 || i >= 150 {
			return 20
		}
		return 0
	})
	c := &Call{Stream: &r.scene.Streams[0], attempts: 1}
	r.throttled(c, &Rule{Trouble: true, Refusal: Refusal{RetryAfter: "20"}}, 119*second) // until 139 s and a second at most
	res := r.result(300 * second)
	if res.Most != 30*second || res.MostCool != 10*second {
		t.Errorf("95 %% %v after the trouble, %v after the cool-down; expected 30s and 10s", res.Most, res.MostCool)
	}
	// A limit that is met after the trouble is no part of it.
	r.throttled(c, &Rule{Refusal: Refusal{RetryAfter: "20"}}, 130*second)
	if res := r.result(300 * second); res.MostCool != 10*second {
		t.Errorf("95 %% %v after the cool-down, expected 10s", res.MostCool)
	}
}

func TestWhatIsNoLongerPossibleIsNotAskedFor(t *testing.T) {
	r := recordOf(Span{60 * second, 120 * second}, 300*second, func(i int) uint32 { return []uint32{20, 0, 10, 10, 10}[i/60] })
	for i := range r.possible["A"] {
		r.possible["A"][i] = 20
		if i >= 60 {
			r.possible["A"][i] = 10
		}
	}
	if res := r.result(300 * second); res.Half != 0 || res.Most != 0 {
		t.Errorf("half after %v, 95 %% after %v; expected 0, as only half is possible now", res.Half, res.Most)
	}
}

func TestWorstMinuteAndShare(t *testing.T) {
	r := recordOf(Span{}, 180*second, func(i int) uint32 { return []uint32{20, 5, 15}[i/60] })
	for i := range r.possible["A"] {
		r.possible["A"][i] = 20
	}
	r.buckets["A"].throttled[70] = 7
	res := r.result(180 * second)
	if res.Accepted != 2400 || res.Possible != 3600 || res.Worst != 0.25 || res.Throttled != 7 || res.HasTrouble {
		t.Errorf("%d of %.0f, worst minute %.2f, %d throttled, trouble %v; expected 2400 of 3600, 0.25, 7 and none", res.Accepted, res.Possible, res.Worst, res.Throttled, res.HasTrouble)
	}
}

func TestWaitsAreOfThoseThatAreNotHot(t *testing.T) {
	sc := &Scene{Streams: []Stream{{Bucket: "A", Callers: 1}, {Bucket: "A", Callers: 1, Hot: true}}, Latency: Latency{Low: second}, Measured: Span{0, 60 * second}, End: 60 * second}
	r := newRecord(sc)
	for i, took := range []time.Duration{second, 3 * second, 50 * second} {
		c := &Call{Stream: &sc.Streams[i/2]}
		r.begun(c, 0)
		r.ended(c, i == 2, took)
	}
	res := r.result(60 * second)
	if res.Mean != 2*second || res.P99 != 3*second || res.Calls != 3 || res.Lost != 1 {
		t.Errorf("mean %v, p99 %v, %d calls, %d lost; expected 2s, 3s, 3 and 1", res.Mean, res.P99, res.Calls, res.Lost)
	}
}

func TestMerge(t *testing.T) {
	got := Merge([]Result{
		{Possible: 10, Accepted: 5, Worst: 0.5, Lost: 1, Mean: 2 * second, HasTrouble: true, Half: second, Head: 3 * second},
		{Possible: 30, Accepted: 15, Worst: 1, Lost: 2, Mean: 4 * second, HasTrouble: true, Half: Never, Head: second},
	})
	want := Result{Possible: 40, Accepted: 20, Worst: 0.75, Lost: 3, Mean: 3 * second, HasTrouble: true, Half: Never, Head: 3 * second}
	if got != want {
		t.Errorf("\n%+v, expected\n%+v", got, want)
	}
}

func TestNoiseIsCountedApart(t *testing.T) {
	r := recordOf(Span{}, 60*second, func(int) uint32 { return 0 })
	r.scene.Measured.From = 10 * second
	c := &Call{Stream: &r.scene.Streams[0]}
	r.arrived(c, &Rule{Model: Random(0.5)}, false, second) // before the measured time
	r.arrived(c, &Rule{Model: Random(0.5)}, false, 20*second)
	r.arrived(c, &Rule{Model: &Window{Limit: Always(1)}}, false, 20*second)
	r.arrived(c, nil, false, 20*second)
	res := r.result(60 * second)
	if res.Accepted != 1 || res.Throttled != 2 || res.Noise != 1 {
		t.Errorf("%d accepted, %d throttled, %d of them at random; expected 1, 2 and 1", res.Accepted, res.Throttled, res.Noise)
	}
}
