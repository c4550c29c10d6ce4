package pacer

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// A model is a BucketStore for any number of processes that does what redispacer's script does, in
// this process. Its answers come as late, and as often, as trouble says.
type model struct {
	mu      sync.Mutex
	rng     *rand.Rand
	buckets map[Resource]*modelBucket
	asked   int
	granted map[Resource]int          // tokens, ever
	members map[string]*BucketLimiter // that hear of cool-downs

	latency time.Duration // of each answer
	late    float64       // share of the answers that take lateness more
	lateBy  time.Duration
	failing float64       // share of demands that fail, half of them after they have been heeded
	doubled float64       // share of demands that reach it twice, see twice
	clock   time.Duration // by which the store's clock is ahead
}

// A modelBucket has the fields of the script's hash.
type modelBucket struct {
	tokens                                              float64
	at, until, retry, seen, opens, taught, heard, taken time.Time
	number                                              int64
	pace, limit                                         float64
	learner                                             string
	ok, no                                              int
	users                                               map[string]time.Time
	line                                                map[string]time.Time
}

// A member is one process's way to the model.
type member struct {
	*model
	who string
}

func newModel() *model {
	return &model{rng: rand.New(rand.NewPCG(1, 2)), buckets: map[Resource]*modelBucket{}, granted: map[Resource]int{}, members: map[string]*BucketLimiter{}, latency: time.Millisecond}
}

// join returns a limiter on the model, which hears of the others' cool-downs.
func (m *model) join(t testing.TB, who string, limits Limits) *BucketLimiter {
	t.Helper()
	l, err := NewSharedLimiter(limits, member{m, who})
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[who] = l
	return l
}

// publish tells all members but one of a cool-down.
func (m member) publish(r Resource, o Outcome) {
	for who, l := range m.members {
		if who != m.who {
			go func() {
				time.Sleep(m.latency)
				l.Hold(r, o)
			}()
		}
	}
}

// forget drops all buckets, as an eviction does.
func (m *model) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.buckets)
}

var errModel = errors.New("the store does not answer")

func (m member) Take(_ context.Context, r Resource, d Demand) (Grant, error) {
	m.mu.Lock()
	delay, late := m.latency, m.rng.Float64() < m.late
	fails, heeded := m.rng.Float64() < m.failing, m.rng.Float64() < 0.5
	if late {
		delay += m.lateBy
	}
	m.mu.Unlock()
	time.Sleep(delay / 2)
	if fails && !heeded {
		time.Sleep(250 * time.Millisecond)
		return Grant{}, errModel
	}
	g := m.take(r, d)
	time.Sleep(delay / 2)
	if fails {
		time.Sleep(250 * time.Millisecond)
		return Grant{}, errModel
	}
	return g, nil
}

const modelHorizon = 500 * time.Millisecond

