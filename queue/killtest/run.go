package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// options are what the command line says.
type options struct {
	kills, messages int
	engine          string
	seed            uint64
	json, keep      bool
	pause           bool
	program         string // path of the program pacer; "": workers are the test's own
	timeout         time.Duration

	proxy, gateway bool
	clock          time.Duration
	clockStays     bool
}

// A run is one test: a fake, a store, and children that come and go.
type run struct {
	options
	dir    string // of all files of the test
	store  string
	server server // that the store is on; nil: none
	fake   *twiliotest.Fake
	front  *frontend    // of the fake
	way    *proxy       // to the front; nil: the children need none
	portal *gateway     // at the front; nil: none
	clocks *clocks      // nil: all are right
	q      *queue.Queue // the parent's own, on the same store
	began  time.Time

	left                        atomic.Int64 // kills that are still to be done
	killed, started, midEnqueue atomic.Int64
	outages                     atomic.Int64 // kills of the server
	stored                      atomic.Int64 // requests that the queue has said it has
	alerts                      sync.Map     // counts, by kind
}

// How long a child lives: from when it says that it is up.
const (
	shortest       = 50 * time.Millisecond
	longest        = 800 * time.Millisecond
	longestProduce = 600 * time.Millisecond
	longestUp      = 3 * time.Second // the server, between two kills
	longestDown    = 500 * time.Millisecond
	startTimeout   = 20 * time.Second // of a child, on a busy machine
	drainTimeout   = 2 * time.Minute  // a bucket may be held for one
	unpaced        = 1000.0
)

