package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A Cause names why something does not go on, or goes on slowly.
type Cause string

// The causes that [Queue.Why] finds.
const (
	CauseStore        Cause = "store"        // it cannot be read
	CauseStoreFull    Cause = "store full"   // nothing can be written to it
	CauseNoWorker     Cause = "no worker"    // none lives
	CauseSilent       Cause = "silent"       // a worker has vanished while others live, or is not heard of any more
	CauseUnauthorized Cause = "unauthorized" // Twilio does not take the worker's credentials
	CauseSuspended    Cause = "suspended"    // the account is suspended or closed
	CauseHeld         Cause = "held"         // a bucket or an account, for any other reason
	CausePaused       Cause = "paused"       // a campaign
	CauseCancelled    Cause = "cancelled"    // a campaign, or the request
	CauseWindow       Cause = "window"       // a campaign is outside its window, or before its Start
	CauseExpired      Cause = "expired"      // a campaign, or the request's deadline; of the queue: within the last hour
	CauseInDoubt      Cause = "in doubt"     // a request, for a person to decide or until Twilio is asked
	CauseFailed       Cause = "failed"       // the request; or of a campaign at least half, and some within the last hour
	CauseDone         Cause = "done"         // the request is sent, or nothing of the campaign waits
	CauseSending      Cause = "sending"      // the request is on the wire
	CauseDelayed      Cause = "not due"      // At, In, or a limit of one receiver
	CauseLimit        Cause = "limit"        // of the sender, in the worker's client
	CauseRate         Cause = "rate"         // of a campaign: it goes as fast as it is to
	CauseBusy         Cause = "busy"         // all workers have as much on the wire as they may
	CauseClock        Cause = "clock"        // one is far off
	CauseRefused      Cause = "refused"      // a worker has read something new, such as credentials, and has not taken it
)

// About is what [Queue.Why] is asked about: one of the fields, or with none of them the whole queue.
type About struct {
	ID       ID
	Campaign string
	Lane     Lane
}

// A Reason is one answer of [Queue.Why].
type Reason struct {
	Kind     Cause
	Stops    bool      // nothing of it goes on before that is over; false: it goes on slowly, or there is nothing to do
	Lane     Lane      // one that it is about; zero: none
	Lanes    int       // how many lanes it is about
	Waiting  int64     // how many requests wait for that, as far as is known
	Campaign string    // that it is about; "": none
	Held     Hold      // that stops it, for EndHold; zero: none does
	ID       ID        // of the request, or of one of them; "": none
	Over     bool      // its campaign is over, so that Requeue refuses the request
	Learned  bool      // a limit: throttled answers have shown it
	Watched  bool      // unauthorized: all workers that live and were refused read their credentials again when these change, and then end the hold
	Since    time.Time // by the engine's clock; zero: not known
	Until    time.Time // the same
	Text     string    // a sentence. It holds no phone number and no text of a message
	Do       string    // what a person can do; "": nothing, it ends by itself
}

// Why says why a request, a campaign, a lane or the queue does not go on, or is slow. What stops it comes
// first. No reason means that nothing waits, or that what waits is about to be sent. That the store cannot be
// read, or is full, is a reason and no error. The error is for an About of which there is none
// ([ErrNotFound], [ErrNoCampaign]), and for the end of ctx.
//
// Why takes about ten queries and writes a small document, to see whether the store is full. So ask it
// for people, and not every second. Any process may ask.
func (q *Queue) Why(ctx context.Context, about About) ([]Reason, error) {
	w := &inquiry{q: q, about: about, lane: about.Lane, campaign: about.Campaign}
	err := w.ask(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrNoCampaign):
		return nil, fmt.Errorf("queue: why: %w", err)
	default:
		text, do := err.Error(), adviceStore
		if network := (*net.OpError)(nil); errors.As(err, &network) { // what is around it is about calls that change something
			text, do = network.Error(), adviceAway
		}
		w.reasons = []Reason{{Kind: CauseStore, Stops: true, Text: fmt.Sprintf("The store cannot be read: %s.", pacer.MaskNumbers(text)), Do: do}}
	}
	slices.SortStableFunc(w.reasons, func(a, b Reason) int { return cmp.Compare(a.rank(), b.rank()) })
	return w.reasons, nil
}

// rank orders reasons: what stops something, then what fails, and what is only slow.
func (r *Reason) rank() int {
	switch {
	case r.Stops:
		return 0
	case r.Kind == CauseFailed:
		return 1
	}
	return 2
}

// An inquiry is one call of Why.
type inquiry struct {
	scene
	q        *Queue
	about    About
	lane     Lane   // zero: any
	campaign string // "": any
	job      *Job   // nil: it is not about one
	ready    int64  // requests that are ready in the lanes it is about
	sending  int64  // requests that are on the wire in these lanes
	reasons  []Reason
	unheard  bool            // no worker has been heard of for some seconds, so that their paces say nothing
	waits    map[string]bool // campaigns that their own settings keep waiting, and no sender
}

// keep reports whether the inquiry is about a lane.
func (w *inquiry) keep(l Lane) bool {
	return (w.lane == Lane{} || w.lane == l) && (w.campaign == "" || w.campaign == l.Campaign)
}

func (w *inquiry) add(r Reason) { w.reasons = append(w.reasons, r) }

