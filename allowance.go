package pacer

// An allowance is what the rules together say about one resource.
type allowance struct {
	rate   float64 // requests/s; Unlimited
	burst  int
	listed bool // false: no rule and no default; unpaced until throttled

	byDefault *builtin // that the rate is from; nil: the program has set it, or there is none
	rules     *rules   // that a bucket has this from; nil: it is no bucket's yet

	accountInFlight, resourceInFlight, senderInFlight int // 0: no limit
}

// never reports that the resource is not to be paced, by the program's own word.
// Then nothing else sets a pace: neither throttled answers nor the X-Rate-Limit headers.
func (a *allowance) never() bool { return a.listed && a.rate >= Unlimited }

// allow is what the rules say about r, else the defaults.
func (rs *rules) allow(r Resource) allowance {
	a := rs.allowBy(rs.about(r), r)
	if a.listed {
		return a
	}
	kind := kindOf(r.Sender)
	for i := range defaultLimits {
		d := &defaultLimits[i]
		if d.senders == kind && d.limit.matches(r) > 0 {
			a.rate, a.listed, a.byDefault = d.limit.Rate, true, d
			break
		}
	}
	return a
}

// allowBy is what some of the rules say about r. They stand at these places, in order.
func (rs *rules) allowBy(places []int32, r Resource) allowance {
	a := allowance{rate: Unlimited, burst: 1}
	var rate, account, resource, sender int // scores of the rules that count so far
	for _, i := range places {
		l := &rs.limits[i]
		score := l.matches(r)
		if score == 0 {
			continue
		}
		if l.Rate != 0 && score > rate {
			rate = score
			a.rate, a.burst, a.listed = l.Rate, max(l.Burst, 1), true
		}
		if l.MaxInFlight == 0 {
			continue
		}
		scope, limit := &resource, &a.resourceInFlight
		switch {
		case l.Sender != "":
			scope, limit = &sender, &a.senderInFlight
		case l.Resource == "*":
			scope, limit = &account, &a.accountInFlight
		}
		if score > *scope {
			*scope, *limit = score, l.MaxInFlight
		}
	}
	return a
}
