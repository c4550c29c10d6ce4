package storm

import (
	"math"
	"time"
)

// fine is the step in which the possible is computed.
const fine = time.Second / 10

// Possible is what a clairvoyant client reaches: the calls accepted in each second of the run, for each bucket.
//
// It knows every rule. So it sends exactly as much as the tightest limit lets pass, and nothing while all is refused. It is
// throttled only by what nobody can foresee, the share that is refused whatever the rate. Those requests count against
// the limits. Their calls wait as the article has it. That is Retry-After and half a second, the mean of 0 to 1 s, or
// without Retry-After 1, 2, 4, 8 and 16 s. Nobody else waits for them. But a caller waits for its call, and so callers that are few can
// be what bounds the rate.
//
// It is computed as a flow, in steps of a tenth of a second, and not by sending.
func (sc *Scene) Possible() map[string][]float64 {
	out := map[string][]float64{}
	flows := make([]flow, len(sc.Streams))
	for i := range sc.Streams {
		flows[i].Stream = &sc.Streams[i]
		out[sc.Streams[i].Bucket] = make([]float64, seconds(sc.End))
	}
	for t := time.Duration(0); t < sc.End; t += fine {
		for i := range flows {
			flows[i].want(sc, t)
		}
		sc.bound(flows, Bucket, sc.toldFor)
		for _, r := range sc.Rules {
			sc.bound(flows, r.Scope, func(f *flow) float64 {
				if !r.applies(f.Stream, t) {
					return unlimited
				}
				perSecond, _ := r.Possible(t, sc.Latency.mean(t))
				return perSecond
			})
		}
		for i := range flows {
			f := &flows[i]
			f.served += f.flows
			out[f.Bucket][t/time.Second] += f.flows * (1 - sc.unsent(t))
		}
	}
	return out
}

// unsent is the share of the requests for which there is no connection at t. Nobody can know of them before, and so they
// cost the pace what others do.
func (sc *Scene) unsent(t time.Duration) (share float64) {
	for _, f := range sc.Failures {
		if f.Unsent && f.Span.Has(t) {
			share += f.Share * (1 - share)
		}
	}
	return share
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// A flow is a stream in one step of the computation.
type flow struct {
	*Stream
	due, served float64
	refused     float64 // share of its requests, whatever the rate
	flows       float64 // calls accepted in this step
}

func (sc *Scene) toldFor(*flow) float64 {
	if sc.Told == 0 {
		return unlimited
	}
	return sc.Told
}

// want sets what would flow in the step at t if there were no limits.
func (f *flow) want(sc *Scene, t time.Duration) {
	f.due = f.Stream.due(t+fine, int(min(f.due, math.MaxInt32)))
	f.flows, f.refused = 0, 0
	shares := make([]float64, len(sc.Rules)) // of the requests that each rule refuses
	for i, r := range sc.Rules {
		if !r.applies(f.Stream, t) {
			continue
		}
		_, share := r.Possible(t, sc.Latency.mean(t))
		shares[i] = r.luck(share) * (1 - f.refused) // those that the rules before have refused do not reach it
		f.refused += shares[i]
	}
	if f.refused > 1-1e-9 {
		return
	}
	// A call has as many attempts as it needs, at most one more than retries, and waits between them.
	accepted, refused := sc.Latency.mean(t).Seconds(), sc.Latency.refused().Seconds()
	busy, reach, lost := 0.0, 1.0, 0.0 // reach: the chance that there is an n-th attempt
	for n := 1; n <= retries+1; n++ {
		busy += reach * ((1-f.refused)*accepted + f.refused*refused)
		again := 0.0
		for i, r := range sc.Rules {
			d, ok := r.wait(n)
			if ok && n <= retries {
				again += shares[i]
				busy += reach * shares[i] * d.Seconds()
			}
		}
		lost += reach * (f.refused - again)
		reach *= again
	}
	busy += lost * afterLoss.Seconds()
	f.flows = float64(f.Callers) * (1 - lost) / busy * fine.Seconds()
	f.flows = max(0, min(f.flows, f.due-f.served))
}

// bound lowers what flows to what a limit lets pass, of each bucket, each object or all together.
func (sc *Scene) bound(flows []flow, scope Scope, perSecond func(*flow) float64) {
	total := map[string]float64{} // requests of each key in this step
	key := func(f *flow) string {
		switch scope {
		case Account:
			return ""
		case Object:
			return f.Object
		}
		return f.Bucket
	}
	for i := range flows {
		f := &flows[i]
		if perSecond(f) < unlimited && f.flows > 0 {
			total[key(f)] += f.flows / (1 - f.refused)
		}
	}
	for i := range flows {
		f := &flows[i]
		allowed := perSecond(f) * fine.Seconds()
		if scope == Object {
			allowed *= float64(max(1, f.Objects))
		}
		if sum := total[key(f)]; allowed < unlimited && sum > allowed {
			f.flows *= allowed / sum
		}
	}
}
