package learn

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// A model is one bucket, callers who always have work, a network and a server, in a time of its
// own. It is pacer's bucket without the parts that do not belong to this package. A run depends on
// the seed alone, so that its results are the same on each machine.
type model struct {
	// Set before run.
	rate    float64 // configured requests per second; Unlimited
	literal bool    // nothing is learned, and each throttled answer closes the bucket
	callers int
	latency func(*rand.Rand) time.Duration // of the network, there and back
	work    time.Duration                  // of the server on a request that it accepts
	server  server
	fails   float64       // share of the requests that fail after the server has let them pass
	change  func(*model)  // what changes during the run; nil: nothing
	changes time.Duration // when, from the start of the run

	rnd     *rand.Rand
	start   time.Time
	now     time.Time
	moments moments
	made    int // moments, ever

	evidence Evidence
	account  InFlight
	front    []*attempt // those that wait and were throttled before: they leave first
	line     []*attempt // the others that wait
	flying   int        // requests on their way
	inside   int        // requests that the server works on
	serial   int        // requests that have left, ever
	left     time.Time  // when a request last left
	closed   bool       // the bucket pauses, or was not reopened since
	until    time.Time  // the end of the cool-down
	paused   time.Time  // until when no request leaves because of News.Pause
	looking  time.Time  // when the head of the line is looked at next
	held     time.Time  // since when only a token is what the head waits for

	minutes []minute      // what came of the requests
	longest time.Duration // for which a head of the line has waited for its token
}

// A minute counts the answers of one minute.
type minute struct{ accepted, throttled int } // those that failed are among the accepted

// An attempt is a call's present attempt.
type attempt struct{ before int } // attempts of the call before this one

const retries = 5 // of a call; then its caller goes on to the next call

// A server says whether it accepts a request that arrives now. If it does not it may say for how
// long to wait; 0: it does not say.
type server interface {
	accepts(*model) (bool, time.Duration)
}

type moment struct {
	at     time.Time
	number int // of those at the same time, the lowest comes first
	do     func()
}

type moments []moment

func (e moments) Len() int { return len(e) }
func (e moments) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].number < e[j].number
}
func (e moments) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *moments) Push(x any)   { *e = append(*e, x.(moment)) }
func (e *moments) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func (m *model) in(d time.Duration, do func()) { m.at(m.now.Add(d), do) }

func (m *model) at(t time.Time, do func()) {
	m.made++
	heap.Push(&m.moments, moment{t, m.made, do})
}

func (m *model) run(d time.Duration, seed uint64) {
	m.rnd = rand.New(rand.NewPCG(seed, 1))
	m.start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m.now, m.held = m.start, m.start
	m.minutes = make([]minute, int(d/time.Minute)+1)
	m.evidence.Configure(m.rate, !m.literal, !m.literal)
	if m.change != nil {
		m.in(m.changes, func() { m.change(m) })
	}
	for range m.callers {
		m.join(&attempt{})
	}
	for end := m.start.Add(d); !m.moments[0].at.After(end); {
		next := heap.Pop(&m.moments).(moment)
		m.now = next.at
		next.do()
	}
}

func (m *model) minute() *minute { return &m.minutes[int(m.now.Sub(m.start)/time.Minute)] }

func (m *model) join(a *attempt) {
	if a.before > 0 {
		m.front = append(m.front, a)
	} else {
		m.line = append(m.line, a)
	}
	m.look()
}

// look has those leave that may.
func (m *model) look() {
	for len(m.front)+len(m.line) > 0 {
		if m.closed {
			if m.now.Before(m.until) {
				m.lookAt(m.until)
				return
			}
			m.closed, m.held = false, m.now
			m.evidence.Reopen(&m.account, m.flying, m.now)
		}
		if n := m.evidence.AtOnce(); n > 0 && m.flying >= n {
			return
		}
		due := m.now
		if pace := m.evidence.Pace(); pace < Unlimited && !m.left.IsZero() {
			due = m.left.Add(time.Duration(float64(time.Second) / pace))
		}
		if m.paused.After(due) {
			due = m.paused
		}
		if due.After(m.now) {
			m.lookAt(due)
			return
		}
		if n := m.account.Limit(); n > 0 && m.flying >= n && !(m.account.Probe(m.now) && m.flying < m.account.Limit()) {
			return
		}
		line := &m.line
		if len(m.front) > 0 {
			line = &m.front
		}
		a := (*line)[0]
		*line = (*line)[1:]
		m.longest = max(m.longest, m.now.Sub(m.held))
		m.evidence.Departed(due, m.now)
		m.left, m.held = m.now, m.now
		m.send(a)
	}
}

func (m *model) lookAt(t time.Time) {
	if m.looking.After(m.now) && !t.Before(m.looking) {
		return
	}
	m.looking = t
	m.at(t, func() {
		if !m.looking.After(m.now) {
			m.look()
		}
	})
}

func (m *model) send(a *attempt) {
	m.flying++
	m.serial++
	left, n, serial := m.now, m.flying, m.serial
	d := m.latency(m.rnd)
	there := d/2 + time.Duration(m.rnd.Int64N(int64(d/20)+1)) - d/40 // both ways vary
	m.in(there, func() {
		m.inside++
		ok, hold := m.server.accepts(m)
		work := m.work
		if !ok {
			m.inside--
			work = 0
		}
		m.in(work+d-there, func() { m.answered(a, left, n, serial, ok, hold) })
		if ok {
			m.in(work, func() { m.inside-- })
		}
	})
}

func (m *model) answered(a *attempt, left time.Time, n, serial int, ok bool, hold time.Duration) {
	n = max(n, m.flying)
	m.flying--
	if ok {
		m.minute().accepted++
		if m.fails > 0 && m.rnd.Float64() < m.fails {
			m.evidence.Failed(left, n, &m.account, m.now)
		} else {
			m.evidence.Accepted(left, n, &m.account, m.now)
		}
		m.pause()
		m.join(&attempt{})
		return
	}
	m.minute().throttled++
	v := m.evidence.Throttled(Throttle{
		Left: left, RetryAfter: hold, InProgress: n, Local: n,
		Stubborn: a.before > 0 && len(m.front)+len(m.line) > 0,
		Overtook: m.flying > m.serial-serial,
	}, &m.account, m.now)
	if v.Close {
		m.closed = true
		if t := m.now.Add(v.CoolDown); t.After(m.until) {
			m.until = t
		}
	}
	m.pause()
	if a.before == retries {
		m.join(&attempt{})
		return
	}
	wait := time.Second << min(a.before, 4)
	if hold > 0 {
		wait = hold + time.Duration(m.rnd.Int64N(int64(time.Second)))
	}
	m.in(wait, func() { m.join(&attempt{a.before + 1}) })
	m.look()
}

func (m *model) pause() {
	if t := m.now.Add(m.evidence.News().Pause); t.After(m.paused) {
		m.paused = t
	}
}
