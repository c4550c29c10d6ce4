package learn

import (
	"testing"
	"time"
)

// A script is the only bucket of an account whose answers come at once, in a time of its own.
type script struct {
	t       *testing.T
	e       Evidence
	account InFlight
	now     time.Time
	closed  bool
	until   time.Time // the end of the cool-down
}

func newScript(t *testing.T, pace float64) *script {
	s := &script{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s.e.Configure(pace, true, true)
	return s
}

// wait lets time go by, and reopens the bucket if the cool-down ends.
func (s *script) wait(d time.Duration) {
	end := s.now.Add(d)
	if s.closed && !s.until.After(end) {
		s.closed, s.now = false, later(s.now, s.until)
		s.e.Reopen(&s.account, 0, s.now)
	}
	s.now = end
}

func (s *script) accepted() { s.e.Accepted(s.now, 1, &s.account, s.now) }

func (s *script) throttled(t Throttle) Verdict {
	t.Left, t.InProgress, t.Local = s.now, max(1, t.InProgress), max(1, t.Local)
	v := s.e.Throttled(t, &s.account, s.now)
	if v.Close {
		s.closed, s.until = true, later(s.until, s.now.Add(v.CoolDown))
	}
	return v
}

// answers lets one request leave after each gap: x is throttled, all else is accepted. It returns
// what the last one meant.
func (s *script) answers(gap time.Duration, answers string) (v Verdict) {
	for _, a := range answers {
		s.wait(gap)
		if v = (Verdict{}); a == 'x' {
			v = s.throttled(Throttle{})
		} else {
			s.accepted()
		}
	}
	return v
}

// goes sends for a while at the bucket's pace, which requests wait for. refused tells of each
// request whether it is throttled.
func (s *script) goes(d time.Duration, refused func() bool) {
	for end := s.now.Add(d); s.now.Before(end); {
		if s.closed {
			s.wait(s.until.Sub(s.now))
			continue
		}
		s.wait(time.Duration(float64(time.Second) / min(s.e.Pace(), 1000)))
		s.e.Departed(s.now, s.now)
		if refused() {
			s.throttled(Throttle{})
		} else {
			s.accepted()
		}
	}
}

func always() bool { return true }
func never() bool  { return false }
