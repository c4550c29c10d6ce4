package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A row is what came of a scenario.
type row struct {
	Scenario  string  `json:"scenario"`
	What      string  `json:"what"`
	Limit     int     `json:"limit"`
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"perSecond"` // accepted by the fake
	OfLimit   float64 `json:"ofLimit"`
	Throttled float64 `json:"throttled"`  // share of the requests
	Least     float64 `json:"leastShare"` // the smallest process's part of the largest's; 0: they came and went
	Asked     float64 `json:"roundTripsPerRequest"`
	Lost      int64   `json:"lost"`
	Doubled   int     `json:"doubled"`
	Alerts    int64   `json:"alerts"`
	Own       float64 `json:"leastOwn"`            // what the smallest process has of an equal share; 0: they came and went
	Trips     float64 `json:"roundTripsPerSecond"` // to Redis
	Alone     float64 `json:"alonePerSecond"`      // accepted of one process without Redis; 0: there was none
	OfAlone   float64 `json:"ofAlone"`

	Away *away `json:"away,omitempty"`
}

// away is what happened while Redis was stopped, and afterwards.
type away struct {
	OfLimit   float64 `json:"ofLimit"`
	Throttled float64 `json:"throttled"`
	Recovered float64 `json:"recoveredAfterSeconds"` // until the rate of half a second was 90 % of the limit
}

const (
	warmUp = 2 * time.Second
	sample = 50 * time.Millisecond
)

// run lives a scenario through.
func (s scenario) run(ctx context.Context, show func(*run)) (_ row, err error) {
	dir, err := os.MkdirTemp("", "bench-fleet-")
	if err != nil {
		return row{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory for temporary files
	server, err := redistest.Start(dir)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, server.Kill()) }()
	fake := twiliotest.NewServer(s.twilio())
	defer fake.Close()

	r := &run{scenario: s, redis: server, fake: fake, addr: server.Addr}
	if s.late > 0 {
		slow, err := newSlow(server.Addr, s.late)
		if err != nil {
			return row{}, err
		}
		defer slow.Close() //nolint:errcheck // nobody uses it any more
		r.addr = slow.Addr().String()
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if s.alone {
		r.aloneFake = twiliotest.NewServer(s.twilio())
		defer r.aloneFake.Close()
		if r.alone, err = start(r.aloneTask()); err != nil {
			return row{}, err
		}
	}
	for range s.processes {
		if err := r.join(); err != nil {
			return row{}, err
		}
	}
	if err := r.live(ctx, max(s.warmUp, warmUp), show); err != nil {
		return row{}, err
	}
	r.mark()
	if err := r.live(ctx, s.length, show); err != nil {
		return row{}, err
	}
	out := r.row()
	err = r.end()
	out.Lost = r.lost()
	out.Doubled = len(fake.Duplicates())
	return out, err
}

// twilio is the fake that a scenario is sent to.
func (s scenario) twilio() twiliotest.Config {
	n := max(s.Senders, 1)
	return twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: s.limit / n, PerSender: n > 1}}}
}

// aloneTask is that of the process that has the whole load, and no Redis.
func (r *run) aloneTask() task {
	t := task{
		Name: "alone", Fake: strings.TrimPrefix(r.aloneFake.URL, "http://"),
		Workers: r.processes * r.atWork(), Limit: float64(r.limit), Demand: r.demand, conditions: r.conditions,
	}
	t.MaxInFlight *= r.processes
	return t
}

// newSlow forwards to Redis, and has a share of the answers be late.
func newSlow(addr string, share float64) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.Close()
			}()
			go func() {
				defer in.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := out.Read(buf)
					if n > 0 && rand.Float64() < share {
						time.Sleep(lateBy)
					}
					if _, werr := in.Write(buf[:n]); err != nil || werr != nil {
						return
					}
				}
			}()
		}
	}()
	return l, nil
}

// A run is a scenario under way.
type run struct {
	scenario
	redis   *redistest.Server
	fake    *twiliotest.Server
	addr    string     // of Redis, or of what delays its answers
	members []*process // that live

	aloneFake  *twiliotest.Server // nil: nobody sends without Redis
	alone      *process
	aloneFirst int // accepted before the time that counts
	gone       []*process
	joined     int

	began   time.Time
	first   twiliotest.Stats
	counts  map[*process]count
	samples []point
	stopped time.Time // Redis
	back    time.Time
	churned time.Time
}

type point struct {
	at                  time.Time
	accepted, throttled int
}

func (r *run) join() error {
	r.joined++
	t := task{
		Name: fmt.Sprintf("p%d", r.joined), Fake: strings.TrimPrefix(r.fake.URL, "http://"), Redis: r.addr,
		Workers: r.atWork(), Limit: float64(r.limit), Demand: r.demand / float64(r.processes), conditions: r.conditions,
	}
	p, err := start(t)
	if err == nil {
		r.members = append(r.members, p)
	}
	return err
}

func (r *run) mark() {
	r.began, r.first, r.churned = time.Now(), r.fake.Stats(), time.Now()
	r.counts = map[*process]count{}
	for _, p := range r.members {
		r.counts[p] = *p.last.Load()
	}
	r.samples = nil
	if r.alone != nil {
		r.aloneFirst = r.aloneFake.Stats().Accepted
	}
}

// live lets time pass, and do what the scenario has in store.
func (r *run) live(ctx context.Context, d time.Duration, show func(*run)) error {
	tick := time.NewTicker(sample)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < d; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s := r.fake.Stats()
		r.samples = append(r.samples, point{time.Now(), s.Accepted, s.Throttled})
		show(r)
		if r.began.IsZero() {
			continue
		}
		if err := r.happen(time.Since(start)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) happen(after time.Duration) error {
	switch begin := (r.length - r.outage) / 2; {
	case r.outage == 0:
	case r.stopped.IsZero() && after >= begin:
		r.stopped = time.Now()
		return r.redis.Kill()
	case !r.stopped.IsZero() && r.back.IsZero() && after >= begin+r.outage:
		if err := r.redis.Restart(); err != nil {
			return err
		}
		r.back = time.Now()
	}
	if r.churn > 0 && time.Since(r.churned) >= r.churn {
		r.churned = time.Now()
		oldest := r.members[0]
		r.members, r.gone = r.members[1:], append(r.gone, oldest)
		if err := oldest.kill(); err != nil {
			return err
		}
		return r.join()
	}
	return nil
}

// end stops the members that live.
func (r *run) end() (err error) {
	if r.alone != nil {
		err = r.alone.stop()
		r.alone = nil
	}
	for _, p := range r.members {
		_ = p.stdin.Close() // all at once, for they finish what they are at
	}
	for _, p := range r.members {
		err = errors.Join(err, p.stop())
	}
	r.gone, r.members = append(r.gone, r.members...), nil
	return err
}

func (r *run) row() row {
	now := r.fake.Stats()
	spent := time.Since(r.began).Seconds()
	out := row{Scenario: r.Name, What: r.What, Limit: r.limit, Seconds: spent}
	accepted, throttled := now.Accepted-r.first.Accepted, now.Throttled-r.first.Throttled
	out.Rate = float64(accepted) / spent
	out.OfLimit = out.Rate / float64(r.limit)
	out.Throttled = float64(throttled) / float64(max(1, accepted+throttled))
	var sent []int64
	var asked int64
	for _, p := range slices.Concat(r.members, r.gone) {
		c := p.last.Load()
		sent = append(sent, c.Sent-r.counts[p].Sent)
		asked += c.Asked - r.counts[p].Asked
		out.Alerts += c.Alerts
	}
	out.Asked = float64(asked) / float64(max(1, accepted))
	out.Trips = float64(asked) / spent
	if r.alone != nil {
		out.Alone = float64(r.aloneFake.Stats().Accepted-r.aloneFirst) / spent
		out.OfAlone = out.Rate / max(out.Alone, 1e-9)
	}
	if len(r.gone) == 0 {
		out.Least = float64(slices.Min(sent)) / float64(max(1, slices.Max(sent)))
		out.Own = float64(slices.Min(sent)) * float64(len(sent)) / float64(max(1, accepted))
	}
	if !r.back.IsZero() {
		out.Away = r.away()
	}
	return out
}

func (r *run) away() *away {
	a := new(away)
	from, to := r.at(r.stopped), r.at(r.back)
	accepted, throttled := to.accepted-from.accepted, to.throttled-from.throttled
	a.OfLimit = float64(accepted) / to.at.Sub(from.at).Seconds() / float64(r.limit)
	a.Throttled = float64(throttled) / float64(max(1, accepted+throttled))
	const half = 500 * time.Millisecond
	a.Recovered = -1
	for _, p := range r.samples {
		if p.at.Before(r.back.Add(half)) {
			continue
		}
		before := r.at(p.at.Add(-half))
		if float64(p.accepted-before.accepted) >= 0.9*float64(r.limit)*p.at.Sub(before.at).Seconds() {
			a.Recovered = max(0, p.at.Add(-half).Sub(r.back).Seconds())
			break
		}
	}
	return a
}

// at returns the last sample before t.
func (r *run) at(t time.Time) point {
	i, _ := slices.BinarySearchFunc(r.samples, t, func(p point, t time.Time) int { return p.at.Compare(t) })
	return r.samples[max(0, min(i, len(r.samples))-1)]
}

func (r *run) lost() (n int64) {
	for _, p := range r.gone {
		n += p.last.Load().Lost
	}
	return n
}
