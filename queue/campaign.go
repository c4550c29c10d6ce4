package queue

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go"
)

// A Campaign sends to many recipients at a rate of its own, below the account's limits,
// when it may, and to each recipient once, however often they are enqueued. It is kept in
// the queue's engine: whatever a method changes holds for all processes, and after a
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

func (o *CampaignOptions) priority() pacer.Priority {
	if o.Priority == nil {
		return pacer.Low
	}
	return *o.Priority
}

func (o *CampaignOptions) expired(now time.Time) bool {
	return !o.Expires.IsZero() && !now.Before(o.Expires)
}

// A campaignDoc is a campaign as it is kept in a [Document].
type campaignDoc struct {
	Format  string        `json:"v"`
	State   CampaignState `json:"state"` // running, paused or cancelled
	Created time.Time     `json:"created"`
	CampaignOptions

	name    string
	version int64 // of the Document; 0: none is there yet
	hours   *hours
}

const campaignPrefix = "campaign/"

func parseCampaign(d Document) (*campaignDoc, error) {
	c := &campaignDoc{name: strings.TrimPrefix(d.Name, campaignPrefix), version: d.Version}
	if err := c.parse(d.Value); err != nil {
		return nil, fmt.Errorf("queue: campaign %q, as stored: %w", c.name, err)
	}
	return c, nil
}

