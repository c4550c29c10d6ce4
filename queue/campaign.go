package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go"
)

// A Campaign sends to many recipients at a rate of its own, below the account's limits, and
// within its window. It sends to each recipient once, however often they are enqueued. It is
// kept in the queue's engine: whatever a method changes holds for all processes, and after a
// restart; workers see it within a second. It is safe for concurrent use.
type Campaign struct {
	queue *Queue
	name  string
}

// CampaignOptions are the settings of a [Campaign].
type CampaignOptions struct {
	Rate   float64   `json:"rate"`             // requests per second, 0.0001 to 10000; required
	Start  time.Time `json:"start,omitzero"`   // nothing is sent earlier; zero: at once
	Window *Window   `json:"window,omitempty"` // nothing is sent outside it; nil: at any time

	// Expires is when sending makes no sense any more: what has not been sent by then is
	// Failed. It is each recipient's deadline from when it is enqueued, and cannot be
	// changed afterwards. Zero: never.
	Expires time.Time `json:"expires,omitzero"`

	// Priority is against other requests of the same [pacer.Resource]; nil: Low, so that
	// a campaign lets all others go first. Of a changed one only recipients that are
	// enqueued later have the benefit.
	Priority *pacer.Priority `json:"priority,omitempty"`
}

// A CampaignState is where a campaign stands.
type CampaignState string

// The states of campaigns.
const (
	CampaignScheduled CampaignState = "scheduled" // Start is ahead
	CampaignRunning   CampaignState = "running"
	CampaignClosed    CampaignState = "outside its window"
	CampaignPaused    CampaignState = "paused"
	CampaignCancelled CampaignState = "cancelled"
	// CampaignDone: all recipients so far are Sent, Failed, Cancelled or InDoubt, or
	// Expires has passed. More recipients may make it run again.
	CampaignDone CampaignState = "done"
)

// Errors of campaigns, to be found with errors.Is.
var (
	ErrNoCampaign        = errors.New("no such campaign: expected the name of one that Queue.Campaign has created")
	ErrCampaignCancelled = errors.New("the campaign is cancelled, which is final: expected another one, with a new name")
	ErrCampaignExpired   = errors.New("the campaign has expired, nothing more would be sent: expected another one, with a new name")
)

const (
	minCampaignRate = 0.0001
	maxCampaignRate = 10000
	maxCampaignName = 100
	maxCampaignDoc  = 1 << 16
)

func checkCampaignName(name string) error {
	if name == "" || len(name) > maxCampaignName {
		return fmt.Errorf("queue: campaign: name of %d bytes: expected 1 to %d", len(name), maxCampaignName)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r == '|' || !unicode.IsPrint(r) }) {
		return fmt.Errorf("queue: campaign: name %q: expected printable characters other than |", name)
	}
	return nil
}

func (o *CampaignOptions) validate() error {
	if !(o.Rate >= minCampaignRate && o.Rate <= maxCampaignRate) { // NaN is neither
		return fmt.Errorf("Rate: %v: expected requests per second, %v to %v; Pause is what stops a campaign", o.Rate, minCampaignRate, maxCampaignRate)
	}
	if !o.Expires.IsZero() && !o.Expires.After(o.Start) {
		return fmt.Errorf("Expires: %s: expected a time after Start, %s", o.Expires.Format(time.RFC3339), o.Start.Format(time.RFC3339))
	}
	if p := o.priority(); p < pacer.Low || p > pacer.High {
		return fmt.Errorf("Priority: %d: expected pacer.Low, Normal or High, or nil", p)
	}
	if o.Window != nil {
		if err := o.Window.Validate(); err != nil {
			return fmt.Errorf("Window: %w", err)
		}
	}
	return nil
}

// settle brings times into the form in which they are kept, and validates.
func (o *CampaignOptions) settle() error {
	start, err := storable("Start", o.Start)
	if err != nil {
		return err
	}
	expires, err := storable("Expires", o.Expires)
	switch {
	case err != nil:
		return err
	case expires.IsZero() && !o.Expires.IsZero():
		return fmt.Errorf("Expires: the year %d: expected one after 1970", o.Expires.UTC().Year())
	}
	o.Start, o.Expires = start, expires
	return o.validate()
}

