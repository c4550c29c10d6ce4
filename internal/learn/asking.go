package learn

import (
	"math"
	"time"
)

// A limit is kept for some time, and then a little more is asked for, step by step. Asking ends when a
// request is throttled, or when the pace is the configured one. What was accepted before may be accepted again, so the way
// back to it is short: twice as much each second. Where asking was throttled on this way, the limit is between two paces
// that are far apart. So the next way is short only above the pace at which that was.
const (
	keepTime     = 22 * time.Second
	keepRequests = 50
	keepAtMost   = 100 * time.Second
	probeTime    = 2 * time.Second
	probeGain    = 0.035           // per second
	climbGain    = 0.25            // per second
	climbAtMost  = 3 * time.Second // between two requests: a slow pace doubles at most; on the way back 1 s
	cautious     = 1.25
	ledTooFar    = 2 // more distrust; a limit that is accepted to the end of its time takes one off
	mostRefuted  = 3
	farMore      = 1.1 // times the limit before
	soonest      = keepTime / 4
	farBelow     = 0.45 // of what was accepted before: a second may have twice as much as a fixed window lets pass
)

// asked returns the pace while a limit is kept: the limit, and from time to time a little more.
func (r *Rate) asked() float64 {
	pace, asked := r.limit, (r.busy - r.keepFor()).Seconds()
	if asked <= 0 {
		return pace
	}
	if r.kept.soon == soonest {
		asked += probeTime.Seconds() // the first, small steps are left out
	} else {
		pace *= 1 + probeGain*min(asked, probeTime.Seconds())
	}
	climbs := max(0, asked-probeTime.Seconds())
	if r.kept.soon > 0 {
		first := min(climbs, max(0, math.Log(r.kept.tooMuch/pace)/math.Log(1+climbGain)))
		pace *= math.Pow(1+climbGain, first)
		back := min(climbs-first, max(0, math.Log2(r.kept.peak/pace)))
		pace *= math.Exp2(back)
		climbs -= first + back
	}
	pace *= math.Pow(1+climbGain, min(climbs, 3*maxDoublings))
	if r.kept.refuted > 0 { // it has led too far before
		pace = min(pace, cautious*r.limit)
	}
	return pace
}

// keepFor is how long the limit is kept before more is asked for. Buckets of one account ask at different
// times: that all are throttled at once would look like a limit of its requests in flight.
func (r *Rate) keepFor() time.Duration {
	if r.kept.soon > 0 {
		return r.kept.soon
	}
	usual := min(keepAtMost, max(keepTime, time.Duration(keepRequests/max(r.limit, 1e-6)*float64(time.Second))))
	return usual + time.Duration(r.setup.later*float64(keepTime))
}

// Asking reports that the pace is above what is known to be accepted.
func (r *Rate) Asking() bool {
	return r.phase == seeking || r.phase == keeping && r.busy > r.keepFor()
}

// beforeAsking returns the pace that asking had reached a second ago; for a slow one, that of the
// request before the last one.
func (r *Rate) beforeAsking() float64 {
	if r.limit < tooSlow {
		return r.kept.steps[0]
	}
	busy := r.busy
	r.busy -= time.Second
	pace := r.Pace()
	r.busy = busy
	return pace
}

// throttled takes in that a request was throttled. perSecond is how many were accepted within
// the last second. recent is of the last 64 answers at this pace. unsure reports that the answer may
// not be about the pace.
func (r *Rate) throttled(left time.Time, perSecond float64, recent tally, unsure bool, now time.Time) {
	switch {
	case left.Before(r.since):
		return
	case r.phase == trying:
		r.find(r.trying.trial.add(true, left, now), now)
		return
	}
	r.tally.age(now)
	r.tally.add(true, left)
	if r.watches(now) {
		if f := r.trying.trial.relapse(left); f != nothing {
			r.find(f, now)
			return
		}
	}
	if !r.Asking() || unsure || !r.noise.exceeded(&r.tally) && !r.noise.exceeded(&recent) && !r.inVain(now) {
		return
	}
	if r.noise.share > heavyNoise { // a second in which fewer than usual were throttled proves nothing
		perSecond -= min(perSecond, 2*math.Sqrt(perSecond*r.noise.share))
	}
	limit := min(max(r.limit, perSecond/(1-r.noise.share)), r.Pace())
	if r.phase == seeking {
		if r.tally.throttled < r.tally.sent { // else nothing was accepted, and that teaches nothing
			r.pause(limit, now)
			r.keep(limit, now)
		}
		return
	}
	if r.limit < tooSlow { // a window has room for one more than the second shows, at most
		limit = perSecond + 1
	}
	limit = r.limit + max(min(limit, r.beforeAsking())-r.limit, 0)*math.Exp2(-float64(r.kept.refuted))
	r.pause(limit, now)
	raised := limit >= tooSlow && limit > farMore*r.limit
	soon, tooMuch := r.kept.soon*3/2, r.Pace()
	r.become(keeping, limit, now)
	if soon < r.keepFor() {
		r.kept.soon, r.kept.tooMuch = soon, tooMuch
	} else {
		r.kept.peak = limit
	}
	if raised { // the last steps were large, and so the limit is not known well
		r.busy = r.keepFor() - soonest
	}
}

// pause keeps the bucket still for a moment. What was sent above the limit still fills the server's
// window, and what leaves meanwhile would be throttled, too.
func (r *Rate) pause(limit float64, now time.Time) {
	excess := float64(r.tally.sent) + 1 - limit*now.Sub(r.tally.from).Seconds()
	r.news.Pause = time.Duration(min(1, max(1, excess)/limit) * float64(time.Second))
}

// inVain reports that asking has led to many more requests that are sent, and to no more that are
// accepted. Noise that is known may else hide this.
func (r *Rate) inVain(now time.Time) bool {
	t := &r.tally
	least := r.limit * now.Sub(t.from).Seconds()
	return r.phase == keeping && float64(t.sent) > cautious*least && float64(t.sent-t.throttled) < farMore*least*(1-r.noise.share)
}

// keep begins to keep a limit that was found. If it is far below what was accepted before, the cause may soon
// be over. Then more is asked for after some seconds, and each time that this fails a bit later.
func (r *Rate) keep(limit float64, now time.Time) {
	r.become(keeping, limit, now)
	if limit < farBelow*r.kept.peak && limit > verySlow {
		r.kept.soon = soonest
	} else {
		r.kept.peak = limit
	}
}
