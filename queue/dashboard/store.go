package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// This file keeps those who look from being a load on the store.

const (
	askEvery = 500 * time.Millisecond // between two queries
	askAhead = 6                      // so many queries of single people wait at most
	askWait  = 10 * time.Second       // so long does a query wait for its turn
	askTakes = 10 * time.Second       // so long may the store take for one
	fresh    = 2 * time.Second        // so old may be what all look at
	pageFor  = 5 * time.Second        // so old may be what one person looks at: a page takes up to six queries, and the first shall outlast them
	probed   = time.Minute            // so old may be the knowledge that the store is not full
	clockFor = time.Minute            // so long is the store's clock extrapolated
	listed   = 100                    // how many lists and jobs are remembered
)

// errBusy is for a person who asks while too many others do.
var errBusy = errors.New("too many people look at different things now: expected another try in some seconds")

// A reader is an engine for looking only. It asks the store at most once each askEvery, however many look, and remembers
// the answers. What changes jobs goes to the store itself. It is safe for concurrent use.
type reader struct {
	queue.Engine // the store itself
	pace         pace

	lanes  remembered[[]queue.LaneStats]
	docs   remembered[[]queue.Document]
	holds  remembered[[]queue.Hold]
	clock  remembered[time.Time]
	full   remembered[struct{}]
	mu     sync.Mutex
	listed map[string]*remembered[[]queue.Job]
}

// A pace lets one query pass each time that every has gone by. Of three, two are for what all look at, if that waits.
type pace struct {
	every  time.Duration
	mu     sync.Mutex
	last   time.Time          // when a query passed
	lines  [2][]chan struct{} // who waits: for what all look at, and for what one person looks at
	runs   bool               // grant will be called
	passed int
}

// wait waits for a turn. one says that only one person looks at it.
func (p *pace) wait(ctx context.Context, one bool) error {
	line := 0
	if one {
		line = 1
	}
	turn := make(chan struct{})
	p.mu.Lock()
	if one && len(p.lines[1]) >= askAhead {
		p.mu.Unlock()
		return errBusy
	}
	p.lines[line] = append(p.lines[line], turn)
	if !p.runs {
		p.runs = true
		time.AfterFunc(time.Until(p.last.Add(p.every)), p.grant)
	}
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines[line] = slices.DeleteFunc(p.lines[line], func(c chan struct{}) bool { return c == turn })
		return ctx.Err()
	}
}

// grant lets one pass, and comes again while somebody waits.
func (p *pace) grant() {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := 0
	if len(p.lines[0]) == 0 || p.passed%3 == 2 && len(p.lines[1]) > 0 {
		line = 1
	}
	if p.runs = len(p.lines[line]) > 0; !p.runs {
		return // whoever waited has left
	}
	close(p.lines[line][0])
	p.lines[line] = p.lines[line][1:]
	p.last = time.Now()
	p.passed++
	time.AfterFunc(p.every, p.grant)
}

// A remembered is the last answer to one question. The zero value knows none.
type remembered[T any] struct {
	mu     sync.Mutex
	value  T
	err    error
	at     time.Time // of the answer; zero: it is not valid any more
	took   time.Duration
	asking chan struct{} // closed when the answer is there; nil: nobody asks, or forget was called since
}

// get returns the answer if it is at most keep old, else asks. Of many who ask at once, one does. A store that answers
// slowly is asked more rarely: it has nine times as long for its other work. After an error it is asked again soon, as it may be back.
func (r *remembered[T]) get(ctx context.Context, p *pace, one bool, keep time.Duration, ask func(context.Context) (T, error)) (T, error) {
	r.mu.Lock()
	for {
		lasts := max(keep, 9*r.took)
		if r.err != nil {
			lasts = max(fresh, r.took)
		}
		if !r.at.IsZero() && time.Since(r.at) < lasts {
			defer r.mu.Unlock()
			return r.value, r.err
		}
		if r.asking == nil {
			break
		}
		asking := r.asking
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		case <-asking:
		}
		r.mu.Lock()
	}
	asking := make(chan struct{})
	r.asking = asking
	r.mu.Unlock()

	// Whoever asks first may leave: the others want the answer all the same.
	asks, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWait+askTakes)
	defer cancel()
	var value T
	var began time.Time
	err := p.wait(asks, one)
	if err == nil {
		began = time.Now()
		value, err = ask(asks)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(asking)
	if r.asking != asking {
		return value, err // forget was called meanwhile
	}
	r.value, r.err = value, err
	if r.asking = nil; !errors.Is(err, errBusy) {
		r.at = time.Now()
		r.took = r.at.Sub(began)
	}
	return value, err
}

