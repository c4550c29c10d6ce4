package learn

import (
	"testing"
	"time"
)

func TestOutageTeachesNothingAboutAConfiguredPace(t *testing.T) {
	for _, pace := range []float64{1, 20, 100} {
		for _, d := range []time.Duration{3 * time.Second, time.Minute, time.Hour} {
			s := newScript(t, pace)
			for range 3 {
				s.goes(20*time.Second, never)
				s.goes(d, always)
				s.goes(5*time.Second, never)
				if got := s.e.Pace(); got != pace {
					t.Errorf("the pace is %v after outages of %v, want %v", got, d, pace)
				}
			}
		}
	}
}

func TestUnlimitedBucketBeginsLowAfterAnOutageAndFindsItsPaceAgain(t *testing.T) {
	s := newScript(t, Unlimited)
	s.answers(10*ms, "....................................................................................................")
	s.goes(time.Minute, always)
	s.accepted()
	if pace := s.e.Pace(); pace > 50 {
		t.Errorf("the pace is %v after the outage, want half of the 100 that were accepted before or less", pace)
	}
	s.goes(10*time.Second, never)
	if pace := s.e.Pace(); pace != Unlimited {
		t.Errorf("the pace is %v 10 s later, want none", pace)
	}
}

func TestBlipTeachesNothing(t *testing.T) {
	// blip has the next two requests throttled, of which the second leaves after a short cool-down.
	blip := func(s *script) {
		for range 2 {
			s.wait(100 * ms)
			if v := s.throttled(Throttle{RetryAfter: 100 * ms}); !v.Close {
				t.Fatal("a short cool-down was not taken")
			}
			s.wait(100 * ms)
		}
	}
	t.Run("about a configured pace", func(t *testing.T) {
		s := newScript(t, 5)
		for range 15 {
			s.goes(20*time.Second, never)
			if blip(s); s.e.Known() {
				t.Fatalf("the pace is %v, want 5 and nothing known", s.e.Pace())
			}
		}
	})
	t.Run("about what a trial has tried", func(t *testing.T) {
		s := newScript(t, 20)
		s.e.learn(s.now)
		s.e.try(.125, 17, true, s.now)
		s.goes(time.Second, never)
		for range 3 {
			blip(s)
			s.goes(time.Second, never)
		}
		if s.goes(10*time.Second, never); s.e.Learned() != 17 {
			t.Errorf("%v was learned, want the 17 that were tried", s.e.Learned())
		}
	})
	t.Run("if it closes the bucket since most requests are throttled", func(t *testing.T) {
		s := newScript(t, 20)
		s.goes(10*time.Second, never)
		s.answers(50*ms, "x")
		for range 2 {
			s.goes(20*time.Second, never)
			for !s.closed {
				s.answers(50*ms, "x")
			}
			s.goes(20*time.Second, never)
			s.answers(50*ms, "x")
		}
		if s.goes(5*time.Second, never); s.e.Known() {
			t.Errorf("the pace is %v, want 20 and nothing known", s.e.Pace())
		}
	})
}

func TestOutageClosesABucketThatKnowsNoise(t *testing.T) {
	s := newScript(t, 5)
	s.answers(200*ms, "......x")
	s.wait(time.Second)
	s.e.noise.is(.4, s.now)
	s.goes(10*time.Second, never)
	for i := 0; !s.closed; i++ {
		if i == 10 {
			t.Fatal("it was not closed within two seconds in which nothing was accepted")
		}
		s.answers(200*ms, "x")
	}
}
