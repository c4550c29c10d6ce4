package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
)

// What Twilio can be asked about.
const (
	createMessage = "api/" + pacer.Messages + ":create"
	createCall    = "api/" + pacer.Calls + ":create"
)

func reconcilable(resource string) bool { return resource == createMessage || resource == createCall }

// resolveEvery is how often the worker looks for requests in doubt, and asksAtOnce how
// many it asks Twilio about at a time: a disturbance there leaves thousands of them.
const (
	resolveEvery = time.Second
	asksAtOnce   = 8
)

// resolve applies the policies to what is in doubt.
func (w *Worker) resolve(ctx context.Context) error {
	store := &trouble{w: w, kind: AlertStore, advice: adviceStore, what: "looking for requests in doubt in the store"}
	for on := true; on; on = pause(ctx, min(resolveEvery, w.settle)) { // at once, as sweep
		if err := w.resolveSome(ctx); err != nil {
			store.failed(ctx, err)
		} else {
			store.worked()
		}
	}
	return nil
}

func (w *Worker) resolveSome(ctx context.Context) error {
	at, err := w.askEngine(ctx)
	if err != nil {
		return err
	}
	w.looking, w.storeTime = time.Now(), at
	jobs, err := w.q.engine.List(ctx, Filter{States: []State{InDoubt}, LookBefore: at}, "", page)
	if err != nil || len(jobs) == 0 {
		return err
	}
	lists := w.ask(ctx, jobs)
	alike, err := w.alike(ctx, jobs, lists)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		w.resolveOne(ctx, j, lists[i], alike)
	}
	return nil
}

// ask gets Twilio's lists for those jobs that are to be looked for.
func (w *Worker) ask(ctx context.Context, jobs []Job) []list {
	lists := make([]list, len(jobs))
	var asking sync.WaitGroup
	slots := make(chan struct{}, asksAtOnce)
	var failed sync.Map // of resources whose list cannot be read now: what the error was
	for i := range jobs {
		j := &jobs[i]
		if w.policyFor(j.Lane.Resource, &j.Request) != Reconcile || w.settled(j).After(w.storeNow()) {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			r := j.Lane.Resource
			r.Sender = ""
			if err, ok := failed.Load(r); ok { // the rest need not wait for as long each
				lists[i] = list{asked: true, err: err.(error)}
				return
			}
			lists[i] = w.list(ctx, j)
			var no *refusedError
			if err := lists[i].err; err != nil && !errors.As(err, &no) {
				failed.Store(r, err)
			}
		})
	}
	asking.Wait()
	return lists
}

// settled is from when on, by the engine's clock, Twilio can be asked about j. A worker that has vanished may have
// sent it at the very end of its time.
func (w *Worker) settled(j *Job) time.Time {
	if j.Outcome.Reason != ReasonLease {
		return j.Look
	}
	return j.Began.Add(w.attemptTimeout + w.settle)
}

// twins counts the requests that may have been sent and look alike to Twilio.
type twins struct{ doubtful, sending int }

// alike counts twins of jobs, and of what Twilio lists for them. It is to be called after
// Twilio was asked: a twin that is sent in between is in its list. Whatever else is in
// doubt takes no memory, however much there is.
func (w *Worker) alike(ctx context.Context, jobs []Job, lists []list) (map[string]twins, error) {
	alike := make(map[string]twins)
	for i := range jobs {
		alike[looks(&jobs[i])] = twins{}
		for _, c := range lists[i].all {
			alike[c.looks(&jobs[i].Lane)] = twins{}
		}
	}
	for j, err := range w.q.List(ctx, Filter{States: []State{InDoubt, Sending}}) {
		if err != nil {
			return nil, err
		}
		key := looks(&j)
		t, wanted := alike[key]
		switch {
		case !wanted:
			continue
		case j.State == Sending:
			t.sending++
		default:
			t.doubtful++
		}
		alike[key] = t
	}
	return alike, nil
}

// resolveOne decides about one request in doubt, or puts the decision off.
func (w *Worker) resolveOne(ctx context.Context, j Job, l list, alike map[string]twins) {
	switch w.policyFor(j.Lane.Resource, &j.Request) {
	case Resend:
		w.decide(ctx, j, Move{To: Ready})
		return
	case ParkInDoubt:
		w.parkInDoubt(ctx, j, j.Outcome.Reason)
		return
	}
	if !l.asked {
		w.decide(ctx, j, Move{To: InDoubt, LookIn: max(w.settled(&j).Sub(w.storeNow()), time.Microsecond)})
		return
	}
	if l.err != nil {
		w.cannotList(ctx, j, l.err)
		return
	}
	w.listing(j.Lane.Resource).worked()
	found, err := w.doubtOf(ctx, &j, l, alike).find()
	again := w.settle
	if j.Looks == 0 && j.Outcome.Reason == ReasonLease {
		// A lease ends early if the engine's clock is set: it may be on the wire still.
		again += w.lease()
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.cannotList(ctx, j, err)
	case l.unsure != "" && found.sid == "":
		w.parkInDoubt(ctx, j, l.unsure)
	case found.unsure != "":
		w.parkInDoubt(ctx, j, found.unsure)
	case found.wait != "":
		if w.logger != nil {
			w.logger.Warn("pacer queue: cannot tell yet what became of a request in doubt; Twilio is asked again", "id", j.ID, "why", found.wait)
		}
		w.decide(ctx, j, Move{To: InDoubt, LookIn: again, Looked: true})
	case found.sid != "":
		w.found(ctx, j, found.sid, alike)
	case j.Looks == 0: // once more, in case that the list is late
		w.decide(ctx, j, Move{To: InDoubt, LookIn: again, Looked: true})
	default:
		w.decide(ctx, j, Move{To: Ready})
	}
}