// ask finds the reasons. An error is the store's, but for those of what there is not.
func (w *inquiry) ask(ctx context.Context) (err error) {
	if w.about.ID != "" {
		j, err := w.q.engine.Get(ctx, w.about.ID)
		if err != nil {
			return err
		}
		w.job, w.lane = &j, j.Lane
		if err := w.fate(ctx); err != nil || j.State != Ready {
			return err
		}
	}
	if w.scene, err = w.q.scene(ctx); err != nil {
		return err
	}
	for _, l := range w.lanes {
		if w.keep(l.Lane) {
			w.ready += l.Ready
			w.sending += l.Sending
		}
	}
	// Where nothing can be stored nothing is sent: no word of a pace, or of workers, who cannot say that they live.
	if full, err := w.full(ctx); full || err != nil {
		return err
	}
	w.absent()
	w.vanished()
	w.quiet()
	w.clocksOff()
	w.held()
	w.refused()
	if err := w.campaigns(ctx); err != nil {
		return err
	}
	if !w.unheard {
		w.limits()
		if w.ready > 0 && w.busy() {
			w.add(Reason{Kind: CauseBusy, Waiting: w.ready, Text: "All workers have as many requests on the wire as they may.", Do: "start another worker, or raise WithConcurrency"})
		}
	}
	if w.job != nil {
		return nil
	}
	return w.others(ctx)
}

// fate is why a request that is not Ready is where it is.
func (w *inquiry) fate(ctx context.Context) error {
	j := w.job
	r := Reason{ID: j.ID, Lane: j.Lane, Lanes: 1, Campaign: j.Lane.Campaign, Since: j.Finished}
	why := pacer.MaskNumbers(j.Outcome.Reason)
	switch {
	case j.State == Sent && strings.HasPrefix(j.Outcome.Reason, ReasonConfirmed):
		r.Kind, r.Text = CauseDone, sentence(why)
	case j.State == Sent:
		r.Kind, r.Text = CauseDone, "Twilio has accepted it."
	case j.State == Cancelled && strings.HasPrefix(j.Outcome.Reason, ReasonCancelled):
		r.Kind, r.Text, r.Do = CauseCancelled, sentence(why), "look whether Twilio has it, then requeue it if it has not"
	case j.State == Cancelled:
		r.Kind, r.Text, r.Do = CauseCancelled, "It was cancelled.", "requeue it, if it is to be sent all the same"
	case j.State == Failed && j.Outcome.Reason == ReasonDeadline:
		r.Kind, r.Text, r.Do = CauseExpired, "It was not sent before its deadline.", "requeue it, if it still makes sense"
	case j.State == Failed:
		r.Kind, r.Text, r.Do = CauseFailed, fmt.Sprintf("It has failed (code %d): %s.", j.Outcome.Code, why), "mend what the code is about, then requeue it"
	case j.State == Sending:
		r.Kind, r.Since, r.Until, r.Text = CauseSending, j.Began, j.Lease, "A worker is sending it."
	case j.State == Delayed:
		r.Kind, r.Stops, r.Waiting, r.Until, r.Text = CauseDelayed, true, 1, j.Due, "It is not due yet."
		if j.Claim > 0 {
			r.Text = "It was sent without success, and is tried again."
		}
	case j.State == InDoubt && j.Look.IsZero():
		r.Kind, r.Stops, r.Waiting, r.Since, r.Do = CauseInDoubt, true, 1, j.Began, adviceInDoubt
		r.Text = fmt.Sprintf("It may have been sent (%s), and a person has to decide.", why)
	case j.State == InDoubt:
		r.Kind, r.Stops, r.Waiting, r.Since, r.Until = CauseInDoubt, true, 1, j.Began, j.Look
		r.Text = fmt.Sprintf("It may have been sent (%s), and Twilio will be asked.", why)
	default:
		return nil
	}
	if slices.Contains(requeued, j.State) && r.Do != "" {
		over := w.q.campaignOver(ctx, j.Lane.Campaign)
		r.Over = errors.Is(over, ErrCampaignExpired) || errors.Is(over, ErrCampaignCancelled)
		switch {
		case over != nil && !r.Over:
			return over
		case r.Over && j.State == InDoubt:
			r.Do = adviceInDoubtOver
		case r.Over:
			r.Do = "its campaign is over: enqueue it in another one, if it still makes sense"
		}
	}
	w.add(r)
	return nil
}

// sentence begins a text as a sentence does, and ends it so.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// full finds out whether the store is full.
func (w *inquiry) full(ctx context.Context) (bool, error) {
	err := Probe(ctx, w.q.engine)
	if !errors.Is(err, ErrFull) {
		return false, err
	}
	w.add(Reason{Kind: CauseStoreFull, Stops: true, Waiting: w.ready, Do: "make room; what is stored is safe",
		Text: fmt.Sprintf("The store is full: nothing new is stored, and workers cannot say what they do (%s).", pacer.MaskNumbers(err.Error()))})
	return true, nil
}

// farOff is by how much clocks may differ before that is a reason for anything.
const farOff = 30 * time.Second

// clocksOff finds clocks that are far off.
func (w *inquiry) clocksOff() {
	const do = "set the clocks (NTP): a window, a start and a deadline are by the clock of whoever compares"
	for _, b := range w.beats {
		if b.Clock.Abs() >= farOff {
			w.add(Reason{Kind: CauseClock, Text: fmt.Sprintf("The clock of the worker on %s is %s the store's.", b.Host, aheadOf(b.Clock)), Do: do})
		}
	}
	for _, b := range w.beats {
		if b.Twilio.Abs() >= farOff {
			w.add(Reason{Kind: CauseClock, Text: fmt.Sprintf("Twilio's clock is %s the store's.", aheadOf(b.Twilio)), Do: do})
			return
		}
	}
}

func aheadOf(d time.Duration) string {
	if d < 0 {
		return (-d).Round(time.Second).String() + " behind"
	}
	return d.Round(time.Second).String() + " ahead of"
}
