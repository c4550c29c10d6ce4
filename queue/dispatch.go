package queue

import (
	"context"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A lane is what the worker knows of one while something is ready in it.
type lane struct {
	Lane
	bucket *bucket

	// Guarded by the worker's mu.
	served  bool
	ready   int64 // as far as is known
	top     pacer.Priority
	claimed time.Time // when it was claimed from last
	doc     *campaignDoc
	again   time.Time // not to be served before
	waitsAs pacer.Priority
	rouse   func() // ends the wait for a turn; nil: it does not wait

	// The serving goroutine's.
	departed int // since the one that had waited longest
	schedule places
}

const (
	// The dispatcher pauses after a look for lookPause times as long as it took, from leastPause
	// to mostPause: with ten thousand lanes it must not do nothing else. What comes meanwhile
	// ends the pause, unless the look has taken longer than the pause so far.
	lookPause   = 4
	leastPause  = 10 * time.Millisecond
	mostPause   = 100 * time.Millisecond
	lookAtLeast = time.Second
	storePause  = time.Second
	probePause  = 100 * time.Millisecond
)

// dispatch starts a goroutine for each lane in which something is ready.
func (w *Worker) dispatch(ctx context.Context) error {
	troubled := false
	for ctx.Err() == nil {
		start := time.Now()
		next, err := w.look(ctx, start)
		switch {
		case err == nil:
			troubled = false
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it has failed because the worker is to end
		default:
			if !troubled {
				w.raise(Alert{Kind: AlertStore, Err: err, Advice: adviceStore})
			}
			if troubled = true; fatal(err) {
				return err
			}
			pause(ctx, storePause)
			continue
		}
		took := time.Since(start)
		again := time.Now().Add(pauseAfter(lookPause * took))
		pause(ctx, pauseAfter(took))
		if wait := max(time.Until(again), min(time.Until(next), lookAtLeast)); wait > 0 && ctx.Err() == nil {
			_ = w.q.engine.Await(ctx, wait) // what fails here fails in look, too
		}
	}
	return nil
}

// pauseAfter bounds a pause.
func pauseAfter(d time.Duration) time.Duration { return min(max(d, leastPause), mostPause) }

// look returns when to look again.
func (w *Worker) look(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(lookAtLeast)
	ready, due, err := w.q.engine.Work(ctx)
	if err != nil {
		return next, err
	}
	read := time.Now()
	if due < next.Sub(read) {
		next = read.Add(due)
	}
	campaigns, err := w.campaignsOf(ctx, ready)
	if err != nil {
		return next, err
	}
	for _, r := range ready {
		// What was enqueued while the campaign was cancelled, or came back from the wire.
		if doc := campaigns[r.Lane.Campaign]; doc != nil && doc.State == CampaignCancelled {
			if _, err := w.q.engine.CancelWaiting(ctx, doc.name, batch); err != nil {
				return next, err
			}
		}
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[*lane]bool, len(ready))
	for _, r := range ready {
		l := w.lane(r.Lane)
		seen[l] = true
		if l.claimed.After(now) {
			next = now // it has been claimed from since: what was read is not true any more
			l.changed(campaigns[r.Lane.Campaign])
			continue
		}
		l.changed(campaigns[r.Lane.Campaign])
		l.ready, l.top = r.Ready, r.Top
		l.bucket.adopt(r, now, read)
		if l.served {
			if l.rouse != nil && l.top > l.waitsAs {
				l.rouse()
			}
			continue
		}
		if ok, again := l.mayGo(now); !ok {
			if !again.IsZero() && again.Before(next) {
				next = again
			}
			continue
		}
		l.served = true
		w.wg.Add(1)
		go w.serve(ctx, l)
	}
	for key, l := range w.lanes {
		if !seen[l] && !l.served {
			delete(w.lanes, key)
			l.bucket.users--
		}
	}
	for r, b := range w.buckets {
		if b.idle(now) {
			w.forget(r, b)
		}
	}
	return next, nil
}

// campaignsOf returns the campaigns of lanes, and tells once of those that cannot be read.
func (w *Worker) campaignsOf(ctx context.Context, lanes []ReadyLane) (map[string]*campaignDoc, error) {
	var documents []string
	for _, r := range lanes {
		if r.Lane.Campaign != "" {
			documents = append(documents, campaignPrefix+r.Lane.Campaign)
		}
	}
	if len(documents) == 0 { // which would ask for all
		w.campaigns = nil
		return nil, nil
	}
	slices.Sort(documents)
	campaigns, err := loadCampaigns(ctx, w.q.engine, w.campaigns, slices.Compact(documents)...)
	if err != nil && (campaigns == nil || fatal(err)) {
		return nil, err
	}
	if err != nil && err.Error() != w.complained {
		w.raise(Alert{Kind: AlertStore, Err: err, Advice: adviceStore})
		w.complained = err.Error()
	}
	w.campaigns = campaigns
	return campaigns, nil
}

// lane returns the lane's record, with mu held.
func (w *Worker) lane(key Lane) *lane {
	l, ok := w.lanes[key]
	if !ok {
		b, ok := w.buckets[key.Resource]
		if !ok {
			b = w.bucket(key.Resource)
		}
		b.users++
		l = &lane{Lane: key, bucket: b}
		w.lanes[key] = l
	}
	return l
}

// bucket makes a bucket, with mu held.
func (w *Worker) bucket(r pacer.Resource) *bucket {
	a := w.accounts[r.Account]
	if a == nil {
		a = &accountHold{}
		w.accounts[r.Account] = a
	}
	a.buckets++
	b := &bucket{resource: r, account: a}
	w.buckets[r] = b
	return b
}

// forget drops a bucket that nobody uses, with mu held.
func (w *Worker) forget(r pacer.Resource, b *bucket) {
	delete(w.buckets, r)
	delete(w.outage, r)
	if b.account.buckets--; b.account.buckets == 0 {
		delete(w.accounts, r.Account)
	}
}

// changed notes the state of the lane's campaign, with mu held.
func (l *lane) changed(doc *campaignDoc) {
	same := l.doc == doc || l.doc != nil && doc != nil && l.doc.version == doc.version
	if l.doc = doc; !same && l.rouse != nil {
		l.rouse()
	}
}

// mayGo reports whether the lane's requests may be sent now, and if not when that can
// change by time alone, with mu held.
func (l *lane) mayGo(now time.Time) (ok bool, again time.Time) {
	if until := l.bucket.until(); until.After(now) {
		return false, until
	}
	if l.bucket.room(1) == 0 { // a probe is on the wire
		return false, now.Add(probePause)
	}
	if l.again.After(now) {
		return false, l.again
	}
	if l.Campaign == "" {
		return true, time.Time{}
	}
	if l.doc == nil {
		return false, time.Time{} // its document is damaged, or not written yet
	}
	return l.doc.sendable(now)
}
