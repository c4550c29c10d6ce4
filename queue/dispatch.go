package queue

import (
	"context"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A dispatcher decides which lane sends next. It looks for lanes with something ready, and serves
// each in a goroutine. There it waits for slots and turns, claims jobs, and hands them to the sender.
type dispatcher struct {
	*base
	*board
	holder *holder
	sender *sender

	complained string                  // the last error about campaigns that was told
	campaigns  map[string]*campaignDoc // by name: those that were read at the last look
}

const (
	// After a look the dispatcher pauses for lookPause times as long as the look has taken, within
	// leastPause and mostPause. So ten thousand lanes leave the machine time for other work. What
	// comes meanwhile ends the pause, unless the look has taken longer than the pause so far.
	lookPause   = 4
	leastPause  = 10 * time.Millisecond
	mostPause   = 100 * time.Millisecond
	lookAtLeast = time.Second
	storePause  = time.Second
	probePause  = 100 * time.Millisecond
)

// dispatch starts a goroutine for each lane in which something is ready, until ctx ends.
func (d *dispatcher) dispatch(ctx context.Context) error {
	troubled := false
	for ctx.Err() == nil {
		start := time.Now()
		next, err := d.look(ctx, start)
		switch {
		case err == nil:
			troubled = false
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it has failed because the worker ends
		default:
			if !troubled {
				d.raise(Alert{Kind: AlertStore, Err: err, Advice: adviceStore})
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
			_ = d.engine.Await(ctx, wait) // what fails here fails in look, too
		}
	}
	return nil
}

// pauseAfter bounds a pause.
func pauseAfter(d time.Duration) time.Duration { return min(max(d, leastPause), mostPause) }

// look serves the lanes that may be served now, and returns when to look again.
func (d *dispatcher) look(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(lookAtLeast)
	ready, due, err := d.engine.Work(ctx)
	if err != nil {
		return next, err
	}
	read := time.Now()
	if due < next.Sub(read) {
		next = read.Add(due)
	}
	campaigns, err := d.campaignsOf(ctx, ready)
	if err != nil {
		return next, err
	}
	for _, r := range ready {
		// Jobs may have been enqueued, or may have come back from the wire, after the campaign was cancelled.
		if doc := campaigns[r.Lane.Campaign]; doc != nil && doc.State == CampaignCancelled {
			if _, err := d.engine.CancelWaiting(ctx, doc.name, batch); err != nil {
				return next, err
			}
		}
	}

	var ended []pacer.Resource // whose holds somebody has ended or shortened
	defer func() {
		for _, r := range ended {
			d.client.EndCoolDown(r)
		}
	}()
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := make(map[*lane]bool, len(ready))
	for _, r := range ready {
		l := d.lane(r.Lane)
		seen[l] = true
		if l.claimed.After(now) {
			next = now // what was read is not true any more, as jobs were claimed since
			l.setCampaign(campaigns[r.Lane.Campaign])
			continue
		}
		l.setCampaign(campaigns[r.Lane.Campaign])
		l.ready, l.top = r.Ready, r.Top
		if l.bucket.adopt(r, now, read) {
			ended = append(ended, r.Lane.Resource)
		}
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
		d.wg.Add(1)
		go d.serve(ctx, l)
	}
	d.tidy(seen, now)
	return next, nil
}

// campaignsOf returns the campaigns of lanes, and tells once of those that cannot be read.
func (d *dispatcher) campaignsOf(ctx context.Context, lanes []ReadyLane) (map[string]*campaignDoc, error) {
	var documents []string
	for _, r := range lanes {
		if r.Lane.Campaign != "" {
			documents = append(documents, campaignPrefix+r.Lane.Campaign)
		}
	}
	if len(documents) == 0 { // without a name the engine would return all
		d.campaigns = nil
		return nil, nil
	}
	slices.Sort(documents)
	campaigns, err := loadCampaigns(ctx, d.engine, d.campaigns, slices.Compact(documents)...)
	if err != nil && (campaigns == nil || fatal(err)) {
		return nil, err
	}
	if err != nil && err.Error() != d.complained {
		d.raise(Alert{Kind: AlertStore, Err: err, Advice: adviceStore})
		d.complained = err.Error()
	}
	for name, c := range campaigns {
		if was := d.campaigns[name]; was != nil && was.State == CampaignPaused && c.State == CampaignRunning {
			d.tally.resumed(name, time.Now())
		}
	}
	d.campaigns = campaigns
	return campaigns, nil
}
