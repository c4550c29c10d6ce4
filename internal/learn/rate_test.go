package learn

import (
	"math"
	"testing"
	"time"
)

func TestRateIsNeverBelowOneRequestInHalfAMinute(t *testing.T) {
	for _, r := range []struct{ ceiling, limit, want float64 }{
		{20, 0.001, 1.0 / 30},
		{20, 0, 1.0 / 30},
		{Unlimited, 0.001, 1.0 / 30},
		{20, 0.5, 0.5},
		{0.01, 0.001, 0.01}, // as configured
		{20, 30, 20},
	} {
		for _, p := range []phase{seeking, keeping, trying} {
			c := Rate{setup: setup{ceiling: r.ceiling}}
			c.become(p, r.limit, noon)
			if got := c.Pace(); got != r.want {
				t.Errorf("phase %d: the pace is %v with a limit of %v and %v configured, want %v", p, got, r.limit, r.ceiling, r.want)
			}
		}
	}
}

// held returns a bucket without a configured pace that has learned a limit.
func held(t *testing.T, limit int) *script {
	s := newScript(t, Unlimited)
	for range 2 * limit {
		s.wait(time.Second / time.Duration(limit))
		s.accepted()
	}
	if limit == 1 {
		s.wait(time.Second) // none was accepted within the last second, which means one
	}
	s.e.NothingRemains(s.now)
	if got := s.e.Learned(); math.Abs(got-float64(limit)) > 0.7 {
		t.Fatalf("%v was learned, want %d", got, limit)
	}
	return s
}

func TestAskingIsDrivenByWaiting(t *testing.T) {
	for _, r := range []struct {
		name                 string
		limit                int
		lasts                time.Duration
		waits, accepted, ask bool
	}{
		{"requests wait for the pace", 10, 24 * time.Second, true, true, true},
		{"but not for long enough", 10, 18 * time.Second, true, true, false},
		{"a slow limit is kept for fifty requests", 1, 44 * time.Second, true, true, false},
		{"and no longer", 1, 56 * time.Second, true, true, true},
		{"nothing waits", 10, 10 * time.Minute, false, true, false},
		{"nothing is accepted", 10, 10 * time.Minute, true, false, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := held(t, r.limit)
			learned := s.e.Learned()
			for end := s.now.Add(r.lasts); s.now.Before(end); {
				due := s.now
				s.wait(time.Duration(float64(time.Second) / min(s.e.Pace(), 1000)))
				if r.waits {
					due = s.now
				}
				s.e.Departed(due, s.now)
				if r.accepted {
					s.accepted()
				}
			}
			if got := s.e.Asking(); got != r.ask {
				t.Errorf("more is asked for: %v, want %v", got, r.ask)
			}
			if got := s.e.Pace() > learned; got != r.ask {
				t.Errorf("the pace is %v, and %v were learned", s.e.Pace(), learned)
			}
		})
	}
}

func TestAskingEndsAtTheLimit(t *testing.T) {
	s := held(t, 10)
	s.goes(40*time.Second, never)
	asked := s.e.Pace()
	if asked < 12 {
		t.Fatalf("the pace is %v after 40 s, want more than the limit was", asked)
	}
	s.e.News()
	s.e.Departed(s.now, s.now)
	s.throttled(Throttle{})
	news := s.e.News()
	if s.e.Asking() || s.e.Pace() < 9 || s.e.Pace() > 0.9*asked {
		t.Errorf("the pace is %v after a throttled answer, want less than the %v that was asked for", s.e.Pace(), asked)
	}
	if !news.Changed || news.Pause <= 0 || news.Pause > time.Second {
		t.Errorf("the news is %+v, want a change, and a pause of a second at most", news)
	}
}

func TestAskingGoesOnWhileTheAccountMayBeWhatIsThrottled(t *testing.T) {
	s := held(t, 10)
	for !s.e.Asking() {
		s.goes(time.Second, never)
	}
	for i := range 4 {
		s.throttled(Throttle{InProgress: 8})
		if want := i < 3; s.e.Asking() != want {
			t.Errorf("more is asked for after %d throttled answers: %v, want %v", i+1, !want, want)
		}
	}
}

