package storm

import (
	"slices"
	"time"
)

// A Record is what has come of a run.
type Record struct {
	scene    *Scene
	possible map[string][]float64
	buckets  map[string]*bucketRecord
	waits    []time.Duration // of the calls that ended in the measured time, but of hot streams only if there are no others
	hasOther bool            // there are streams that are not hot

	senders     *turns // buckets as they take turns in the account's permits; nil: that is not asked
	cold        int    // requests in the measured time that were not throttled, of streams that are not hot
	noise       int    // requests that were refused at random in the measured time
	calls, lost int    // that ended, in the whole run; and those that ended with an error
}

// A bucketRecord is what has come of one bucket.
type bucketRecord struct {
	accepted, throttled []uint32      // in each second
	cooled              time.Duration // when the last cool-down that a trouble began ends, at the latest
	line                line
	turns               turns // of its callers, if they always have work
	sender              *taker
}

func newRecord(sc *Scene) *Record {
	r := &Record{scene: sc, possible: sc.Possible(), buckets: map[string]*bucketRecord{}}
	for i := range sc.Streams {
		s := &sc.Streams[i]
		r.hasOther = r.hasOther || !s.Hot
		if n := seconds(sc.End) + 1; r.buckets[s.Bucket] == nil {
			r.buckets[s.Bucket] = &bucketRecord{accepted: make([]uint32, n), throttled: make([]uint32, n), turns: turns{least: max(time.Second, 2*sc.Latency.SlowFor)}}
		}
	}
	r.takeTurns()
	return r
}

func (r *Record) begun(c *Call, now time.Duration) {
	if !c.Stream.Hot {
		r.buckets[c.Stream.Bucket].line.join(c, now)
	}
}

func (r *Record) arrived(c *Call, refusedBy *Rule, unsent bool, now time.Duration) {
	b := r.buckets[c.Stream.Bucket]
	c.attempts++
	if !c.Stream.Hot {
		b.line.left(c, now)
	}
	counts := b.throttled
	if refusedBy == nil {
		r.took(c, now)
		if !c.Stream.Hot && r.scene.Measured.Has(now) {
			r.cold++
		}
	}
	if unsent {
		return
	}
	if refusedBy == nil {
		counts = b.accepted
	} else if _, noise := refusedBy.Model.(Random); noise && r.scene.Measured.Has(now) {
		r.noise++
	}
	if at := int(now / time.Second); at < len(counts) {
		counts[at]++
	}
}

func (r *Record) throttled(c *Call, by *Rule, now time.Duration) {
	b := r.buckets[c.Stream.Bucket]
	hold, header := by.hold(max(1, c.attempts))
	if header {
		hold += time.Second // the most that the article adds
	}
	until := now + min(hold, longestWait)
	if !c.Stream.Hot {
		b.line.held = max(b.line.held, until)
		b.line.rejoin(c, until)
	}
	r.rests(c, until)
	if by.Trouble || r.scene.Trouble.Has(now) && r.scene.Trouble.To > 0 {
		b.cooled = max(b.cooled, until)
	}
}

func (r *Record) ended(c *Call, lost bool, now time.Duration) {
	if !c.Stream.Hot {
		r.buckets[c.Stream.Bucket].line.gone(c, now)
	}
	r.calls++
	if lost {
		r.rests(c, now+afterLoss)
		r.lost++
	}
	if r.scene.Measured.Has(now) && (!c.Stream.Hot || !r.hasOther) {
		r.waits = append(r.waits, now-c.began)
	}
}

// A line is who waits in one bucket, and for how long its head has waited with nothing but a learned rate in its way. Hot
// streams are left out: what is held for them alone is no line.
type line struct {
	waiting int
	since   time.Duration // since when somebody has waited without a break
	last    time.Duration // when the last one left
	held    time.Duration // until when a throttled answer asks to wait, at the latest
	later   []rejoining   // throttled calls, by when they wait again
	longest time.Duration // that a head has waited beyond all of these
}

type rejoining struct {
	call *Call
	at   time.Duration
}

func (l *line) join(c *Call, now time.Duration) {
	l.advance(now)
	if l.waiting == 0 {
		l.since = now
	}
	l.waiting++
	c.waiting = true
}

func (l *line) rejoin(c *Call, at time.Duration) {
	i, _ := slices.BinarySearchFunc(l.later, at, func(r rejoining, at time.Duration) int { return int(r.at - at) })
	l.later = slices.Insert(l.later, i, rejoining{c, at})
}

// advance lets those wait whose time has come.
func (l *line) advance(now time.Duration) {
	n := 0
	for n < len(l.later) && l.later[n].at <= now {
		if l.waiting == 0 {
			l.since = l.later[n].at
		}
		l.waiting++
		l.later[n].call.waiting = true
		n++
	}
	l.later = l.later[n:]
}

// left takes in that c has been sent. It may be earlier than the model had it: nobody has waited then.
func (l *line) left(c *Call, now time.Duration) {
	l.advance(now)
	l.look(now)
	l.gone(c, now)
	l.last = now
}

func (l *line) gone(c *Call, now time.Duration) {
	l.advance(now)
	if c.waiting {
		l.waiting--
		c.waiting = false
		return
	}
	if i := slices.IndexFunc(l.later, func(r rejoining) bool { return r.call == c }); i >= 0 {
		l.later = slices.Delete(l.later, i, i+1)
	}
}

// look notes how long the head has waited.
func (l *line) look(now time.Duration) {
	l.advance(now)
	if l.waiting > 0 {
		l.longest = max(l.longest, now-max(l.since, l.last, l.held))
	}
}
