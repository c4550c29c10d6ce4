package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file moves requests out of doubt, as the policies say.

// The operations whose requests Twilio can be asked about.
const (
	createMessage = "api/" + pacer.Messages + ":create"
	createCall    = "api/" + pacer.Calls + ":create"
)

// reconcilable reports whether the policy Reconcile is possible for an operation.
func reconcilable(resource string) bool { return resource == createMessage || resource == createCall }

// The worker looks for requests in doubt each resolveEvery. It asks Twilio about asksAtOnce of
// them at a time, as a disturbance at Twilio leaves thousands.
const (
	resolveEvery = time.Second
	asksAtOnce   = 8
)

// A resolver moves requests out of doubt as the policies say: it sends them again, parks them, or
// looks for them at Twilio. Its state belongs to the goroutine of resolve.
type resolver struct {
	*base
	board  *board
	twilio *inquirer

	looking   time.Time   // when the last look for requests in doubt began
	storeTime time.Time   // the same moment by the engine's clock
	alerted   map[ID]bool // requests of which an alert has said that they are parked, and that may not be
	decisions trouble     // with moves out of doubt
	listings  map[pacer.Resource]*trouble
}

func newResolver(b *base, known *board) *resolver {
	return &resolver{base: b, board: known, twilio: &inquirer{base: b, redactions: make(map[string]redaction)},
		decisions: trouble{n: &b.notifier, kind: AlertStore, advice: adviceStore, what: "moving requests out of doubt"},
		listings:  make(map[pacer.Resource]*trouble)}
}

// clear forgets which alerts were raised. A new Run raises them again.
func (r *resolver) clear() { r.alerted = make(map[ID]bool) }

// storeNow returns what the engine's clock shows now, by what it showed when the last look began.
func (r *resolver) storeNow() time.Time { return r.storeTime.Add(time.Since(r.looking)) }

// resolve applies the policies to what is in doubt, until ctx ends.
func (r *resolver) resolve(ctx context.Context) error {
	store := &trouble{n: &r.notifier, kind: AlertStore, advice: adviceStore, what: "looking for requests in doubt in the store"}
	for on := true; on; on = pause(ctx, min(resolveEvery, r.settle)) { // at once, as in sweep
		if err := r.resolveSome(ctx); err != nil {
			store.failed(ctx, err)
		} else {
			store.worked()
		}
	}
	return nil
}

// resolveSome applies the policies to some of what is in doubt.
func (r *resolver) resolveSome(ctx context.Context) error {
	at, err := r.askEngine(ctx)
	if err != nil {
		return err
	}
	r.looking, r.storeTime = time.Now(), at
	jobs, err := r.engine.List(ctx, Filter{States: []State{InDoubt}, LookBefore: at}, "", page)
	if err != nil || len(jobs) == 0 {
		return err
	}
	lists := r.ask(ctx, jobs)
	alike, err := r.alike(ctx, jobs, lists)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		r.resolveOne(ctx, j, lists[i], alike)
	}
	return nil
}

// ask gets Twilio's lists for those jobs that must be looked for.
func (r *resolver) ask(ctx context.Context, jobs []Job) []list {
	lists := make([]list, len(jobs))
	var asking sync.WaitGroup
	asks := make(chan struct{}, asksAtOnce)
	var failed sync.Map // of resources whose list cannot be read now: what the error was
	for i := range jobs {
		j := &jobs[i]
		if r.policyFor(j.Lane.Resource, &j.Request) != Reconcile || r.settled(j).After(r.storeNow()) {
			continue
		}
		asks <- struct{}{}
		asking.Go(func() {
			defer func() { <-asks }()
			of := j.Lane.Resource
			of.Sender = ""
			if err, ok := failed.Load(of); ok { // the rest need not wait for as long each
				lists[i] = list{asked: true, err: err.(error)}
				return
			}
			lists[i] = r.twilio.list(ctx, j)
			var no *refusedError
			if err := lists[i].err; err != nil && !errors.As(err, &no) {
				failed.Store(of, err)
			}
		})
	}
	asking.Wait()
	return lists
}

