package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file tells OnResult of results, at least once each.

// How results are told.
const (
	tellers    = 16               // calls of OnResult at a time, unless WithResultConcurrency says otherwise
	maxFresh   = 1000             // results that wait in memory; further ones are found in the store
	maxUntaken = 10_000           // results whose pauses are remembered
	reportAge  = 30 * time.Second // so old is a result before it is looked for in the store
	reportScan = 30 * time.Second // between two looks through all that is unreported
	scanPause  = time.Second      // after each page of results of which none was due
	staleAfter = 10 * time.Second // what was handed over so long ago is read again first
	slowResult = 5 * time.Minute  // a call of OnResult that takes longer is worth an alert
	alarmAt    = 3                // so many failures of one result are, too
	alarmEvery = time.Hour        // but one alert is enough for that long
	noteWithin = 10 * time.Second // the store has for noting that a result was told
)

// A reporter tells OnResult of results during one Run. Whatever OnResult does, nothing
// else of the worker waits for it: the sender hands a result over and goes on.
//
// A result comes to it in one of two ways. It is fresh, and comes from the part that has
// recorded it, or a look through the store finds it unreported. The second way finds what dead
// workers have left, what was not taken, and what was too much for memory.
type reporter struct {
	b     *base
	ctx   context.Context // of OnResult: it ends with the grace period
	fresh chan handed
	old   chan handed   // from the look; each waits for its teller
	calls chan struct{} // one for each call of OnResult
	last  chan struct{} // closed when nothing more is handed over
	done  chan struct{} // closed when nothing more is begun

	mu      sync.Mutex
	untaken map[ID]untaken
	alarmed time.Time // when AlertResults was raised last
}

// A handed is a result to be told, as it was at a time.
type handed struct {
	job Job
	at  time.Time // zero: it must be read first
}

// An untaken is what is remembered of a result that was not taken.
type untaken struct {
	state State
	claim int64
	told  bool // OnResult has taken it, but the store has not noted that
	times int
	again time.Time // not before
}

func newReporter(ctx context.Context, b *base) *reporter {
	return &reporter{
		b: b, ctx: ctx,
		fresh: make(chan handed, maxFresh), old: make(chan handed), calls: make(chan struct{}, b.tellers),
		last: make(chan struct{}), done: make(chan struct{}), untaken: make(map[ID]untaken),
	}
}

// report hands a result over to be told to OnResult. It does not wait: if too many wait
// already, this one is found in the store later. Of a nil reporter it does nothing.
func (r *reporter) report(j Job) {
	if r == nil || !r.take(j.ID) {
		return
	}
	j.Request = Request{Form: map[string][]string{"To": j.Request.Form["To"]}} // the rest can be large, and a Result has nothing of it
	select {
	case r.fresh <- handed{j, time.Now()}:
	default:
		r.leave(j.ID)
	}
}

// take claims a result for one teller: in one process a result is never told twice at the
// same time.
func (r *reporter) take(id ID) bool {
	_, busy := r.b.q.telling.LoadOrStore(id, true)
	return !busy
}

func (r *reporter) leave(id ID) { r.b.q.telling.Delete(id) }

// run begins a goroutine for each result, with a bound on how many there are.
func (r *reporter) run() {
	defer close(r.done)
	for {
		select {
		case r.calls <- struct{}{}:
		case <-r.ctx.Done():
			return
		}
		var h handed
		select { // at random if there are both: neither keeps the other waiting
		case h = <-r.fresh:
		case h = <-r.old:
		case <-r.ctx.Done():
			<-r.calls
			return
		case <-r.last:
			select {
			case h = <-r.fresh:
			default:
				<-r.calls
				return
			}
		}
		go r.tell(h)
	}
}

// scan looks through what is unreported, again and again, until ctx ends.
func (r *reporter) scan(ctx context.Context) error {
	store := &trouble{n: &r.b.notifier, kind: AlertStore, advice: adviceStore, what: "looking for results to be told to OnResult"}
	for on := true; on; on = pause(ctx, reportScan) {
		for after, more := ID(""), true; more; {
			jobs, err := r.b.engine.List(ctx, Filter{States: []State{Sent, Failed}, Unreported: true}, after, page)
			if err != nil {
				store.failed(ctx, err)
				break
			}
			var now time.Time
			if len(jobs) > 0 {
				if now, err = r.b.askEngine(ctx); err != nil {
					store.failed(ctx, err)
					break
				}
			}
			store.worked()
			handedOver := false
			for _, j := range jobs {
				if !r.due(&j, now) || !r.take(j.ID) {
					continue
				}
				select {
				case r.old <- handed{job: Job{ID: j.ID}}:
					handedOver = true
				case <-ctx.Done():
					r.leave(j.ID)
					return nil
				}
			}
			if more = len(jobs) == page; more {
				after = jobs[page-1].ID
				// Thousands that are not taken must not be read as fast as the store can.
				more = handedOver || pause(ctx, scanPause)
			}
		}
	}
	return nil
}

