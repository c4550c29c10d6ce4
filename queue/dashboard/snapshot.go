package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// This file reads the queue for all who look, and hands each of them the same snapshot.

const (
	lookEvery  = 2500 * time.Millisecond // between two snapshots while somebody looks
	idleAfter  = 15 * time.Second        // without a request nobody looks any more
	storeTakes = 30 * time.Second        // so long may a snapshot take
	foremost   = 8                       // lanes and campaigns on the overview
)

// A snapshot is what pages show. Nobody changes it.
type snapshot struct {
	overview  overview
	event     []byte // the overview, as a server-sent event
	lanes     []lane // what matters comes first
	campaigns []campaign
	workers   []worker
	holds     []hold
}

// An overview is the first page, and what every page knows.
type overview struct {
	Time      string     `json:"time"`            // by the store's clock
	Error     string     `json:"error,omitempty"` // why what is shown is old; "": it is not
	Since     string     `json:"since,omitempty"` // when the store failed first, with Error
	Total     lane       `json:"total"`
	Rate      float64    `json:"rate"`    // requests per second that are finished, over half a minute
	Arrival   float64    `json:"arrival"` // and that arrive
	Lanes     int        `json:"lanes"`
	Busy      int        `json:"busy"` // lanes in which something waits
	Workers   int        `json:"workers"`
	Vanished  int        `json:"vanished"` // workers
	Holds     int        `json:"holds"`
	Campaigns int        `json:"campaigns"`
	Limits    bool       `json:"limits"` // they can be seen
	Server    process    `json:"server"` // that serves the page
	Reasons   []reason   `json:"reasons"`
	Foremost  []lane     `json:"foremost"`
	Running   []campaign `json:"running"` // and those that wait or are paused
	Point     *point     `json:"point,omitempty"`
}

// A process is one that serves a dashboard.
type process struct {
	Host  string `json:"host"`
	PID   int    `json:"pid"`
	Works bool   `json:"works"` // it has a worker that lives
}

// is reports whether a worker runs in the process.
func (p *process) is(w *worker) bool { return w.Host == p.Host && w.PID == p.PID }

func (p *process) String() string { return fmt.Sprintf("process %d on %s", p.PID, p.Host) }

// A view has the snapshot of now. It is safe for concurrent use.
type view struct {
	reader    *reader
	q         *queue.Queue       // on the reader
	stats     func() pacer.Stats // nil: none are known
	hasLimits bool
	server    process
	looked    atomic.Int64 // when somebody did so, in nanoseconds since 1970
	again     chan struct{}
	over      chan struct{} // closed at the end
	once      sync.Once

	mu      sync.Mutex
	history history
	now     *snapshot     // nil: there is none yet
	news    chan struct{} // closed when now changes

	names map[queue.Lane]name // only look uses it
}

// A name is what names a lane on a page. It is kept, since there may be 10,000 lanes each time.
type name struct{ id, resource, sender string }

// nobody is an account's SID for a queue that enqueues nothing.
const nobody = "AC00000000000000000000000000000000"

func newView(e queue.Engine) (*view, error) {
	r := &reader{Engine: e, pace: pace{every: askEvery}}
	q, err := queue.Open(r, queue.WithAccount(nobody))
	host, _ := os.Hostname() // heartbeats name the machine in the same way
	return &view{
		reader: r, q: q, again: make(chan struct{}, 1), over: make(chan struct{}),
		server: process{Host: cmp.Or(host, "unknown"), PID: os.Getpid()}, news: make(chan struct{}), names: make(map[queue.Lane]name),
	}, err
}

// run makes snapshots until ctx ends: more of them while somebody looks.
func (v *view) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		idle := time.Since(time.Unix(0, v.looked.Load())) > idleAfter
		if !idle || n%int(pointEvery/lookEvery) == 0 {
			v.look(ctx)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-v.again:
		}
	}
}

// end ends those who wait for a snapshot.
func (v *view) end() { v.once.Do(func() { close(v.over) }) }

// wanted says that somebody looks.
func (v *view) wanted() { v.looked.Store(time.Now().UnixNano()) }

// changed makes a snapshot soon, after a change by a person.
func (v *view) changed() {
	v.reader.forgetJobs()
	v.reader.lanes.forget()
	v.reader.docs.forget()
	v.reader.holds.forget()
	select {
	case v.again <- struct{}{}:
	default:
	}
}

// get returns the snapshot of now, and a channel that is closed when there is another. It waits for the first one.
func (v *view) get(ctx context.Context) (*snapshot, <-chan struct{}, error) {
	for {
		v.mu.Lock()
		now, news := v.now, v.news
		v.mu.Unlock()
		if now != nil {
			return now, news, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-v.over:
			return nil, nil, queue.ErrClosed
		case <-news:
		}
	}
}