// do does the whole test and returns what it has found.
func do(ctx context.Context, o options, progress io.Writer) (rep report, err error) {
	r := &run{options: o, began: time.Now()}
	dir, err := os.MkdirTemp("", "pacer-killtest-")
	if err != nil {
		return rep, err
	}
	if o.keep {
		fmt.Fprintln(progress, "the store is kept in", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	r.dir, r.store = dir, filepath.Join(dir, "queue.db")
	var s started
	if start := engines[o.engine].start; start != nil {
		if s, err = start(dir, o.clock != 0); err != nil {
			return rep, err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		r.store, r.server = s.store, s.fails
	}
	if r.q, err = open(task{Engine: o.engine, Store: r.store}); err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, r.q.Close()) }()
	r.fake = twiliotest.New(twiliotest.Config{Latency: latency, ListLag: listLag})
	closeFront, err := r.openFront()
	if err != nil {
		return rep, err
	}
	defer closeFront()

	if o.clock != 0 {
		r.clocks = &clocks{by: o.clock, twilio: r.fake.SetClock, engine: s.clock, counts: make(map[string]int64)}
		if err := r.clocks.set(r.clocks.states() - 1); err != nil {
			return rep, err
		}
	}

	stop := follow(progress, r.state)
	defer stop()
	if o.pause {
		rep.Paces, err = r.campaign(ctx)
	} else {
		err = r.killMany(ctx)
	}
	stop()
	if err == nil {
		err = r.report(ctx, &rep)
	}
	return rep, err
}

// killMany kills while everything goes wrong, and lets the queue recover then.
func (r *run) killMany(ctx context.Context) error {
	r.left.Store(int64(r.kills))
	inject(r.fake, r.seed)
	if err := r.killPhase(ctx); err != nil {
		return err
	}
	r.fake.ClearFaults()
	if err := r.enqueueRest(ctx); err != nil {
		return err
	}
	p, err := r.startWorker(ctx)
	if err != nil {
		return err
	}
	return r.finish(ctx, p)
}

// killPhase kills until enough have died: one worker is always up, another one mostly, and
// now and then a producer.
func (r *run) killPhase(ctx context.Context) error {
	first := r.messages / 4
	if _, err := r.q.EnqueueMany(ctx, items(0, first)); err != nil {
		return err
	}
	r.stored.Store(int64(first))

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	lives := []func(context.Context, *rand.Rand) error{r.worker, r.secondWorker, r.producer}
	if r.server != nil {
		lives = append(lives, r.outage)
	}
	for i, life := range lives {
		all.Go(func() {
			draw := rand.New(rand.NewPCG(r.seed, uint64(10+i)))
			for ctx.Err() == nil && r.left.Add(-1) >= 0 {
				if err := life(ctx, draw); err != nil {
					stop(err)
				}
			}
		})
	}
	over, end := context.WithCancel(ctx)
	defer end()
	var outside sync.WaitGroup
	for i, t := range r.troubles() {
		outside.Go(func() {
			if err := t.strike(over, rand.New(rand.NewPCG(r.seed, uint64(20+i)))); err != nil {
				stop(err)
			}
		})
	}
	all.Wait()
	end()
	outside.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func between(draw *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(draw.Int64N(int64(to-from)))
}

// rate spreads what is sent over the time that the killing takes, some 0.3 s a kill, as
// there are six senders. It is somewhat faster, since nothing is tested by killing a worker
// that has nothing to do. Where senders are held again and again, they are twice as fast in between.
func (r *run) rate() float64 {
	perKill := 0.2
	if r.proxy || r.gateway {
		perKill = 0.1
	}
	return max(1, float64(r.messages)/(perKill*float64(max(r.kills, 1)))/6)
}

func (r *run) worker(ctx context.Context, draw *rand.Rand) error {
	return r.liveAndDie(ctx, task{Rate: r.rate(), Seed: draw.Uint64()}, between(draw, shortest, longest))
}

func (r *run) secondWorker(ctx context.Context, draw *rand.Rand) error {
	sleep(ctx, between(draw, 0, longest))
	return r.worker(ctx, draw)
}

// producer lives and dies with a part of the requests that are to be enqueued. The part is as
// large as that of the kills that are done.
func (r *run) producer(ctx context.Context, draw *rand.Rand) error {
	sleep(ctx, between(draw, 0, 2*longest))
	known := int(r.stored.Load())
	until := max(known, min(r.messages, r.messages*int(r.killed.Load()+10)/r.kills))
	return r.liveAndDie(ctx, task{Produce: true, Known: known, Until: until, Seed: draw.Uint64()}, between(draw, 0, longestProduce))
}

// outage kills the server, and starts it again.
func (r *run) outage(ctx context.Context, draw *rand.Rand) error {
	if !sleep(ctx, between(draw, longestUp/4, longestUp)) {
		return nil
	}
	if err := r.server.Kill(); err != nil {
		return err
	}
	r.killed.Add(1)
	r.outages.Add(1)
	sleep(ctx, between(draw, 0, longestDown))
	return r.server.Restart()
}

// liveAndDie starts a child, and kills it some time after it has said that it is up. That
// it ends by itself is an error.
func (r *run) liveAndDie(ctx context.Context, t task, life time.Duration) error {
	p, err := r.start(ctx, t)
	if err != nil {
		return err
	}
	done := false
	end := time.NewTimer(life)
	defer end.Stop()
	for alive := true; alive; {
		select {
		case <-ctx.Done():
			alive = false
		case <-end.C:
			alive = false
		case said, ok := <-p.says:
			if !ok {
				<-p.gone
				if ctx.Err() != nil {
					return nil
				}
				return p.failure()
			}
			done = done || said == saysDone
			r.hear(said)
		}
	}
	p.kill(r.hear)
	r.killed.Add(1)
	if t.Produce && !done {
		r.midEnqueue.Add(1)
	}
	return nil
}

// start starts a child and waits until it is up.
func (r *run) start(ctx context.Context, t task) (*process, error) {
	t.Engine, t.Store, t.Fake, t.Cert = r.engine, r.store, r.front.addr, r.front.cert
	if r.way != nil {
		t.Proxy = r.way.addr
	}
	p, err := r.launch(ctx, t)
	if err != nil {
		return nil, err
	}
	r.started.Add(1)
	late := time.AfterFunc(startTimeout, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if said, ok := <-p.says; !ok || said != saysUp {
		<-p.gone
		return nil, p.failure()
	}
	return p, nil
}

// launch starts a child, or pacer worker in place of one that sends.
func (r *run) launch(ctx context.Context, t task) (*process, error) {
	if r.program == "" || t.Produce {
		return startChild(ctx, t)
	}
	dir, err := os.MkdirTemp(r.dir, "worker-")
	if err != nil {
		return nil, err
	}
	return startPacer(ctx, r.program, dir, t)
}

// hear takes what a child says.
func (r *run) hear(said string) {
	if n, ok := strings.CutPrefix(said, saysStored); ok {
		if stored, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64); err == nil {
			r.stored.Store(max(stored, r.stored.Load())) // there is one producer at a time
		}
	}
	if kind, ok := strings.CutPrefix(said, saysAlert); ok {
		count, _ := r.alerts.LoadOrStore(kind, new(atomic.Int64))
		count.(*atomic.Int64).Add(1)
	}
}

// enqueueRest lets a last producer do what is left to do, undisturbed.
func (r *run) enqueueRest(ctx context.Context) error {
	p, err := r.start(ctx, task{Produce: true, Known: int(r.stored.Load()), Until: r.messages, Seed: r.seed})
	if err != nil {
		return err
	}
	for said := range p.says {
		if r.hear(said); said == saysDone {
			break
		}
	}
	if err := p.end(r.hear); err != nil {
		return err
	}
	if r.stored.Load() < int64(r.messages) {
		return fmt.Errorf("the last producer ended with %d of %d requests", r.stored.Load(), r.messages)
	}
	return nil
}

// startWorker starts a worker that sends as fast as it can.
func (r *run) startWorker(ctx context.Context) (*process, error) {
	p, err := r.start(ctx, task{Rate: unpaced, Seed: r.seed})
	if err == nil {
		go func() {
			for said := range p.says {
				r.hear(said)
			}
		}()
	}
	return p, err
}

// finish waits until a worker has done all there is to do, and ends it.
func (r *run) finish(ctx context.Context, p *process) error {
	limit, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		left, err := r.unfinished(limit)
		if err == nil && left == "" {
			return p.end(r.hear)
		}
		if err != nil || !sleep(limit, 200*time.Millisecond) {
			p.kill(r.hear)
			if err == nil || limit.Err() != nil {
				err = fmt.Errorf("a worker that nobody disturbs has not finished within %v: %s left", drainTimeout, left)
			}
			return err
		}
	}
}

// unfinished says what is neither final nor parked in doubt; "": nothing.
func (r *run) unfinished(ctx context.Context) (string, error) {
	count := make(map[queue.State]int)
	for j, err := range r.q.List(ctx, queue.Filter{States: []queue.State{queue.Ready, queue.Delayed, queue.Sending, queue.InDoubt}}) {
		if err != nil {
			return "", err
		}
		if j.State != queue.InDoubt || !j.Look.IsZero() {
			count[j.State]++
		}
	}
	if len(count) == 0 {
		return "", nil
	}
	return fmt.Sprint(count), nil
}

// state is the line that shows how far it is.
func (r *run) state() string {
	s := r.fake.Stats()
	return fmt.Sprintf("%.0f s: %d of %d kills, %d of %d enqueued, %d messages and calls accepted, %d requests faulted",
		time.Since(r.began).Seconds(), r.killed.Load(), r.kills, r.stored.Load(), r.messages,
		len(r.fake.Messages())+len(r.fake.Calls()), s.Faulted)
}

// sleep reports whether it has slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