// found records that Twilio has a request.
func (w *Worker) found(ctx context.Context, j Job, sid string, alike map[string]twins) {
	o := j.Outcome
	o.SID, o.Reason = sid, ""
	if !w.decide(ctx, j, Move{To: Sent, Outcome: &o, Reported: w.onResult == nil}) {
		return
	}
	t := alike[looks(&j)]
	t.doubtful--
	alike[looks(&j)] = t // its twins have one candidate less
	if w.onResult != nil {
		j.State, j.Outcome, j.Finished = Sent, o, w.storeNow()
		w.report(ctx, j)
	}
}

// unlistedAfter is how long Twilio has to refuse to show its list before a request that
// is in doubt does not wait for it any more.
const unlistedAfter = time.Hour

// cannotList puts off a decision because Twilio's list, or the store, cannot be read. A
// refusal that lasts, such as for a key that may not list, is for a person; that of a
// whole account, and everything that passes by itself, is waited for.
func (w *Worker) cannotList(ctx context.Context, j Job, err error) {
	if ctx.Err() != nil {
		return
	}
	t := w.listing(j.Lane.Resource)
	t.failed(ctx, err)
	var no *refusedError
	if errors.As(err, &no) && !w.held(j.Lane.Resource.Account) && t.lasted() > unlistedAfter {
		w.parkInDoubt(ctx, j, no.Error())
		return
	}
	w.decide(ctx, j, Move{To: InDoubt, LookIn: w.settle})
}

// listing counts the failures to read Twilio's list of a resource.
func (w *Worker) listing(r pacer.Resource) *trouble {
	r.Sender = ""
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.listings[r]
	if t == nil {
		t = &trouble{w: w, kind: AlertInDoubt, advice: adviceListFails, what: "asking Twilio for the list of " + r.Name}
		w.listings[r] = t
	}
	return t
}

// held reports whether an account is held because Twilio does nothing for it.
func (w *Worker) held(accountSID string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.accounts[accountSID]
	return a != nil && a.refusals > 0
}

// doubtOf puts together what is known about j.
func (w *Worker) doubtOf(ctx context.Context, j *Job, l list, alike map[string]twins) *doubt {
	ahead, _ := w.clocks.ahead()
	d := &doubt{job: j, listed: l.all, wide: ahead.hi-ahead.lo > setMargin}
	from, to := j.Began, j.Began.Add(w.attemptTimeout)
	if from.IsZero() { // never claimed: a restored backup's, see docs/queue.md
		from, to = j.Created, time.Time{}
	}
	d.span.from = from.Add(ahead.lo - clockMargin)
	if !to.IsZero() {
		d.span.to = to.Add(ahead.hi + clockMargin)
	}
	d.pending = func(look string) twins { return alike[look] }
	d.belongs = func(sid string) (bool, error) {
		other, err := w.q.engine.List(ctx, Filter{SID: sid}, "", 1)
		return len(other) > 0, err
	}
	d.redacts = func() (bool, error) { return w.redacts(ctx, j) }
	return d
}

// decide moves a request out of doubt, unless somebody else has meanwhile.
func (w *Worker) decide(ctx context.Context, j Job, m Move) bool {
	m.ID, m.Claim, m.From = j.ID, j.Claim, []State{InDoubt}
	err := w.q.engine.Move(ctx, m)
	var elsewhere *StateError
	if err != nil && !errors.As(err, &elsewhere) && !errors.Is(err, ErrNotFound) {
		w.decisions.failed(ctx, err)
	} else {
		w.decisions.worked()
		delete(w.told, j.ID)
	}
	return err == nil
}

// parkInDoubt leaves a request to a person. It tells of it first: a store may have parked
// what it fails to answer for, and a process may be killed in between.
func (w *Worker) parkInDoubt(ctx context.Context, j Job, why string) {
	if !w.told[j.ID] {
		w.parkedInDoubt(j, why)
		w.told[j.ID] = true
	}
	o := j.Outcome
	o.Reason = why
	w.decide(ctx, j, Move{To: InDoubt, Outcome: &o})
}

func (w *Worker) parkedInDoubt(j Job, why string) {
	w.raise(Alert{Kind: AlertInDoubt, Lane: j.Lane, ID: j.ID, Err: errors.New(why), Advice: adviceInDoubt})
}
