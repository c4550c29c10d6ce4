package learn

import (
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/internal/steps"
)

// senders are buckets of one account, in a time of their own.
type senders struct {
	account InFlight
	now     time.Time
	each    []*sender
}

type sender struct {
	Evidence
	*senders
	closed bool
	until  time.Time
}

func newSenders(n int) *senders {
	s := &senders{now: noon}
	for range n {
		b := &sender{senders: s}
		b.Configure(Unlimited, true, true)
		s.each = append(s.each, b)
	}
	return s
}

// reopens reports that b is not closed, or not any more.
func (b *sender) reopens() bool {
	if b.closed && !b.until.After(b.now) {
		b.closed = false
		b.Reopen(&b.account, 0, b.now)
	}
	return !b.closed
}

func (b *sender) accepted(n int) { b.Accepted(b.now, n, &b.account, b.now) }

func (b *sender) throttled(n int, hold time.Duration) {
	v := b.Throttled(Throttle{Left: b.now, InProgress: n, Local: n, RetryAfter: hold}, &b.account, b.now)
	if v.Close {
		b.closed, b.until = true, later(b.until, b.now.Add(v.CoolDown))
	}
}

// accountOfTen is an account of so many senders in which a limit of ten in flight was found a minute ago.
func accountOfTen(t *testing.T, n int) *senders {
	s := newSenders(n)
	s.account = *limited10(t)
	s.now = noon.Add(time.Minute)
	return s
}

func TestLimitInFlightIsFoundBySendersThatGetNoPermit(t *testing.T) {
	for _, pace := range []float64{50, Unlimited} {
		s := newSenders(5)
		for _, b := range s.each {
			b.Configure(pace, true, true)
		}
		for s.account.Limit() == 0 && s.now.Sub(noon) < 20*time.Second {
			s.now = s.now.Add(100 * ms)
			s.each[0].accepted(1) // it always has the only permit
			for _, b := range s.each[1:] {
				if b.reopens() {
					b.throttled(2, 0)
				}
			}
		}
		if s.account.Limit() != 1 {
			t.Errorf("the limit is %d after 20 s at a pace of %g, want 1", s.account.Limit(), pace)
		}
	}
}

// Of several senders with few requests in progress in all, one may have been throttled each time by chance.
// The step of its cool-down then says nothing of it.
func TestSenderWithoutAnAcceptanceDoesNotPauseLongerThanTheFirstStepBesideAKnownLimitInFlight(t *testing.T) {
	for _, r := range []struct {
		name         string
		limit        int
		others, over bool
	}{
		{"others are accepted", 10, true, true},
		{"nobody is accepted", 10, false, false},
		{"no limit is known", 0, true, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := accountOfTen(t, 2)
			s.account.limit = r.limit
			last := s.each[1]
			last.throttled(10, 0)
			for last.cooling.step <= steps.First || !last.closed {
				s.now = s.now.Add(100 * ms)
				if last.reopens() {
					last.throttled(10, 0)
				}
			}
			for range 11 {
				if s.now = s.now.Add(100 * ms); r.others {
					s.each[0].accepted(5)
				}
				if early := s.now.Sub(last.cooling.since) < steps.First; early && last.Over(&s.account, s.now) {
					t.Fatal("it is over before the first step is")
				}
			}
			if got := last.Over(&s.account, s.now); got != r.over {
				t.Errorf("the cool-down is over: %v, want %v", got, r.over)
			}
		})
	}
}

func TestOutageOfAnAccountIsOverForAllItsSenders(t *testing.T) {
	const hour = time.Hour
	for _, r := range []struct {
		name   string
		hold   time.Duration // that Twilio asks for
		outage bool          // of all senders, else only of the last
		over   bool
	}{
		{"once one is accepted", 0, true, true},
		{"but not where Twilio has said how long to wait", hour, true, false},
		{"but the others say nothing of the outage of one", 0, false, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newSenders(3)
			last := s.each[2]
			for end := s.now.Add(time.Minute); s.now.Before(end) || last.reopens(); {
				s.now = s.now.Add(100 * ms)
				for _, b := range s.each {
					switch {
					case !b.reopens():
					case r.outage || b == last:
						b.throttled(1, r.hold)
					default:
						b.accepted(1)
					}
				}
				if last.Over(&s.account, s.now) {
					t.Fatal("the outage is over, want it to go on")
				}
			}
			s.now = s.now.Add(100 * ms)
			s.each[0].accepted(1)
			if got := last.Over(&s.account, s.now); got != r.over {
				t.Errorf("the outage is over for another sender: %v, want %v", got, r.over)
			}
		})
	}
}

func TestProbeInFlightHasFailedAlsoBesideOthersRequests(t *testing.T) {
	var c InFlight
	for range 2 { // 20 of the account, 10 of them of others
		c.counted(21, 0, 4, noon)
		c.counted(20, 12, 0, noon)
		c.conclude(11, noon)
	}
	if c.Limit() != 10 {
		t.Fatalf("the limit is %d, want 10", c.Limit())
	}
	now := noon.Add(probeAfter)
	if c.Probe(now); c.asking(20) || !c.asking(21) {
		t.Error("20 in progress are more than is known to be accepted, or 21 are not")
	}
	c.counted(18, 10, 0, now)
	if c.counted(21, 0, 3, now); c.Limit() != 10 {
		t.Errorf("the limit is %d, want 10 again", c.Limit())
	}
}

