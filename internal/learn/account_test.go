package learn

import (
	"testing"
	"time"
)

// sendsUpToTen sends from a bucket while the account's requests are accepted with up to ten in
// progress, and none with more. At the same times others are accepted in another bucket.
func sendsUpToTen(s *script, d time.Duration, other *Evidence, others int) {
	for i, end := 0, s.now.Add(d); s.now.Before(end); i++ {
		s.wait(100 * ms)
		for range others {
			other.Accepted(s.now, 1, &s.account, s.now)
		}
		if s.closed {
			continue
		}
		if n := 6 + i%6; n <= 10 {
			s.e.Accepted(s.now, n, &s.account, s.now)
		} else {
			s.throttled(Throttle{InProgress: n, Local: n})
		}
	}
}

// sendsWithTen sends with ten in progress, and one request in each is throttled.
func sendsWithTen(s *script, d time.Duration, each int) {
	for i, end := 1, s.now.Add(d); s.now.Before(end); {
		s.wait(100 * ms)
		switch {
		case s.closed:
			continue
		case i%each > 0:
			s.e.Accepted(s.now, 10, &s.account, s.now)
		default:
			s.throttled(Throttle{InProgress: 10, Local: 10})
		}
		i++
	}
}

func TestLimitOfAnAccount(t *testing.T) {
	t.Run("is found by a bucket", func(t *testing.T) {
		s := newScript(t, 50)
		for range 10_000 { // it was fine for a long time
			s.accepted()
		}
		sendsUpToTen(s, time.Minute, nil, 0)
		if got := s.account.Limit(); got != 10 {
			t.Errorf("the limit is %d, want 10", got)
		}
		if s.e.Learned() != 0 {
			t.Errorf("a pace of %v was learned, too", s.e.Learned())
		}
	})
	t.Run("is not taught by one bucket while most of the account is accepted in others", func(t *testing.T) {
		s := newScript(t, 50)
		var other Evidence
		other.Configure(50, true, true)
		other.Throttled(Throttle{Left: s.now, InProgress: 1, Local: 1}, &s.account, s.now) // long ago
		s.wait(time.Minute)
		other.Reopen(&s.account, 0, s.now)
		sendsUpToTen(s, time.Minute, &other, 3)
		if got := s.account.Limit(); got != 0 {
			t.Errorf("the limit is %d, want none", got)
		}
	})
	t.Run("is found where no pace is learned", func(t *testing.T) {
		s := newScript(t, Unlimited)
		s.e.Configure(Unlimited, false, true)
		if sendsUpToTen(s, time.Minute, nil, 0); s.account.Limit() != 10 {
			t.Errorf("the limit is %d, want 10", s.account.Limit())
		}
	})
	t.Run("is not taught by one bucket that knows of heavy noise", func(t *testing.T) {
		s := newScript(t, 50)
		s.e.learn(s.now)
		s.e.noise.is(.2, s.now)
		if sendsUpToTen(s, time.Minute, nil, 0); s.account.Limit() != 0 {
			t.Errorf("the limit is %d, want none", s.account.Limit())
		}
	})
	t.Run("is not taught by one bucket of which many are throttled", func(t *testing.T) {
		s := newScript(t, 50)
		s.account.counted(11, 0, 4, s.now)
		s.account.counted(8, 12, 0, s.now)
		s.account.conclude(11, s.now)
		s.e.learn(s.now)
		s.e.tally = tally{from: s.now, sent: 20, throttled: 8}
		if s.e.blames(&s.account, s.now) || s.account.Limit() != 0 {
			t.Errorf("the limit is %d, want none", s.account.Limit())
		}
	})
	t.Run("is not taught by a bucket that meets a slow limit by bursts", func(t *testing.T) {
		s := accountOfTen(t, 1)
		b := s.each[0]
		b.learn(s.now)
		b.become(bursting, 2, s.now)
		sends := func(n int) {
			for range 6 {
				for range 2 {
					s.now = s.now.Add(100 * ms)
					b.accepted(5)
				}
				b.throttled(n, 0)
				s.now = b.until
				b.reopens()
			}
		}
		if sends(10); s.account.Limit() != 10 {
			t.Errorf("the limit is %d, want 10 without a trial of fewer", s.account.Limit())
		}
		s.now = s.now.Add(time.Minute)
		s.account.Probe(s.now)
		if sends(11); s.account.Limit() != 11 {
			t.Errorf("the limit is %d, want the 11 that are asked for", s.account.Limit())
		}
	})
	t.Run("is not taught by answers about a rate", func(t *testing.T) {
		s := newScript(t, 50)
		for i := range 600 {
			s.wait(100 * ms)
			switch n := 6 + i%6; {
			case s.closed:
			case n <= 10:
				s.e.Accepted(s.now, n, &s.account, s.now)
			default:
				s.throttled(Throttle{InProgress: n, Local: n})
				s.throttled(Throttle{InProgress: n, Local: n, Rate: true})
			}
		}
		if got := s.account.Limit(); got != 0 {
			t.Errorf("the limit is %d, want none", got)
		}
	})
	t.Run("is not taught by a burst", func(t *testing.T) {
		s := newScript(t, Unlimited)
		s.account.throttled(1, true, s.now, s.now) // from now on it counts
		for n := 1; n <= 20; n++ {
			s.e.Accepted(s.now, n, &s.account, s.now)
		}
		for n := 21; n <= 30; n++ {
			s.throttled(Throttle{InProgress: n, Local: n})
		}
		if n := s.account.shown(); n != 0 {
			t.Errorf("a limit of less than %d in flight shows, want none", n)
		}
	})
	t.Run("is not lowered because of a stray throttled answer", func(t *testing.T) {
		s := newScript(t, 50)
		s.account = *limited10(t)
		s.now = noon.Add(time.Minute)
		s.answers(100*ms, "..........")
		s.throttled(Throttle{InProgress: 10, Local: 10})
		if s.wait(time.Second); s.account.Limit() != 10 {
			t.Errorf("the limit is %d, want 10", s.account.Limit())
		}
	})
	t.Run("is lowered on trial if requests are throttled again and again", func(t *testing.T) {
		s := newScript(t, 50)
		s.account = *limited10(t)
		s.now = noon.Add(time.Minute)
		for i := 0; i < 20 && s.account.back == 0; i++ {
			sendsWithTen(s, time.Second, 5)
		}
		if s.account.Limit() > 9 || s.e.Known() {
			t.Errorf("the limit is %d and the pace %v, want a trial of fewer and 50", s.account.Limit(), s.e.Pace())
		}
	})
	t.Run("does not make its noise the bucket's limit", func(t *testing.T) {
		s := newScript(t, 50)
		s.account = *limited10(t)
		s.now = noon
		s.account.noise.is(.1, s.now)
		sendsWithTen(s, time.Minute, 10)
		if s.e.Known() || s.account.Limit() != 10 {
			t.Errorf("the pace is %v and the limit %d, want 50 and 10", s.e.Pace(), s.account.Limit())
		}
		s.wait(time.Minute) // stray ones close it again, by now
		if v := s.throttled(Throttle{InProgress: 10, Local: 10}); v.Close {
			t.Error("a throttled answer closed the bucket, want it to know the noise")
		}
	})
	t.Run("is not taught where nothing may be learned", func(t *testing.T) {
		var e Evidence
		e.Configure(50, false, false)
		now := noon
		for range 100 {
			now = now.Add(100 * ms)
			e.Accepted(now, 5, nil, now)
			e.Throttled(Throttle{Left: now, InProgress: 11, Local: 11}, nil, now)
			now = now.Add(time.Second)
			e.Reopen(nil, 0, now)
		}
	})
}

