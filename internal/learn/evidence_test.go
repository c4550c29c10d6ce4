package learn

import (
	"math"
	"testing"
	"time"
)

func TestStrayThrottledAnswerClosesTheBucketOnce(t *testing.T) {
	for _, r := range []struct {
		name        string
		asked, hold time.Duration
	}{
		{"for a second if Twilio does not say for how long", 0, time.Second},
		{"for as long as Twilio says", 3 * time.Second, 3 * time.Second},
		{"and spares it for a hundred times that", 30 * time.Second, 30 * time.Second},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newScript(t, 20)
			s.answers(50*ms, "....................")
			spared := s.now.Add(r.hold + 100*r.hold)
			if v := s.throttled(Throttle{RetryAfter: r.asked}); v != (Verdict{Close: true, CoolDown: r.hold}) {
				t.Errorf("the first one meant %+v, want to pause for %v", v, r.hold)
			}
			s.wait(r.hold)
			s.answers(50*ms, "....................")
			if v := s.throttled(Throttle{RetryAfter: r.asked}); v.Close {
				t.Error("the second one closed the bucket, want it to go on")
			}
			s.wait(spared.Sub(s.now) - time.Millisecond)
			s.accepted()
			if v := s.throttled(Throttle{RetryAfter: r.asked}); v.Close {
				t.Error("one shortly before the bucket is no longer spared closed it, want it to go on")
			}
			s.wait(time.Millisecond)
			if v := s.throttled(Throttle{RetryAfter: r.asked}); v != (Verdict{Close: true, CoolDown: r.hold}) {
				t.Errorf("one after the bucket was spared meant %+v, want to pause for %v", v, r.hold)
			}
			if pace := s.e.Pace(); pace != 20 {
				t.Errorf("the pace is %v, want the configured 20", pace)
			}
		})
	}
}

func TestCoolDownThatCostsLittleIsTakenEachTime(t *testing.T) {
	for _, r := range []struct {
		name  string
		pace  float64
		hold  time.Duration
		taken bool
	}{
		{"it costs two requests", 5, 400 * ms, true},
		{"it costs more than two", 5, 401 * ms, false},
		{"the bucket is slow", 3.9, 30 * time.Second, true},
		{"the bucket is not so slow", 4, 30 * time.Second, false},
		{"the bucket has no pace", Unlimited, time.Second, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newScript(t, r.pace)
			s.e.Configure(r.pace, false, true) // the pace shall stay what it is
			for i := range 4 {
				s.answers(50*ms, "....................")
				v := s.throttled(Throttle{RetryAfter: r.hold})
				if want := i == 0 || r.taken; v.Close != want {
					t.Errorf("throttled answer %d closed the bucket: %v, want %v", i+1, v.Close, want)
				}
				s.wait(r.hold)
			}
		})
	}
}

func TestMostOfTheRecentAnswersThrottledClosesTheBucket(t *testing.T) {
	for _, r := range []struct {
		name    string
		noise   float64
		answers string // after one that has closed the bucket, and spares it
		closes  bool
	}{
		{"five of eight", 0, "...xxxxx", true},
		{"five of seven are too few answers", 0, "..xxxxx", false},
		{"ten of sixteen", 0, "......xxxxxxxxxx", true},
		{"nine of sixteen are not enough", 0, ".......xxxxxxxxx", false},
		{"what came before the last sixteen does not count", 0, "...xxxx.......xxxxxxxxx", false},
		{"heavy noise explains ten of sixteen", 0.4, "......xxxxxxxxxx", false},
		{"heavy noise does not explain 29 of 41", 0.4, "............xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", true},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newScript(t, 1000)
			s.answers(ms, "..x")
			s.wait(time.Second)
			if r.noise > 0 {
				s.e.noise.is(r.noise, s.now)
			}
			if s.answers(ms, r.answers[:len(r.answers)-1]); s.closed {
				t.Fatal("an answer before the last one closed the bucket")
			}
			if v := s.answers(ms, r.answers[len(r.answers)-1:]); v.Close != r.closes {
				t.Errorf("the last answer closed the bucket: %v, want %v", v.Close, r.closes)
			}
		})
	}
}

func TestCoolDownsGrowWhileNothingIsAccepted(t *testing.T) {
	s := newScript(t, 20)
	s.accepted()
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 16} {
		if scouting := (s.e.AtOnce() == 1); scouting != (i > 2) {
			t.Errorf("after %d cool-downs one request at a time leaves: %v, want it after two since one was accepted", i, scouting)
		}
		v := s.throttled(Throttle{})
		if want *= time.Second; v != (Verdict{Close: true, CoolDown: want}) {
			t.Fatalf("throttled answer %d meant %+v, want to pause for %v", i+1, v, want)
		}
		s.wait(want)
	}
	if v := s.throttled(Throttle{Stubborn: true, RetryAfter: 20 * time.Second}); v.CoolDown != 20*time.Second {
		t.Errorf("the hold was %v, want the 20 s that Twilio asked for", v.CoolDown)
	}
	s.wait(20 * time.Second)
	s.accepted()
	if s.e.AtOnce() == 1 {
		t.Error("one request at a time leaves although one was accepted")
	}
	s.wait(2 * time.Second)
	s.e.cooling.spared = s.now
	if v := s.throttled(Throttle{}); v.CoolDown != time.Second {
		t.Errorf("the hold was %v after a request was accepted, want a second again", v.CoolDown)
	}
}

