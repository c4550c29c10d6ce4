package queue

import (
	"context"
	"fmt"
	"time"
)

// This file raises an alert when more arrives than is sent.

const (
	growthWindow  = 10 * time.Second
	growthWindows = 6 // in each of which more was ready than in the one before, while the worker sent
)

// watch raises AlertGrowing, once for each time that the queue grows, and again only
// after it has shrunk to half of what it was then.
func (b *base) watch(ctx context.Context) error {
	var g growth
	store := &trouble{n: &b.notifier, kind: AlertStore, advice: adviceStore, what: "reading how much waits"}
	for pause(ctx, growthWindow) {
		s, err := b.q.Stats(ctx)
		if err != nil {
			store.failed(ctx, err)
			continue
		}
		store.worked()
		if g.grows(s.Total.Ready, s.Total.Departed) {
			b.raise(Alert{Kind: AlertGrowing, Advice: adviceGrowing, Lane: fastest(s), Err: fmt.Errorf(
				"%d requests are ready, more than a minute ago; %.3g a second arrive, %.3g are sent; the first has waited for %v",
				s.Total.Ready, s.Total.ArrivalRate, s.Total.DepartureRate, s.Total.OldestAge.Round(time.Second))})
		}
	}
	return nil
}

// A growth watches from window to window whether the queue grows.
type growth struct {
	ready, departed int64 // in the last window
	known           bool  // there was a last window
	risen           int   // windows in a row in which more was ready than before
	alarmed         int64 // the depth at the alert; 0: none, or it is over
}

// grows takes the depth of a window, and reports whether it is time for an alert.
func (g *growth) grows(ready, departed int64) bool {
	busy := departed > g.departed
	if g.known && ready > g.ready && busy {
		g.risen++
	} else {
		g.risen = 0
	}
	g.ready, g.departed, g.known = ready, departed, true
	if ready < g.alarmed/2 || ready == 0 {
		g.alarmed = 0
	}
	if g.risen < growthWindows || g.alarmed > 0 {
		return false
	}
	g.alarmed = ready
	return true
}

// fastest is the lane that grows most.
func fastest(s Stats) (most Lane) {
	by := 0.0
	for _, l := range s.Lanes {
		if grows := l.ArrivalRate - l.DepartureRate; grows > by {
			most, by = l.Lane, grows
		}
	}
	return most
}