func TestProbeInFlightDoesNotRefuteAPace(t *testing.T) {
	asked := func(n int) bool {
		s := accountOfTen(t, 1)
		b := s.each[0]
		b.NothingRemains(s.now)
		b.become(keeping, 20, s.now)
		b.busy = b.keepFor()
		for range 10 {
			s.now = s.now.Add(50 * ms)
			b.Departed(s.now, s.now)
			b.accepted(5)
		}
		s.account.Probe(s.now)
		b.throttled(n, 0)
		return b.Asking()
	}
	if !asked(11) {
		t.Error("the pace is refuted, want it to be unknown whether it is the probe's fault")
	}
	if asked(10) {
		t.Error("the pace is not refuted, want it to be: as many in progress were accepted before")
	}
}

func TestTrialOfFewerInFlightIsNotJudgedByWhatLeftBefore(t *testing.T) {
	c := limited10(t)
	left := noon.Add(time.Minute)
	now := left.Add(ms)
	before := func(limit int) {
		t.Helper()
		for range 10 {
			c.accepted(10, true, left, now.Add(50*ms))
			c.throttled(10, false, left, now.Add(50*ms))
		}
		if c.Limit() != limit || c.trial.sent != 0 {
			t.Errorf("the limit is %d after %d answers, want %d and none", c.Limit(), c.trial.sent, limit)
		}
	}
	c.try(10, .5, now, now)
	before(5)
	left, now = now, now.Add(time.Second) // half of what leaves now is throttled, too
	for c.Limit() == 5 {
		c.throttled(5, false, left, now)
		c.accepted(5, false, left, now)
	}
	before(2)
}

func TestTrialOfFewerInFlightAmongKnownNoiseTakesAsManyRequestsAsUsual(t *testing.T) {
	for _, r := range []struct {
		noise       float64
		first, next int // answers that decide
	}{{0, 15, 15}, {.1, 40, 40}} {
		c := limited10(t)
		c.noise.share = r.noise
		now := noon.Add(time.Minute)
		if c.try(10, .4, now, now); c.trial.need != r.first {
			t.Errorf("%d answers decide where noise of %v is known, want %d", c.trial.need, r.noise, r.first)
		}
		c.trial.sent, c.trial.throttled = 10, 4
		if c.find(perhaps, now); c.trial.need != r.next {
			t.Errorf("%d answers decide the next one where noise of %v is known, want %d", c.trial.need, r.noise, r.next)
		}
	}
}

func TestOutageOfAnAccountEnds(t *testing.T) {
	for _, r := range []struct {
		name    string
		buckets []uint8       // that were throttled
		after   time.Duration // since a request was accepted
		resumed bool
	}{
		{"with the first request that is accepted", []uint8{1, 2}, 6 * time.Second, true},
		{"but it was none if requests were accepted meanwhile", []uint8{1, 2}, 5 * time.Second, false},
		{"nor if only one bucket was throttled", []uint8{1, 1}, 6 * time.Second, false},
		{"nor if they were long ago", []uint8{1, 2}, time.Minute, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			var c InFlight
			c.throttled(1, false, noon, noon) // from now on it counts
			c.accepted(1, true, noon, noon)
			for _, b := range r.buckets {
				c.saw(b, false, noon)
			}
			now := noon.Add(r.after)
			for at := noon; at.Before(now); at = at.Add(halving) {
				c.saw(1, false, at)
			}
			if c.accepted(1, true, now, now); c.seen.resumed.Equal(now) != r.resumed {
				t.Errorf("it was an outage: %v, want %v", !r.resumed, r.resumed)
			}
		})
	}
}

func TestStepThatNeedNotLastToItsEnd(t *testing.T) {
	for _, r := range []struct {
		name   string
		set    func(*sender)
		events int // cool-downs in which nothing was accepted
		hold   time.Duration
		open   bool // since the last one
		over   bool
	}{
		{name: "a step that is longer than the first one", events: 1, over: true},
		{name: "not the first one"},
		{name: "not one for which Twilio has asked", events: 1, hold: time.Hour},
		{name: "not where each throttled answer counts", events: 1, set: func(b *sender) { b.Configure(Unlimited, true, false) }},
		{name: "not one that has ended", events: 2, open: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newSenders(1)
			b := s.each[0]
			if r.set != nil {
				r.set(b)
			}
			for range r.events {
				b.throttled(1, 0)
				s.now = b.until
				if open := b.reopens(); !open {
					t.Fatal("the bucket is closed")
				}
			}
			if !r.open {
				b.throttled(1, 0)
				b.throttled(1, r.hold)
			}
			s.now = s.now.Add(ms)
			s.account.seen.resumed = s.now
			if got := b.Over(&s.account, s.now); got != r.over {
				t.Errorf("it is over: %v, want %v; the step is %v", got, r.over, b.cooling.step)
			}
		})
	}
}