func TestFirstLimitOfAnAccountFreesTheBucketsThatItHasSlowed(t *testing.T) {
	// learned has a bucket of the account learn a pace of 10.
	learned := func(s *script) (e Evidence) {
		e.Configure(20, true, true)
		for range 10 {
			s.now = s.now.Add(100 * ms)
			e.Accepted(s.now, 1, &s.account, s.now)
		}
		e.NothingRemains(s.now)
		if e.Learned() > 11 {
			t.Fatalf("%v was learned, want 10", e.Learned())
		}
		return e
	}
	s := newScript(t, 50)
	before := learned(s)
	sendsUpToTen(s, time.Minute, nil, 0)
	if s.account.Limit() != 10 {
		t.Fatalf("the limit is %d, want 10", s.account.Limit())
	}
	after := learned(s)
	if before.Accepted(s.now, 1, &s.account, s.now); before.Known() || before.Pace() != 20 {
		t.Errorf("the pace that was learned before is %v, want the configured 20", before.Pace())
	}
	if after.Accepted(s.now, 1, &s.account, s.now); !after.Known() || after.Pace() > 11 {
		t.Errorf("the pace that was learned after is %v, want 10", after.Pace())
	}
	again := learned(s)
	s.account.Probe(s.now.Add(time.Hour))
	if again.Accepted(s.now, 1, &s.account, s.now); !again.Known() {
		t.Error("a change of the limit has freed a bucket, which only the first limit may")
	}
}

// Buckets that were throttled at the same time must not ask for more at the same time: that all are throttled then looks
// like a limit of the account's requests in flight.
func TestBucketsOfAnAccountAskOneAfterTheOther(t *testing.T) {
	var account InFlight
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	asks := map[time.Duration]bool{}
	for range 8 {
		var e Evidence
		e.Configure(Unlimited, true, true)
		e.Throttled(Throttle{Left: now, InProgress: 1, Local: 1}, &account, now)
		e.become(keeping, 20, now)
		asks[e.keepFor().Round(100*time.Millisecond)] = true
		if e.keepFor() < keepTime || e.keepFor() > keepTime*6/5 {
			t.Errorf("a limit is held for %v, want %v and a fifth more at most", e.keepFor(), keepTime)
		}
	}
	if len(asks) != 8 {
		t.Errorf("8 buckets ask at %d times, want 8", len(asks))
	}
}
