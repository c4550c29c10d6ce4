package main

import "fmt"

// missed says which figures were missed.
func missed(scenarios []scenario, rows []row) (out []string) {
	for i, r := range rows {
		s := scenarios[i]
		miss := func(format string, args ...any) { out = append(out, s.Name+": "+fmt.Sprintf(format, args...)) }
		if r.OfLimit < s.leastRate {
			miss("%.1f %% of the limit, expected at least %.1f %%", 100*r.OfLimit, 100*s.leastRate)
		}
		if s.mostThrottled > 0 && r.Throttled > s.mostThrottled {
			miss("%.2f %% throttled, expected at most %.2f %%", 100*r.Throttled, 100*s.mostThrottled)
		}
		if r.Least < s.leastShare {
			miss("the smallest process sent %.2f of what the largest did, expected at least %.2f", r.Least, s.leastShare)
		}
		if s.mostAsked > 0 && r.Asked > s.mostAsked {
			miss("%.3f round trips per request, expected at most %.3f", r.Asked, s.mostAsked)
		}
		if s.leastAlone > 0 && r.OfAlone < s.leastAlone {
			miss("%.1f %% of what one process without Redis sends, expected at least %.1f %%", 100*r.OfAlone, 100*s.leastAlone)
		}
		if r.Own < s.leastOwn {
			miss("the smallest process has %.2f of an equal share, expected at least %.2f", r.Own, s.leastOwn)
		}
		if s.mostTrips > 0 && r.Trips > s.mostTrips {
			miss("%.0f round trips a second, expected at most %.0f", r.Trips, s.mostTrips)
		}
		if r.Lost > 0 || r.Doubled > 0 {
			miss("%d lost, %d doubled", r.Lost, r.Doubled)
		}
		if a := r.Away; a != nil {
			if a.Throttled > s.mostThrottledAway {
				miss("%.2f %% throttled while Redis was stopped, expected at most %.2f %%", 100*a.Throttled, 100*s.mostThrottledAway)
			}
			if a.Recovered < 0 || a.Recovered > 2 {
				miss("back to normal after %.1f s (-1: never), expected within 2 s", a.Recovered)
			}
		}
	}
	return out
}
