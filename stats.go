package pacer

import (
	"fmt"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Stats is what a client has done within the last minute, and what it is doing now.
// Get it with [Client.Stats].
type Stats struct {
	Time   time.Time
	Window time.Duration // that the counts go back: 60 to 70 s, less for a younger client; setting the clock does not change it

	Counts     // of all requests
	Calls  int // calls that have returned
	GaveUp int // of these, those that failed although they may be sent again: retries exhausted and the like
	Failed int // of these, those that failed otherwise

	Alerts map[AlertKind]int // raised since the client was made, however long ago; never nil

	// UndeliveredAlerts counts, since the client was made, what a function of [WithAlert] has
	// not got because 1,000 alerts waited for it already. 0: none.
	UndeliveredAlerts int

	Waiting  int // calls that wait now: for their turn, or for their next attempt
	InFlight int // requests on the wire now

	// Accounts and Buckets say what the limiter does; they are empty if it is not a
	// [BucketLimiter]. Buckets has the most recently used ones, 1,000 at most, of the
	// BucketsInAll that have been used within a minute or so.
	Accounts     []AccountStats
	Buckets      []BucketStats
	BucketsInAll int

	// Store is how the limiter stands with what shares its buckets with other processes;
	// nil: nothing does.
	Store *StoreStats
}

// Counts counts requests, which are attempts: a call that is throttled once makes two.
type Counts struct {
	Requests  int           // that were answered, or failed
	Throttled int           // of these, those that were answered with "too many requests"
	Retries   int           // of these, those that were not the first attempt of their call
	Waits     int           // requests that had to wait for their turn
	Waited    time.Duration // all of their waiting
}

// ThrottledRatio is the share of the requests that were throttled, from 0 to 1; 0 if
// there were none.
func (c Counts) ThrottledRatio() float64 { return float64(c.Throttled) / float64(max(c.Requests, 1)) }

// RequestsPerSecond is the mean over the window.
func (s Stats) RequestsPerSecond() float64 { return perSecond(s.Requests, s.Window) }

func perSecond(n int, d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1) }

// BucketStats is one bucket of a [BucketLimiter].
type BucketStats struct {
	Resource Resource // Sender may be a phone number: no label for metrics
	Counts            // within [Stats.Window], or since the bucket was made

	Waiting  int           // calls in its turnstile now; those that sleep between attempts are not
	InFlight int           // its requests on the wire now
	Rate     float64       // requests/s as configured, or pacer's default; 0: there is none, or it is [Unlimited]
	Pace     float64       // requests/s at which it sends now, at most, with a [BucketStore] all processes together; 0: it is not paced
	Learned  float64       // requests/s, the limit as far as throttling has shown it; 0: it has not
	CoolDown time.Duration // left of it; 0: none
}

// AccountStats is one account of a [BucketLimiter], in one region.
type AccountStats struct {
	Account, Region string
	InFlight        int // requests on the wire now
	MaxInFlight     int // as configured; 0: no limit
	Learned         int // as far as throttling has shown it; 0: it has not
	Waiting         int // buckets whose next request waits for a slot now
}

// Stats returns what the client has done within the last minute. It takes some
// microseconds for each bucket in use, 1,000 at most, and may be called as often as a
// dashboard wants.
func (c *Client) Stats() Stats {
	s := c.cfg.recorder.stats(time.Now())
	if l, ok := c.cfg.limiter.(interface{ describe(*Stats) }); ok { // a BucketLimiter, or what embeds one
		l.describe(&s)
	}
	return s
}

// The rolling window is a minute in slots of ten seconds: the six before the present
// one count in full.
const (
	slotLength = 10 * time.Second
	slots      = 7
)

// since is the time of t by a clock that showed the wall clock's time at start and is never
// set afterwards: the wall clock may be set back, and counts must go on. It stands still while
// the machine is suspended.
func since(start, t time.Time) time.Duration {
	return time.Duration(start.UnixNano()) + t.Sub(start)
}

