package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A Worker sends what waits in a queue, at the pace of its client's limits. Of each lane
// that has something to send it first awaits a slot ([WithConcurrency]) and a turn
// ([pacer.Client.Turn]), and then claims the request that is to go next. So nothing is held
// while it waits, one lane does not wait for the pace of another, and a one-time password goes
// before the campaign. A lane costs a goroutine while something is ready in it; what waits
// costs the worker nothing.
//
// A throttled request goes back to its place, waits for as long as Twilio says plus 0-1 s, else
// for 1, 2, 4, 8, 16 s, and costs no attempt. If the answer is a single one, or shows a limit or
// an outage, its bucket is held for as long, in all processes. An error that Twilio gives for good (an invalid number) makes a request Failed
// with Twilio's error. If Twilio cannot be reached, or answers nothing proper three times
// in a row, the bucket waits for 1, 2, 4, ... 60 s, and then one request at a time is a
// probe until one passes. If Twilio does nothing for the account, all of it waits, and
// probes once a minute. What may have reached Twilio, but has no proof of success, is in
// doubt: see [Policy].
//
// Workers of several processes share one store. Each has its client's limits for itself,
// unless the clients share a [pacer.Limiter]; the rates of campaigns and holds
// are shared in any case.
type Worker struct {
	q      *Queue
	client *pacer.Client

	attemptTimeout, leaseMargin, grace, settle, retention time.Duration

	policy        Policy // for what policies does not name; "": the default
	policies      map[string]Policy
	keepResponses bool
	noDiscovery   bool
	onResult      func(context.Context, Result) error
	tellers       int // calls of onResult at a time
	alerts        []*listener
	logger        *slog.Logger // nil: only what must not go unheard is logged
	loud          *slog.Logger // for that: the logger, or slog.Default
	logs          outlet       // of both
	slots         *slots       // one for each request on the wire

	running    sync.Mutex              // held by Run
	complained string                  // the dispatcher's last error about campaigns
	campaigns  map[string]*campaignDoc // by name: those that the dispatcher has read at its last look
	reporter   *reporter               // nil: nobody is to be told of results

	looking   time.Time   // when the last look for requests in doubt began; resolve's own
	storeTime time.Time   // the same moment by the engine's clock
	told      map[ID]bool // those of which was told that they are parked, and that are not surely; resolve's own
	clocks    clocks
	decisions trouble // of moves out of doubt
	claims    trouble // of requests that come from the store in time to be sent

	unrecorded atomic.Int64 // results that the store has failed to record and is asked to again

	mu         sync.Mutex
	lanes      map[Lane]*lane
	buckets    map[pacer.Resource]*bucket
	accounts   map[string]*accountHold
	outage     map[pacer.Resource]bool // buckets that are held because nothing reaches Twilio
	listings   map[pacer.Resource]*trouble
	redactions map[string]redaction
	toldNarrow time.Time       // when an alert told of limits of single receivers or objects last
	wg         sync.WaitGroup  // lanes and sends
	wire       context.Context // of requests: ends with the grace period
}

// NewWorker returns a worker for q that sends with client. An invalid option is an error.
func NewWorker(q *Queue, client *pacer.Client, opts ...WorkerOption) (*Worker, error) {
	if q == nil || client == nil {
		return nil, errors.New("queue: NewWorker: nil: expected a Queue and a client of pacer's")
	}
	w := &Worker{
		q: q, client: client,
		attemptTimeout: 35 * time.Second, leaseMargin: 25 * time.Second, grace: 35 * time.Second,
		settle: time.Minute, retention: 7 * 24 * time.Hour,
		policies: make(map[string]Policy),
		slots:    newSlots(200), tellers: tellers,
	}
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
	w.decisions = trouble{w: w, kind: AlertStore, advice: adviceStore, what: "moving requests out of doubt"}
	w.claims = trouble{w: w, kind: AlertStore, advice: adviceStore, what: "claiming requests in time"}
	w.listings, w.redactions = make(map[pacer.Resource]*trouble), make(map[string]redaction)
	if !client.SeesAttempts() {
		w.loud.Warn("pacer queue: the client sends through a BaseClient of the program's own, so that nobody sees what reaches Twilio: whatever fails without an answer is in doubt, and waits for Twilio's list or a person; give pacer an http.Client instead (pacer.WithHTTPClient)")
	}
	return w, nil
}

func (w *Worker) lease() time.Duration { return w.attemptTimeout + w.leaseMargin }

// Run sends until ctx ends. Then it claims nothing more, lets the requests on the wire and
// the calls of [WithOnResult]'s function end within the grace period, and returns nil. It
// returns an error, after the same, if the store is closed, gone, damaged or of a newer version. It may be
// called again afterwards.
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
	var cut context.CancelFunc
	w.wire, cut = context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	w.lanes, w.buckets, w.accounts = make(map[Lane]*lane), make(map[pacer.Resource]*bucket), make(map[string]*accountHold)
	w.outage, w.told = make(map[pacer.Resource]bool), make(map[ID]bool)

	loops := []func(context.Context) error{w.dispatch, w.sweep, w.resolve, w.watch}
	if w.onResult != nil {
		w.reporter = w.newReporter(w.wire)
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
	var onWire atomic.Int64 // when the grace period ended
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
