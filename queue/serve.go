package queue

import (
	"context"
	"errors"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file serves one lane: it waits for its slots and turns, and claims its jobs.

// serve sends what is ready in a lane, until nothing more is ready or the lane is held. Later the
// dispatcher starts it anew.
func (d *dispatcher) serve(ctx context.Context, l *lane) {
	defer d.wg.Done()
	for d.serves(ctx, l) {
		if l.Campaign != "" && !d.awaitPlace(ctx, l) {
			continue
		}
		turns := d.turns(ctx, l)
		switch {
		case len(turns) == 0:
		case d.more(ctx, l):
			d.claim(ctx, l, turns)
		default: // held or paused meanwhile
			d.drop(l, turns)
		}
	}
}

// serves reports whether there is something to send. If there is not, the lane counts as not
// served from this moment on. So the dispatcher, which may just bring something, does not leave
// it to a goroutine that ends.
func (d *dispatcher) serves(ctx context.Context, l *lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.served = l.more(ctx)
	return l.served
}

// drop gives back turns that are not used, and their slots.
func (d *dispatcher) drop(l *lane, turns []*pacer.Turn) {
	for _, turn := range turns {
		turn.Drop()
		d.slots.give(l.Resource)
	}
}

// more reports whether the lane has something that may be sent now.
func (d *dispatcher) more(ctx context.Context, l *lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return l.more(ctx)
}

// more is the same for a caller that holds the board's mutex.
func (l *lane) more(ctx context.Context) bool {
	ok, _ := l.mayGo(time.Now())
	return ok && l.ready > 0 && ctx.Err() == nil
}

// waitUntil sleeps until t. It reports false if it was roused: by the end of ctx, or by a
// change of the lane.
func (d *dispatcher) waitUntil(ctx context.Context, l *lane, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	roused, done := d.rousable(ctx, l)
	defer done()
	return pause(roused, wait)
}

// rousable returns a context that ends when the dispatcher has news for the lane.
func (d *dispatcher) rousable(ctx context.Context, l *lane) (context.Context, func()) {
	roused, rouse := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	l.rouse, l.waitsAs = rouse, l.top
	return pacer.WithPriority(roused, l.top), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		l.rouse = nil
		rouse()
	}
}

// oldestAfter has one of any ten requests that leave a lane be the one that has waited longest.
// So no priority starves.
const oldestAfter = 10

// maxTurns is how many requests are claimed in one transaction, at most. All of them are in doubt
// if the worker dies at that moment.
const maxTurns = 8

// turns waits for a slot and a turn, and takes more of both if they are free at once.
func (d *dispatcher) turns(ctx context.Context, l *lane) (turns []*pacer.Turn) {
	if !d.noDiscovery {
		d.client.DiscoverPool(ctx, l.Resource)
	}
	turn := d.turn(ctx, l)
	if turn == nil {
		return nil
	}
	turns = append(turns, turn)
	d.mu.Lock()
	most, top := min(int64(maxTurns), l.ready), l.top
	d.mu.Unlock()
	if l.Campaign != "" {
		most = min(most, int64(l.schedule.due(time.Now())))
	}
	for int64(len(turns)) < most && d.slots.takeNow(l.Resource, top) {
		turn := d.turnNow(ctx, l)
		if turn == nil {
			d.slots.give(l.Resource)
			break
		}
		turns = append(turns, turn)
	}
	return turns
}

// turn waits for a slot and a turn, and returns nil if the wait has ended otherwise. The slot comes
// first, so that no turn ages while all slots are taken. A lane that must wait for its turn leaves
// the slot to others meanwhile, and goes before others of its priority afterwards.
func (d *dispatcher) turn(ctx context.Context, l *lane) *pacer.Turn {
	if !d.slot(ctx, l, false) {
		return nil
	}
	if turn := d.turnNow(ctx, l); turn != nil {
		return turn
	}
	d.slots.give(l.Resource)
	roused, done := d.rousable(ctx, l)
	turn, err := d.client.Turn(roused, l.Resource)
	done()
	if err != nil {
		if roused.Err() == nil || ctx.Err() == nil {
			d.refused(l, err)
		}
		return nil
	}
	if !d.slot(ctx, l, true) {
		turn.Drop()
		return nil
	}
	return turn
}

// turnNow returns a turn if there is one at once, else nil.
func (d *dispatcher) turnNow(ctx context.Context, l *lane) *pacer.Turn {
	d.mu.Lock()
	top := l.top
	d.mu.Unlock()
	at, cancel := context.WithTimeout(pacer.WithPriority(ctx, top), time.Millisecond)
	defer cancel()
	turn, err := d.client.Turn(at, l.Resource)
	if err != nil {
		return nil
	}
	return turn
}

// slot waits for a slot. If something of a higher priority comes meanwhile, the lane waits with
// that priority. If first is true, the lane goes before others of its priority. It reports false
// if the lane has nothing to send any more, or may not send it now.
func (d *dispatcher) slot(ctx context.Context, l *lane, first bool) bool {
	for d.more(ctx, l) {
		roused, done := d.rousable(ctx, l)
		got := d.slots.take(roused, l.Resource, pacer.PriorityOf(roused), first)
		done()
		switch {
		case got && d.more(ctx, l):
			return true
		case got: // held or paused meanwhile
			d.slots.give(l.Resource)
		}
	}
	return false
}

// refused has a lane wait before it asks for a turn again, after the client has refused one. An
// error that is no refusal shows that the client's limiter fails, which an alert tells.
func (d *dispatcher) refused(l *lane, err error) {
	var wait *pacer.WaitError
	if errors.Is(err, context.Canceled) {
		return // the wait was ended by rouse
	}
	until := time.Now().Add(time.Second)
	if errors.As(err, &wait) && wait.RetryAfter > 0 {
		until = time.Now().Add(min(wait.RetryAfter, maxHold))
	}
	d.mu.Lock()
	l.notBefore = until
	first := !l.bucket.refusing
	l.bucket.refusing = true
	d.mu.Unlock()
	if first && (wait == nil || wait.RetryAfter == 0) { // the limiter itself fails
		d.raise(Alert{Kind: AlertUnreachable, Lane: l.Lane, Err: err, Advice: adviceLimiter})
	}
}

// claim claims a request for each turn, and sends them.
func (d *dispatcher) claim(ctx context.Context, l *lane, turns []*pacer.Turn) {
	d.mu.Lock()
	room := l.bucket.room(len(turns))
	l.bucket.depart(room)
	l.bucket.refusing = false
	d.mu.Unlock()
	d.drop(l, turns[room:])
	if turns = turns[:room]; room == 0 {
		return
	}
	oldest := l.departed+len(turns) >= oldestAfter
	began := time.Now()
	jobs, err := d.engine.Claim(ctx, Claim{Lane: l.Lane, Max: len(turns), Lease: d.lease(), Oldest: oldest})
	if len(jobs) > 0 {
		d.clocks.engineSaid(jobs[0].Began, began, time.Now())
	}
	d.mu.Lock()
	l.claimed = time.Now()
	if l.ready -= int64(len(jobs)); len(jobs) < len(turns) {
		l.ready = 0
	}
	l.bucket.depart(len(jobs) - room)
	d.mu.Unlock()
	if l.departed += len(jobs); oldest {
		l.departed = max(0, len(jobs)-1)
	}
	l.schedule.use(len(jobs))
	d.drop(l, turns[len(jobs):])
	if err != nil {
		d.holder.storeFailed(ctx, l, err)
	}
	for i, j := range jobs {
		d.wg.Add(1)
		go d.sender.send(ctx, l, j, turns[i], began)
	}
}