func slotOf(start, t time.Time) int64 { return int64(since(start, t) / slotLength) }

// A recorder counts for [Client.Stats], without a lock: calls add to counters of the
// present slot. Only the first call of each ten seconds locks, to empty a slot.
type recorder struct {
	start    time.Time
	waiting  atomic.Int64
	inFlight atomic.Int64
	alarmed  atomic.Bool

	undelivered atomic.Int64
	ring        [slots + 1]slot // one more than is read: a late writer does not spoil what is read
	mu          sync.Mutex
	alerts      map[AlertKind]int // guarded by mu
}

type slot struct {
	number                             atomic.Int64
	requests, throttled, retries       atomic.Int64
	narrow                             atomic.Int64 // of throttled
	calls, gaveUp, failed, waits, nano atomic.Int64
}

func newRecorder() *recorder { return &recorder{start: time.Now(), alerts: map[AlertKind]int{}} }

// slot returns that of now.
func (r *recorder) slot(now time.Time) *slot {
	n := slotOf(r.start, now)
	s := &r.ring[uint64(n)%uint64(len(r.ring))]
	if s.number.Load() != n {
		r.mu.Lock()
		defer r.mu.Unlock()
		if s.number.Load() != n { // a later number is of a clock that was wrong
			for _, c := range []*atomic.Int64{&s.requests, &s.throttled, &s.narrow, &s.retries, &s.calls, &s.gaveUp, &s.failed, &s.waits, &s.nano} {
				c.Store(0)
			}
			s.number.Store(n)
		}
	}
	return s
}

func (r *recorder) waited(now time.Time, d time.Duration) {
	s := r.slot(now)
	s.waits.Add(1)
	s.nano.Add(int64(d))
}

func (r *recorder) called(now time.Time, err error) {
	s := r.slot(now)
	s.calls.Add(1)
	if err == nil {
		return
	}
	if _, throttled := FromError(err); throttled {
		s.gaveUp.Add(1)
	} else {
		s.failed.Add(1)
	}
}

func (r *recorder) raised(kind AlertKind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts[kind]++
}

// requested counts one attempt of c's.
func (r *recorder) requested(c *call, throttled bool, now time.Time) {
	s := r.slot(now)
	s.requests.Add(1)
	if c.attempts > 1 {
		s.retries.Add(1)
	}
	if throttled {
		s.throttled.Add(1)
		if c.last != nil && c.last.Scope.Narrow() {
			s.narrow.Add(1)
		}
	}
	if throttled || r.alarmed.Load() {
		r.alarm(c, now)
	}
}

// alarm raises [AlertThrottled], once until the share has halved. It goes through the
// slots with each throttled request, and with every request while the alarm is on.
func (r *recorder) alarm(c *call, now time.Time) {
	var requests, throttled int64
	for s := range r.recent(now) {
		requests += s.requests.Load()
		throttled += s.throttled.Load() - s.narrow.Load()
	}
	share := float64(throttled) / float64(max(requests, 1))
	above := c.cfg.alarmAbove
	switch {
	case above == 0:
	case share < above/2:
		r.alarmed.Store(false)
	case share > above && requests >= int64(c.cfg.alarmFrom) && r.alarmed.CompareAndSwap(false, true):
		c.cfg.raise(Alert{
			Kind: AlertThrottled, Time: now, Resource: c.resource, Advice: adviceThrottled,
			Err: fmt.Errorf("%d of the last minute's %d requests were throttled (%.1f %%), the last one for %v", throttled, requests, 100*share, c.resource),
		})
	}
}

func (r *recorder) recent(now time.Time) iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		n := slotOf(r.start, now)
		for i := range r.ring {
			s := &r.ring[i]
			if age := n - s.number.Load(); age >= 0 && age < slots && !yield(s) {
				return
			}
		}
	}
}