func (c *campaignDoc) parse(value []byte) error {
	if len(value) > maxCampaignDoc {
		return fmt.Errorf("%d bytes: expected at most %d", len(value), maxCampaignDoc)
	}
	// First the version: in a newer one the fields may be anything.
	var v struct {
		Format string `json:"v"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("not valid JSON: %w", err)
	}
	if err := checkVersion("campaign", v.Format); err != nil {
		return err
	}
	if err := json.Unmarshal(value, c); err != nil {
		return err
	}
	switch c.State {
	case CampaignRunning, CampaignPaused, CampaignCancelled:
	default:
		return fmt.Errorf(`"state": %.40q: expected running, paused or cancelled`, c.State)
	}
	if err := c.validate(); err != nil {
		return err
	}
	if c.Window != nil {
		c.hours, _ = c.Window.hours() // validated
	}
	return nil
}

// store puts c if the stored version is still the one that c was read at.
func (c *campaignDoc) store(ctx context.Context, e Engine) error {
	c.Format = formatVersion
	value, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return e.Put(ctx, campaignPrefix+c.name, value, c.version)
}

// loadCampaigns returns all campaigns by their names. One that cannot be read is not
// among them, and named in the error.
func loadCampaigns(ctx context.Context, e Engine) (map[string]*campaignDoc, error) {
	documents, err := e.Documents(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: campaigns: %w", err)
	}
	campaigns := make(map[string]*campaignDoc)
	var errs []error
	for _, d := range documents {
		if !strings.HasPrefix(d.Name, campaignPrefix) {
			continue
		}
		c, err := parseCampaign(d)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		campaigns[c.name] = c
	}
	return campaigns, errors.Join(errs...)
}

// schedule is the name under which workers reserve the campaign's places: one for each
// rate, so that a rate that is raised need not wait until the places have passed that its
// lanes have taken at the old one.
func (c *campaignDoc) schedule() string {
	return fmt.Sprintf("%s%s@%v", campaignPrefix, c.name, c.Rate)
}

// sendable reports whether the campaign may send now, and when that will change by time
// alone; zero: it will not.
func (c *campaignDoc) sendable(now time.Time) (ok bool, again time.Time) {
	if c.State != CampaignRunning || c.expired(now) {
		return false, time.Time{}
	}
	open := c.opens(now)
	switch {
	case open.After(now) && c.expired(open):
		return false, time.Time{}
	case open.After(now):
		return false, open
	}
	again = c.Expires
	if c.hours != nil {
		if closes := c.hours.closes(now); !closes.IsZero() && (again.IsZero() || closes.Before(again)) {
			again = closes
		}
	}
	return true, again
}

// opens returns the first time from t on at which Start and Window let the campaign send.
func (c *campaignDoc) opens(t time.Time) time.Time {
	if t.Before(c.Start) {
		t = c.Start
	}
	if c.hours != nil {
		t = c.hours.next(t)
	}
	return t
}

// Campaign creates a campaign. If there is one of that name already it is returned as it
// is, and opts are only checked: what an operator has changed since survives a restart of
// the program that calls Campaign. [Campaign.Update] and [Campaign.SetRate] change it.
//
// A name is 1 to 100 bytes of printable characters other than |. Names are for ever, as
// is the memory of who has received the campaign.
func (q *Queue) Campaign(ctx context.Context, name string, opts CampaignOptions) (*Campaign, error) {
	if err := checkCampaignName(name); err != nil {
		return nil, err
	}
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("queue: campaign %q: %w", name, err)
	}
	c, err := q.FindCampaign(ctx, name)
	if !errors.Is(err, ErrNoCampaign) {
		return c, err
	}
	now := time.Now()
	if opts.expired(now) {
		return nil, fmt.Errorf("queue: campaign %q: Expires: %s has passed: expected a time ahead", name, opts.Expires.Format(time.RFC3339))
	}
	d := &campaignDoc{State: CampaignRunning, Created: now, CampaignOptions: opts, name: name}
	if err := d.store(ctx, q.engine); errors.Is(err, ErrConflict) {
		return q.FindCampaign(ctx, name) // somebody else was faster
	} else if err != nil {
		return nil, fmt.Errorf("queue: campaign %q: create: %w", name, err)
	}
	return &Campaign{q, name}, nil
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
	documents, err := c.queue.engine.Documents(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: campaign %q: %w", c.name, err)
	}
	i := slices.IndexFunc(documents, func(d Document) bool { return d.Name == campaignPrefix+c.name })
	if i < 0 {
		return nil, fmt.Errorf("queue: campaign %q: %w", c.name, ErrNoCampaign)
	}
	return parseCampaign(documents[i])
}

// change applies f to the campaign as it is stored, again if somebody else has changed it
// meanwhile.
func (c *Campaign) change(ctx context.Context, what string, f func(*campaignDoc) error) error {
	const tries = 100 // each of which somebody else was faster
	var err error
	for range tries {
		var d *campaignDoc
		if d, err = c.load(ctx); err != nil {
			return err
		}
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
	return c.change(ctx, "update", func(d *campaignDoc) error {
		if d.State == CampaignCancelled {
			return ErrCampaignCancelled
		}
		if err := opts.validate(); err != nil {
			return err
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

// Resume ends a pause. It does not start a campaign before its Start.
func (c *Campaign) Resume(ctx context.Context) error {
	return c.setState(ctx, "resume", CampaignRunning)
}

func (c *Campaign) setState(ctx context.Context, what string, s CampaignState) error {
	return c.change(ctx, what, func(d *campaignDoc) error {
		if d.State == CampaignCancelled && s != CampaignCancelled {
			return ErrCampaignCancelled
		}
		d.State = s
		return nil
	})
}

// Cancel ends a campaign for good: nothing of it that waits is sent any more, and nobody
// can be enqueued. What is being sent is not interrupted. If Cancel returns an error the
// campaign may be cancelled with some of its recipients still counted as waiting; they
// are not sent, and calling Cancel again makes them Cancelled.
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

// Enqueue stores a request for each recipient, made by build as for [Queue.Enqueue], in
// batches of 1,000. A recipient of whom the campaign knows already is not enqueued again,
// whatever has become of the first request: after an error or a crash run Enqueue again
// with the same recipients. It stops at the first error, which says at which recipient,
// counted from 0; what Enqueued counts is stored then.
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
	j.Unique = c.uniquePrefix() + r.ID
	return j, err
}

func (c *Campaign) uniquePrefix() string { return "c:" + c.name + "|" }

func (c *Campaign) enqueue(ctx context.Context, jobs iter.Seq2[Job, error]) (Enqueued, error) {
	if _, err := c.loadOpen(ctx); err != nil { // also if there is nobody to enqueue
		return Enqueued{}, err
	}
	return enqueueAll(ctx, c.add, jobs)
}

// loadOpen loads a campaign that takes recipients.
func (c *Campaign) loadOpen(ctx context.Context) (*campaignDoc, error) {
	d, err := c.load(ctx)
	switch {
	case err != nil:
		return nil, err
	case d.State == CampaignCancelled:
		return nil, fmt.Errorf("queue: campaign %q: enqueue: %w", c.name, ErrCampaignCancelled)
	case d.expired(time.Now()):
		return nil, fmt.Errorf("queue: campaign %q: enqueue: %w", c.name, ErrCampaignExpired)
	}
	return d, nil
}

func (c *Campaign) add(ctx context.Context, jobs []Job) ([]Added, error) {
	d, err := c.loadOpen(ctx)
	if err != nil {
		return nil, err
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

// Progress is how far a campaign is. The counts are of recipients, and include those
// whose results are not kept any more.
type Progress struct {
	Name    string
	State   CampaignState
	Created time.Time
	Options CampaignOptions // as they are stored: the ones in effect

	Total     int64 // the sum of the following
	Sent      int64
	Failed    int64
	InDoubt   int64
	Cancelled int64
	Waiting   int64 // ready or delayed
	Sending   int64

	// ETA is when the last one that waits will have been sent at Options.Rate, counting
	// the time only in which the campaign may send; the account's limits may make it
	// later. It may lie after Expires: then not all will be sent. Zero: nothing waits,
	// the campaign is paused or cancelled, or it would take more than ten years.
	ETA time.Time
	// NextOpen is when a campaign that is scheduled or outside its window may send next.
	NextOpen time.Time
}

// Progress returns how far the campaign is, and its settings.
func (c *Campaign) Progress(ctx context.Context) (Progress, error) {
	d, err := c.load(ctx)
	if err != nil {
		return Progress{}, err
	}
	stats, err := c.queue.engine.Stats(ctx)
	if err != nil {
		return Progress{}, fmt.Errorf("queue: campaign %q: progress: %w", c.name, err)
	}
	return d.progress(stats, time.Now()), nil
}

// Campaigns returns the progress of all campaigns, in the order of their names. Of one
// whose settings cannot be read only the error tells; the others are returned all the same.
func (q *Queue) Campaigns(ctx context.Context) ([]Progress, error) {
	campaigns, unreadable := loadCampaigns(ctx, q.engine)
	if len(campaigns) == 0 {
		return nil, unreadable
	}
	stats, err := q.engine.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: campaigns: %w", err)
	}
	var all []Progress
	for _, d := range campaigns {
		all = append(all, d.progress(stats, time.Now()))
	}
	slices.SortFunc(all, func(a, b Progress) int { return strings.Compare(a.Name, b.Name) })
	return all, unreadable
}

func (c *campaignDoc) progress(stats []LaneStats, now time.Time) Progress {
	p := Progress{Name: c.name, Created: c.Created, Options: c.CampaignOptions}
	for _, s := range stats {
		if s.Lane.Campaign != c.name {
			continue
		}
		p.Sent += s.Sent
		p.Failed += s.Failed
		p.InDoubt += s.InDoubt
		p.Cancelled += s.Cancelled
		p.Waiting += s.Ready + s.Delayed
		p.Sending += s.Sending
	}
	p.Total = p.Sent + p.Failed + p.InDoubt + p.Cancelled + p.Waiting + p.Sending
	open, again := c.sendable(now)
	switch {
	case c.State == CampaignCancelled:
		p.State = CampaignCancelled
	case p.Total > 0 && p.Waiting+p.Sending == 0, c.expired(now):
		p.State = CampaignDone
	case c.State == CampaignPaused:
		p.State = CampaignPaused
	case now.Before(c.Start):
		p.State, p.NextOpen = CampaignScheduled, again
	case !open:
		p.State, p.NextOpen = CampaignClosed, again
	default:
		p.State = CampaignRunning
	}
	if p.Waiting > 0 && c.State == CampaignRunning && !c.expired(now) {
		p.ETA = c.eta(now, float64(p.Waiting)/c.Rate)
	}
	return p
}

// eta returns when the campaign will have been able to send for some seconds.
func (c *campaignDoc) eta(now time.Time, seconds float64) time.Time {
	const years = 10
	if seconds > years*365*day {
		return time.Time{}
	}
	d := time.Duration(seconds * float64(time.Second))
	if c.hours == nil {
		return c.opens(now).Add(d)
	}
	return c.hours.after(c.opens(now), d, now.AddDate(years, 0, 0))
}

// A Failure is a recipient to whom a campaign could not send, or may not have sent.
type Failure struct {
	Recipient string // Recipient.ID, mostly a phone number
	State     State  // Failed or InDoubt
	Code      int    // Twilio's error code; 0: none
	Reason    string
	Attempts  int // that may have reached Twilio
	ID        ID
}

// Failures returns the recipients that are Failed or InDoubt and whose results are still
// kept ([WithRetention]), in the order in which they were enqueued. An error ends it.
func (c *Campaign) Failures(ctx context.Context) iter.Seq2[Failure, error] {
	return func(yield func(Failure, error) bool) {
		for j, err := range c.queue.List(ctx, Filter{Campaign: c.name, States: []State{Failed, InDoubt}}) {
			if err != nil {
				yield(Failure{}, fmt.Errorf("queue: campaign %q: failures: %w", c.name, err))
				return
			}
			if !yield(Failure{
				Recipient: strings.TrimPrefix(j.Unique, c.uniquePrefix()), State: j.State,
				Code: j.Outcome.Code, Reason: j.Outcome.Reason, Attempts: j.Attempts, ID: j.ID,
			}, nil) {
				return
			}
		}
	}
}

// WriteFailures writes [Campaign.Failures] as CSV: recipient, state, code, reason,
// attempts, id. The file holds whole phone numbers: keep it as you keep the list of
// recipients.
func (c *Campaign) WriteFailures(ctx context.Context, w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"recipient", "state", "code", "reason", "attempts", "id"}); err != nil {
		return err
	}
	for f, err := range c.Failures(ctx) {
		if err != nil {
			return err
		}
		code := ""
		if f.Code != 0 {
			code = strconv.Itoa(f.Code)
		}
		if err := out.Write([]string{cell(f.Recipient), string(f.State), code, cell(f.Reason), strconv.Itoa(f.Attempts), string(f.ID)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cell keeps a spreadsheet from taking text for a formula, by the apostrophe that OWASP
// recommends. A phone number stays as it is: its "+" can start no formula but a number,
// and other programs are to find it unchanged.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) && !isAddress(text) {
		return "'" + text
	}
	return text
}