// A bucket of which nothing was accepted may have had no permit. Others have taken all of them if they were accepted meanwhile.
func TestBucketThatGetsNoPermitHasNoOutage(t *testing.T) {
	for _, r := range []struct {
		name     string
		accepted bool // of others, meanwhile
	}{{"others were accepted", true}, {"nothing was accepted", false}} {
		t.Run(r.name, func(t *testing.T) {
			s := newSenders(2)
			b := s.each[0]
			for range 2 {
				b.throttled(21, 0)
				s.now = b.until
				b.reopens()
			}
			before := s.now
			s.now = s.now.Add(100 * ms)
			s.account.counted(21, 0, 4, s.now)
			s.account.counted(16, 12, 0, s.now)
			if !r.accepted {
				s.account.seen.answered = before
			}
			s.each[1].throttled(21, 0)
			b.throttled(21, 0)
			s.now = b.until
			b.reopens()
			if got := s.account.Limit() > 0; got != r.accepted {
				t.Errorf("the limit is %d, want one: %v", s.account.Limit(), r.accepted)
			}
			if got := b.AtOnce() == 1; got == r.accepted {
				t.Errorf("one request at a time leaves: %v, want %v", got, !r.accepted)
			}
			b.throttled(1, 0)
			if got := b.until.Sub(s.now) == steps.First; got != r.accepted {
				t.Errorf("the next cool-down lasts %v, want a second: %v", b.until.Sub(s.now), r.accepted)
			}
			s.now = b.until
			b.reopens()
			if got := b.AtOnce() == 1; got == r.accepted {
				t.Errorf("one request at a time leaves after another one: %v, want %v", got, !r.accepted)
			}
		})
	}
}

func TestWhatALimitOfARateExplainsShowsNoneInFlight(t *testing.T) {
	for _, r := range []struct {
		name      string
		phase     phase
		busy      time.Duration // for which requests have waited for the pace; longer than it is held: more is asked for
		explained bool
	}{
		{"more than a pace was asked for", keeping, time.Hour, true},
		{"the pace was as it had been", keeping, 0, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newSenders(2)
			for _, b := range s.each {
				b.accepted(1)
				b.throttled(11, 0)
				s.now = s.now.Add(2 * time.Second)
				b.reopens()
			}
			s.account.suspicion.suspect, s.account.suspicion.since = 11, s.now
			b := s.each[0]
			b.become(r.phase, 50, s.now)
			b.busy = r.busy
			s.account.counted(8, 12, 0, s.now)
			s.account.counted(11, 0, 4, s.now)
			b.accepted(8)
			b.throttled(11, 0)
			s.now = s.now.Add(2 * time.Second)
			if !b.reopens() {
				t.Fatal("the bucket is closed")
			}
			b.accepted(1)
			if got := s.account.Limit() == 0; got != r.explained {
				t.Errorf("the limit is %d, want none: %v", s.account.Limit(), r.explained)
			}
		})
	}
	for _, several := range []bool{true, false} {
		s := newSenders(2)
		b := s.each[0]
		b.learn(s.now)
		b.become(seeking, 10, s.now)
		s.account.counted(8, 12, 0, s.now)
		if several {
			s.each[1].throttled(11, 0)
		}
		for b.phase == seeking {
			s.now = s.now.Add(ms)
			b.accepted(8)
			b.throttled(11, 0)
		}
		if b.phase != keeping {
			t.Fatalf("phase %d, want that a limit was found", b.phase)
		}
		if _, throttled := s.account.sum(0, 100); (throttled == 0) != several {
			t.Errorf("%d throttled requests are evidence when a limit of the rate was found, want none: %v", throttled, several)
		}
	}
}

func TestMoreIsAskedForAtOnceAfterAnOutage(t *testing.T) {
	for _, r := range []struct {
		name   string
		others bool // of the account were throttled, too
		last   int  // throttled answers, one after the other, each of which has closed the bucket
		open   bool // the outage was seen while the bucket was open
		asks   bool
	}{
		{"where nothing was accepted between three cool-downs", false, 4, false, true},
		{"not between fewer", false, 3, false, false},
		{"where that was seen between two", false, 3, true, true},
		{"not where several buckets had it, which would all ask at once", true, 4, true, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newScript(t, Unlimited)
			s.answers(50*ms, "aaaaaaaaaa")
			s.e.learn(s.now)
			s.e.become(keeping, 10, s.now)
			s.answers(50*ms, "a")
			if r.others {
				s.account.saw(7, false, s.now)
			}
			for range r.last {
				s.answers(50*ms, "x")
				s.wait(steps.Last + time.Second)
				if r.others {
					s.account.saw(7, false, s.now)
				}
			}
			s.e.tally.outage = r.open
			s.answers(50*ms, "a")
			if got := s.e.busy >= s.e.keepFor(); got != r.asks {
				t.Errorf("it may ask: %v, want %v (phase %d)", got, r.asks, s.e.phase)
			}
		})
	}
}
