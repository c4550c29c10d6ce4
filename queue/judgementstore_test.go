package queue_test

import (
	"context"
	"errors"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// A shift is from when on the engine's clock is ahead by so much.
type shift struct {
	from  time.Time
	ahead time.Duration
}

// setClock sets the engine's clock. Leases of jobs that are being sent end earlier if it
// is set ahead.
func (t *trial) setClock(ahead time.Duration) {
	now := time.Now()
	forward := ahead - t.ahead(now)
	t.mu.Lock()
	first := t.shifts == nil
	t.shifts = append(t.shifts, shift{now, ahead})
	t.mu.Unlock()
	if !first && forward > 0 {
		t.shortenLeases(max(time.Microsecond, t.settings.attempt+t.settings.margin-forward))
	}
}

// shortenLeases makes leases end within d.
func (t *trial) shortenLeases(d time.Duration) {
	if _, err := t.store.Sweep(context.Background(), queue.Sweep{Lease: d, Max: 100}); err != nil {
		t.t.Error(err)
	}
}

// ahead returns how far the engine's clock was ahead at an instant.
func (t *trial) ahead(at time.Time) (ahead time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.shifts {
		if s.from.Truncate(time.Microsecond).After(at) {
			break
		}
		ahead = s.ahead
	}
	return ahead
}

// storeTrouble is what happens to an operation of the store for a while.
type storeTrouble struct {
	op            string
	delay         time.Duration
	before, after bool // it fails, before or after it was done
}

// skewed is a process's way to the store, whose clock is wrong.
type skewed struct {
	queue.Engine
	trial   *trial
	process *process
}

var errStore = errors.New("the store does not answer")

// do does an operation, unless the process is dead, and with the trouble of the moment.
func (e *skewed) do(ctx context.Context, op string, f func() error) error {
	var trouble storeTrouble
	now := time.Since(e.trial.began)
	for _, p := range e.trial.phases {
		if p.store.op == op && now >= p.from && now < p.to {
			trouble = p.store
		}
	}
	if e.process.killed.Err() != nil {
		return queue.ErrClosed
	}
	if trouble.before {
		return errStore
	}
	err := f()
	if trouble.delay > 0 {
		timer := time.NewTimer(trouble.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-e.process.killed.Done():
		}
	}
	switch {
	case e.process.killed.Err() != nil:
		return queue.ErrClosed
	case trouble.after:
		return errStore
	}
	return err
}

// shown returns a job as an engine would have it whose clock was wrong all the time.
func (e *skewed) shown(j queue.Job) queue.Job {
	for _, at := range []*time.Time{&j.Created, &j.Began, &j.Finished} {
		if !at.IsZero() {
			*at = at.Add(e.trial.ahead(*at))
		}
	}
	if !j.Look.IsZero() {
		j.Look = j.Look.Add(e.trial.ahead(time.Now()))
	}
	return j
}

func (e *skewed) all(jobs []queue.Job) []queue.Job {
	for i, j := range jobs {
		jobs[i] = e.shown(j)
	}
	return jobs
}

func (e *skewed) Now(ctx context.Context) (now time.Time, err error) {
	err = e.do(ctx, "Now", func() error {
		now, err = e.Engine.Now(ctx)
		now = now.Add(e.trial.ahead(now))
		return err
	})
	return now, err
}

func (e *skewed) Claim(ctx context.Context, c queue.Claim) (jobs []queue.Job, err error) {
	err = e.do(ctx, "Claim", func() error {
		jobs, err = e.Engine.Claim(ctx, c)
		for _, j := range jobs {
			e.trial.note("%s claims %s", e.process.name, e.trial.tagOf(j.ID))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.all(jobs), nil
}

func (e *skewed) Move(ctx context.Context, m queue.Move) error {
	return e.do(ctx, "Move", func() error {
		err := e.Engine.Move(ctx, m)
		reason := ""
		if m.Outcome != nil {
			reason = m.Outcome.SID + m.Outcome.Reason
		}
		e.trial.announce()
		e.trial.note("%s moves %s to %s: %s (%v)", e.process.name, e.trial.tagOf(m.ID), m.To, reason, err)
		return err
	})
}

// Await waits for what the trial's own processes do: there are no others.
func (e *skewed) Await(ctx context.Context, d time.Duration) error {
	if e.trial.real() {
		return e.Engine.Await(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.trial.news():
	case <-ctx.Done():
	}
	return ctx.Err()
}

// news returns what is closed when something is done in the store.
func (t *trial) news() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fresh == nil {
		t.fresh = make(chan struct{})
	}
	return t.fresh
}

// announce ends all waits for news.
func (t *trial) announce() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fresh != nil {
		close(t.fresh)
		t.fresh = nil
	}
}

func (e *skewed) Work(ctx context.Context) (lanes []queue.ReadyLane, next time.Duration, err error) {
	err = e.do(ctx, "Work", func() error {
		lanes, next, err = e.Engine.Work(ctx)
		return err
	})
	return lanes, next, err
}

func (e *skewed) Sweep(ctx context.Context, s queue.Sweep) (done queue.Swept, err error) {
	err = e.do(ctx, "Sweep", func() error {
		done, err = e.Engine.Sweep(ctx, s)
		if done.InDoubt > 0 {
			e.trial.note("%s finds %d of vanished workers", e.process.name, done.InDoubt)
		}
		return err
	})
	return done, err
}

func (e *skewed) Get(ctx context.Context, id queue.ID) (j queue.Job, err error) {
	err = e.do(ctx, "Get", func() error {
		j, err = e.Engine.Get(ctx, id)
		return err
	})
	return e.shown(j), err
}

func (e *skewed) List(ctx context.Context, f queue.Filter, after queue.ID, max int) (jobs []queue.Job, err error) {
	err = e.do(ctx, "List", func() error {
		if !f.LookBefore.IsZero() {
			f.LookBefore = f.LookBefore.Add(-e.trial.ahead(time.Now()))
		}
		jobs, err = e.Engine.List(ctx, f, after, max)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.all(jobs), nil
}