func TestCallThatInsistsDoesNotMakeCoolDownsLonger(t *testing.T) {
	s := newScript(t, 20)
	for i, want := range []time.Duration{1, 1, 1} {
		if v := s.throttled(Throttle{Stubborn: i > 0}); v != (Verdict{Close: true, CoolDown: want * time.Second}) {
			t.Errorf("throttled answer %d meant %+v, want to pause for a second", i+1, v)
		}
		s.wait(time.Second)
	}
}

func TestRequestThatOvertookOthersDoesNotCloseTheBucket(t *testing.T) {
	s := newScript(t, 20)
	s.answers(50*ms, "..x")
	s.wait(time.Second)
	if v := s.throttled(Throttle{Overtook: true}); v.Close {
		t.Error("it closed the bucket, although the answers to earlier requests are still to come")
	}
	if v := s.throttled(Throttle{}); !v.Close {
		t.Error("the next one did not close the bucket, although nothing was accepted since it opened")
	}
}

func TestAnswersToWhatLeftBeforeACoolDown(t *testing.T) {
	s := newScript(t, 20)
	before := s.now
	s.answers(50*ms, "..x")
	if v := s.throttled(Throttle{}); v.Close {
		t.Error("one that came during the cool-down, and says nothing, prolonged it")
	}
	if v := s.throttled(Throttle{RetryAfter: 7 * time.Second}); v != (Verdict{Close: true, CoolDown: 7 * time.Second}) {
		t.Errorf("one that came during the cool-down meant %+v, want to pause for 7 s", v)
	}
	s.wait(7 * time.Second)
	for range 20 {
		if v := s.e.Throttled(Throttle{Left: before, RetryAfter: time.Minute, InProgress: 1, Local: 1}, &s.account, s.now); v.Close {
			t.Fatal("one that came after the cool-down closed the bucket again")
		}
	}
	s.e.Accepted(before, 1, &s.account, s.now)
	if v := s.throttled(Throttle{}); v != (Verdict{Close: true, CoolDown: 2 * time.Second}) {
		t.Errorf("the next one meant %+v, want twice a second, since nothing was accepted that left after the cool-down", v)
	}
}

func TestAnswersToWhatLeftAtAnotherPaceDoNotCloseTheBucket(t *testing.T) {
	s := newScript(t, 1000)
	s.answers(ms, "..x")
	s.wait(time.Second)
	s.answers(100*ms, "..........")
	before := s.now
	s.wait(ms)
	s.e.NothingRemains(s.now)
	for range 16 {
		if v := s.e.Throttled(Throttle{Left: before, InProgress: 1, Local: 1}, &s.account, s.now); v.Close {
			t.Fatal("one of them closed the bucket")
		}
	}
}

func TestAnswersOfAMinuteAgoDoNotCloseTheBucket(t *testing.T) {
	s := newScript(t, 1000)
	s.answers(ms, "..x")
	s.wait(time.Second)
	s.answers(ms, "..xxxx.")
	if s.wait(61 * time.Second); s.answers(ms, "x").Close {
		t.Error("most of the last eight closed the bucket, want seven of them forgotten")
	}
}

func TestLimitWithoutAPaceIsNotBelievedBeforeFourOfSixteenAreThrottled(t *testing.T) {
	s := newScript(t, Unlimited)
	s.answers(10*ms, "....................x") // from now on it seeks
	s.wait(time.Second)
	s.answers(10*ms, ".........x..x..x")
	if s.e.phase != seeking {
		t.Fatalf("the phase is %v after three of sixteen, want %v", s.e.phase, seeking)
	}
	s.answers(10*ms, ".........x..x..x")
	if s.e.phase != seeking {
		t.Fatalf("the phase is %v after three of the next sixteen, want %v", s.e.phase, seeking)
	}
	s.answers(10*ms, "x")
	if s.e.phase != keeping {
		t.Errorf("the phase is %v after four of sixteen, want %v", s.e.phase, keeping)
	}
	if s.e.News().Pause == 0 {
		t.Error("there is no pause, although more was sent than the limit")
	}
}

func TestThrottledAnswerInAnUnlimitedBucketIsAboutTheAccountsLimitIfThereIsOne(t *testing.T) {
	s := newScript(t, Unlimited)
	s.account = *limited10(t)
	s.answers(10*ms, "....................x")
	s.wait(time.Second)
	if s.e.Pace() != Unlimited {
		t.Errorf("the pace is %v, want none", s.e.Pace())
	}
}

