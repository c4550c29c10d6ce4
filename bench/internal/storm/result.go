package storm

import (
	"math"
	"slices"
	"time"
)

// A Result is what is to be known of a run. Durations that are Never did not come.
type Result struct {
	Possible  float64 // calls accepted in the measured time by a clairvoyant client
	Accepted  int     // in the measured time; those that failed for another reason than a throttle are among them
	Cold      int     // requests of streams that are not hot, in the measured time, but for those that were throttled
	Throttled int     // requests in the measured time
	Noise     int     // of these, those that were refused at random, whatever the client did
	Worst     float64 // accepted, of the possible, in the worst minute of the measured time; -1: no minute had 10 possible calls
	Calls     int     // that ended in the whole run
	Lost      int     // of these, those that ended with an error

	Mean, P99 time.Duration // of the calls that ended in the measured time, from due to answered; of those that are not hot

	// HasTrouble: there was a trouble that ended. From its end on, every bucket was at half of its old rate after Half, and
	// at 95 % after Most. HalfCool and MostCool are the same, from the end of the bucket's cool-down.
	HasTrouble                     bool
	Half, Most, HalfCool, MostCool time.Duration

	// Starved is the most tokens that others had, each in the mean, while one had fewer than five and always had work. Each
	// is a caller of a bucket, or a sender that takes turns in the account's permits. 10 is the most that is fair.
	Starved float64

	Head time.Duration // for which the head of a line waited beyond its cool-down, the longest
}

// Never is a time that did not come within the run.
const Never = time.Duration(math.MaxInt64)

const (
	half = 0.5
	most = 0.95
)

func (r *Record) result(now time.Duration) Result {
	res := Result{Calls: r.calls, Lost: r.lost, Noise: r.noise, Cold: r.cold, Worst: -1, HasTrouble: r.scene.Trouble.To > 0, Mean: mean(r.waits), P99: percentile(r.waits, 99)}
	m := r.scene.Measured
	first, last := int(m.From/time.Second), int(min(m.To, now)/time.Second)
	for _, b := range r.buckets {
		b.line.look(now)
		res.Head = max(res.Head, b.line.longest)
		res.Starved = max(res.Starved, b.turns.end(now))
	}
	if r.senders != nil {
		res.Starved = max(res.Starved, r.senders.end(now))
	}
	worst := math.Inf(1)
	for from := first; from < last; from += 60 {
		possible, accepted := 0.0, 0
		for name, b := range r.buckets {
			for at := from; at < min(from+60, last); at++ {
				possible += r.possible[name][at]
				accepted += int(b.accepted[at])
				res.Throttled += int(b.throttled[at])
			}
		}
		res.Possible += possible
		res.Accepted += accepted
		if possible >= aMinutesWork {
			worst = min(worst, float64(accepted)/possible)
		}
	}
	if !math.IsInf(worst, 1) {
		res.Worst = worst
	}
	if res.HasTrouble {
		for name := range r.buckets {
			res.Half = max(res.Half, r.recovered(name, half, r.scene.Trouble.To, now))
			res.Most = max(res.Most, r.recovered(name, most, r.scene.Trouble.To, now))
			cooled := max(r.scene.Trouble.To, r.buckets[name].cooled)
			res.HalfCool = max(res.HalfCool, r.recovered(name, half, cooled, now))
			res.MostCool = max(res.MostCool, r.recovered(name, most, cooled, now))
		}
	}
	return res
}

// aMinutesWork is how many calls have to be possible in a minute for its share to mean something.
const aMinutesWork = 10

// old is the rate of a bucket before the trouble, in calls/s, as far as it is possible after it.
func (r *Record) old(bucket string) float64 {
	b, tr := r.buckets[bucket], r.scene.Trouble
	to := int(tr.From / time.Second)
	from := max(0, to-60)
	if from == to {
		from, to = 0, 1
	}
	n := 0
	for at := from; at < to; at++ {
		n += int(b.accepted[at])
	}
	after := 0.0
	p := r.possible[bucket]
	start := min(int(tr.To/time.Second)+1, len(p))
	for _, v := range p[start:] {
		after += v
	}
	return min(float64(n)/float64(to-from), after/float64(max(1, len(p)-start)))
}

// recovered is how long after from a bucket was at a share of its old rate. The first window of some seconds with so many
// accepted requests began then. Trickles are given longer windows.
func (r *Record) recovered(bucket string, share float64, from, now time.Duration) time.Duration {
	old := r.old(bucket)
	if old == 0 {
		return 0
	}
	window := int(math.Ceil(min(120, max(5, 20/old))))
	need := int(math.Floor(share*old*float64(window) + 1e-6))
	accepted := r.buckets[bucket].accepted
	begin := int((from + time.Second - 1) / time.Second)
	for at := begin; at+window <= int(now/time.Second); at++ {
		n := 0
		for _, a := range accepted[at : at+window] {
			n += int(a)
		}
		if n >= need {
			return time.Duration(at)*time.Second - from.Truncate(time.Second)
		}
	}
	return Never
}

// allRecovered reports whether every bucket is back.
func (r *Record) allRecovered(now time.Duration) bool {
	if r.scene.Trouble.To == 0 {
		return true
	}
	for name, b := range r.buckets {
		if r.recovered(name, most, max(r.scene.Trouble.To, b.cooled), now) == Never {
			return false
		}
	}
	return true
}

func mean(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	sum := 0.0
	for _, d := range ds {
		sum += float64(d)
	}
	return time.Duration(sum / float64(len(ds)))
}

func percentile(ds []time.Duration, p int) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[(len(ds)*p+99)/100-1]
}

// Merge sums the results of runs of the same scene with different seeds. It adds counts, takes the mean of waits and of the
// worst minute, and takes the longest of what must not be long.
func Merge(all []Result) Result {
	if len(all) == 0 {
		return Result{}
	}
	sum := Result{HasTrouble: all[0].HasTrouble}
	for _, r := range all {
		n := time.Duration(len(all))
		sum.Possible += r.Possible
		sum.Accepted += r.Accepted
		sum.Cold += r.Cold
		sum.Throttled += r.Throttled
		sum.Noise += r.Noise
		sum.Worst += r.Worst / float64(len(all))
		sum.Calls += r.Calls
		sum.Lost += r.Lost
		sum.Mean += r.Mean / n
		sum.P99 += r.P99 / n
		sum.Half = max(sum.Half, r.Half)
		sum.Most = max(sum.Most, r.Most)
		sum.HalfCool = max(sum.HalfCool, r.HalfCool)
		sum.MostCool = max(sum.MostCool, r.MostCool)
		sum.Head = max(sum.Head, r.Head)
		sum.Starved = max(sum.Starved, r.Starved)
	}
	return sum
}