func (r *recorder) stats(now time.Time) Stats {
	s := Stats{Time: now, Window: windowAt(now, r.start), Waiting: int(r.waiting.Load()), InFlight: int(r.inFlight.Load()), UndeliveredAlerts: int(r.undelivered.Load())}
	r.mu.Lock()
	s.Alerts = maps.Clone(r.alerts)
	r.mu.Unlock()
	for slot := range r.recent(now) {
		s.Requests += int(slot.requests.Load())
		s.Throttled += int(slot.throttled.Load())
		s.Retries += int(slot.retries.Load())
		s.Calls += int(slot.calls.Load())
		s.GaveUp += int(slot.gaveUp.Load())
		s.Failed += int(slot.failed.Load())
		s.Waits += int(slot.waits.Load())
		s.Waited += time.Duration(slot.nano.Load())
	}
	return s
}

// windowAt is how far back the slots go, for what began at start.
func windowAt(now, start time.Time) time.Duration {
	oldest := since(start, now) - time.Duration(slotOf(start, now)-slots+1)*slotLength
	return min(oldest, now.Sub(start))
}

// A history is a bucket's share of the same: smaller, and guarded by the limiter's lock.
type history struct {
	number int64 // of the present slot
	ring   [slots]tally
}

type tally struct {
	requests, throttled, retries, waits uint32
	waited                              time.Duration
}

// now returns the present slot, and empties those that nothing was counted in. start is when
// the limiter was made.
func (h *history) now(start, t time.Time) *tally {
	n := slotOf(start, t)
	if n < h.number-1 { // not just a request that was late at the lock
		*h = history{}
	}
	for i := max(h.number+1, n-slots+1); i <= n; i++ {
		h.ring[i%slots] = tally{}
	}
	h.number = max(h.number, n)
	return &h.ring[h.number%slots]
}

// count takes in a request that has ended.
func (b *bucket) count(o Outcome, now time.Time) {
	h := b.counts.now(b.limiter.start, now)
	h.requests++
	if o.Throttled {
		h.throttled++
	}
	if o.Retry {
		h.retries++
	}
}

func (h *history) counts(start, t time.Time) (c Counts) {
	h.now(start, t)
	for _, s := range h.ring {
		c.Requests += int(s.requests)
		c.Throttled += int(s.throttled)
		c.Retries += int(s.retries)
		c.Waits += int(s.waits)
		c.Waited += s.waited
	}
	return c
}

// maxListed bounds what Stats copies while it holds the limiter's lock.
const maxListed = 1000

func (l *BucketLimiter) describe(s *Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.BucketsInAll = len(l.buckets)
	if l.shared != nil {
		store := l.storeStats()
		s.Store = &store
	}
	for e := l.byAge.Back(); e != nil && len(s.Buckets) < maxListed; e = e.Prev() {
		b := e.Value.(*bucket)
		pace, learned := b.pace(), b.evidence.Learned()
		if leased := b.leased(); leased.Shared() {
			pace, learned = leased.Pace(), leased.Learned()
		}
		s.Buckets = append(s.Buckets, BucketStats{
			Resource: b.resource,
			Counts:   b.counts.counts(l.start, s.Time),
			Waiting:  b.line.Len(),
			InFlight: b.slots.Own.InFlight(),
			Rate:     finite(b.allowed.rate),
			Pace:     finite(pace),
			Learned:  learned,
			CoolDown: max(0, b.cooldown.remaining(s.Time)),
		})
	}
	for key, g := range l.gates {
		if key.resource == "" {
			s.Accounts = append(s.Accounts, AccountStats{
				Account: key.account, Region: key.region,
				InFlight: g.InFlight(), MaxInFlight: g.Limit, Learned: g.Learned, Waiting: g.Waiting(),
			})
		}
	}
}

// finite is a rate as Stats has it: 0 where there is none. Unlimited is a number that says
// nothing to people, and JSON has no infinity.
func finite(rate float64) float64 {
	if rate >= Unlimited {
		return 0
	}
	return rate
}