// forget makes the next get ask, also while another waits for an answer: that one may be of before.
func (r *remembered[T]) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.asking = time.Time{}, nil
}

func (r *reader) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	lanes, err := r.lanes.get(ctx, &r.pace, false, keepFor(ctx), r.Engine.Stats)
	return slices.Clone(lanes), err
}

func (r *reader) Holds(ctx context.Context) ([]queue.Hold, error) {
	holds, err := r.holds.get(ctx, &r.pace, false, keepFor(ctx), r.Engine.Holds)
	return slices.Clone(holds), err
}

// Documents takes all documents at once, and chooses from these.
func (r *reader) Documents(ctx context.Context, names ...string) ([]queue.Document, error) {
	all, err := r.docs.get(ctx, &r.pace, false, keepFor(ctx), func(ctx context.Context) ([]queue.Document, error) { return r.Engine.Documents(ctx) })
	if err != nil || len(names) == 0 {
		return slices.Clone(all), err
	}
	var found []queue.Document
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if n, ok := slices.BinarySearchFunc(all, name, func(d queue.Document, name string) int { return strings.Compare(d.Name, name) }); ok {
			found = append(found, all[n])
		}
	}
	return found, nil
}

// Now goes on from the time that the store has told last.
func (r *reader) Now(ctx context.Context) (time.Time, error) {
	told, err := r.clock.get(ctx, &r.pace, false, clockFor, r.Engine.Now)
	if err != nil {
		r.clock.forget()
		return told, err
	}
	r.clock.mu.Lock()
	defer r.clock.mu.Unlock()
	return told.Add(time.Since(r.clock.at)), nil
}

// Put is only for the document by which Why finds out whether the store is full.
func (r *reader) Put(ctx context.Context, name string, value []byte, version int64) error {
	if value == nil { // the end of a probe, which was ended at once already
		return nil
	}
	_, err := r.full.get(ctx, &r.pace, false, probed, func(ctx context.Context) (struct{}, error) {
		err := r.Engine.Put(ctx, name, value, version)
		if err == nil {
			err = r.pace.wait(ctx, false)
		}
		if err == nil {
			err = r.Engine.Put(ctx, name, nil, version+1)
		}
		return struct{}{}, err
	})
	return err
}

func (r *reader) Get(ctx context.Context, id queue.ID) (queue.Job, error) {
	found, err := r.jobs(ctx, "id "+string(id), func(ctx context.Context) ([]queue.Job, error) {
		j, err := r.Engine.Get(ctx, id)
		return []queue.Job{j}, err
	})
	if err != nil {
		return queue.Job{}, err
	}
	return found[0], nil
}

func (r *reader) List(ctx context.Context, f queue.Filter, after queue.ID, most int) ([]queue.Job, error) {
	key, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	found, err := r.jobs(ctx, fmt.Sprintf("list %s %s %d", key, after, most), func(ctx context.Context) ([]queue.Job, error) {
		return r.Engine.List(ctx, f, after, most)
	})
	return slices.Clone(found), err
}

// forAll marks the context of what all look at. It goes before what one person looks at, and is never refused.
type forAll struct{}

// alone reports whether only one person looks.
func alone(ctx context.Context) bool { return ctx.Value(forAll{}) == nil }

// keepFor returns how old an answer may be for whoever looks.
func keepFor(ctx context.Context) time.Duration {
	if alone(ctx) {
		return pageFor
	}
	return fresh
}

func (r *reader) jobs(ctx context.Context, key string, ask func(context.Context) ([]queue.Job, error)) ([]queue.Job, error) {
	r.mu.Lock()
	of := r.listed[key]
	if of == nil {
		if r.listed == nil || len(r.listed) >= listed {
			r.listed = make(map[string]*remembered[[]queue.Job])
		}
		of = &remembered[[]queue.Job]{}
		r.listed[key] = of
	}
	r.mu.Unlock()
	return of.get(ctx, &r.pace, alone(ctx), keepFor(ctx), ask)
}

// forgetJobs is for after a change of a job.
func (r *reader) forgetJobs() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listed = nil
}
