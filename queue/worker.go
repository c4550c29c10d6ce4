package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A Worker sends what waits in a queue, at the pace of its client's limits.
//
// For each lane that has something to send, it first awaits a slot ([WithConcurrency]) and a
// turn ([pacer.Client.Turn]). Then it claims the request that must go next. So nothing is
// claimed while it waits, one lane does not wait for the pace of another, and a one-time
// password goes before the campaign. A lane costs a goroutine while something is ready in it.
// What waits in the store costs the worker nothing.
//
// What an answer means:
//
//   - A throttled request goes back to its place. It waits for as long as Twilio says plus
//     0-1 s, else for 1, 2, 4, 8, 16 s, and this costs no attempt. If the answer is a single
//     one, or shows a limit or an outage, its bucket is held for as long, in all processes.
//   - An error that Twilio gives for good, such as for an invalid number, makes a request
//     Failed with Twilio's error.
//   - If Twilio cannot be reached, or answers nothing proper three times in a row, the bucket
//     is held for 1, 2, 4, ... 60 s. Then one request at a time is a probe, until one passes.
//   - If Twilio does nothing for the account, all of the account is held, and probes once a
//     minute.
//   - A request that may have reached Twilio, but has no proof of success, is in doubt: see
//     [Policy].
//
// Workers of several processes share one store. Each has its client's limits for itself,
// unless the clients share a [pacer.Limiter]. The rates of campaigns and the holds are shared
// in any case.
type Worker struct {
	*base
	running    sync.Mutex // held by Run
	board      *board
	dispatcher *dispatcher
	resolver   *resolver
}

// A base is what all parts of a worker use: where jobs are, how they are sent, and who is told.
// Each part has its own state besides.
type base struct {
	q      *Queue
	engine Engine // of q
	client *pacer.Client
	settings
	notifier
	clocks clocks
	slots  *slots // one for each request on the wire

	refusals refusals
	*run     // the present Run, or the last one; nil before the first
}

// A run is one call of [Worker.Run].
type run struct {
	wire     context.Context // of requests: it ends with the grace period
	wg       sync.WaitGroup  // lanes that are served, and requests on the wire
	reporter *reporter       // nil: nobody is told of results
}

// NewWorker returns a worker for q that sends with client. An invalid option is an error.
func NewWorker(q *Queue, client *pacer.Client, opts ...WorkerOption) (*Worker, error) {
	if q == nil || client == nil {
		return nil, errors.New("queue: NewWorker: nil: expected a Queue and a client of pacer's")
	}
	w := &Worker{base: &base{q: q, engine: q.engine, client: client, settings: defaultSettings(), slots: newSlots(defaultSlots)}}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(w); err != nil {
			return nil, err
		}
	}
	if w.loud = w.logger; w.loud == nil {
		w.loud = newLogger(&w.logs, nil)
	}
	w.board = &board{}
	holder := &holder{base: w.base, board: w.board}
	w.dispatcher = &dispatcher{base: w.base, board: w.board, holder: holder, sender: newSender(w.base, w.board, holder)}
	w.resolver = newResolver(w.base, w.board)
	if !client.SeesAttempts() {
		w.loud.Warn("pacer queue: the client sends through a BaseClient of the program's own, so that nobody sees what reaches Twilio: whatever fails without an answer is in doubt, and waits for Twilio's list or a person; give pacer an http.Client instead (pacer.WithHTTPClient)")
	}
	return w, nil
}

// Run sends until ctx ends. Then it claims nothing more, lets the requests on the wire and
// the calls of [WithOnResult]'s function end within the grace period, and returns nil. It
// returns an error, after the same, if the store is closed, gone, damaged or of a newer
// version. It may be called again afterwards.
//
// No function of the program's keeps Run from returning: with a store that works it takes
// the grace period and a few seconds at most. [AlertStopped] says what it had to leave.
func (w *Worker) Run(ctx context.Context) error {
	if !w.running.TryLock() {
		return errors.New("queue: Worker.Run: it runs already: expected one Run at a time for each Worker")
	}
	defer w.running.Unlock()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	wire, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	w.run = &run{wire: wire}
	w.board.clear()
	w.resolver.clear()

	loops := []func(context.Context) error{w.dispatcher.dispatch, w.sweep, w.resolver.resolve, w.watch, w.beat}
	if w.onResult != nil {
		w.reporter = newReporter(wire, w.base)
		loops = append(loops, w.reporter.scan)
		go w.reporter.run()
	}
	var background sync.WaitGroup
	for _, loop := range loops {
		background.Go(func() {
			if err := loop(ctx); err != nil {
				stop(err)
			}
		})
	}
	<-ctx.Done()
	graceEnds := time.Now().Add(w.grace)
	var onWire atomic.Int64 // requests, when the grace period ended
	timer := time.AfterFunc(w.grace, func() {
		onWire.Store(int64(w.slots.used()))
		cut()
	})
	defer timer.Stop()
	background.Wait()
	w.wg.Wait()
	w.end(graceEnds, int(onWire.Load()))
	if cause := context.Cause(ctx); fatal(cause) {
		return fmt.Errorf("queue: worker: %w", cause)
	}
	return nil
}

// farewell is how long Run waits for functions of the program's after all else has ended.
const farewell = time.Second

// end ends Run's dealings with the program's functions, and says what is left.
func (w *Worker) end(graceEnds time.Time, cut int) {
	running, left := 0, 0
	if w.reporter != nil {
		until := time.Now()
		if graceEnds.After(until) {
			until = graceEnds
		}
		over, cancel := context.WithDeadline(context.Background(), until.Add(farewell))
		defer cancel()
		running, left = w.reporter.finish(over)
	}
	if cut > 0 || running > 0 || left > 0 {
		w.raise(Alert{Kind: AlertStopped, Advice: adviceStopped, Err: fmt.Errorf(
			"after the grace period of %v: %d requests on the wire were cut off, %d calls of OnResult still run, %d results were not told yet",
			w.grace, cut, running, left)})
	}
	flushed := time.Now().Add(farewell)
	for _, l := range w.alerts {
		if n := l.flush(time.Until(flushed)); n > 0 {
			w.loud.Error("pacer queue: Run returns, although a function given to WithAlert has not", "alerts_not_delivered", n)
		}
	}
	w.logs.flush(farewell)
}

// fatal reports errors after which there is no store to work on.
func fatal(err error) bool {
	return errors.Is(err, ErrClosed) || errors.Is(err, ErrGone) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrOutdated)
}

// pause sleeps, and reports whether it has slept to the end.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
