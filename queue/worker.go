package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A Worker sends what waits in a queue, at the pace of its client's limits. Of each lane
// that has something to send it first awaits a turn ([pacer.Client.Turn]) and then claims
// the request that is to go next, so that nothing is held while it waits, one lane never
// waits for another, and a one-time password goes before the campaign. A lane costs a
// goroutine while something is ready in it; what waits costs the worker nothing.
//
// A throttled request goes back to its place, and its bucket is held, in all
// processes, for as long as Twilio says plus 0-1 s, else for 1, 2, 4, 8, 16 s; it costs no
// attempt. An error that Twilio gives for good (an invalid number) makes a request Failed
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
	logger        *slog.Logger  // nil: only what must not go unheard is logged
	loud          *slog.Logger  // for that: the logger, or slog.Default
	logs          outlet        // of both
	slots         chan struct{} // one for each request on the wire

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
		slots:    make(chan struct{}, 200), tellers: tellers,
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
		onWire.Store(int64(len(w.slots)))
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

// A lane is what the worker knows of one while something is ready in it.
type lane struct {
	Lane
	bucket *bucket

	// Guarded by the worker's mu.
	served  bool
	ready   int64 // as far as is known
	top     pacer.Priority
	claimed time.Time // when it was claimed from last
	doc     *campaignDoc
	again   time.Time // not to be served before
	waitsAs pacer.Priority
	rouse   func() // ends the wait for a turn; nil: it does not wait

	// The serving goroutine's.
	departed int // since the one that had waited longest
	schedule places
}

// The dispatcher looks at most so often, and, if looking takes long, after a pause of a
// multiple of it: with ten thousand lanes it must not do nothing else.
const (
	lookAtMost  = 10 * time.Millisecond
	lookAtLeast = time.Second
	lookPause   = 4
	storePause  = time.Second
	probePause  = 100 * time.Millisecond
)

// dispatch starts a goroutine for each lane in which something is ready.
func (w *Worker) dispatch(ctx context.Context) error {
	troubled := false
	for ctx.Err() == nil {
		start := time.Now()
		next, err := w.look(ctx, start)
		switch {
		case err == nil:
			troubled = false
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it has failed because the worker is to end
		default:
			if !troubled {
				w.raise(Alert{Kind: AlertStore, Err: err, Advice: adviceStore})
			}
			if troubled = true; fatal(err) {
				return err
			}
			pause(ctx, storePause)
			continue
		}
		pause(ctx, max(lookAtMost, lookPause*time.Since(start)))
		if wait := min(time.Until(next), lookAtLeast); wait > 0 && ctx.Err() == nil {
			_ = w.q.engine.Await(ctx, wait) // what fails here fails in look, too
		}
	}
	return nil
}

// look returns when to look again.
func (w *Worker) look(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(lookAtLeast)
	ready, due, err := w.q.engine.Work(ctx)
	if err != nil {
		return next, err
	}
	read := time.Now()
	if at := read.Add(due); at.Before(next) {
		next = at
	}
	campaigns, err := w.campaignsOf(ctx, ready)
	if err != nil {
		return next, err
	}
	for _, r := range ready {
		// What was enqueued while the campaign was cancelled, or came back from the wire.
		if doc := campaigns[r.Lane.Campaign]; doc != nil && doc.State == CampaignCancelled {
			if _, err := w.q.engine.CancelWaiting(ctx, doc.name, batch); err != nil {
				return next, err
			}
		}
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[*lane]bool, len(ready))
	for _, r := range ready {
		l := w.lane(r.Lane)
		seen[l] = true
		if l.claimed.After(now) {
			next = now // it has been claimed from since: what was read is not true any more
			l.changed(campaigns[r.Lane.Campaign])
			continue
		}
		l.changed(campaigns[r.Lane.Campaign])
		l.ready, l.top = r.Ready, r.Top
		l.bucket.adopt(r, now, read)
		if l.served {
			if l.rouse != nil && l.top > l.waitsAs {
				l.rouse()
			}
			continue
		}
		if ok, again := l.mayGo(now); !ok {
			if !again.IsZero() && again.Before(next) {
				next = again
			}
			continue
		}
		l.served = true
		w.wg.Add(1)
		go w.serve(ctx, l)
	}
	for key, l := range w.lanes {
		if !seen[l] && !l.served {
			delete(w.lanes, key)
			l.bucket.users--
		}
	}
	for r, b := range w.buckets {
		if b.idle(now) {
			w.forget(r, b)
		}
	}
	return next, nil
}

// campaignsOf returns the campaigns of lanes, and tells once of those that cannot be read.
func (w *Worker) campaignsOf(ctx context.Context, lanes []ReadyLane) (map[string]*campaignDoc, error) {
	var documents []string
	for _, r := range lanes {
		if r.Lane.Campaign != "" {
			documents = append(documents, campaignPrefix+r.Lane.Campaign)
		}
	}
	if len(documents) == 0 { // which would ask for all
		w.campaigns = nil
		return nil, nil
	}
	slices.Sort(documents)
	campaigns, err := loadCampaigns(ctx, w.q.engine, w.campaigns, slices.Compact(documents)...)
	if err != nil && (campaigns == nil || fatal(err)) {
		return nil, err
	}
	if err != nil && err.Error() != w.complained {
		w.raise(Alert{Kind: AlertStore, Err: err, Advice: adviceStore})
		w.complained = err.Error()
	}
	w.campaigns = campaigns
	return campaigns, nil
}

