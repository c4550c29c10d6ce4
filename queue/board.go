package queue

import (
	"slices"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A board has what a worker knows of its lanes, buckets and accounts during one Run: what is ready,
// and what is held until when. Dispatcher, sender and resolver share it. Its mutex guards all of it.
type board struct {
	mu       sync.Mutex
	lanes    map[Lane]*lane
	buckets  map[pacer.Resource]*bucket
	accounts map[string]*accountHold
	outage   map[pacer.Resource]bool // buckets that are held because nothing reaches Twilio
	tally    tally                   // what was sent; it has a mutex of its own
}

// A lane is what the worker knows of one while something is ready in it.
type lane struct {
	Lane
	bucket *bucket

	// Guarded by the board's mutex.
	served    bool           // a goroutine sends what is ready
	ready     int64          // jobs, as far as is known
	top       pacer.Priority // the highest one that is ready
	claimed   time.Time      // when jobs were last claimed from it
	doc       *campaignDoc   // of its campaign; nil: it has none, or none that can be read
	notBefore time.Time      // it is not served before; zero: it may be
	waitsAs   pacer.Priority // the priority with which it waits for a slot or a turn
	rouse     func()         // ends its wait; nil: it does not wait

	// The serving goroutine's.
	departed int    // jobs claimed since the one that had waited longest
	schedule places // of its campaign
}

// A bucket is what lanes share that differ only in their campaign. The board's mutex guards it.
type bucket struct {
	resource pacer.Resource
	account  *accountHold
	hold     hold
	barred   time.Time // since when Twilio has done nothing for it; zero: it does something

	throttled  int     // holds in a row for throttled answers
	answers    answers // since the last hold
	unanswered int     // attempts in a row that Twilio has not answered properly
	outages    int     // holds in a row for such attempts; above 0 the bucket is on probation

	onWire   int  // requests
	users    int  // lanes, and requests on the wire
	refusing bool // the client's limiter has failed, and nothing was sent since
}

// A hold says until when a bucket is held, in this process and in the store. The zero value says
// that it was never held.
type hold struct {
	until   time.Time // by this process's clock; zero, or past: it is not held
	stored  time.Time // as the store had it last, by the engine's clock; only to see that it has changed
	changed time.Time // when this process has set until last
	since   time.Time // when the last hold began; an attempt from before belongs to the same event
}

// An accountHold is what the buckets of one account share. The board's mutex guards it.
type accountHold struct {
	heldUntil time.Time // zero, or past: it is not held
	since     time.Time // when the last hold began
	stored    time.Time // when the store had it; zero: not yet
	passed    time.Time // when Twilio did something for it last
	refusals  int       // holds in a row; above 0 the account is on probation
	onWire    int       // requests
	buckets   int
}

// clear forgets all that was known.
func (b *board) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lanes, b.buckets, b.accounts = make(map[Lane]*lane), make(map[pacer.Resource]*bucket), make(map[string]*accountHold)
	b.outage = make(map[pacer.Resource]bool)
	b.tally = tally{since: time.Now()}
}

// lane returns the record of a lane, which it makes if there is none. The caller holds the mutex.
func (b *board) lane(key Lane) *lane {
	l, ok := b.lanes[key]
	if !ok {
		of, ok := b.buckets[key.Resource]
		if !ok {
			of = b.bucket(key.Resource)
		}
		of.users++
		l = &lane{Lane: key, bucket: of}
		b.lanes[key] = l
	}
	return l
}

// bucket makes the record of a bucket. The caller holds the mutex.
func (b *board) bucket(r pacer.Resource) *bucket {
	a := b.accounts[r.Account]
	if a == nil {
		a = &accountHold{}
		b.accounts[r.Account] = a
	}
	a.buckets++
	of := &bucket{resource: r, account: a}
	b.buckets[r] = of
	return of
}