func (m member) take(r Resource, d Demand) Grant {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	now := time.Now().Add(m.clock)
	b, known := m.buckets[r]
	if !known {
		b = &modelBucket{tokens: float64(d.Burst), at: now, users: map[string]time.Time{}, line: map[string]time.Time{}}
		m.buckets[r] = b
	}
	if back := b.seen.Sub(now); back > 0 {
		for _, t := range []*time.Time{&b.at, &b.until, &b.retry, &b.opens, &b.taught, &b.heard, &b.taken} {
			*t = t.Add(-back)
		}
		clear(b.users)
		clear(b.line)
	}
	b.seen = now
	if b.at.After(later(now, b.until)) {
		b.at = now
	}
	if d.Back && (!known || now.Sub(b.taken) > time.Second) && b.opens.Before(now) {
		b.opens = now.Add(time.Second)
	}

	if d.Hold > 0 || d.Throttled > 0 {
		b.heard = now
	}
	g := Grant{Heeded: b.pace > 0 || !b.heard.IsZero() && now.Sub(b.heard) < time.Minute}
	slow := d.Rate
	if b.pace > 0 {
		slow = b.pace
	}
	quiet := max(2*time.Second, min(10*time.Second, time.Duration(min(1e10, 3*float64(len(b.users))/slow*1e9))))
	g.Learner = d.Learn && m.who == b.learner && d.Pace >= 0
	switch {
	case g.Heeded && d.Learn && !g.Learner && (m.who == b.learner || now.Sub(b.taught) > quiet):
		b.learner, g.Learner = m.who, true
	case g.Learner:
		b.pace, b.limit = d.Pace, d.Learned
		if d.Pace >= Unlimited {
			b.pace = 0
		}
	case g.Heeded:
		b.ok, b.no = b.ok+d.Accepted, b.no+d.Throttled
	}
	if g.Learner {
		b.taught = now
		g.Accepted, g.Throttled = b.ok, b.no
		b.ok, b.no = 0, 0
	}
	g.Pace, g.Learned = d.Rate, b.limit
	if b.pace > 0 {
		g.Pace = min(g.Pace, b.pace)
	}

	exchanges := false
	paced := g.Pace < Unlimited
	switch {
	case d.Hold > 0:
		hold := d.Hold
		if d.TooLong {
			hold = min(hold, holdAtMost)
			b.retry = later(b.retry, now.Add(d.Hold))
		}
		b.until = later(b.until, now.Add(hold))
		b.tokens, b.at, b.number = 1, b.until, b.number+1
		m.publish(r, Outcome{Throttled: true, RetryAfter: d.Hold, TooLong: d.TooLong})
	case paced:
		if now.After(b.at) {
			b.tokens = min(float64(d.Burst), b.tokens+now.Sub(b.at).Seconds()*g.Pace)
			b.at = now
		}
		b.tokens = max(b.tokens, -modelHorizon.Seconds()*g.Pace)
		if d.Unused > 0 && d.Last == b.number {
			b.tokens = min(float64(d.Burst), b.tokens+float64(d.Unused))
			exchanges = true
		}
	}
	for who, at := range b.line {
		if now.Sub(at) > 500*time.Millisecond {
			delete(b.line, who)
		}
	}
	local := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(-m.clock)
	}
	g.Number, g.Again = b.number, local(later(now, b.opens))
	switch {
	case !paced:
		g.N = d.N
	case d.N > 0 && !b.until.After(now) && !b.opens.After(now):
		ahead, in := b.rank(m.who)
		others := len(b.line)
		if in {
			others--
		}
		if exchanges {
			ahead = 0
		}
		room := b.tokens + modelHorizon.Seconds()*g.Pace
		g.N = max(0, min(d.N, int(math.Floor(room-float64(ahead)))))
		if others > 0 {
			g.N = min(g.N, max(1, int(room/float64(others+1))))
		}
		if g.N == 0 {
			again := now.Add(time.Duration(max(0, float64(ahead)+1-room)/g.Pace*1e9) + time.Millisecond)
			b.line[m.who] = again
			g.Again = local(again)
			break
		}
		delete(b.line, m.who)
		b.number++
		b.taken = now
		g.Number, g.From = b.number, local(now.Add(time.Duration((1-b.tokens)/g.Pace*1e9)))
		g.Every = time.Duration(1e9 / g.Pace)
		b.tokens -= float64(g.N)
		m.granted[r] += g.N
	}
	b.users[m.who] = now
	for who, at := range b.users {
		if now.Sub(at) > 10*time.Second {
			delete(b.users, who)
		}
	}
	g.Processes = len(b.users)
	if b.until.After(now) {
		g.Hold = local(b.until)
		if b.retry.After(now) {
			g.RetryAt = local(b.retry)
		}
	}
	return g
}

// rank is how many processes are ahead of one in line, and whether it stands there.
func (b *modelBucket) rank(who string) (ahead int, in bool) {
	type place struct {
		who string
		at  time.Time
	}
	var all []place
	for who, at := range b.line {
		all = append(all, place{who, at})
	}
	slices.SortFunc(all, func(x, y place) int { return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.who, y.who)) })
	i := slices.IndexFunc(all, func(p place) bool { return p.who == who })
	if i < 0 {
		return len(all), false
	}
	return i, true
}
