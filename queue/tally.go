package queue

import (
	"slices"
	"sync"
	"time"
)

// This file counts what a worker sends, so that it can tell its pace.

const (
	paceBeats = 6   // beats over which a pace is measured
	beatRates = 100 // campaigns of a heartbeat at most
)

// A tally counts the requests that were sent since the heart has asked last. It is safe for concurrent use.
type tally struct {
	mu    sync.Mutex
	since time.Time
	now   beatCount   // since then
	beats []beatCount // the last ones
}

// A beatCount is what was sent between two beats.
type beatCount struct {
	took time.Duration
	all  int64
	sent map[string]int64     // by campaign
	from map[string]time.Time // when campaigns were resumed, of which sent begins with that
	end  time.Time
}

// add counts a request as sent. campaign is "" for one of none.
func (t *tally) add(campaign string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now.all++; campaign == "" {
		return
	}
	if t.now.sent == nil {
		t.now.sent = make(map[string]int64)
	}
	t.now.sent[campaign]++
}

// resumed forgets what a campaign has sent until now, so that its pause is no part of its pace.
func (t *tally) resumed(campaign string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.beats {
		delete(b.sent, campaign)
	}
	delete(t.now.sent, campaign)
	if t.now.from == nil {
		t.now.from = make(map[string]time.Time)
	}
	t.now.from[campaign] = now
}

// paces returns requests per second over the last 30 s: of all, and of each campaign since it began or was resumed.
func (t *tally) paces(now time.Time) (all float64, of map[string]float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.took, t.now.end = now.Sub(t.since), now
	t.beats = append(t.beats, t.now)
	if len(t.beats) > paceBeats {
		t.beats = slices.Delete(t.beats, 0, 1)
	}
	t.since, t.now = now, beatCount{}
	counts, spans, total, took := make(map[string]int64), make(map[string]time.Duration), int64(0), time.Duration(0)
	for _, b := range t.beats {
		for name := range spans {
			spans[name] += b.took
		}
		for name, n := range b.sent {
			counts[name] += n
			if _, began := spans[name]; !began {
				spans[name] = b.lasted(name)
			}
		}
		total += b.all
		took += b.took
	}
	of = make(map[string]float64, min(len(counts), beatRates))
	for name, n := range counts {
		if spans[name] > 0 && len(of) < beatRates {
			of[name] = float64(n) / spans[name].Seconds()
		}
	}
	if took > 0 {
		all = float64(total) / took.Seconds()
	}
	return all, of
}

// lasted returns for how much of the time between the beats a campaign's requests were counted.
func (b *beatCount) lasted(campaign string) time.Duration {
	if from, resumed := b.from[campaign]; resumed {
		return b.end.Sub(from)
	}
	return b.took
}
