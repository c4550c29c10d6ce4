package main

import "fmt"

const checked = `nothing lost, nothing doubled, at least 90 % of the possible and at most 5 % of its
requests throttled (known: 97 % and 0.5 %), and go-retryablehttp does not beat it:
that would be losing nothing either and a goodput of more than a point above pacer's`

const (
	subject = "pacer"
	plain   = "go-retryablehttp"

	// aPoint is what two clients' goodput may differ by and still be the same. A
	// window's burst at the end of a minute, and a busy machine, make as much.
	aPoint = 0.01
)

// figures are what is asked of pacer.
type figures struct{ goodput, throttled float64 }

func figuresOf(row string) figures {
	if row == "known" {
		return figures{goodput: 0.97, throttled: 0.005}
	}
	return figures{goodput: 0.90, throttled: 0.05}
}

// missed says which figures pacer missed.
func missed(rows []row) []string {
	var out []string
	for _, r := range rows {
		if r.Client != subject {
			continue
		}
		miss := func(format string, args ...any) {
			out = append(out, r.Scenario+": pacer: "+fmt.Sprintf(format, args...))
		}
		want := figuresOf(r.Scenario)
		if r.Lost > 0 {
			miss("%d lost, expected 0", r.Lost)
		}
		if r.Doubled > 0 {
			miss("%d doubled, expected 0", r.Doubled)
		}
		if g := r.goodput(); g < want.goodput {
			miss("%.1f %% of the possible, expected at least %.0f %%", 100*g, 100*want.goodput)
		}
		if s := r.throttledShare(); s > want.throttled {
			miss("%d of %d requests throttled (%.2f %%), expected at most %g %%", r.Throttled, r.Requests, 100*s, 100*want.throttled)
		}
		for _, peer := range rows {
			if peer.Scenario == r.Scenario && peer.Client == plain && beats(peer, r) {
				miss("beaten by %s: %.1f %% of the possible to %.1f %%, with nothing lost", plain, 100*peer.goodput(), 100*r.goodput())
			}
		}
	}
	return out
}

// beats is whether a peer is better than pacer. One that loses messages is not,
// however many others it got through: there is nobody who sends the lost ones.
func beats(peer, r row) bool {
	return peer.Lost == 0 && peer.goodput() > r.goodput()+aPoint
}