// settled returns from when on Twilio can be asked about j, by the engine's clock. A worker that
// has vanished may have sent it at the very end of its time.
func (r *resolver) settled(j *Job) time.Time {
	if j.Outcome.Reason != ReasonLease {
		return j.Look
	}
	return j.Began.Add(r.attemptTimeout + r.settle)
}

// alike counts the twins of jobs, and of what Twilio lists for them. It must be called after Twilio
// was asked, so that a twin that is sent in between is in its list. Other jobs in doubt take no
// memory, however many there are.
func (r *resolver) alike(ctx context.Context, jobs []Job, lists []list) (map[string]twins, error) {
	alike := make(map[string]twins)
	for i := range jobs {
		alike[looks(&jobs[i])] = twins{}
		for _, c := range lists[i].all {
			alike[c.looks(&jobs[i].Lane)] = twins{}
		}
	}
	for j, err := range r.q.List(ctx, Filter{States: []State{InDoubt, Sending}}) {
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
func (r *resolver) resolveOne(ctx context.Context, j Job, l list, alike map[string]twins) {
	switch r.policyFor(j.Lane.Resource, &j.Request) {
	case Resend:
		r.decide(ctx, j, Move{To: Ready})
		return
	case ParkInDoubt:
		r.parkInDoubt(ctx, j, j.Outcome.Reason)
		return
	}
	if !l.asked {
		r.decide(ctx, j, Move{To: InDoubt, LookIn: max(r.settled(&j).Sub(r.storeNow()), time.Microsecond)})
		return
	}
	if l.err != nil {
		r.cannotList(ctx, j, l.err)
		return
	}
	r.listing(j.Lane.Resource).worked()
	found, err := r.verdictOn(ctx, &j, l, alike)
	again := r.settle
	if j.Looks == 0 && j.Outcome.Reason == ReasonLease {
		// A lease ends early if the engine's clock is set: it may be on the wire still.
		again += r.lease()
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.cannotList(ctx, j, err)
	case l.unsure != "" && found.sid == "":
		r.parkInDoubt(ctx, j, l.unsure)
	case found.unsure != "":
		r.parkInDoubt(ctx, j, found.unsure)
	case found.wait != "":
		r.warn("cannot tell yet what became of a request in doubt; Twilio is asked again", "id", j.ID, "why", found.wait)
		r.decide(ctx, j, Move{To: InDoubt, LookIn: again, Looked: true})
	case found.sid != "":
		r.found(ctx, j, found.sid, alike)
	case j.Looks == 0: // once more, in case that the list is late
		r.decide(ctx, j, Move{To: InDoubt, LookIn: again, Looked: true})
	default:
		r.decide(ctx, j, Move{To: Ready})
	}
}

// found records that Twilio has a request.
func (r *resolver) found(ctx context.Context, j Job, sid string, alike map[string]twins) {
	o := j.Outcome
	o.SID, o.Reason = sid, ""
	if !r.decide(ctx, j, Move{To: Sent, Outcome: &o, Reported: r.onResult == nil}) {
		return
	}
	t := alike[looks(&j)]
	t.doubtful--
	alike[looks(&j)] = t // its twins have one candidate less
	if r.onResult != nil {
		j.State, j.Outcome, j.Finished = Sent, o, r.storeNow()
		r.reporter.report(j)
	}
}

// unlistedAfter is how long Twilio must have refused to show its list before a request in doubt is
// parked instead of waiting for the list.
const unlistedAfter = time.Hour

// cannotList puts off a decision because Twilio's list, or the store, cannot be read. If Twilio
// refuses for long, such as for a key that may not list, a person must decide. What passes by
// itself is waited for, and so is a refusal of the whole account.
func (r *resolver) cannotList(ctx context.Context, j Job, err error) {
	if ctx.Err() != nil {
		return
	}
	t := r.listing(j.Lane.Resource)
	t.failed(ctx, err)
	var no *refusedError
	if errors.As(err, &no) && !r.board.isBarred(j.Lane.Resource.Account) && t.lasted() > unlistedAfter {
		r.parkInDoubt(ctx, j, no.Error())
		return
	}
	r.decide(ctx, j, Move{To: InDoubt, LookIn: r.settle})
}

// listing returns the trouble with Twilio's list of a resource.
func (r *resolver) listing(of pacer.Resource) *trouble {
	of.Sender = ""
	t := r.listings[of]
	if t == nil {
		t = &trouble{n: &r.notifier, kind: AlertInDoubt, advice: adviceListFails, what: "asking Twilio for the list of " + of.Name}
		r.listings[of] = t
	}
	return t
}

// verdictOn collects what is known about j, and decides.
func (r *resolver) verdictOn(ctx context.Context, j *Job, l list, alike map[string]twins) (verdict, error) {
	d := doubt{job: j, listed: l.all, twins: alike}
	d.span, d.wide = r.spanOf(j)
	return d.resolve(func(sid string) (bool, error) {
		other, err := r.engine.List(ctx, Filter{SID: sid}, "", 1)
		return len(other) > 0, err
	}, func() (bool, error) { return r.twilio.redacts(ctx, j, r.looking) })
}

// resolve asks for what is not known about the doubt yet, and returns the verdict. Its two questions
// are whether a SID belongs to another job, and whether the account redacts its lists.
func (d *doubt) resolve(belongs func(sid string) (bool, error), redacts func() (bool, error)) (verdict, error) {
	d.taken = make(map[string]bool)
	for _, c := range d.candidates() {
		taken, err := belongs(c.SID)
		if err != nil {
			return verdict{}, err
		}
		d.taken[c.SID] = taken
	}
	v := d.verdict()
	if !v.ask {
		return v, nil
	}
	hides, err := redacts()
	if err != nil {
		return verdict{}, err
	}
	if d.hides = hidesNone; hides {
		d.hides = hidesSome
	}
	return d.verdict(), nil
}

// spanOf returns when j may have been sent, and whether a clock was set by minutes recently.
func (r *resolver) spanOf(j *Job) (s span, wide bool) {
	ahead, _ := r.clocks.ahead()
	from, to := j.Began, j.Began.Add(r.attemptTimeout)
	if from.IsZero() { // it was never claimed, as in a restored backup: see docs/queue.md
		from, to = j.Created, time.Time{}
	}
	s.from = from.Add(ahead.lo - clockMargin)
	if !to.IsZero() {
		s.to = to.Add(ahead.hi + clockMargin)
	}
	return s, ahead.hi-ahead.lo > setMargin
}

// decide moves a request out of doubt, unless somebody else has meanwhile.
func (r *resolver) decide(ctx context.Context, j Job, m Move) bool {
	m.ID, m.Claim, m.From = j.ID, j.Claim, []State{InDoubt}
	err := r.engine.Move(ctx, m)
	var elsewhere *StateError
	if err != nil && !errors.As(err, &elsewhere) && !errors.Is(err, ErrNotFound) {
		r.decisions.failed(ctx, err)
	} else {
		r.decisions.worked()
		delete(r.alerted, j.ID)
	}
	return err == nil
}

// parkInDoubt parks a request, for a person to decide. It raises the alert first, since the process
// may be killed in between. A store may also have parked the request although it returns an error.
func (r *resolver) parkInDoubt(ctx context.Context, j Job, why string) {
	if !r.alerted[j.ID] {
		r.raiseParked(j, why)
		r.alerted[j.ID] = true
	}
	o := j.Outcome
	o.Reason = why
	r.decide(ctx, j, Move{To: InDoubt, Outcome: &o})
}
