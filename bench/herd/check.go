package main

import "fmt"

const checked = `nothing lost, nothing doubled, and no client delivers more; in the sliding window at most
2 % of its requests throttled and at least 95 % of the limit used`

const (
	maxThrottled = 0.02
	minShare     = 0.95
)

// missed says which figures pacer missed.
func missed(rows []row) []string {
	var out []string
	for _, r := range rows {
		if r.Client != "pacer" {
			continue
		}
		miss := func(format string, args ...any) {
			out = append(out, r.Scenario+": pacer: "+fmt.Sprintf(format, args...))
		}
		if r.Lost > 0 {
			miss("%d lost, expected 0", r.Lost)
		}
		switch {
		case r.Doubled == nil:
			miss("doubled unknown, expected 0")
		case *r.Doubled > 0:
			miss("%d doubled, expected 0", *r.Doubled)
		}
		if r.Scenario == "sliding-window" {
			if s := r.throttledShare(); s > maxThrottled {
				miss("%d of %d requests throttled (%.1f %%), expected at most %.0f %%", r.Throttled, r.Requests, 100*s, 100*maxThrottled)
			}
			if s := r.share(); s < minShare {
				miss("%.1f %% of the limit used, expected at least %.0f %%", 100*s, 100*minShare)
			}
		}
		for _, peer := range rows {
			if peer.Scenario == r.Scenario && peer.Delivered > r.Delivered {
				miss("%d delivered, expected no fewer than %s's %d", r.Delivered, peer.Client, peer.Delivered)
			}
		}
	}
	return out
}
