package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// This file has what "pacer top" asks the store.

const (
	lookTakes = 10 * time.Second // so long may the store take for one look
	whyEvery  = 5 * time.Second  // Queue.Why is not for every second
)

// A glance is an engine for one look. It asks the store each question once, and answers the same again until forget.
type glance struct {
	queue.Engine // the store itself

	lanes answer[[]queue.LaneStats]
	docs  answer[[]queue.Document]
	holds answer[[]queue.Hold]
	clock answer[time.Time]
}

// An answer is what the store has said in this look; nil: it was not asked.
type answer[T any] struct{ value *T }

func (a *answer[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	if a.value != nil {
		return *a.value, nil
	}
	v, err := ask(ctx)
	if err == nil {
		a.value = &v
	}
	return v, err
}

func (g *glance) forget() { *g = glance{Engine: g.Engine} }

func (g *glance) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	lanes, err := g.lanes.get(ctx, g.Engine.Stats)
	return slices.Clone(lanes), err
}

func (g *glance) Holds(ctx context.Context) ([]queue.Hold, error) {
	holds, err := g.holds.get(ctx, g.Engine.Holds)
	return slices.Clone(holds), err
}

func (g *glance) Now(ctx context.Context) (time.Time, error) { return g.clock.get(ctx, g.Engine.Now) }

// Documents takes all documents at once, and chooses from these.
func (g *glance) Documents(ctx context.Context, names ...string) (found []queue.Document, err error) {
	all, err := g.docs.get(ctx, func(ctx context.Context) ([]queue.Document, error) { return g.Engine.Documents(ctx) })
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		if len(names) == 0 || slices.Contains(names, d.Name) {
			found = append(found, d)
		}
	}
	return found, nil
}

// A sight is what looks at the store have found.
type sight struct {
	stats     queue.Stats // its lanes are those that matter, most waiting first
	campaigns []queue.Progress
	workers   []queue.WorkerStatus
	holds     []queue.Hold
	reasons   []queue.Reason // up to 5 s older than the rest
	answered  time.Time      // when the store has answered last, by this process's clock; zero: never
	trouble   string         // why it has not answered now; "": it has
	warning   string         // what was wrong with its answer; "": nothing
}

// A looker looks at the store, again and again. It is not safe for concurrent use.
type looker struct {
	glance *glance
	q      *queue.Queue // on the glance
	last   sight
	asked  time.Time     // when Queue.Why was asked last
	took   time.Duration // it has taken so long
}

func newLooker(e queue.Engine, opts ...queue.Option) (*looker, error) {
	g := &glance{Engine: e}
	q, err := queue.Open(g, opts...)
	return &looker{glance: g, q: q}, err
}

// look looks once, by ten queries or fewer. If the store fails, what was found before stays, with the error.
func (l *looker) look(ctx context.Context) (sight, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTakes)
	defer cancel()
	l.glance.forget()
	s, err := l.ask(ctx)
	if err != nil {
		l.last.trouble = oneLine(err)
		return l.last, err
	}
	s.answered = time.Now()
	l.last = s
	return s, nil
}

func (l *looker) ask(ctx context.Context) (s sight, err error) {
	if s.stats, err = l.q.Stats(ctx); err != nil {
		return s, err
	}
	if s.workers, err = l.q.Workers(ctx); err != nil {
		return s, err
	}
	if s.holds, err = l.q.Holds(ctx); err != nil {
		return s, err
	}
	if s.campaigns, err = l.q.Campaigns(ctx); err != nil {
		s.warning = oneLine(err) // of one campaign that this version cannot read; the store has answered above
	}
	if s.reasons = l.last.reasons; l.asked.IsZero() || time.Since(l.asked) >= max(whyEvery, 9*l.took) {
		began := time.Now()
		if s.reasons, err = l.q.Why(ctx, queue.About{}); err != nil {
			return s, err
		}
		l.asked = time.Now()
		l.took = l.asked.Sub(began)
	}
	s.sort()
	return s, nil
}