// lane returns the lane's record, with mu held.
func (w *Worker) lane(key Lane) *lane {
	l, ok := w.lanes[key]
	if !ok {
		b, ok := w.buckets[key.Resource]
		if !ok {
			b = w.bucket(key.Resource)
		}
		b.users++
		l = &lane{Lane: key, bucket: b}
		w.lanes[key] = l
	}
	return l
}

// bucket makes a bucket, with mu held.
func (w *Worker) bucket(r pacer.Resource) *bucket {
	a := w.accounts[r.Account]
	if a == nil {
		a = &accountHold{}
		w.accounts[r.Account] = a
	}
	a.buckets++
	b := &bucket{resource: r, account: a}
	w.buckets[r] = b
	return b
}

// forget drops a bucket that nobody uses, with mu held.
func (w *Worker) forget(r pacer.Resource, b *bucket) {
	delete(w.buckets, r)
	delete(w.outage, r)
	if b.account.buckets--; b.account.buckets == 0 {
		delete(w.accounts, r.Account)
	}
}

// changed notes the state of the lane's campaign, with mu held.
func (l *lane) changed(doc *campaignDoc) {
	same := l.doc == doc || l.doc != nil && doc != nil && l.doc.version == doc.version
	if l.doc = doc; !same && l.rouse != nil {
		l.rouse()
	}
}

// mayGo reports whether the lane's requests may be sent now, and if not when that can
// change by time alone, with mu held.
func (l *lane) mayGo(now time.Time) (ok bool, again time.Time) {
	if until := l.bucket.until(); until.After(now) {
		return false, until
	}
	if l.bucket.room(1) == 0 { // a probe is on the wire
		return false, now.Add(probePause)
	}
	if l.again.After(now) {
		return false, l.again
	}
	if l.Campaign == "" {
		return true, time.Time{}
	}
	if l.doc == nil {
		return false, time.Time{} // its document is damaged, or not written yet
	}
	return l.doc.sendable(now)
}

// serve sends what is ready in a lane until there is nothing more, or it has to keep
// still; the dispatcher starts it anew.
func (w *Worker) serve(ctx context.Context, l *lane) {
	defer w.wg.Done()
	for w.serves(ctx, l) {
		if l.Campaign != "" && !w.awaitPlace(ctx, l) {
			continue
		}
		turns := w.turns(ctx, l)
		switch {
		case len(turns) == 0:
		case w.more(ctx, l):
			w.claim(ctx, l, turns)
		default: // parked or paused meanwhile
			w.drop(turns)
		}
	}
}

// serves reports whether there is something to send. If there is not, the lane is not
// served any more: from this moment on, so that the dispatcher, which may just bring
// something, does not leave it to a goroutine that ends.
func (w *Worker) serves(ctx context.Context, l *lane) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.served = l.more(ctx)
	return l.served
}

func (w *Worker) drop(turns []*pacer.Turn) {
	for _, turn := range turns {
		turn.Drop()
		<-w.slots
	}
}

func (w *Worker) more(ctx context.Context, l *lane) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return l.more(ctx)
}

func (l *lane) more(ctx context.Context) bool {
	ok, _ := l.mayGo(time.Now())
	return ok && l.ready > 0 && ctx.Err() == nil
}

// places are those that a lane has taken in its campaign's schedule, which all lanes and
// processes share.
type places struct {
	next  time.Time
	left  int
	every time.Duration
	take  int // how many to take next
}

// How far ahead places are taken: less, and each request costs a write more; more, and a
// change of the rate is felt later, and a lane that cannot use its places keeps others
// from them.
const (
	placesFor = 250 * time.Millisecond
	maxPlaces = 50
)

// use counts n places as used.
func (p *places) use(n int) {
	n = min(n, p.left)
	p.left -= n
	p.next = p.next.Add(time.Duration(n) * p.every)
	if p.left == 0 {
		p.take = min(2*p.take, maxPlaces)
	}
}

// due reports how many places have come.
func (p *places) due(now time.Time) int {
	if now.Before(p.next) {
		return 0
	}
	return min(p.left, 1+int(now.Sub(p.next)/p.every))
}

// awaitPlace waits for the lane's place in its campaign's schedule. It reports false if
// the wait has ended otherwise.
func (w *Worker) awaitPlace(ctx context.Context, l *lane) bool {
	w.mu.Lock()
	doc, ready := l.doc, l.ready
	w.mu.Unlock()
	if doc == nil {
		return false
	}
	p, every := &l.schedule, time.Duration(float64(time.Second)/doc.Rate)
	if p.every != every || time.Since(p.next) > placesFor { // another rate, or the lane is slower than it
		*p = places{every: every, take: 1}
	}
	if p.left == 0 {
		n := int(min(int64(p.take), max(1, int64(placesFor/every)), ready))
		wait, err := w.q.engine.Reserve(ctx, doc.schedule(), doc.Rate, n)
		if err != nil {
			w.storeFailed(ctx, l, err)
			return false
		}
		p.next, p.left = time.Now().Add(wait), n
	}
	return w.waitUntil(ctx, l, p.next)
}

