package twiliotest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Fake is a Twilio account, with its sub-accounts, as seen from Twilio's
// REST API. It is an http.Handler, and through [Fake.Transport] it answers a
// client in memory. All its methods may be called from many goroutines at
// once. A Fake is made by [New] or [NewServer]; it needs no closing.
type Fake struct {
	cfg      Config // what a Set method can change is below
	epoch    time.Time
	requests atomic.Uint64
	clock    atomic.Int64 // how far ahead of package time, in nanoseconds

	mu          sync.Mutex // never held while waiting or in a caller's function
	meters      []*meter
	maxInFlight int
	latency     time.Duration
	listLag     time.Duration
	alter       Alterations
	suspended   map[string]Suspension // by account
	faults      []*injected
	inFlight    map[string]int // by account
	stats       Stats
	ledger
	accounts   map[string]*account
	services   map[string][]string // numbers of messaging services
	shortCodes map[string][]string // of messaging services
	tokens     map[string]token
	failTokens int
	seq        uint64 // of SIDs and tokens, never repeated
}

// New makes a Fake. It panics if cfg is impossible, such as a negative rate.
func New(cfg Config) *Fake {
	cfg.check()
	if cfg.RetryAfter == nil {
		cfg.RetryAfter = RetryAfterSeconds
	}
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = time.Hour
	}
	cfg.Credentials = maps.Clone(cfg.Credentials)
	f := &Fake{
		cfg:         cfg,
		epoch:       time.Now(),
		meters:      newMeters(cfg.Limits),
		maxInFlight: cfg.MaxInFlight,
		latency:     cfg.Latency,
		listLag:     cfg.ListLag,
		alter:       cfg.Alterations.clone(),
		suspended:   map[string]Suspension{},
		inFlight:    map[string]int{},
		services:    map[string][]string{},
		shortCodes:  map[string][]string{},
	}
	f.SetClock(cfg.Clock)
	maps.Copy(f.suspended, cfg.Suspended)
	f.Reset()
	return f
}

// SetLimits replaces the limits. What the old ones had counted is forgotten.
func (f *Fake) SetLimits(limits []Limit) {
	limits = slices.Clone(limits)
	Config{Limits: limits}.check()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meters = newMeters(limits)
}

// SetMaxInFlight replaces [Config].MaxInFlight. Requests in progress go on.
func (f *Fake) SetMaxInFlight(n int) {
	Config{MaxInFlight: n}.check()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.maxInFlight = n
}

// SetLatency replaces [Config].Latency, for requests that arrive from now on.
func (f *Fake) SetLatency(d time.Duration) {
	Config{Latency: d}.check()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency = d
}

// SetListLag replaces [Config].ListLag, for lists that are asked for from now
// on.
func (f *Fake) SetListLag(d time.Duration) {
	Config{ListLag: d}.check()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listLag = d
}

// SetClock sets the Fake's clock ahead of package time's by offset, or behind
// if it is negative, from now on. It may change at any time, as when a clock is
// set right; what was created before keeps its dates.
//
// By this clock go the Date header, the dates of messages and calls, and the times within OAuth
// tokens. So does what the filters of lists find by date. Limits, [Config].ListLag, the lifetime of
// tokens, [RetryAfterDate] and the times of records go by package time. Lists stay in the order of
// creation.
func (f *Fake) SetClock(offset time.Duration) { f.clock.Store(int64(offset)) }

// byClock is what the Fake's clock shows at a time of package time's.
func (f *Fake) byClock(t time.Time) time.Time { return t.Add(time.Duration(f.clock.Load())) }

// Reset forgets all records and counts, messages, calls and OAuth tokens.
// Settings, faults, suspensions and the senders of messaging services stay. SIDs go on
// from where they were.
func (f *Fake) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.meters {
		clear(m.counts)
	}
	f.stats = Stats{}
	f.ledger = ledger{}
	f.accounts = map[string]*account{}
	f.tokens = map[string]token{}
}

// newSID makes a SID of a resource. Its digits are a count, so that they tell
// its age, and a test's SIDs are the same on each run.
func (f *Fake) newSID(prefix string) string {
	f.seq++
	return fmt.Sprintf("%s%032x", prefix, f.seq)
}

