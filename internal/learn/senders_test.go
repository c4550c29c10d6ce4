package learn

import (
	"testing"
	"time"
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
	v := b.Throttled(Throttle{Left: b.now, InProgress: n, Own: n, Hold: hold}, &b.account, b.now)
	if v.Close {
		b.closed, b.until = true, later(b.until, b.now.Add(v.Hold))
	}
}

// accountOfTen is an account of so many senders in which a limit of ten in flight was found a minute ago.
func accountOfTen(t *testing.T, n int) *senders {
	s := newSenders(n)
	s.account = *limited10(t)
	s.now = noon.Add(time.Minute)
	return s
}

func TestLimitInFlightIsFoundBySendersThatGetNoSlot(t *testing.T) {
	for _, pace := range []float64{50, Unlimited} {
		s := newSenders(5)
		for _, b := range s.each {
			b.Configure(pace, true, true)
		}
		for s.account.Limit() == 0 && s.now.Sub(noon) < 20*time.Second {
			s.now = s.now.Add(100 * ms)
			s.each[0].accepted(1) // it always has the only slot
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
		c.counted(16, 12, 0, noon)
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
		b.Told(s.now)
		b.become(holding, 20, s.now)
		b.busy = b.hold()
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
	c.try(10, .5, now, now)
	for range 10 {
		c.throttled(10, false, left, now.Add(50*ms))
	}
	if c.Limit() != 5 || c.trial.sent != 0 {
		t.Errorf("the limit is %d after %d answers, want 5 and none", c.Limit(), c.trial.sent)
	}
}

// A pace that one sender has learned in a trouble that several had is raised soon after it: the others take all slots.
func TestSlowPaceOfAnAccountsTroubleDoesNotOutlastIt(t *testing.T) {
	for _, r := range []struct {
		name    string
		phase   phase
		pace    float64
		senders int // that were throttled
		asks    bool
	}{
		{"held", holding, 0.5, 2, true},
		{"of a trial", trying, 0.5, 2, true},
		{"not if others were not throttled", holding, 0.5, 1, false},
		{"not a fast one, which is soon asked about anyway", holding, 10, 2, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := accountOfTen(t, 2)
			b := s.each[0]
			b.Told(s.now)
			b.become(r.phase, r.pace, s.now)
			b.trial = newTrial(.3, 1, r.pace, false, s.now)
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
	b.Told(s.now)
	b.become(holding, 2, s.now)
	s.each[1].throttled(5, time.Second)
	if b.throttled(5, time.Second); !b.doubted {
		t.Fatal("it is not doubted")
	}
	for range 2 { // of which a single throttled answer refutes nothing
		s.now = s.now.Add(time.Second)
		b.reopens()
		b.busy = b.hold() + time.Second
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
