package learn

import (
	"math"
	"time"
)

// Unlimited requests per second are as many as wanted.
const Unlimited = math.MaxFloat64

// A phase is what a Rate does now.
//
//	from      to        when
//	free      seeking   a request was throttled, and there was no pace at all; or an outage has ended
//	free      trying    requests are throttled again and again at the configured pace
//	free      bursting  most requests are throttled at the configured pace, and bursts suit what is accepted
//	seeking   keeping   four of the last 16 were throttled: what was accepted is the limit
//	seeking   free      the pace has become the configured one, or four times what was accepted
//	keeping   trying    requests are throttled again and again at the limit
//	keeping   bursting  so are most of them, and bursts suit the limit
//	keeping   keeping   asking has led too far, or was accepted for long enough; or the way back to a slow limit
//	keeping   free      asking has led up to the configured pace, and that was accepted
//	trying    keeping   the throttled answers have vanished: it was a limit
//	trying    bursting  so they have, and bursts suit the limit
//	trying    trying    it has not helped: still less, up to five times
//	keeping   before    so they are soon after a trial of few answers has found the limit: it is noise
//	trying    before    it has not helped: it is noise, and the pace is what it was
//	bursting  free      more is accepted than of a slow limit, or as much as is configured, or it is noise
//	bursting  seeking   cool-downs are long
//	bursting  keeping   3/s or more are accepted: a pace wastes less
//	any       keeping   Twilio says that nothing remains
//	any       free      it was the account's limit of requests in progress, or the limits are new
type phase uint8

const (
	free     phase = iota // nothing is learned: the pace is the configured one
	seeking               // from a low pace, twice as much each second
	keeping               // at the limit, and from time to time a little more: asking
	trying                // at a little less, to tell a limit from noise
	bursting              // the limit is slow: requests leave as they come, until one is throttled
)

// A Rate is the controller of one bucket's pace.
type Rate struct {
	setup setup
	news  News

	phase   phase
	limit   float64       // requests/s; free: 0
	busy    time.Duration // for which requests have waited for this pace
	last    time.Time     // when a request last left
	strayed time.Time     // when the pace was last free
	since   time.Time     // answers to requests that left before say nothing about this pace
	tally   tally         // of answers since then; trying: the trial has its own
	noise   noise
	kept    kept    // of the limit that is kept
	goal    setting // seeking: where it ends; its limit is 0: not known
	trying  trials
	bursts  burstCoolDowns
}

// setup is what the bucket's owner says.
type setup struct {
	ceiling   float64 // as configured; Unlimited
	frozen    bool    // the pace is always as configured
	processes int     // that send at this pace; 0 and 1: this one alone
	later     float64 // part of the usual time for which a limit is kept longer than in the account's other buckets
}

// kept is about a limit that is kept, and from time to time asked to be more.
type kept struct {
	proven  float64       // a limit that was accepted to the end of its time; 0: none was
	refuted int           // how much asking is distrusted, from 0 to mostRefuted, as it has led too far
	peak    float64       // requests/s that were accepted before the pace was lowered; 0: it was not
	soon    time.Duration // for which a limit far below the peak is kept; 0: as long as others
	tooMuch float64       // pace at which a request was throttled on the way back to the peak; 0: none was
	steps   [2]float64    // paces at which the last two requests left
	full    time.Duration // for which the pace was the configured one
}

// trials are those of a lower pace.
type trials struct {
	before setting   // what to go back to
	trial  trial     // the present one, or the last one
	until  time.Time // the limit that the last one has found is watched
}

// burstCoolDowns are the cool-downs that end bursts.
type burstCoolDowns struct {
	rest   time.Duration // for which the last cool-down lasts, by Twilio's word; 0: it did not say
	costly uint16        // the last cool-downs, a bit each; 1: not empty, and a pace would waste less
	empty  uint16        // the last cool-downs, a bit each; 1: nothing was accepted before it
}

// A setting is a phase and a limit.
type setting struct {
	phase phase
	limit float64
	pace  float64
}

const (
	muchLess     = 8 // is never tried: peak/8
	maxDoublings = 30
	fullTime     = 10 * time.Second
	tooSlow      = 4.0        // requests/s; below, a trial takes too long
	slowest      = 1.0 / 30.0 // requests/s: no head of a line waits longer than 30 s
)

// Pace returns the requests per second that may leave; Unlimited.
func (r *Rate) Pace() float64 {
	pace := r.limit
	switch r.phase {
	case free, bursting:
		return r.setup.ceiling
	case seeking:
		pace *= math.Exp2(min(r.busy.Seconds(), maxDoublings))
	case keeping:
		pace = r.asked()
	}
	return min(max(pace, slowest), r.setup.ceiling)
}

// Learned returns the limit as far as throttling has shown it, in requests/s; 0: it has not.
func (r *Rate) Learned() float64 {
	if r.phase == trying {
		return r.trying.before.limit
	}
	return r.limit
}

