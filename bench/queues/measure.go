package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A measure is one or some of the figures.
type measure struct {
	name, what string
	// run fills in the rows' figures; row i is that of engine i.
	run func(*run, context.Context, []row) error
}

var measures = []measure{
	{"enqueue", "messages enqueued one by one by one goroutine, per second", perRound((*run).enqueue)},
	{"batched", fmt.Sprintf("messages enqueued %d at a time, per second", batchSize), perRound((*run).batched)},
	{"work", fmt.Sprintf("messages worked off at no rate with %d in flight, per second", inFlight), perRound((*run).workOff)},
	{"waiting", "a claim's cost, and a worker's memory, with few and with very many waiting", (*run).waiting},
}

// A run is where and how much is measured.
type run struct {
	dir     string
	engines []engine
	amounts
	progress *progress
}

// perRound lets the engines take turns, so that what else the machine does meets all of
// them, each time with a file of its own.
func perRound(one func(*run, context.Context, store, *row) error) func(*run, context.Context, []row) error {
	return func(r *run, ctx context.Context, rows []row) error {
		for round := range r.Rounds {
			for i, e := range r.engines {
				path := r.path(e, fmt.Sprintf("round-%d", round))
				err := withStore(ctx, e, path, func(s store) error { return one(r, ctx, s, &rows[i]) })
				if err := errors.Join(err, remove(path)); err != nil {
					return fmt.Errorf("%s: %w", e.name, err)
				}
			}
		}
		return nil
	}
}

func (r *run) path(e engine, name string) string { return filepath.Join(r.dir, e.name+"-"+name+".db") }

func withStore(ctx context.Context, e engine, path string, do func(store) error) error {
	s, err := e.open(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.close())
}

func (r *run) enqueue(ctx context.Context, s store, to *row) error {
	return r.add(&to.Enqueue, 1, func(ms []message) error { return s.add(ctx, ms[0]) })
}

func (r *run) batched(ctx context.Context, s store, to *row) error {
	return r.add(&to.Batched, 10*batchSize, func(ms []message) error { return s.addMany(ctx, ms) })
}

// add calls do with n messages at a time for as long as a round is.
func (r *run) add(to *rounds, n int, do func([]message) error) error {
	done := 0
	var spent time.Duration
	for ; spent < r.adding; done += n {
		ms := messages(done, n, r.Few.Lanes) // the program has them; not the queue's time
		start := time.Now()
		if err := do(ms); err != nil {
			return err
		}
		spent += time.Since(start)
	}
	*to = append(*to, float64(done)/spent.Seconds())
	return nil
}

// fill enqueues n messages.
func fill(ctx context.Context, s store, n, senders int) error {
	const atOnce = 10 * batchSize
	for first := 0; first < n; first += atOnce {
		if err := s.addMany(ctx, messages(first, min(atOnce, n-first), senders)); err != nil {
			return fmt.Errorf("after %d messages: %w", first, err)
		}
	}
	return nil
}

// workOff measures from the worker's start until the result of the last message is on
// the disk.
func (r *run) workOff(ctx context.Context, s store, to *row) error {
	if err := fill(ctx, s, r.Jobs, r.Few.Lanes); err != nil {
		return err
	}
	fake := twiliotest.New(twiliotest.Config{})
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	start := time.Now()
	go func() { ended <- s.work(working, fake.Transport()) }()
	err := until(ctx, ended, func() (bool, error) { return fake.Stats().Accepted >= r.Jobs, nil })
	if err == nil {
		err = until(ctx, ended, func() (bool, error) { n, err := s.unfinished(ctx); return n == 0, err })
	}
	spent := time.Since(start)
	stop()
	if err == nil || ctx.Err() != nil {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return err
	}
	// A figure of work that was not done, or done twice, is none.
	if sent, doubled := fake.Stats().Accepted, len(fake.Duplicates()); sent != r.Jobs || doubled > 0 {
		return fmt.Errorf("of %d messages %d were sent, %d of them again", r.Jobs, sent, doubled)
	}
	to.Work = append(to.Work, float64(r.Jobs)/spent.Seconds())
	return nil
}

