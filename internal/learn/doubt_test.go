package learn

import (
	"testing"
	"time"
)

// A pace that one sender has learned in a trouble that several had is raised soon after it: the others take all permits.
func TestSlowPaceOfAnAccountsTroubleDoesNotOutlastIt(t *testing.T) {
	for _, r := range []struct {
		name    string
		phase   phase
		pace    float64
		senders int // that were throttled
		asks    bool
	}{
		{"held", keeping, 0.5, 2, true},
		{"of a trial", trying, 0.5, 2, true},
		{"not if others were not throttled", keeping, 0.5, 1, false},
		{"not a fast one, which is soon asked about anyway", keeping, 10, 2, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := accountOfTen(t, 2)
			b := s.each[0]
			b.NothingRemains(s.now)
			b.become(r.phase, r.pace, s.now)
			b.trying.trial = newTrial(.3, 1, r.pace, false, s.now)
			for _, x := range s.each[:r.senders] {
				x.throttled(5, time.Second)
				s.now = s.now.Add(time.Second)
				x.reopens()
			}
			b.throttled(5, time.Second)
			s.now = s.now.Add(time.Second)
			b.reopens()
			for range inARow {
				s.now = s.now.Add(2 * time.Second)
				b.Departed(s.now, s.now)
				b.accepted(5)
			}
			s.now = s.now.Add(2 * time.Second)
			if b.Departed(s.now, s.now); b.Asking() != r.asks {
				t.Errorf("more is asked for: %v, want %v", b.Asking(), r.asks)
			}
		})
	}
}

func TestPaceThatMayBeAnAccountsTroubleIsDoubtedUntilAskingShowsIt(t *testing.T) {
	s := accountOfTen(t, 2)
	b := s.each[0]
	b.NothingRemains(s.now)
	b.become(keeping, 2, s.now)
	s.each[1].throttled(5, time.Second)
	if b.throttled(5, time.Second); !b.doubted {
		t.Fatal("it is not doubted")
	}
	for range 2 { // of which a single throttled answer refutes nothing
		s.now = s.now.Add(time.Second)
		b.reopens()
		b.busy = b.keepFor() + time.Second
		b.begin(s.now)
		b.throttled(5, time.Second)
		if !b.Asking() || !b.doubted {
			t.Fatal("a single throttled answer has ended it")
		}
	}
	s.now = s.now.Add(time.Second)
	b.reopens()
	b.begin(s.now)
	for range 5 {
		s.now = s.now.Add(500 * ms)
		b.accepted(5)
	}
	s.now = s.now.Add(500 * ms)
	b.throttled(5, time.Second)
	if b.doubted {
		t.Error("it is still doubted, although most was accepted until more was asked for")
	}
}

func TestPaceIsNotDoubted(t *testing.T) {
	for _, r := range []struct {
		name    string
		set     func(*senders)
		n       int // requests in progress
		doubted bool
	}{
		{"but it is where several buckets of a limited account were throttled", func(*senders) {}, 5, true},
		{"where the account has no limit", func(s *senders) { s.account = InFlight{} }, 5, false},
		{"where more in flight were asked for", func(s *senders) { s.account.Probe(s.now) }, 11, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := accountOfTen(t, 2)
			b := s.each[0]
			b.NothingRemains(s.now)
			r.set(s)
			s.each[1].throttled(r.n, time.Second)
			if b.throttled(r.n, time.Second); b.doubted != r.doubted {
				t.Errorf("it is doubted: %v, want %v", b.doubted, r.doubted)
			}
		})
	}
}

func TestPaceIsDoubtedForLongerThanTheOthersAreThrottled(t *testing.T) {
	s := accountOfTen(t, 2)
	b := s.each[0]
	b.NothingRemains(s.now)
	again := func() {
		s.now = s.now.Add(time.Minute)
		b.reopens()
		b.throttled(5, time.Second)
	}
	s.each[1].throttled(5, time.Second)
	b.throttled(5, time.Second)
	for range 3 {
		again()
	}
	if s.account.several() || !b.doubted {
		t.Error("it is not doubted any more")
	}
	s.account = InFlight{} // it was not used for long
	if again(); b.doubted {
		t.Error("it is still doubted, although the account has no limit any more")
	}
}

func TestSecondThrottledAnswerRefutesAPaceThatIsDoubted(t *testing.T) {
	s := accountOfTen(t, 1)
	b := s.each[0]
	b.NothingRemains(s.now)
	b.become(keeping, 20, s.now)
	b.doubted, b.busy, b.cooling.spared = true, b.keepFor()+time.Second, s.now.Add(time.Hour)
	s.now = s.now.Add(100 * ms)
	for i, want := range []bool{true, false} {
		b.accepted(5)
		if b.throttled(5, 0); b.Asking() != want {
			t.Errorf("more is asked for after %d throttled answers: %v, want %v", i+1, b.Asking(), want)
		}
	}
}

