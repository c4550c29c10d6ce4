package queue

import (
	"context"
	"errors"
	"time"

	"github.com/twilio-pacer/pacer"
)

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
			w.drop(l, turns)
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

func (w *Worker) drop(l *lane, turns []*pacer.Turn) {
	for _, turn := range turns {
		turn.Drop()
		w.slots.give(l.Resource)
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

// turns waits for a slot and a turn, and takes more of both if there are any to be had at once.
func (w *Worker) turns(ctx context.Context, l *lane) (turns []*pacer.Turn) {
	if !w.noDiscovery {
		w.client.DiscoverPool(ctx, l.Resource)
	}
	turn := w.turn(ctx, l)
	if turn == nil {
		return nil
	}
	turns = append(turns, turn)
	w.mu.Lock()
	most, top := min(int64(maxTurns), l.ready), l.top
	w.mu.Unlock()
	if l.Campaign != "" {
		most = min(most, int64(l.schedule.due(time.Now())))
	}
	for int64(len(turns)) < most && w.slots.takeNow(l.Resource, top) {
		turn := w.turnNow(ctx, l)
		if turn == nil {
			w.slots.give(l.Resource)
			break
		}
		turns = append(turns, turn)
	}
	return turns
}

// turn waits for a slot and a turn; nil: the wait has ended otherwise. The slot comes first, so
// that no turn ages while all slots are taken. A lane that has to wait for its turn leaves the
// slot to others meanwhile, and goes before others of its priority then.
func (w *Worker) turn(ctx context.Context, l *lane) *pacer.Turn {
	if !w.slot(ctx, l, false) {
		return nil
	}
	if turn := w.turnNow(ctx, l); turn != nil {
		return turn
	}
	w.slots.give(l.Resource)
	roused, done := w.rousable(ctx, l)
	turn, err := w.client.Turn(roused, l.Resource)
	done()
	if err != nil {
		if roused.Err() == nil || ctx.Err() == nil {
			w.refused(l, err)
		}
		return nil
	}
	if !w.slot(ctx, l, true) {
		turn.Drop()
		return nil
	}
	return turn
}

// turnNow returns a turn if there is one at once, else nil.
func (w *Worker) turnNow(ctx context.Context, l *lane) *pacer.Turn {
	w.mu.Lock()
	top := l.top
	w.mu.Unlock()
	at, cancel := context.WithTimeout(pacer.WithPriority(ctx, top), time.Millisecond)
	defer cancel()
	turn, err := w.client.Turn(at, l.Resource)
	if err != nil {
		return nil
	}
	return turn
}

// slot waits for a slot. If something of a higher priority comes meanwhile, the lane waits with
// that. first: the lane goes before others of its priority. It reports false if the lane has
// nothing to send any more, or may not send it now.
func (w *Worker) slot(ctx context.Context, l *lane, first bool) bool {
	for w.more(ctx, l) {
		roused, done := w.rousable(ctx, l)
		got := w.slots.take(roused, l.Resource, pacer.PriorityOf(roused), first)
		done()
		switch {
		case got && w.more(ctx, l):
			return true
		case got: // parked or paused meanwhile
			w.slots.give(l.Resource)
		}
	}
	return false
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
	w.drop(l, turns[room:])
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
	w.drop(l, turns[len(jobs):])
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
