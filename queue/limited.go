package queue

import (
	"context"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file finds out what limits a campaign, from the lanes, their holds and what workers say.

// A CampaignLimit is what keeps a campaign from going faster.
type CampaignLimit string

// What limits campaigns.
const (
	LimitedByRate   CampaignLimit = "its rate"           // CampaignOptions.Rate: it goes as fast as it is to
	LimitedBySender CampaignLimit = "the sender's limit" // the limits of the worker's client, or what it has learned
	LimitedByHold   CampaignLimit = "a hold"             // all of its buckets that have something waiting: see Queue.Holds
	LimitedByWindow CampaignLimit = "its window"         // or its Start
	LimitedByPause  CampaignLimit = "a pause"            // Campaign.Pause
	LimitedByWorker CampaignLimit = "the workers"        // none lives, or all that live have as much on the wire as they may
)

const (
	nearly  = 0.9              // share of a rate from which on a campaign keeps it
	settled = 30 * time.Second // so long has a campaign run before its pace is believed
)

// A scene is what is known of a queue at one moment.
type scene struct {
	lanes []LaneStats
	beats []heartbeat // of the workers that live
	dead  []heartbeat // of those that have vanished
	holds []Hold      // none is looked for if no lane is held
	at    time.Time   // by the engine's clock
	now   time.Time   // by this process's
}

// scene looks at all that limits campaigns and lanes.
func (q *Queue) scene(ctx context.Context) (s scene, err error) {
	if s.lanes, err = q.engine.Stats(ctx); err != nil {
		return s, err
	}
	all, at, err := q.workers(ctx)
	if err != nil {
		return s, err
	}
	s.at, s.now = at, time.Now()
	for _, b := range all {
		if b.alive(at) {
			s.beats = append(s.beats, b)
		} else {
			s.dead = append(s.dead, b)
		}
	}
	if slices.ContainsFunc(s.lanes, func(l LaneStats) bool { return l.Parked.After(at) }) {
		s.holds, err = q.Holds(ctx)
	}
	return s, err
}

// busy reports whether there are workers, all of which have on the wire nearly as much as they may.
func (s *scene) busy() bool {
	for _, b := range s.beats {
		if float64(b.OnWire) < nearly*float64(b.Concurrency) {
			return false
		}
	}
	return len(s.beats) > 0
}

// buckets returns the buckets for which requests wait, by BucketKey. Their paces are those of all workers together.
func (s *scene) buckets() map[string]beatBucket {
	of := make(map[string]beatBucket)
	for _, b := range s.beats {
		for _, bucket := range b.Buckets {
			bucket.Pace += of[bucket.Key].Pace
			of[bucket.Key] = bucket
		}
	}
	return of
}

// senders returns the paces of the buckets in which a lane that keep chooses waits for its turn, all workers
// together, by BucketKey.
func (s *scene) senders(keep func(Lane) bool) map[string]float64 {
	of, paces := s.buckets(), make(map[string]float64)
	for _, l := range s.lanes {
		if l.Ready == 0 || !keep(l.Lane) {
			continue
		}
		if b, waits := of[BucketKey(l.Lane.Resource)]; waits {
			paces[b.Key] = b.Pace
		}
	}
	return paces
}

// heldUntil returns until when all lanes that keep chooses and that have something ready are held, by the
// engine's clock. The zero time means that one of them is not held, or that nothing is ready.
func (s *scene) heldUntil(keep func(Lane) bool) (until time.Time) {
	for _, l := range s.lanes {
		switch {
		case l.Ready == 0 || !keep(l.Lane):
		case !l.Parked.After(s.at):
			return time.Time{}
		case until.IsZero() || l.Parked.Before(until):
			until = l.Parked
		}
	}
	return until
}

// barredAccounts returns the accounts for which Twilio does nothing.
func (s *scene) barredAccounts() map[string]bool {
	barred := make(map[string]bool)
	for _, h := range s.holds {
		if h.Resource == (pacer.Resource{Account: h.Resource.Account}) && h.Reason == HoldUnauthorized {
			barred[h.Resource.Account] = true
		}
	}
	return barred
}

// barred reports whether something ready of the lanes that keep chooses is of such an account. Then nobody knows when it
// goes on.
func (s *scene) barred(keep func(Lane) bool) bool {
	accounts := s.barredAccounts()
	return slices.ContainsFunc(s.lanes, func(l LaneStats) bool {
		return l.Ready > 0 && keep(l.Lane) && accounts[l.Lane.Resource.Account]
	})
}

// limit fills in what limits the campaign, and puts the ETA right by the pace that is really kept.
func (c *campaignDoc) limit(p *Progress, s *scene) {
	for _, b := range s.beats {
		p.Pace += b.Campaigns[c.name]
	}
	own := func(l Lane) bool { return l.Campaign == c.name }
	switch {
	case p.Waiting == 0 || p.State == CampaignCancelled || p.State == CampaignDone:
		return
	case p.State == CampaignPaused:
		p.LimitedBy = LimitedByPause
		return
	case p.State == CampaignScheduled || p.State == CampaignClosed:
		p.LimitedBy, p.LimitedUntil = LimitedByWindow, p.NextOpen
		return
	case len(s.beats) == 0:
		p.LimitedBy = LimitedByWorker
		return
	}
	from, senders, allowed := s.now, s.senders(own), 0.0
	for _, pace := range senders {
		allowed += pace
	}
	kept := p.Pace
	if kept <= 0 || s.at.Sub(c.Created) < settled {
		if kept = c.Rate; len(senders) > 0 {
			kept = min(kept, allowed)
		}
	}
	held := s.heldUntil(own)
	switch {
	case !held.IsZero():
		p.LimitedBy, p.LimitedUntil = LimitedByHold, held
		if s.barred(own) {
			p.ETA = time.Time{}
			return
		}
		from = s.now.Add(held.Sub(s.at))
	case len(senders) > 0 && allowed < c.Rate:
		p.LimitedBy = LimitedBySender
	case s.busy() && p.Pace < nearly*c.Rate:
		p.LimitedBy = LimitedByWorker
	case kept >= nearly*c.Rate:
		p.LimitedBy = LimitedByRate
		kept = c.Rate
	case len(senders) > 0:
		p.LimitedBy = LimitedBySender
	default:
		p.LimitedBy = LimitedByRate // it has just begun, or was slowed down a moment ago
	}
	p.ETA = c.eta(from, float64(p.Waiting)/kept)
}