// due reports whether a result that the look has found must be told now, by the engine's clock.
func (r *reporter) due(j *Job, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u, ok := r.untaken[j.ID]; ok && u.of(j) {
		return !time.Now().Before(u.again)
	}
	// Another process may be about to tell a young one. The engine's clock may have been set
	// back: what comes from the future is not waited for.
	return now.Sub(j.Finished).Abs() >= reportAge
}

func (u *untaken) of(j *Job) bool { return u.state == j.State && u.claim == j.Claim }

// errGoexit: OnResult has ended its goroutine, as testing.T.FailNow does.
var errGoexit = errors.New("the function has ended its goroutine with runtime.Goexit")

// tell tells one result. All that follows the call is deferred, since the program's
// function may panic or end the goroutine.
func (r *reporter) tell(h handed) {
	defer func() { <-r.calls }()
	defer r.leave(h.job.ID)
	j := h.job
	if time.Since(h.at) > staleAfter {
		var err error
		if j, err = r.b.engine.Get(r.ctx, j.ID); err != nil {
			return // deleted, or the store fails: the next look shows it
		}
		if j.Reported || j.State != Sent && j.State != Failed {
			r.forget(j.ID)
			return
		}
	}
	r.mu.Lock()
	u, ok := r.untaken[j.ID]
	r.mu.Unlock()
	if ok && u.told && u.of(&j) {
		r.note(j)
		return
	}
	slow := time.AfterFunc(slowResult, func() {
		r.alarm(j, fmt.Errorf("a call of it has not returned for %v", slowResult))
	})
	err := errGoexit
	defer func() {
		slow.Stop()
		if p := recover(); p != nil {
			r.b.panicked("the function given to WithOnResult", p)
			err = fmt.Errorf("the function has panicked: %v", p)
		}
		if err == nil {
			r.note(j)
		} else {
			r.failed(j, false, err)
		}
	}()
	err = r.b.onResult(r.ctx, resultOf(j))
}

// note notes in the store that a result was told.
func (r *reporter) note(j Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), noteWithin)
	defer cancel()
	err := r.b.engine.Move(ctx, Move{ID: j.ID, From: []State{j.State}, Claim: j.Claim, To: j.State, Reported: true})
	var elsewhere *StateError
	if err == nil || errors.Is(err, ErrNotFound) || errors.As(err, &elsewhere) { // OnResult itself may have requeued it
		r.forget(j.ID)
		return
	}
	r.failed(j, true, fmt.Errorf("it is told, but the store cannot note that: %w", err))
}

func (r *reporter) forget(id ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.untaken, id)
}

// failed remembers that a result was not taken, or that the store has not noted it. It is tried
// again after 30 s, 1, 2, 4, ... 60 min.
func (r *reporter) failed(j Job, told bool, err error) {
	if r.ctx.Err() != nil && !told {
		r.warn(j, "the next Run tells it again", err)
		return
	}
	r.mu.Lock()
	u, known := r.untaken[j.ID]
	if !u.of(&j) {
		u = untaken{state: j.State, claim: j.Claim}
	}
	wait := min(reportAge<<min(u.times, 10), time.Hour)
	u.times++
	u.told, u.again = told, time.Now().Add(wait)
	if !known && len(r.untaken) >= maxUntaken {
		for other := range r.untaken { // any one: its pauses begin anew
			delete(r.untaken, other)
			break
		}
	}
	r.untaken[j.ID] = u
	r.mu.Unlock()
	r.warn(j, "it is told again in "+wait.String(), err)
	if u.times == alarmAt && !told {
		r.alarm(j, err)
	}
}

func (r *reporter) warn(j Job, then string, err error) {
	r.b.warn("a result was not taken; "+then, "id", j.ID, "error", pacer.MaskNumbers(err.Error()))
}

// alarm raises AlertResults, once an hour at most.
func (r *reporter) alarm(j Job, err error) {
	if r.ctx.Err() != nil {
		return // AlertStopped tells of it
	}
	r.mu.Lock()
	due := r.alarmed.IsZero() || time.Since(r.alarmed) >= alarmEvery
	if due {
		r.alarmed = time.Now()
	}
	r.mu.Unlock()
	if due {
		r.b.raise(Alert{Kind: AlertResults, Lane: j.Lane, ID: j.ID, Err: err, Advice: adviceResults})
	}
}

// finish tells what was handed over, as long as the grace period lasts, and waits for the
// calls of OnResult until over ends. It returns how many calls have not returned then, and
// how many results were not begun. Nothing may be handed over any more.
func (r *reporter) finish(over context.Context) (running, left int) {
	close(r.last)
	<-r.done
	for more := true; more; {
		select {
		case h := <-r.fresh:
			r.leave(h.job.ID)
			left++
		default:
			more = false
		}
	}
	for running = cap(r.calls); running > 0; running-- {
		select {
		case r.calls <- struct{}{}:
		case <-over.Done():
			return running, left
		}
	}
	return 0, left
}