// Three requests in a row that are accepted, some seconds after the last one that was not, are the sign.
func TestPaceThatIsDoubtedIsNotRaisedBeforeTheTroubleMayBeOver(t *testing.T) {
	for _, r := range []struct {
		name    string
		gap     time.Duration
		answers string
		asks    bool
	}{
		{"three were accepted", 1100 * ms, "...", true},
		{"but within three seconds", 900 * ms, "...", false},
		{"only two were", 2 * time.Second, "..", false},
		{"one of the last three was throttled", 3 * time.Second, "..x.", false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := accountOfTen(t, 1)
			b := s.each[0]
			b.NothingRemains(s.now)
			b.become(keeping, 0.5, s.now)
			b.throttled(5, time.Second)
			b.doubted, b.cooling.spared = true, s.now.Add(time.Hour)
			s.now = b.until
			b.reopens()
			b.event.left = s.now
			for _, a := range r.answers {
				s.now = s.now.Add(r.gap)
				b.Departed(s.now, s.now)
				if a == 'x' {
					b.throttled(5, 10*time.Second)
				} else {
					b.accepted(5)
				}
			}
			if b.closed {
				t.Fatal("the bucket is closed")
			}
			s.now = s.now.Add(time.Second)
			b.Departed(s.now, s.now)
			if b.Asking() != r.asks {
				t.Errorf("more is asked for: %v, want %v", b.Asking(), r.asks)
			}
		})
	}
}

// Where requests in flight are limited what leaves says little of a pace.
func TestWhatIsLearnedOfAPaceWhereRequestsInFlightAreLimited(t *testing.T) {
	t.Run("by an event that has not closed the bucket", func(t *testing.T) {
		for _, r := range []struct {
			name    string
			ceiling float64
			phase   phase
			limit   float64
			sent    int // within ten seconds, of which a quarter was throttled
			want    phase
		}{
			{"nothing of a slow one", Unlimited, free, 0, 40, free},
			{"a faster one is tried", Unlimited, free, 0, 80, trying},
			{"one that is known is tried", Unlimited, keeping, 4, 40, trying},
			{"one that is configured is tried", 4, free, 0, 40, trying},
		} {
			t.Run(r.name, func(t *testing.T) {
				s := newScript(t, r.ceiling)
				s.e.learn(s.now)
				s.e.become(r.phase, r.limit, s.now)
				s.e.tally = tally{from: s.now, sent: r.sent, throttled: r.sent / 4}
				if s.e.weigh(true, s.now.Add(10*time.Second)); s.e.phase != r.want {
					t.Errorf("the phase is %d, want %d", s.e.phase, r.want)
				}
			})
		}
	})
	t.Run("by one that has", func(t *testing.T) {
		for _, r := range []struct {
			name     string
			accepted int // within a second
			mostly   bool
			want     phase
		}{
			{"nothing while most are accepted", 10, false, free},
			{"it is looked for if most are throttled", 10, true, seeking},
			{"but not if it is slow", 3, true, free},
		} {
			t.Run(r.name, func(t *testing.T) {
				s := newScript(t, Unlimited)
				s.answers(time.Second/20, "...................."[:r.accepted])
				s.e.learn(s.now)
				s.e.cooling.mostly = r.mostly
				if s.e.conclude(true, s.now); s.e.phase != r.want {
					t.Errorf("the phase is %d, want %d", s.e.phase, r.want)
				}
			})
		}
	})
}

func TestSlowPaceHasNoTrialWhereRequestsInFlightAreLimited(t *testing.T) {
	trials := func(s *senders) bool {
		b := s.each[0]
		for i := range 200 {
			s.now = s.now.Add(500 * ms)
			switch {
			case !b.reopens():
			case i%4 == 0:
				b.throttled(2, 0)
			default:
				b.accepted(2)
			}
			if b.Known() {
				return true
			}
		}
		return false
	}
	if trials(accountOfTen(t, 1)) {
		t.Error("a trial of less than 2/s has begun, which takes minutes")
	}
	if !trials(newSenders(1)) {
		t.Error("nothing was learned, want it where no limit in flight is known")
	}
}

// Heavy noise that is over would hide a limit for minutes, if it were still believed in.
func TestNoiseIsOverOnceManyRequestsInARowAreAccepted(t *testing.T) {
	for _, r := range []struct {
		share    float64
		accepted int
		over     bool
	}{{0.5, 19, false}, {0.5, 20, true}, {0.3, 38, false}, {0.3, 39, true}, {0.1, 64, false}, {0.01, 64, false}} {
		var n noise
		n.is(r.share, noon)
		if n.doubt(r.accepted, noon); (n.share == 0) != r.over || n.until.After(noon) == r.over {
			t.Errorf("noise of %v is over after %d accepted in a row: %v, want %v", r.share, r.accepted, n.share == 0, r.over)
		}
	}
	s := newScript(t, 20)
	s.e.learn(s.now)
	s.e.noise.is(.5, s.now)
	s.answers(50*ms, "x...................")
	if s.e.noise.share == 0 {
		t.Error("noise is over after 19 requests were accepted in a row, want it to be believed")
	}
	if s.answers(50*ms, "."); s.e.noise.share != 0 {
		t.Error("noise is believed after 20 requests were accepted in a row, want it to be over")
	}
}

// Of heavy noise half as much again would be nearly all.
func TestNoiseThatIsKnownDoesNotCoverALimit(t *testing.T) {
	for _, r := range []struct {
		share     float64
		throttled int // of 100
		covered   bool
	}{{0.5, 83, true}, {0.5, 84, false}, {0.3, 64, true}, {0.3, 65, false}, {0.1, 28, true}, {0.1, 29, false}} {
		var n noise
		n.is(r.share, noon)
		if got := n.covers(&tally{sent: 100, throttled: r.throttled}, noon); got != r.covered {
			t.Errorf("noise of %v covers %d throttled of 100: %v, want %v", r.share, r.throttled, got, r.covered)
		}
	}
}