func TestNothingIsLearnedThatIsNotWanted(t *testing.T) {
	t.Run("without a pace to learn the pace stays", func(t *testing.T) {
		s := newScript(t, 20)
		s.e.Configure(20, false, true)
		i := 0
		s.goes(5*time.Minute, func() bool { i++; return i%4 == 0 })
		s.e.NothingRemains(s.now)
		if s.e.Pace() != 20 || s.e.Known() || s.e.Learned() != 0 {
			t.Errorf("the pace is %v, and %v was learned, want 20 and nothing", s.e.Pace(), s.e.Learned())
		}
	})
	t.Run("without a decision each throttled answer closes the bucket", func(t *testing.T) {
		s := newScript(t, 20)
		s.e.Configure(20, false, false)
		for i := range 5 {
			s.answers(50*ms, "....................")
			if v := s.throttled(Throttle{}); v != (Verdict{Close: true, CoolDown: time.Second}) {
				t.Errorf("throttled answer %d meant %+v, want to pause for a second", i+1, v)
			}
			s.wait(time.Second)
		}
	})
	t.Run("a lower configured pace holds at once", func(t *testing.T) {
		s := newScript(t, Unlimited)
		s.answers(10*ms, "....................")
		s.e.NothingRemains(s.now)
		for _, pace := range []float64{5, 0.01} {
			if s.e.Configure(pace, true, true); s.e.Pace() != pace {
				t.Errorf("the pace is %v, want %v", s.e.Pace(), pace)
			}
		}
	})
	t.Run("what was learned is forgotten", func(t *testing.T) {
		s := newScript(t, 20)
		s.answers(100*ms, "..........")
		s.e.NothingRemains(s.now)
		if s.e.Pace() > 15 || !s.e.Known() {
			t.Fatalf("the pace is %v, want the 10 that were accepted, about", s.e.Pace())
		}
		s.e.News()
		s.e.Forget()
		if s.e.Pace() != 20 || s.e.Known() || s.e.Learned() != 0 {
			t.Errorf("the pace is %v, and %v was learned, want 20 and nothing", s.e.Pace(), s.e.Learned())
		}
		if !s.e.News().Changed || s.e.News().Changed {
			t.Error("the change of the pace must be told once")
		}
	})
}

// Each kind of what is learned goes with the word that no pace is to be learned.
func TestWhatIsNotToBePacedForgetsWhatWasLearned(t *testing.T) {
	fourth := func() func() bool { i := 0; return func() bool { i++; return i%4 == 0 } }
	for name, teach := range map[string]func(*script){
		"a limit": func(s *script) {
			s.answers(10*ms, "....................")
			s.e.NothingRemains(s.now)
		},
		"a limit that is still looked for": func(s *script) { s.answers(100*ms, "..........x..........") },
		"a trial": func(s *script) {
			s.answers(10*ms, "....................")
			s.e.NothingRemains(s.now)
			for refused := fourth(); s.e.phase != trying; {
				s.goes(time.Second, refused)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, Unlimited)
			teach(s)
			if s.closed {
				s.wait(s.until.Sub(s.now))
			}
			if s.e.Pace() == Unlimited {
				t.Fatal("nothing was learned")
			}
			s.e.News()
			s.e.Configure(Unlimited, false, true)
			if s.e.Pace() != Unlimited || s.e.Known() || s.e.Learned() != 0 || s.e.Asking() {
				t.Errorf("the pace is %v, and %v was learned, want none and nothing", s.e.Pace(), s.e.Learned())
			}
			if !s.e.News().Changed {
				t.Error("the change of the pace was not told")
			}
			s.goes(time.Minute, fourth())
			if s.e.Pace() != Unlimited {
				t.Errorf("the pace is %v again, want none", s.e.Pace())
			}
		})
	}
}

func TestZeroEvidenceKnowsNothing(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var e Evidence
	e.Departed(now, now)
	e.Reopen(nil, 0, now)
	e.Forget()
	if e.Known() || e.Asking() || (e.AtOnce() == 1) || e.Learned() != 0 || e.News() != (News{}) || e.PerSecond(now) != 0 {
		t.Error("it knows something")
	}
	e.Configure(7, true, true)
	e.Accepted(now, 1, nil, now)
	if e.lessons != nil {
		t.Error("a bucket in which nothing was throttled has room for lessons")
	}
	if e.Pace() != 7 || math.Abs(e.PerSecond(now)-1) > 0.1 {
		t.Errorf("the pace is %v and %v were accepted, want 7 and 1", e.Pace(), e.PerSecond(now))
	}
	if v := e.Throttled(Throttle{Left: now, InProgress: 1, Local: 1}, nil, now); !v.Close {
		t.Error("the first throttled answer did not close the bucket")
	}
	e.Reopen(nil, 0, now.Add(time.Second))
}