// News is what has changed.
type News struct {
	Changed bool          // the pace is another one, other than by asking
	Crowded bool          // requests were throttled at the configured pace, and a little less has helped
	Pause   time.Duration // for which no request should leave, since too many have left before; 0: none
}

// forget drops what was learned about the pace.
func (r *Rate) forget() {
	*r = Rate{setup: setup{ceiling: r.setup.ceiling, frozen: r.setup.frozen, later: r.setup.later, processes: r.setup.processes}, news: News{Changed: r.news.Changed || r.phase != free}, last: r.last, bursts: burstCoolDowns{rest: r.bursts.rest}}
}

// nothingRemains takes in that others use the rest, although only so many requests per second were accepted.
func (r *Rate) nothingRemains(perSecond float64, now time.Time) {
	pace := r.Pace()
	limit := max(perSecond, 1)
	if pace < Unlimited {
		limit = min(max(perSecond, pace/2), pace)
	}
	r.become(keeping, limit, now)
}

// departed is Evidence.Departed.
func (r *Rate) departed(due, now time.Time) {
	last := r.last
	r.last = now
	if r.phase == free || last.IsZero() {
		return
	}
	pace, asked := r.Pace(), r.Asking()
	if due.After(last) {
		waited := min(due.Sub(last), time.Duration(2*r.sharers()*float64(time.Second)/pace))
		if r.phase == keeping {
			climbs := climbAtMost
			if r.kept.soon > 0 {
				climbs = time.Second
			}
			waited = min(waited, max(r.keepFor()-r.busy, 0)+climbs)
		}
		r.busy += waited
		r.kept.steps = [2]float64{r.kept.steps[1], pace}
	}
	pace = r.Pace()
	switch {
	case r.phase == seeking && pace >= r.setup.ceiling:
		r.become(free, 0, now)
	case r.phase == seeking && r.goal.pace > 0 && pace >= r.goal.pace:
		r.become(r.goal.phase, r.goal.limit, now)
	case r.phase == keeping && !asked && r.Asking():
		if r.limit > r.kept.proven {
			r.kept.proven, r.kept.refuted = r.limit, max(r.kept.refuted-1, 0)
		}
		r.begin(now)
	case r.phase == keeping && asked && r.limit < 0.95*r.kept.proven && pace >= r.kept.proven:
		r.become(keeping, r.kept.proven, now) // that was the limit before
	case r.phase == keeping && asked && r.kept.refuted > 0 && r.busy >= r.keepFor()+keepTime/2:
		// It was accepted for long enough. If more is configured, or was accepted before, the next step is due soon.
		r.become(keeping, pace, now)
		if r.setup.ceiling < Unlimited || r.limit < farBelow*r.kept.peak {
			r.busy = max(0, r.keepFor()-soonest)
			r.kept.refuted--
		}
	case r.phase == keeping && pace < r.setup.ceiling:
		r.kept.full = 0
	case r.phase == keeping:
		if r.kept.full += min(now.Sub(last), time.Second); r.kept.full >= fullTime {
			r.become(free, 0, now)
		}
	}
}

// clear has answers count from a second later, unless all requests have paused, or will. Else the server's window is
// full of what was sent before. Other processes do not pause.
func (r *Rate) clear(paused bool) {
	if !paused || r.setup.processes > 1 {
		r.since = r.since.Add(time.Second)
	}
}

// sharers is how many processes send at this pace.
func (r *Rate) sharers() float64 { return float64(max(r.setup.processes, 1)) }

// lag is for how long answers of other processes are not known yet, on average, in seconds.
func (r *Rate) lag() float64 { return 0.5 * (1 - 1/r.sharers()) }

// settles is how long tokens that other processes took at an older pace are used, at most.
const settles = 600 * time.Millisecond

// begin forgets the answers that say nothing about the pace from now on.
func (r *Rate) begin(now time.Time) {
	if r.setup.processes > 1 {
		now = now.Add(settles)
	}
	r.since, r.tally = now, tally{from: now}
}

func (r *Rate) become(p phase, limit float64, now time.Time) {
	if r.setup.frozen {
		return
	}
	if p == free || p == bursting {
		r.kept.proven, r.kept.refuted = 0, 0
	}
	if r.phase == free {
		r.strayed = now
	}
	r.phase, r.limit, r.busy, r.kept.full, r.goal, r.kept.soon, r.kept.tooMuch, r.bursts.empty, r.bursts.costly = p, limit, 0, 0, setting{}, 0, 0, 0, 0
	r.news.Changed = true
	r.begin(now)
}

// accepted takes in that a request which left at the given time was accepted.
func (r *Rate) accepted(left, now time.Time) {
	switch {
	case left.Before(r.since):
	case r.phase == trying:
		r.find(r.trying.trial.add(false, left, now), now)
	default:
		r.tally.add(false, left)
		if r.watches(now) {
			r.trying.trial.tally.add(false, left)
		}
	}
}