// waitUntil sleeps until t. It reports false if it was roused: by the end of ctx, or by a
// change of the lane.
func (w *Worker) waitUntil(ctx context.Context, l *lane, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	roused, done := w.rousable(ctx, l)
	defer done()
	return pause(roused, wait)
}

// rousable returns a context that ends when the dispatcher has news for the lane.
func (w *Worker) rousable(ctx context.Context, l *lane) (context.Context, func()) {
	roused, rouse := context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	l.rouse, l.waitsAs = rouse, l.top
	return pacer.WithPriority(roused, l.top), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		l.rouse = nil
		rouse()
	}
}

// oldestAfter: of any ten requests that leave a lane one is the one that has waited
// longest, so that no priority starves.
const oldestAfter = 10

// maxTurns is how many requests are claimed in one transaction. All of them are in doubt
// if the worker dies at that moment.
const maxTurns = 8

// turns waits for a turn, and takes more if there are any to be had at once.
func (w *Worker) turns(ctx context.Context, l *lane) (turns []*pacer.Turn) {
	if !w.noDiscovery {
		w.client.DiscoverPool(ctx, l.Resource)
	}
	roused, done := w.rousable(ctx, l)
	turn, err := w.client.Turn(roused, l.Resource)
	done()
	if err != nil {
		if roused.Err() == nil || ctx.Err() == nil {
			w.refused(l, err)
		}
		return nil
	}
	if !w.slot(ctx) {
		turn.Drop()
		return nil
	}
	turns = append(turns, turn)
	w.mu.Lock()
	most := min(int64(maxTurns), l.ready)
	w.mu.Unlock()
	if l.Campaign != "" {
		most = min(most, int64(l.schedule.due(time.Now())))
	}
	for int64(len(turns)) < most && w.freeSlot() {
		at, cancel := context.WithTimeout(ctx, time.Millisecond)
		turn, err := w.client.Turn(at, l.Resource)
		cancel()
		if err != nil {
			<-w.slots
			break
		}
		turns = append(turns, turn)
	}
	return turns
}

func (w *Worker) slot(ctx context.Context) bool {
	select {
	case w.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *Worker) freeSlot() bool {
	select {
	case w.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// refused handles the error of a wait for a turn.
func (w *Worker) refused(l *lane, err error) {
	var wait *pacer.WaitError
	if errors.Is(err, context.Canceled) {
		return // roused
	}
	until := time.Now().Add(time.Second)
	if errors.As(err, &wait) && wait.RetryAfter > 0 {
		until = time.Now().Add(min(wait.RetryAfter, maxHold))
	}
	w.mu.Lock()
	l.again = until
	first := !l.bucket.refusing
	l.bucket.refusing = true
	w.mu.Unlock()
	if first && (wait == nil || wait.RetryAfter == 0) { // the limiter itself fails
		w.raise(Alert{Kind: AlertUnreachable, Lane: l.Lane, Err: err, Advice: adviceLimiter})
	}
}

// claim claims a request for each turn, and sends them.
func (w *Worker) claim(ctx context.Context, l *lane, turns []*pacer.Turn) {
	w.mu.Lock()
	room := l.bucket.room(len(turns))
	l.bucket.depart(room)
	l.bucket.refusing = false
	w.mu.Unlock()
	w.drop(turns[room:])
	if turns = turns[:room]; room == 0 {
		return
	}
	oldest := l.departed+len(turns) >= oldestAfter
	began := time.Now()
	jobs, err := w.q.engine.Claim(ctx, Claim{Lane: l.Lane, Max: len(turns), Lease: w.lease(), Oldest: oldest})
	if len(jobs) > 0 {
		w.clocks.engineSaid(jobs[0].Began, began, time.Now())
	}
	w.mu.Lock()
	l.claimed = time.Now()
	if l.ready -= int64(len(jobs)); len(jobs) < len(turns) {
		l.ready = 0
	}
	l.bucket.depart(len(jobs) - room)
	w.mu.Unlock()
	if l.departed += len(jobs); oldest {
		l.departed = max(0, len(jobs)-1)
	}
	l.schedule.use(len(jobs))
	w.drop(turns[len(jobs):])
	if err != nil {
		w.storeFailed(ctx, l, err)
	}
	for i, j := range jobs {
		w.wg.Add(1)
		go w.send(ctx, l, j, turns[i], began)
	}
}

// storeFailed makes a lane wait for the store to work again; the dispatcher alerts.
func (w *Worker) storeFailed(ctx context.Context, l *lane, err error) {
	if ctx.Err() != nil {
		return
	}
	if w.logger != nil {
		w.logger.Warn("pacer queue: the store fails", "lane", l.Lane, "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l.again = time.Now().Add(storePause)
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