// tidy forgets the lanes that are not in ready and are not served, and the buckets that nobody
// uses. The caller holds the mutex.
func (b *board) tidy(ready map[*lane]bool, now time.Time) {
	for key, l := range b.lanes {
		if !ready[l] && !l.served {
			delete(b.lanes, key)
			l.bucket.users--
		}
	}
	for r, of := range b.buckets {
		if !of.idle(now) {
			continue
		}
		delete(b.buckets, r)
		delete(b.outage, r)
		if of.account.buckets--; of.account.buckets == 0 {
			delete(b.accounts, r.Account)
		}
	}
}

// isBarred reports whether an account is held because Twilio does nothing for it.
func (b *board) isBarred(accountSID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[accountSID]
	return a != nil && a.refusals > 0
}

// refusedAccounts returns accounts for which Twilio has done nothing when this worker asked last.
func (b *board) refusedAccounts() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, of := range b.buckets {
		if a := of.resource.Account; (!of.barred.IsZero() || of.account.refusals > 0) && !slices.Contains(all, a) && len(all) < beatAccounts {
			all = append(all, a)
		}
	}
	return all
}

// setCampaign notes the document of the lane's campaign, and rouses the lane if it is another one.
func (l *lane) setCampaign(doc *campaignDoc) {
	same := l.doc == doc || l.doc != nil && doc != nil && l.doc.version == doc.version
	if l.doc = doc; !same && l.rouse != nil {
		l.rouse()
	}
}

// mayGo reports whether the lane's requests may be sent now, and if not, when time alone can
// change that. A zero time says that time alone cannot.
func (l *lane) mayGo(now time.Time) (ok bool, again time.Time) {
	if until := l.bucket.heldUntil(); until.After(now) {
		return false, until
	}
	if l.bucket.room(1) == 0 { // a probe is on the wire
		return false, now.Add(probePause)
	}
	if l.notBefore.After(now) {
		return false, l.notBefore
	}
	if l.Campaign == "" {
		return true, time.Time{}
	}
	if l.doc == nil {
		return false, time.Time{} // its document is damaged, or not written yet
	}
	return l.doc.sendable(now)
}

// idle reports that nobody uses the bucket, and that how often it was held in a row does not
// matter any more.
func (b *bucket) idle(now time.Time) bool {
	return b.users == 0 && now.Sub(b.hold.until) > time.Minute && now.Sub(b.account.heldUntil) > time.Minute
}

// heldUntil returns until when the bucket is held, by itself or with its account.
func (b *bucket) heldUntil() time.Time {
	if b.account.heldUntil.After(b.hold.until) {
		return b.account.heldUntil
	}
	return b.hold.until
}

// room returns how many of n requests may go on the wire. After a hold one goes as a probe, and
// the others wait for what becomes of it.
func (b *bucket) room(n int) int {
	probing := b.outages > 0 && b.onWire > 0 || b.account.refusals > 0 && b.account.onWire > 0
	switch {
	case probing:
		return 0
	case b.outages > 0 || b.account.refusals > 0:
		return min(n, 1)
	}
	return n
}

// depart counts n requests that go on the wire. If n is below 0, they come back from it.
func (b *bucket) depart(n int) {
	b.onWire += n
	b.users += n
	b.account.onWire += n
}

// adopt takes over what the store says of the bucket's hold, if somebody has changed it there.
// A hold that was lifted there ends here, too, and so does one of the account. The store was read
// between look and read. adopt reports whether a hold ends earlier now.
func (b *bucket) adopt(r ReadyLane, look, read time.Time) (earlier bool) {
	if a := b.account; r.Held == 0 && a.heldUntil.After(read) && !a.stored.IsZero() && a.stored.Before(look) {
		a.heldUntil, earlier = time.Time{}, true
	}
	h := &b.hold
	if r.Parked.Equal(h.stored) || !h.changed.Before(look) {
		return earlier
	}
	if r.Held > 0 { // another process has taken an answer at its word
		b.answers.spare(read.Add(r.Held), r.Held)
	}
	until := read.Add(r.Held)
	earlier = earlier || until.Add(leastEarlier).Before(h.until)
	h.stored, h.until = r.Parked, until
	return earlier
}

// leastEarlier is by how much a hold must end earlier to count as ended by somebody.
const leastEarlier = 100 * time.Millisecond