// exchange takes a request through the steps in the package documentation.
// The error is that of a fault or of ctx.
func (f *Fake) exchange(ctx context.Context, in *inbound) (*answer, error) {
	in.req.Time = time.Now()
	latency, refusal := f.enter(in)
	if refusal != nil {
		in.trace.wrote(nil)
		return f.finish(in, refusal), nil
	}
	defer f.leave(in)
	ft := f.takeFault(in, true)
	if ft == nil || !ft.Kind.unwritten() {
		// Before any work or waiting: a client that gives up has written.
		in.trace.wrote(nil)
	}
	var a *answer
	var accepted bool
	switch {
	case ft == nil:
		a, accepted = f.accept(in)
	case ft.Kind == AcceptLate:
		var err error
		if a, accepted, err = f.acceptLate(ctx, in, ft.Delay); err != nil {
			return nil, err
		}
	default:
		return f.failBefore(ctx, in, ft)
	}
	if !accepted {
		return f.finish(in, a), nil
	}
	ft = f.takeFault(in, false)
	if ft != nil {
		latency += ft.Delay
	}
	if err := f.wait(ctx, latency); err != nil {
		return nil, err
	}
	if ft != nil {
		if err := ft.failure(); err != nil {
			return nil, err
		}
		if ft.Kind == AcceptThenStatus {
			a = f.answerTo(in, ft)
		}
		a.breakBody(ft)
	}
	return f.finish(in, a), nil
}

// enter checks credentials, suspension and concurrency and counts the request as in
// progress, or says why not.
func (f *Fake) enter(in *inbound) (latency time.Duration, refusal *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Received++
	if in.token() {
		f.stats.TokenFetches++
		in.req.Account = f.tokenAccount(in)
		in.concurrent = f.inFlight[in.req.Account] + 1
		if refusal = f.refuseSuspended(in); refusal != nil {
			f.refuse(in.req, refusal.status, refusal.code)
		}
		return f.latency, refusal
	}
	authorized := f.authorize(in)
	in.concurrent = f.inFlight[in.req.Account] + 1
	if !authorized {
		f.stats.Unauthorized++
		refusal = f.failure(in, http.StatusUnauthorized, 20003, "Authenticate")
	} else if refusal = f.refuseSuspended(in); refusal == nil && f.maxInFlight > 0 && in.concurrent > f.maxInFlight {
		f.stats.Throttled++
		refusal = f.tooMany(in, Limit{}, 0)
	}
	if refusal != nil {
		f.refuse(in.req, refusal.status, refusal.code)
		return 0, refusal
	}
	f.inFlight[in.req.Account] = in.concurrent
	f.stats.MaxInFlight = max(f.stats.MaxInFlight, in.concurrent)
	return f.latency, nil
}

func (f *Fake) leave(in *inbound) {
	if in.token() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inFlight[in.req.Account]--; f.inFlight[in.req.Account] == 0 {
		delete(f.inFlight, in.req.Account)
	}
}

// failBefore lets a fault strike instead of the work.
func (f *Fake) failBefore(ctx context.Context, in *inbound, ft *Fault) (*answer, error) {
	var a *answer
	var status, code int
	if ft.Kind == RespondStatus {
		a = f.answerTo(in, ft)
		a.breakBody(ft)
		status, code = a.status, a.code
	}
	f.mu.Lock()
	f.refuse(in.req, status, code)
	f.mu.Unlock()
	if err := f.wait(ctx, ft.Delay); err != nil {
		return nil, err
	}
	if err := ft.failure(); err != nil {
		return nil, err
	}
	return f.finish(in, a), nil
}

// accept processes the request and makes its answer's body.
func (f *Fake) accept(in *inbound) (a *answer, accepted bool) {
	a, accepted = f.process(in)
	a.show(in)
	return a, accepted
}

// process counts the request in the limits, does its work and records it, all
// at one instant; or it throttles it.
func (f *Fake) process(in *inbound) (a *answer, accepted bool) {
	f.per(in)
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.token() {
		return f.issueToken(in), true
	}
	now := time.Now()
	if a := f.throttle(in, now.Sub(f.epoch)); a != nil {
		f.stats.Throttled++
		f.refuse(in.req, a.status, a.code)
		return a, false
	}
	in.req.Time, in.now = now, f.byClock(now)
	a = f.work(in)
	in.req.Status, in.req.Code = a.status, a.code
	f.stats.Accepted++
	f.ledger.accept(in.req)
	return a, true
}

// acceptLate accepts after d, even if the client gives up before.
func (f *Fake) acceptLate(ctx context.Context, in *inbound, d time.Duration) (a *answer, accepted bool, err error) {
	type accepting struct {
		in       inbound // a copy: the caller may be gone by then
		answer   *answer
		accepted bool
	}
	late := &accepting{in: *in}
	done := make(chan struct{})
	time.AfterFunc(d, func() {
		late.answer, late.accepted = f.accept(&late.in)
		close(done)
	})
	select {
	case <-done:
		*in = late.in
		return late.answer, late.accepted, nil
	case <-ctx.Done():
		return nil, false, f.abandoned(ctx)
	}
}

// wait waits for d or the end of ctx.
func (f *Fake) wait(ctx context.Context, d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		return nil
	}
	return f.abandoned(ctx)
}

func (f *Fake) abandoned(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Abandoned++
	return context.Cause(ctx)
}