// hour returns the points of the last hour.
func (v *view) hour() []point {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.history.ring)
}

// look makes a snapshot. If the store fails, the last one stays, with the error.
func (v *view) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTakes)
	defer cancel()
	s, total, at, err := v.read(context.WithValue(ctx, forAll{}, true))
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		if ctx.Err() == context.Canceled {
			return
		}
		if v.now != nil {
			old := *v.now
			s = &old
			s.overview.Point = nil
		}
		if s.overview.Error == "" {
			s.overview.Since = moment(time.Now())
		}
		s.overview.Error = pacer.MaskNumbers(err.Error())
		v.history.missed = true
	} else {
		throttled := -1.0
		if v.stats != nil {
			if now := v.stats(); now.Requests > 0 {
				throttled = now.ThrottledRatio()
			}
		}
		s.overview.Point = v.history.add(total, at, throttled)
	}
	text, err := json.Marshal(&s.overview)
	if err != nil {
		return // no value in it can fail
	}
	s.event = slices.Concat([]byte("data: "), text, []byte("\n\n"))
	v.now = s
	close(v.news)
	v.news = make(chan struct{})
}

// read asks the store. With an error the snapshot is an empty one.
func (v *view) read(ctx context.Context) (s *snapshot, total *queue.LaneDepth, at time.Time, err error) {
	s = &snapshot{overview: overview{Reasons: []reason{}, Foremost: []lane{}, Running: []campaign{}, Limits: v.hasLimits, Server: v.server}}
	stats, err := v.q.Stats(ctx)
	if err != nil {
		return s, nil, at, err
	}
	progress, err := v.q.Campaigns(ctx)
	if err != nil && progress == nil {
		return s, nil, at, err
	}
	workers, err := v.q.Workers(ctx)
	if err != nil {
		return s, nil, at, err
	}
	holds, err := v.q.Holds(ctx)
	if err != nil {
		return s, nil, at, err
	}
	why, err := v.q.Why(ctx, queue.About{})
	if err != nil {
		return s, nil, at, err
	}
	o := &s.overview
	if len(v.names) > 2*len(stats.Lanes) { // most are of lanes that the store has no more
		clear(v.names)
	}
	for i := range stats.Lanes {
		s.lanes = append(s.lanes, v.laneOf(&stats.Lanes[i], stats.Time))
		if s.lanes[i].busy() {
			o.Busy++
		}
	}
	slices.SortFunc(s.lanes, func(a, b lane) int {
		return cmp.Or(cmp.Compare(b.Ready, a.Ready), cmp.Compare(b.Sending+b.InDoubt+b.Delayed, a.Sending+a.InDoubt+a.Delayed),
			strings.Compare(a.Resource, b.Resource), strings.Compare(a.Campaign, b.Campaign), strings.Compare(a.Sender, b.Sender), strings.Compare(a.ID, b.ID))
	})
	for i := range progress {
		s.campaigns = append(s.campaigns, campaignOf(&progress[i]))
	}
	for i := range workers {
		s.workers = append(s.workers, workerOf(&workers[i]))
		if workers[i].Alive {
			o.Workers++
			o.Server.Works = o.Server.Works || v.server.is(&s.workers[i])
		}
	}
	for i := range holds {
		s.holds = append(s.holds, holdOf(&holds[i]))
	}
	o.Time, o.Total, o.Rate, o.Arrival = moment(stats.Time), v.laneOf(&stats.Total, stats.Time), stats.Total.DepartureRate, stats.Total.ArrivalRate
	o.Lanes, o.Vanished, o.Holds, o.Campaigns = len(s.lanes), len(workers)-o.Workers, len(holds), len(progress)
	o.Reasons = reasonsOf(why)
	for i := range min(foremost, o.Busy) {
		o.Foremost = append(o.Foremost, s.lanes[i])
	}
	for _, c := range s.campaigns {
		if c.State != queue.CampaignDone && c.State != queue.CampaignCancelled && len(o.Running) < foremost {
			o.Running = append(o.Running, c)
		}
	}
	return s, &stats.Total, stats.Time, nil
}

func (v *view) laneOf(l *queue.LaneDepth, now time.Time) lane {
	of, known := v.names[l.Lane]
	if !known && l.Lane != (queue.Lane{}) {
		of = name{l.Lane.ID(), l.Lane.Resource.String(), pacer.MaskNumbers(l.Lane.Resource.Sender)}
		v.names[l.Lane] = of
	}
	held := ""
	if l.Parked.After(now) {
		held = moment(l.Parked)
	}
	return lane{
		of.id, of.resource, l.Lane.Campaign, of.sender, l.Ready, l.Delayed, l.Sending, l.InDoubt, l.Sent, l.Failed, l.Cancelled,
		l.OldestAge.Seconds(), l.DepartureRate, held,
	}
}
