package pacer

import (
	"fmt"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// A recorder counts for [Client.Stats], without a lock: calls add to counters of the
// present slot. Only the first call of each ten seconds locks, to empty a slot.
type recorder struct {
	start    time.Time
	waiting  atomic.Int64
	inFlight atomic.Int64

	alarmAbove float64 // share of the requests throttled; 0: the alarm is off
	alarmFrom  int     // requests in the window
	alarmed    atomic.Bool

	undelivered atomic.Int64
	ring        [periods + 1]period // one more than is read: a late writer does not spoil what is read
	mu          sync.Mutex
	alerts      map[AlertKind]int // guarded by mu
}

type period struct {
	number                             atomic.Int64
	requests, throttled, retries       atomic.Int64
	narrow                             atomic.Int64 // of throttled
	calls, gaveUp, failed, waits, nano atomic.Int64
}

func newRecorder() *recorder {
	return &recorder{start: time.Now(), alerts: map[AlertKind]int{}, alarmAbove: 0.05, alarmFrom: 100}
}

// slot returns that of now.
func (r *recorder) period(now time.Time) *period {
	n := periodOf(r.start, now)
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
	s := r.period(now)
	s.waits.Add(1)
	s.nano.Add(int64(d))
}

func (r *recorder) called(now time.Time, err error) {
	s := r.period(now)
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

// requested counts one attempt. retry: it is not the first of its call. narrow: its throttled answer
// is about one receiver or object. It returns why [AlertThrottled] must be raised now; nil: it must not.
func (r *recorder) requested(resource Resource, retry, throttled, narrow bool, now time.Time) (alarm error) {
	s := r.period(now)
	s.requests.Add(1)
	if retry {
		s.retries.Add(1)
	}
	if throttled {
		s.throttled.Add(1)
		if narrow {
			s.narrow.Add(1)
		}
	}
	if throttled || r.alarmed.Load() {
		return r.alarm(resource, now)
	}
	return nil
}

// alarm is due once until the share has halved. It reads all periods with each throttled
// request, and with every request while it is on.
func (r *recorder) alarm(resource Resource, now time.Time) error {
	var requests, throttled int64
	for s := range r.recent(now) {
		requests += s.requests.Load()
		throttled += s.throttled.Load() - s.narrow.Load()
	}
	share := float64(throttled) / float64(max(requests, 1))
	switch {
	case r.alarmAbove == 0:
	case share < r.alarmAbove/2:
		r.alarmed.Store(false)
	case share > r.alarmAbove && requests >= int64(r.alarmFrom) && r.alarmed.CompareAndSwap(false, true):
		return fmt.Errorf("%d of the last minute's %d requests were throttled (%.1f %%), the last one for %v", throttled, requests, 100*share, resource)
	}
	return nil
}

func (r *recorder) recent(now time.Time) iter.Seq[*period] {
	return func(yield func(*period) bool) {
		n := periodOf(r.start, now)
		for i := range r.ring {
			s := &r.ring[i]
			if age := n - s.number.Load(); age >= 0 && age < periods && !yield(s) {
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