// failed is Evidence.Failed.
func (r *Rate) failed(left time.Time) {
	switch {
	case left.Before(r.since):
	case r.phase == trying:
		r.trying.trial.pass()
	default:
		r.tally.pass()
	}
}

// outage reports that nothing at all has been accepted for some time.
func (r *Rate) outage() bool {
	if r.phase == trying {
		return r.trying.trial.outage
	}
	return r.tally.outage
}

// consider begins a trial if requests are throttled again and again at this pace. paused is as for try.
func (r *Rate) consider(paused bool, now time.Time) {
	if r.phase != free && (r.phase != keeping || r.Asking()) || !r.tally.recurs() || r.noise.covers(&r.tally, now) {
		return
	}
	lower := r.lower(&r.tally, now)
	if r.phase == keeping && r.kept.proven > 0 && r.kept.proven < r.limit { // asking has led too far
		lower = max(lower, r.kept.proven)
	}
	r.try(r.tally.share(), lower, paused, now)
}

// lower returns a pace that is a little less than what is accepted at this one.
func (r *Rate) lower(t *tally, now time.Time) float64 {
	p, n, pace := t.share(), float64(t.sent), r.Pace()
	if sent := n / max(now.Sub(t.from).Seconds()-r.lag(), 1); sent > 0.9*pace || pace == Unlimited {
		return sent * (1 - p) * 0.99 // all of the time it has sent as much as it might
	}
	return pace * (1 - min(0.9, p+math.Sqrt(p*(1-p)/n)+0.005))
}

// try begins a trial of a lower pace, after a share of the requests was throttled. paused reports that a cool-down
// has just ended.
func (r *Rate) try(share, pace float64, paused bool, now time.Time) {
	if r.setup.frozen {
		return
	}
	if r.phase == free && r.Pace() < tooSlow { // it would take minutes, and cool-downs cost less
		r.begin(now)
		return
	}
	switch {
	case !r.burstsSuit(pace):
	case 0 < r.kept.proven && r.kept.proven < r.limit: // a pace that has worked is better
		r.become(keeping, max(r.kept.proven, 0.9*r.limit), now)
		return
	case share > most:
		r.become(bursting, pace, now)
		return
	}
	pace = r.notMuchLess(pace, share)
	r.trying.before = setting{r.phase, r.limit, r.Pace()}
	base := r.trying.before.pace
	if base == Unlimited {
		base = pace / (1 - share)
	}
	r.become(trying, pace, now)
	r.clear(paused)
	r.trying.trial = newTrial(share, base, pace, r.noise.share > 0, r.since)
}

// notMuchLess returns the pace to try when so much is throttled. Noise must not lead so far down
// that a trial takes minutes.
func (r *Rate) notMuchLess(pace, share float64) float64 {
	if share > most {
		return pace
	}
	return max(pace, min(r.kept.peak/muchLess, 0.95*r.Pace()))
}

// find does what follows from a trial's finding.
func (r *Rate) find(f finding, now time.Time) {
	t := &r.trying.trial
	switch f {
	case limited:
		r.noise = noise{}
		if r.trying.before.phase == keeping && r.limit == r.kept.proven && r.limit < r.trying.before.limit {
			r.kept.refuted = min(r.kept.refuted+ledTooFar, mostRefuted)
		}
		worked := r.kept.proven > 0 && r.trying.before.limit <= 1.01*r.kept.proven && r.trying.before.limit >= 0.99*r.kept.proven
		if worked {
			r.kept.proven = r.limit // it is no longer the limit
		}
		r.news.Crowded = r.news.Crowded || r.trying.before.phase == free && r.limit > 0.9*r.setup.ceiling
		if !worked && r.burstsSuit(r.limit) {
			r.become(bursting, r.limit, now)
			return
		}
		r.keep(r.limit, now)
		r.busy = max(0, r.keepFor()-keepTime/2)
		t.tally, r.trying.until = tally{from: now}, now.Add(trialTime)
	case noisy:
		r.noise.is((t.tally.share()+t.share)/2, now)
		r.become(r.trying.before.phase, r.trying.before.limit, now)
		r.busy = r.keepFor() // it may ask at once
	case perhaps:
		pace := max(r.lower(&t.tally, now), r.limit/2) // a few answers say little
		if t.tally.share() > 0.2 {
			pace = min(pace, 0.7*r.limit)
			r.news.Pause = time.Second // most windows are full of what was sent before
		}
		pace = r.notMuchLess(pace, t.tally.share())
		r.become(trying, pace, now)
		r.clear(r.news.Pause > 0)
		r.trying.trial = t.next(pace, r.since)
	}
}

// resume begins anew after an outage, before which so many requests per second were accepted. A
// pace that is known needs no search.
func (r *Rate) resume(perSecond float64, now time.Time) {
	if r.setup.ceiling < Unlimited || r.phase != free && r.phase != seeking {
		return
	}
	goal := r.goal
	if goal.pace == 0 {
		goal = setting{free, 0, 4 * perSecond}
	}
	r.become(seeking, max(1, perSecond/2), now)
	r.goal = goal
}
