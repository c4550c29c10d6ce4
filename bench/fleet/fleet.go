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

// A scenario is a fleet's way of life.
type scenario struct {
	Name, What string
	limit      int
	processes  int
	length     time.Duration // measured
	demand     float64       // requests/s, all together; 0: as many as pass
	churn      time.Duration // between a process killed and another started; 0: never
	outage     time.Duration // for which Redis is stopped in the middle; 0: it is not
	conditions
	workers int           // of each process; 0: 20
	warmUp  time.Duration // before the time that is measured; 0: 2 s
	late    float64       // share of Redis' answers that are late by lateBy
	alone   bool          // the same load is sent by one process without Redis at the same time

	// What is expected at least and at most; 0: not checked. leastAlone is of what the process without
	// Redis reaches, leastOwn what the smallest process has of an equal share, mostTrips round trips a second.
	leastRate, mostThrottled, leastShare, mostAsked, mostThrottledAway float64
	leastAlone, leastOwn, mostTrips                                    float64
}

// lateBy is by how much late answers of Redis are late.
const lateBy = 300 * time.Millisecond

// atWork returns how many workers a process has.
func (s scenario) atWork() int {
	if s.workers > 0 {
		return s.workers
	}
	return workers
}

const workers = 20

func scenarios(short bool) []scenario {
	long := func(d time.Duration) time.Duration {
		if short {
			return d / 4
		}
		return d
	}
	return []scenario{
		{Name: "steady", What: "eight processes at a limit of 100/s", limit: 100, processes: 8, length: long(40 * time.Second),
			leastRate: 0.97, mostThrottled: 0.005, leastShare: 0.5},
		{Name: "churn", What: "a process killed and another started every 5 s", limit: 100, processes: 8, length: max(long(40*time.Second), 10500*time.Millisecond), churn: 5 * time.Second,
			leastRate: 0.93, mostThrottled: 0.01},
		{Name: "outage", What: "Redis stopped in the middle", limit: 100, processes: 8, length: max(long(40*time.Second), 12*time.Second), outage: max(long(10*time.Second), 4*time.Second),
			mostThrottledAway: 0.05},
		{Name: "busy", What: "eight processes at a limit of 1,000/s", limit: 1000, processes: 8, length: long(20 * time.Second),
			mostThrottled: 0.005, mostAsked: 0.12}, // 0.1 is usual; how many callers wait when a process asks is up to the scheduler
		{Name: "below", What: "eight processes that want 1,000/s of 2,000/s", limit: 2000, processes: 8, demand: 1000, length: long(20 * time.Second),
			mostThrottled: 0.005},
		usual(scenario{Name: "answers-1", What: "answers of 50 to 350 ms, 5 senders of 1/s", limit: 5, processes: 4, length: long(40 * time.Second), conditions: varying(5)}),
		usual(scenario{Name: "answers-5", What: "the same at 5/s each", limit: 25, processes: 4, length: long(20 * time.Second), conditions: varying(5)}),
		usual(scenario{Name: "answers-20", What: "the same at 20/s each", limit: 100, processes: 4, length: long(20 * time.Second), conditions: varying(5)}),
		usual(scenario{Name: "late", What: "5 % of Redis' answers are late by 300 ms", limit: 100, processes: 4, length: long(20 * time.Second), late: 0.05}),
		usual(scenario{Name: "slots", What: "16 senders of 1/s, MaxInFlight 4", limit: 16, processes: 2, workers: 16, length: long(40 * time.Second),
			conditions: conditions{Senders: 16, MaxInFlight: 4, Shortest: 240 * time.Millisecond, Longest: 240 * time.Millisecond}}),
		usual(scenario{Name: "many", What: "100 processes of one caller", limit: 20, processes: 100, workers: 1, warmUp: 15 * time.Second, length: long(60 * time.Second), mostTrips: 100}),
		usual(scenario{Name: "noise", What: "2 % are throttled whatever is sent", limit: 100, processes: 8, length: long(40 * time.Second), conditions: conditions{Noise: 0.02}}),
	}
}

// usual returns a scenario of which is expected that it is as good as without Redis.
func usual(s scenario) scenario {
	s.alone, s.leastAlone, s.leastOwn, s.mostThrottled = true, 0.95, 0.5, 0.005
	return s
}

func varying(senders int) conditions {
	return conditions{Senders: senders, Shortest: 50 * time.Millisecond, Longest: 350 * time.Millisecond}
}

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
