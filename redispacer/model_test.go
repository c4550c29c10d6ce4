package redispacer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/token"
	"github.com/twilio-pacer/pacer/internal/token/storemodel"
)

// A step of a trace is a demand, and what the model of the store has answered.
type step struct {
	process int
	elapsed time.Duration // since the step before
	demand  pacer.Demand
	at      time.Duration // since the start
	want    token.Grant
	start   time.Time // of the model's time
}

// Simulations of several processes have a model in place of Redis (package storemodel). It must
// give what the script gives: both replay one trace of demands, step for step.
func TestModelOfTheStoreAnswersAsTheScriptDoes(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			var trace []step
			synctest.Test(t, func(t *testing.T) { trace = modelled(seed) })
			first := newBucket(t)
			processes := []*bucket{first}
			for len(processes) < traced {
				processes = append(processes, first.another())
			}
			for i, p := range processes {
				p.lasting, p.store.who = true, fmt.Sprint(i) // of two that come at one time, the name decides
			}
			start := float64(first.time.Load())
			given := 0
			for i, s := range trace {
				first.elapse(s.elapsed)
				got := processes[s.process].take(s.demand)
				if why := differs(got, s, start); why != "" {
					t.Fatalf("step %d, %v after the start, process %d:\n demand %+v\n model  %+v\n script %+v\n %s", i, s.at, s.process, s.demand, s.want, got.Grant, why)
				}
				given += got.N
			}
			if given == 0 {
				t.Error("no tokens were given: the trace tests nothing")
			}
		})
	}
}

const traced = 4 // processes

// modelled returns a trace of random demands, with the model's answers.
func modelled(seed uint64) (trace []step) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	store := storemodel.New[string]()
	store.Change(func(t *storemodel.Trouble) { *t = storemodel.Trouble{} })
	members := make([]*storemodel.Member[string], traced)
	for i := range members {
		members[i] = store.Join(fmt.Sprint(i), func(string, time.Duration, bool) {})
	}
	start := time.Now()
	last, spoke := make([]token.Grant, traced), make([]time.Time, traced)
	for range 400 {
		elapsed := time.Duration(rnd.ExpFloat64()*60_000) * time.Microsecond
		if rnd.IntN(40) == 0 {
			elapsed += time.Second
		}
		time.Sleep(elapsed)
		who := rnd.IntN(traced)
		for i := range spoke { // one that is silent is forgotten, not by both in the same second
			if time.Since(spoke[i]) > 5*time.Second {
				who = i
			}
		}
		d := token.Demand{N: 1 + rnd.IntN(6), Rate: 17.3, Burst: 5, Learn: who != 0, Pace: -1}
		if g := last[who]; g.N > 0 && rnd.IntN(4) == 0 {
			d.Unused, d.Last = 1+rnd.IntN(g.N), g.Number
		}
		if g := last[who]; g.Learner {
			d.Pace, d.Learned = 3+20*rnd.Float64(), 3+20*rnd.Float64()
		}
		if g := last[who]; g.Heeded && rnd.IntN(2) == 0 {
			d.N, d.Accepted, d.Throttled = rnd.IntN(2), rnd.IntN(9), rnd.IntN(3)
		}
		switch rnd.IntN(60) {
		case 0:
			d.N, d.CoolDownFor = 0, time.Duration(1+rnd.IntN(3000))*time.Millisecond
		case 1:
			d.N, d.CoolDownFor, d.TooLong = 0, time.Duration(1+rnd.IntN(3000))*time.Millisecond, true
		case 2:
			d.Back = true
		}
		want, err := members[who].Take("", d)
		if err != nil {
			panic(err)
		}
		last[who], spoke[who] = want, time.Now()
		trace = append(trace, step{who, elapsed, pacer.Demand(d), time.Since(start), want, start})
	}
	return trace
}

// differs says in what the script's answer is not the model's; "" if in nothing. Times may differ
// by what rounding to a microsecond makes of them.
func differs(got answer, s step, start float64) string {
	g, w := got.Grant, s.want
	since := func(at time.Time) float64 { return float64(at.Sub(s.start).Nanoseconds()) / 1e3 }
	same := func(micros float64, want time.Time) bool { return math.Abs(micros-start-since(want)) < 5 }
	near := func(x, y float64) bool { return x == y || math.Abs(x-y) < 1e-9*math.Max(x, y) }
	switch {
	case g.N != w.N:
		return "the number of tokens"
	case g.N > 0 && g.Number != w.Number:
		return "the number of the grant"
	case g.N > 0 && !same(got.from, w.From):
		return fmt.Sprintf("the first token's time: %.0f and %.0f us", got.from-start, since(w.From))
	case g.N == 0 && s.demand.N > 0 && w.CoolDownUntil.IsZero() && !same(got.again, w.Again):
		return fmt.Sprintf("when to ask again: %.0f and %.0f us", got.again-start, since(w.Again))
	case g.CoolDownUntil.IsZero() != w.CoolDownUntil.IsZero() || !w.CoolDownUntil.IsZero() && !same(got.until, w.CoolDownUntil):
		return "the end of the cool-down"
	case g.RetryAt.IsZero() != w.RetryAt.IsZero():
		return "whether calls fail at once"
	case !near(g.Pace, w.Pace) || !near(g.Learned, w.Learned):
		return "the pace, or the limit"
	case g.Processes != w.Processes:
		return "the number of processes"
	case g.Heeded != w.Heeded || g.Learner != w.Learner || g.Accepted != w.Accepted || g.Throttled != w.Throttled:
		return "who learns, or what he is told"
	}
	return ""
}