// oneLine returns an error as it is shown: without numbers, and in one line.
func oneLine(err error) string { return plain(pacer.MaskNumbers(err.Error())) }

// sort puts first what matters most.
func (s *sight) sort() {
	s.stats.Lanes = slices.DeleteFunc(s.stats.Lanes, func(l queue.LaneDepth) bool { return l.Ready+l.Delayed+l.Sending+l.InDoubt == 0 })
	slices.SortFunc(s.stats.Lanes, func(a, b queue.LaneDepth) int {
		return cmp.Or(cmp.Compare(b.Ready, a.Ready), cmp.Compare(b.Delayed+b.Sending+b.InDoubt, a.Delayed+a.Sending+a.InDoubt),
			strings.Compare(a.Lane.Campaign, b.Lane.Campaign), strings.Compare(queue.BucketKey(a.Lane.Resource), queue.BucketKey(b.Lane.Resource)))
	})
	slices.SortStableFunc(s.campaigns, func(a, b queue.Progress) int { // they come in the order of their names
		return cmp.Or(cmp.Compare(over(a.State), over(b.State)), cmp.Compare(b.Waiting, a.Waiting))
	})
	slices.SortStableFunc(s.workers, func(a, b queue.WorkerStatus) int { return cmp.Compare(living(&a), living(&b)) })
}

// over is 1 for a campaign that will send nothing more.
func over(s queue.CampaignState) int {
	if s == queue.CampaignDone || s == queue.CampaignCancelled {
		return 1
	}
	return 0
}

// living is 1 for a worker that lives. One that has vanished is what an operator looks for.
func living(w *queue.WorkerStatus) int {
	if w.Alive {
		return 1
	}
	return 0
}

// pace returns the requests per second that all workers together send.
func (s *sight) pace() (sum float64) {
	for _, w := range s.workers {
		if w.Alive {
			sum += w.Pace
		}
	}
	return sum
}

// lanesInJSON is how many lanes "pacer top --json" prints at most, of 10,000 that there may be.
const lanesInJSON = 20

// topInfo is a line of "pacer top --json". Its parts are those of queue stats, why, workers and hold list.
type topInfo struct {
	Time      string         `json:"time"`    // of the numbers, by the store's clock; "": it has never answered
	Error     string         `json:"error"`   // the store does not answer, and the rest is as old as time says
	Warning   string         `json:"warning"` // such as a campaign that cannot be read
	Total     depth          `json:"total"`
	Pace      float64        `json:"pace"` // requests per second over the last 30 s, by all workers
	Reasons   []reason       `json:"reasons"`
	Campaigns []campaignInfo `json:"campaigns"`
	Lanes     []depth        `json:"lanes"`     // those with most waiting
	LanesBusy int            `json:"lanesBusy"` // lanes in which something waits, is sent or is in doubt
	Workers   []workerInfo   `json:"workers"`
	Holds     []holdInfo     `json:"holds"`
}

func (a *app) topOf(s *sight) topInfo {
	i := topInfo{
		Time: moment(s.stats.Time), Error: s.trouble, Warning: s.warning, Total: a.depthOf(s.stats.Total, s.stats.Time), Pace: s.pace(),
		LanesBusy: len(s.stats.Lanes), Reasons: []reason{}, Campaigns: []campaignInfo{}, Lanes: []depth{}, Workers: []workerInfo{}, Holds: []holdInfo{},
	}
	for n := range s.reasons {
		i.Reasons = append(i.Reasons, a.reasonOf(&s.reasons[n]))
	}
	for _, p := range s.campaigns {
		i.Campaigns = append(i.Campaigns, infoOf(p))
	}
	for _, l := range s.stats.Lanes[:min(lanesInJSON, len(s.stats.Lanes))] {
		i.Lanes = append(i.Lanes, a.depthOf(l, s.stats.Time))
	}
	for n := range s.workers {
		i.Workers = append(i.Workers, workerOf(&s.workers[n]))
	}
	for n := range s.holds {
		i.Holds = append(i.Holds, a.holdOf(&s.holds[n]))
	}
	return i
}