func TestCoolDownIsPauseEnough(t *testing.T) {
	s := held(t, 1) // a cool-down costs one request, and so each throttled answer begins one
	for !s.e.Asking() {
		s.goes(time.Second, never)
	}
	v := s.throttled(Throttle{})
	if news := s.e.News(); !v.Close || !news.Changed || news.Pause != 0 {
		t.Errorf("the answer meant %+v and %+v, want the bucket closed, another pace and no pause", v, news)
	}
}

func TestAskingLeadsBackToTheConfiguredPace(t *testing.T) {
	s := newScript(t, 20)
	s.answers(100*ms, "..........")
	s.e.NothingRemains(s.now)
	s.goes(2*time.Minute, never)
	if s.e.Pace() != 20 || s.e.Known() {
		t.Errorf("the pace is %v after two minutes in which all was accepted, want 20 and nothing known", s.e.Pace())
	}
}

func TestLimitIsKeptForFiftyRequests(t *testing.T) {
	for _, r := range []struct {
		limit float64
		want  time.Duration
	}{{100, 22 * time.Second}, {1, 50 * time.Second}, {0.1, 100 * time.Second}, {0, 100 * time.Second}} {
		if got := (&Rate{limit: r.limit}).keepFor(); got != r.want {
			t.Errorf("a limit of %v is kept for %v, want %v", r.limit, got, r.want)
		}
	}
}

func TestAskingThatHasLedTooFarIsCautious(t *testing.T) {
	s := held(t, 10)
	limit := s.e.Learned()
	s.e.kept.proven, s.e.kept.refuted = limit, 1
	s.e.setup.ceiling = 100
	s.goes(32*time.Second, never)
	if got := s.e.Pace(); !s.e.Asking() || got != cautious*limit {
		t.Errorf("the pace is %v, want a quarter more than %v", got, limit)
	}
	s.goes(2*time.Second, never)
	if got := s.e.Learned(); s.e.Asking() || got != cautious*limit {
		t.Errorf("%v was learned, want %v since it was accepted for long enough", got, cautious*limit)
	}
	if s.goes(soonest+time.Second, never); !s.e.Asking() {
		t.Errorf("no more than %v is asked for after %v, want it to be: the last step has held, and more is configured", s.e.Learned(), soonest)
	}
}

func TestAskingStopsForAWhileAtTheLimitOfBefore(t *testing.T) {
	s := held(t, 10)
	before := s.e.Learned()
	s.goes(24*time.Second, never) // it has held to the end of its time
	s.wait(2 * time.Second)
	if s.e.NothingRemains(s.now); s.e.Learned() > 0.6*before {
		t.Fatalf("%v was learned, want half of %v", s.e.Learned(), before)
	}
	for range 60 {
		if s.goes(time.Second, never); s.e.Learned() == before && !s.e.Asking() {
			return
		}
	}
	t.Errorf("%v was learned, want %v again", s.e.Learned(), before)
}

func TestSeekingEndsAtAPaceThatIsConfiguredMeanwhile(t *testing.T) {
	s := newScript(t, Unlimited)
	s.answers(10*ms, "....................x")
	s.wait(time.Second)
	s.e.Configure(30, true, true)
	if s.goes(3*time.Second, never); s.e.Known() || s.e.Pace() != 30 {
		t.Errorf("the pace is %v, want 30 and nothing known", s.e.Pace())
	}
}

func TestSeekingLearnsNothingWhileNothingIsAccepted(t *testing.T) {
	s := newScript(t, Unlimited)
	s.answers(10*ms, "....................x")
	s.wait(time.Second)
	for range 10 {
		s.throttled(Throttle{Overtook: true})
	}
	if s.e.phase != seeking {
		t.Errorf("the phase is %d, want %d", s.e.phase, seeking)
	}
}

func TestSeekingDoublesThePaceEachSecond(t *testing.T) {
	s := newScript(t, Unlimited)
	s.answers(10*ms, "....................x")
	s.wait(time.Second)
	before := s.e.Pace()
	if !s.e.Asking() || before > 25 {
		t.Fatalf("the pace is %v, want the 20 that were accepted", before)
	}
	s.goes(2*time.Second, never)
	if got := s.e.Pace() / before; got < 3 || got > 5 {
		t.Errorf("the pace has become %v times what it was within two seconds, want 4 times", got)
	}
}