// equal reports whether both are the same when stored.
func (o CampaignOptions) equal(other CampaignOptions) bool {
	a, errA := json.Marshal(o)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func (o *CampaignOptions) priority() pacer.Priority {
	if o.Priority == nil {
		return pacer.Low
	}
	return *o.Priority
}

func (o *CampaignOptions) expired(now time.Time) bool {
	return !o.Expires.IsZero() && !now.Before(o.Expires)
}

// Campaign creates a campaign. If there is one of that name already, it is returned as it is,
// and opts are only checked. Progress.Options are the options that hold. So what an operator
// has changed since survives a restart of the program that calls Campaign. [Campaign.Update]
// and [Campaign.SetRate] change it.
//
// A campaign is a draft until the first recipient is enqueued, or one of its methods has
// changed it. The opts of a draft replace those of an earlier call. So a program whose list of
// recipients was refused can be put right and run again.
//
// A name is 1 to 100 bytes of printable characters other than |. Names are for ever, as
// is the memory of who has received the campaign.
func (q *Queue) Campaign(ctx context.Context, name string, opts CampaignOptions) (*Campaign, error) {
	if err := checkCampaignName(name); err != nil {
		return nil, err
	}
	if err := opts.settle(); err != nil {
		return nil, fmt.Errorf("queue: campaign %q: %w", name, err)
	}
	c := &Campaign{q, name}
	for try := 1; ; try++ {
		d, err := c.load(ctx)
		switch {
		case errors.Is(err, ErrNoCampaign):
			d = &campaignDoc{name: name} // version 0
		case err != nil:
			return nil, err
		case !d.Draft || d.CampaignOptions.equal(opts):
			return c, nil
		}
		now := time.Now()
		if opts.expired(now) {
			return nil, fmt.Errorf("queue: campaign %q: Expires: %s has passed: expected a time ahead", name, opts.Expires.Format(time.RFC3339))
		}
		d.State, d.Draft, d.Created, d.CampaignOptions = CampaignRunning, true, now, opts
		if err = d.store(ctx, q.engine); err == nil {
			return c, nil
		}
		if !errors.Is(err, ErrConflict) || try == maxTries { // of which somebody else was faster each time
			return nil, fmt.Errorf("queue: campaign %q: create: %w", name, err)
		}
	}
}

// FindCampaign returns the campaign of that name. If there is none the error wraps
// [ErrNoCampaign].
func (q *Queue) FindCampaign(ctx context.Context, name string) (*Campaign, error) {
	c := &Campaign{q, name}
	if _, err := c.load(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Name returns the campaign's name.
func (c *Campaign) Name() string { return c.name }

func (c *Campaign) load(ctx context.Context) (*campaignDoc, error) {
	documents, err := c.queue.engine.Documents(ctx, campaignPrefix+c.name)
	if err != nil {
		return nil, fmt.Errorf("queue: campaign %q: %w", c.name, err)
	}
	if len(documents) == 0 {
		return nil, fmt.Errorf("queue: campaign %q: %w", c.name, ErrNoCampaign)
	}
	return parseCampaign(documents[0])
}

// maxTries is how often a change is tried while others change the same campaign.
const maxTries = 100

// change applies f to the campaign as it is stored, again if somebody else has changed it
// meanwhile. It is no draft any more then.
func (c *Campaign) change(ctx context.Context, what string, f func(*campaignDoc) error) error {
	var err error
	for range maxTries {
		var d *campaignDoc
		if d, err = c.load(ctx); err != nil {
			return err
		}
		d.Draft = false
		if err = f(d); err == nil {
			err = d.store(ctx, c.queue.engine)
		}
		if !errors.Is(err, ErrConflict) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("queue: campaign %q: %s: %w", c.name, what, err)
	}
	return nil
}

// Update replaces all settings. Expires can only be changed as long as nobody has been
// enqueued. Read the settings that are stored from [Campaign.Progress].
func (c *Campaign) Update(ctx context.Context, opts CampaignOptions) error {
	if err := opts.settle(); err != nil {
		return fmt.Errorf("queue: campaign %q: update: %w", c.name, err)
	}
	return c.change(ctx, "update", func(d *campaignDoc) error {
		if d.State == CampaignCancelled {
			return ErrCampaignCancelled
		}
		if !opts.Expires.Equal(d.Expires) {
			stats, err := c.queue.engine.Stats(ctx)
			if err != nil {
				return err
			}
			if n := d.progress(stats, time.Now()).Total; n > 0 {
				return fmt.Errorf("Expires: %s: expected %s as before, which is the deadline of %d recipients enqueued already",
					opts.Expires.Format(time.RFC3339), d.Expires.Format(time.RFC3339), n)
			}
		}
		d.CampaignOptions = opts
		return nil
	})
}

// SetRate changes the rate, in requests per second.
func (c *Campaign) SetRate(ctx context.Context, perSecond float64) error {
	return c.change(ctx, "set rate", func(d *campaignDoc) error {
		if d.State == CampaignCancelled {
			return ErrCampaignCancelled
		}
		d.Rate = perSecond
		return d.validate()
	})
}

// Pause stops sending until [Campaign.Resume]. What is being sent is not interrupted.
func (c *Campaign) Pause(ctx context.Context) error { return c.setState(ctx, "pause", CampaignPaused) }

// Resume ends a pause. It does not start a campaign before its Start. Of one that has expired nothing more would be
// sent: then the error wraps [ErrCampaignExpired].
func (c *Campaign) Resume(ctx context.Context) error {
	return c.setState(ctx, "resume", CampaignRunning)
}

func (c *Campaign) setState(ctx context.Context, what string, s CampaignState) error {
	return c.change(ctx, what, func(d *campaignDoc) error {
		if d.State == CampaignCancelled && s != CampaignCancelled {
			return ErrCampaignCancelled
		}
		if s == CampaignRunning && d.expired(time.Now()) {
			return ErrCampaignExpired
		}
		d.State = s
		return nil
	})
}

// Cancel ends a campaign for good: nothing of it that waits is sent any more, and nobody can be
// enqueued. What is being sent is not interrupted. If Cancel returns an error, the campaign may
// be cancelled although some of its recipients still count as waiting. They are not sent, and
// calling Cancel again makes them Cancelled.
func (c *Campaign) Cancel(ctx context.Context) error {
	// The state comes first: workers heed it, so that nothing slips through meanwhile.
	if err := c.setState(ctx, "cancel", CampaignCancelled); err != nil {
		return err
	}
	return c.cancelWaiting(ctx)
}

func (c *Campaign) cancelWaiting(ctx context.Context) error {
	for {
		n, err := c.queue.engine.CancelWaiting(ctx, c.name, batch)
		if err != nil {
			return fmt.Errorf("queue: campaign %q: cancel what waits: %w", c.name, err)
		}
		if n == 0 {
			return nil
		}
	}
}

// A Recipient is somebody whom a campaign sends to.
type Recipient struct {
	ID     string            // one for each recipient of the campaign, 1 to 512 bytes: the phone number, mostly
	Fields map[string]string // for the function that makes the request
}

// Enqueue stores a request for each recipient, made by build as for [Queue.Enqueue], in batches
// of 1,000. A recipient of whom the campaign knows already is not enqueued again, whatever has
// become of the first request. So after an error or a crash, run Enqueue again with the same
// recipients. It stops at the first error, which says at which recipient, counted from 0; what
// Enqueued counts is stored then.
func (c *Campaign) Enqueue(ctx context.Context, recipients iter.Seq[Recipient], build func(*twilio.RestClient, Recipient) error) (Enqueued, error) {
	if recipients == nil || build == nil {
		return Enqueued{}, fmt.Errorf("queue: campaign %q: enqueue: nil: expected recipients, and a function that makes a request", c.name)
	}
	return c.enqueue(ctx, func(yield func(Job, error) bool) {
		rec, n := newRecorder(c.queue.account), 0
		for r := range recipients {
			j, err := c.job(rec, r, build)
			if err != nil {
				err = fmt.Errorf("queue: campaign %q: recipient %d: %w", c.name, n, err)
			}
			if !yield(j, err) {
				return
			}
			n++
		}
	})
}

func (c *Campaign) job(rec *recorder, r Recipient, build func(*twilio.RestClient, Recipient) error) (Job, error) {
	if err := checkText("Recipient.ID", r.ID); err != nil {
		return Job{}, err
	}
	j, err := c.queue.job(rec, func(rc *twilio.RestClient) error { return build(rc, r) }, nil)
	j.Lane.Campaign = c.name
	j.Unique = campaignKey(c.name) + r.ID
	return j, err
}

func (c *Campaign) enqueue(ctx context.Context, jobs iter.Seq2[Job, error]) (Enqueued, error) {
	if _, err := c.loadOpen(ctx); err != nil { // also if there is nobody to enqueue
		return Enqueued{}, err
	}
	return enqueueAll(ctx, c.add, jobs)
}

// loadOpen loads a campaign that takes recipients.
func (c *Campaign) loadOpen(ctx context.Context) (*campaignDoc, error) {
	d, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.over(time.Now()); err != nil {
		return nil, fmt.Errorf("queue: campaign %q: enqueue: %w", c.name, err)
	}
	return d, nil
}

func (c *Campaign) add(ctx context.Context, jobs []Job) ([]Added, error) {
	d, err := c.loadOpen(ctx)
	if err != nil {
		return nil, err
	}
	if d.Draft {
		// Before the first recipient is stored, so that no other process replaces the options after it.
		err := c.change(ctx, "enqueue", func(d *campaignDoc) error { return nil })
		if err != nil {
			return nil, err
		}
		if d, err = c.loadOpen(ctx); err != nil {
			return nil, err
		}
	}
	for i := range jobs {
		jobs[i].Priority, jobs[i].Deadline = d.priority(), d.Expires
	}
	added, err := c.queue.engine.Add(ctx, jobs)
	if err != nil {
		return nil, err
	}
	// A Cancel in between may have looked for what waits before these were there.
	if d, err = c.load(ctx); err == nil && d.State == CampaignCancelled {
		err = errors.Join(ErrCampaignCancelled, c.cancelWaiting(ctx))
	}
	return added, err
}