// stuck is how long nothing may come of waiting.
const stuck = 2 * time.Minute

// until waits until ready is true; the worker must not end before.
func until(ctx context.Context, ended <-chan error, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stuck, fmt.Errorf("nothing for %v", stuck))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return errors.Join(errors.New("the worker has ended by itself"), err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waiting fills files for each engine, measures a worker process on each, and then
// claims in that with few and that with many, in turns.
func (r *run) waiting(ctx context.Context, rows []row) error {
	for i, e := range r.engines {
		if err := r.waitingOf(ctx, e, &rows[i]); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

func (r *run) waitingOf(ctx context.Context, e engine, to *row) (err error) {
	var files []backlog
	for i, n := range r.backlogs() {
		files = append(files, backlog{r.path(e, fmt.Sprintf("waiting-%d", i)), n})
	}
	defer func() {
		for _, f := range files {
			err = errors.Join(err, remove(f.path))
		}
	}()
	for _, f := range files {
		if to.Filled, err = r.fillFile(ctx, e, f); err != nil {
			return err
		}
		r.progress.say("%s: a worker process", e.name)
		m, err := workerProcess(ctx, e, f.path, r.SentByWorker)
		if err != nil {
			return err
		}
		m.amount = f.amount
		to.Memory = append(to.Memory, *m)
	}
	few, many := files[0], files[len(files)-1]
	if err := remove(few.path); err != nil { // the worker has taken half of it
		return err
	}
	if _, err := r.fillFile(ctx, e, few); err != nil {
		return err
	}
	r.progress.say("%s: claims", e.name)
	return withStore(ctx, e, few.path, func(fewStore store) error {
		return withStore(ctx, e, many.path, func(manyStore store) error {
			for range r.Rounds {
				if err := r.claims(ctx, fewStore, few.Lanes, &to.ClaimFew, &to.FindFew); err != nil {
					return err
				}
				if err := r.claims(ctx, manyStore, many.Lanes, &to.ClaimMany, &to.FindMany); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// A backlog is a file with messages that wait.
type backlog struct {
	path string
	amount
}

// fillFile makes a backlog and returns how many messages a second it took. It closes the
// file: nothing that is measured later pays for the end of the filling.
func (r *run) fillFile(ctx context.Context, e engine, b backlog) (perSecond float64, err error) {
	r.progress.say("%s: enqueue %s in %s lanes", e.name, count(b.Waiting), count(b.Lanes))
	start := time.Now()
	err = withStore(ctx, e, b.path, func(s store) error { return fill(ctx, s, b.Waiting, b.Lanes) })
	return float64(b.Waiting) / time.Since(start).Seconds(), err
}

// claims measures the median of a claim of one message, of a lane chosen at random. With
// some engines a worker has to find out first which lanes have work. That has a median of
// its own, since a worker does not look again before each claim.
func (r *run) claims(ctx context.Context, s store, lanes int, claim, find *rounds) error {
	if f, ok := s.(finder); ok {
		took, err := median(min(r.Claims, 10), func() error { return f.find(ctx) })
		if err != nil {
			return fmt.Errorf("find work: %w", err)
		}
		*find = append(*find, took)
	}
	took, err := median(r.Claims, func() error { return s.claim(ctx, sender(rand.IntN(lanes))) })
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	*claim = append(*claim, took)
	return nil
}

// median is that of n calls, in µs. Those that find nothing do not count, unless there
// are more of them: a worker may have emptied the lane that chance has chosen.
func median(n int, do func() error) (float64, error) {
	var took []time.Duration
	for misses := 0; len(took) < n; {
		start := time.Now()
		err := do()
		if errors.Is(err, errNothingWaits) && misses < n {
			misses++
			continue
		}
		if err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	return micros(output.Percentile(took, 50)), nil
}
