package learn

import (
	"testing"
	"time"
)

// together sends from a bucket in whose account most are accepted with up to ten in progress, and
// none with more. With each of its requests others of the account are accepted in another bucket.
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
			s.throttled(Throttle{InProgress: n, Own: n})
		}
	}
}

func TestLimitOfAnAccount(t *testing.T) {
	t.Run("is found by a bucket", func(t *testing.T) {
		s := newScript(t, 50)
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
		sendsUpToTen(s, time.Minute, &other, 3)
		if got := s.account.Limit(); got != 0 {
			t.Errorf("the limit is %d, want none", got)
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
				s.throttled(Throttle{InProgress: n, Own: n, Rate: true})
			}
		}
		if got := s.account.Limit(); got != 0 {
			t.Errorf("the limit is %d, want none", got)
		}
	})
	t.Run("is not taught where nothing may be learned", func(t *testing.T) {
		var e Evidence
		e.Configure(50, false, false)
		now := noon
		for range 100 {
			now = now.Add(100 * ms)
			e.Accepted(now, 5, nil, now)
			e.Throttled(Throttle{Left: now, InProgress: 11, Own: 11}, nil, now)
			now = now.Add(time.Second)
			e.Reopen(nil, now)
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
		e.Told(s.now)
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