func TestTrialOfLess(t *testing.T) {
	// begin has each eighth request throttled until less is tried.
	begin := func(t *testing.T) *script {
		s := newScript(t, 20)
		i := 0
		for range 60 {
			s.goes(time.Second, func() bool { i++; return i%8 == 0 })
			if s.e.phase == trying {
				break
			}
		}
		if s.e.phase != trying || s.e.Pace() >= 20 || s.e.Learned() != 0 || !s.e.Known() {
			t.Fatalf("the pace is %v and %v were learned after a minute, want a trial of less", s.e.Pace(), s.e.Learned())
		}
		return s
	}
	t.Run("has shown a limit if nothing is throttled any more", func(t *testing.T) {
		s := begin(t)
		tried := s.e.Pace()
		s.e.noise.share = .1
		s.goes(15*time.Second, never)
		if s.e.Learned() != tried || s.e.Asking() || s.e.noise.share != 0 {
			t.Errorf("%v was learned and noise of %v, want the %v that was tried and none", s.e.Learned(), s.e.noise.share, tried)
		}
		if s.goes(7*time.Second, never); !s.e.Asking() {
			t.Error("more is not asked for, which a pace that was tried need not wait for")
		}
	})
	t.Run("has shown noise if as many are", func(t *testing.T) {
		s := begin(t)
		i := 0
		noise := func() bool { i++; return i%8 == 0 }
		s.goes(40*time.Second, noise)
		if s.e.Pace() != 20 || s.e.Known() {
			t.Fatalf("the pace is %v, want the configured 20 again", s.e.Pace())
		}
		for range 60 {
			if s.goes(time.Second, noise); s.e.Pace() != 20 || s.closed {
				t.Fatalf("the pace is %v although the noise is known, or the bucket is closed: %v", s.e.Pace(), s.closed)
			}
		}
	})
	t.Run("does not count answers to what left before", func(t *testing.T) {
		s := newScript(t, 20)
		s.answers(50*ms, "....................")
		before := s.now
		s.wait(ms)
		s.e.learn(s.now)
		s.e.try(.125, 17, true, s.now)
		s.wait(5 * time.Second)
		for range 1000 {
			s.e.Accepted(before, 1, &s.account, s.now)
			s.e.Throttled(Throttle{Left: before, InProgress: 1, Local: 1}, &s.account, s.now)
		}
		if s.e.phase != trying || s.e.trying.trial.sent > 0 {
			t.Errorf("the phase is %d, and %d answers were counted, want the trial to go on with none", s.e.phase, s.e.trying.trial.sent)
		}
	})
	t.Run("does not count an outage", func(t *testing.T) {
		s := begin(t)
		tried := s.e.Pace()
		s.goes(5*time.Minute, always)
		s.goes(15*time.Second, never)
		if s.e.Learned() != tried {
			t.Errorf("%v was learned, want the %v that was tried", s.e.Learned(), tried)
		}
	})
	t.Run("tells that the configured pace was crowded if a little less has helped", func(t *testing.T) {
		for _, r := range []struct {
			pace    float64
			crowded bool
		}{{19, true}, {17, false}} {
			c := Rate{setup: setup{ceiling: 20}}
			c.try(.05, r.pace, true, noon)
			c.find(limited, noon)
			if c.news.Crowded != r.crowded || c.Learned() != r.pace {
				t.Errorf("%v was learned, and that 20 are crowded: %v, want %v", c.Learned(), c.news.Crowded, r.crowded)
			}
		}
	})
}

func TestWhatNothingRemainsMeans(t *testing.T) {
	for _, r := range []struct {
		name     string
		pace     float64
		accepted int // within the last second
		least    float64
		most     float64
	}{
		{"what was accepted is the limit", 20, 12, 12, 13},
		{"but half of the pace at least", 20, 2, 10, 10},
		{"and the pace at most", 20, 40, 20, 20},
		{"or one per second without a pace", Unlimited, 0, 1, 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newScript(t, r.pace)
			for range r.accepted {
				s.now = s.now.Add(time.Second / time.Duration(r.accepted+1))
				s.accepted()
			}
			s.e.NothingRemains(s.now)
			if got := s.e.Learned(); got < r.least || got > r.most || got != s.e.Pace() {
				t.Errorf("the limit is %v and the pace %v, want %v to %v", got, s.e.Pace(), r.least, r.most)
			}
		})
	}
}
