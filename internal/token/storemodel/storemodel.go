// Package storemodel is a store of shared buckets in this process, for tests and simulations in
// virtual time. It does what redispacer's script does, and answers as late, and as often, as it
// is told.
package storemodel

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/internal/token"
)

// A Store keeps the tokens of buckets, each with a key of type K, for any number of processes. It
// is safe for concurrent use.
type Store[K comparable] struct {
	mu      sync.Mutex // guards all below
	rng     *rand.Rand
	trouble Trouble
	buckets map[K]*bucket
	members []*Member[K]
	asked   int
}

// Trouble is how a store answers. The zero value is a store that answers at once.
type Trouble struct {
	Latency time.Duration // of each answer
	Late    float64       // share of the answers that take LateBy more, from 0 to 1
	LateBy  time.Duration
	Failing float64       // share of the demands that fail after 250 ms; half of them were heeded
	Doubled float64       // share of the demands for tokens that reach the store twice
	Clock   time.Duration // by which the store's clock is ahead of this process's
}

// A bucket has the fields of the script's hash.
type bucket struct {
	tokens                                              float64
	at, until, retry, seen, opens, taught, heard, taken time.Time
	number                                              int64
	pace, limit                                         float64
	learner                                             string
	ok, no                                              int
	users                                               map[string]time.Time
	line                                                map[string]time.Time
}

// A Member is one process's way to the store.
type Member[K comparable] struct {
	store *Store[K]
	who   string
	hear  func(key K, hold time.Duration, tooLong bool)
}

// New returns a store that answers within a millisecond. All its chances come from one fixed seed.
func New[K comparable]() *Store[K] {
	return &Store[K]{rng: rand.New(rand.NewPCG(1, 2)), buckets: map[K]*bucket{}, trouble: Trouble{Latency: time.Millisecond}}
}

// Join returns the way of the process with this name. hear is called for each cool-down that
// another process has told of, in a goroutine of its own.
func (s *Store[K]) Join(who string, hear func(key K, hold time.Duration, tooLong bool)) *Member[K] {
	m := &Member[K]{s, who, hear}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = append(s.members, m)
	return m
}

// Change changes how the store answers, from now on.
func (s *Store[K]) Change(change func(*Trouble)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.trouble)
}

// Forget drops all buckets, as an eviction does.
func (s *Store[K]) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.buckets)
}

// Asked returns how many demands have reached the store.
func (s *Store[K]) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// publish tells all members but one of a cool-down, with mu held.
func (s *Store[K]) publish(from *Member[K], key K, d token.Demand) {
	latency := s.trouble.Latency
	for _, m := range s.members {
		if m != from {
			go func() {
				time.Sleep(latency)
				m.hear(key, d.CoolDownFor, d.TooLong)
			}()
		}
	}
}

var errAway = errors.New("the store does not answer")

// Take answers one demand as pacer.BucketStore has it, after the time that Trouble says.
func (m *Member[K]) Take(key K, d token.Demand) (token.Grant, error) {
	s := m.store
	s.mu.Lock()
	t := s.trouble
	delay, late := t.Latency, s.rng.Float64() < t.Late
	fails, heeded := s.rng.Float64() < t.Failing, s.rng.Float64() < 0.5
	doubled := d.N > 0 && s.rng.Float64() < t.Doubled
	s.mu.Unlock()
	if late {
		delay += t.LateBy
	}
	time.Sleep(delay / 2)
	if doubled {
		m.take(key, d) // its tokens are lost: nobody hears of them
	}
	var g token.Grant
	if !fails || heeded {
		g = m.take(key, d)
		time.Sleep(delay / 2)
	}
	if fails {
		time.Sleep(250 * time.Millisecond)
		return token.Grant{}, errAway
	}
	return g, nil
}

// Horizon is how far ahead of their time the store gives tokens out.
const Horizon = 500 * time.Millisecond

// holdAtMost is for how long a bucket is closed at most, if calls are to fail at once: the script's
// retry_keeps.
const holdAtMost = 5 * time.Minute

func (m *Member[K]) take(key K, d token.Demand) token.Grant {
	s := m.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	clock := s.trouble.Clock
	now := time.Now().Add(clock)
	b, known := s.buckets[key]
	if !known {
		b = &bucket{tokens: float64(d.Burst), at: now, users: map[string]time.Time{}, line: map[string]time.Time{}}
		s.buckets[key] = b
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

	if d.CoolDownFor > 0 || d.Throttled > 0 {
		b.heard = now
	}
	g := token.Grant{Heeded: b.pace > 0 || !b.heard.IsZero() && now.Sub(b.heard) < time.Minute}
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
		if d.Pace >= token.Unlimited {
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
	paced := g.Pace < token.Unlimited
	switch {
	case d.CoolDownFor > 0:
		hold := d.CoolDownFor
		if d.TooLong {
			hold = min(hold, holdAtMost)
			b.retry = later(b.retry, now.Add(d.CoolDownFor))
		}
		b.until = later(b.until, now.Add(hold))
		b.tokens, b.at, b.number = 1, b.until, b.number+1
		s.publish(m, key, d)
	case paced:
		if now.After(b.at) {
			b.tokens = min(float64(d.Burst), b.tokens+now.Sub(b.at).Seconds()*g.Pace)
			b.at = now
		}
		b.tokens = max(b.tokens, -Horizon.Seconds()*g.Pace)
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
		return t.Add(-clock)
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
		room := b.tokens + Horizon.Seconds()*g.Pace
		g.N = max(0, min(d.N, int(math.Floor(room-float64(ahead)))))
		if others > 0 {
			g.N = min(g.N, max(1, int(room/float64(others+1))))
		}
		if g.N == 0 {
			again := now.Add(time.Duration(max(0, float64(ahead)+1-room)/g.Pace*1e9) + time.Millisecond)
			b.line[m.who] = again.Round(time.Microsecond) // as the script keeps it: of two that come in the same one, the name decides
			g.Again = local(again)
			break
		}
		delete(b.line, m.who)
		b.number++
		b.taken = now
		from := now.Add(time.Duration((1 - b.tokens) / g.Pace * 1e9))
		if past := now.Add(-time.Duration(float64(g.N) / g.Pace * 1e9)); from.Before(past) {
			from = past // of a bucket that is full, the time of the first token may be long ago
		}
		g.Number, g.From = b.number, local(from)
		g.Every = time.Duration(1e9 / g.Pace)
		b.tokens -= float64(g.N)
	}
	b.users[m.who] = now
	for who, at := range b.users {
		if now.Sub(at) > 10*time.Second {
			delete(b.users, who)
		}
	}
	g.Processes = len(b.users)
	if b.until.After(now) {
		g.CoolDownUntil = local(b.until)
		if b.retry.After(now) {
			g.RetryAt = local(b.retry)
		}
	}
	return g
}

// rank is how many processes are ahead of one in line, and whether it stands there.
func (b *bucket) rank(who string) (ahead int, in bool) {
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

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
