package queue

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

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

	// Pace is the requests per second that were sent over the last 30 s, by all workers together. It is
	// up to 5 s old.
	Pace float64
	// LimitedBy is what keeps it from going faster; "": nothing waits, or the campaign is over.
	LimitedBy CampaignLimit
	// LimitedUntil is the end of a hold, by the engine's clock, or NextOpen. Zero: time alone ends nothing.
	LimitedUntil time.Time
	// ETA is when the last one that waits will have been sent at the pace that is really kept. Until half
	// a minute after its creation, or where nothing was sent recently, that is Options.Rate, or the sender's
	// limit if that is lower. Only time in which the campaign may send counts. It may lie after
	// Expires: then not all will be sent. Zero: nothing waits, the campaign is paused or cancelled,
	// Twilio does nothing for the account, or it would take more than ten years.
	ETA time.Time
	// NextOpen is when a campaign that is scheduled or outside its window may send next.
	NextOpen time.Time
}

// NobodySends reports that no worker sends for the campaign now. ETA is then what its rate would make of it, and
// not to be shown as a time.
func (p *Progress) NobodySends() bool { return p.LimitedBy == LimitedByWorker && p.Pace == 0 }

// Progress returns how far the campaign is, and its settings.
func (c *Campaign) Progress(ctx context.Context) (Progress, error) {
	d, err := c.load(ctx)
	if err != nil {
		return Progress{}, err
	}
	s, err := c.queue.scene(ctx)
	if err != nil {
		return Progress{}, fmt.Errorf("queue: campaign %q: progress: %w", c.name, err)
	}
	return d.progressIn(&s), nil
}

// Campaigns returns the progress of all campaigns, in the order of their names. Of one
// whose settings cannot be read only the error tells; the others are returned all the same.
func (q *Queue) Campaigns(ctx context.Context) ([]Progress, error) {
	campaigns, unreadable := loadCampaigns(ctx, q.engine, nil)
	if len(campaigns) == 0 {
		return nil, unreadable
	}
	s, err := q.scene(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: campaigns: %w", err)
	}
	var all []Progress
	for _, d := range campaigns {
		all = append(all, d.progressIn(&s))
	}
	slices.SortFunc(all, func(a, b Progress) int { return strings.Compare(a.Name, b.Name) })
	return all, unreadable
}

// progressIn returns how far the campaign is, and what limits it.
func (c *campaignDoc) progressIn(s *scene) Progress {
	p := c.progress(s.lanes, s.now)
	c.limit(&p, s)
	return p
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
	Labels    map[string]string
	Lane      Lane
	Finished  time.Time // zero: it is in doubt
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
				Recipient: strings.TrimPrefix(j.Unique, campaignKey(c.name)), State: j.State,
				Code: j.Outcome.Code, Reason: j.Outcome.Reason, Attempts: j.Attempts, ID: j.ID,
				Labels: j.Labels, Lane: j.Lane, Finished: j.Finished,
			}, nil) {
				return
			}
		}
	}
}

// FailureColumns returns the names of the columns of [Failure.Record].
func FailureColumns() []string {
	return []string{"recipient", "state", "code", "reason", "attempts", "id"}
}

// Record returns a failure as a record of CSV, as [Campaign.WriteFailures] writes it. No spreadsheet takes a cell for
// a formula. It holds whole phone numbers.
func (f *Failure) Record() []string {
	code := ""
	if f.Code != 0 {
		code = strconv.Itoa(f.Code)
	}
	return []string{cell(f.Recipient), string(f.State), code, cell(f.Reason), strconv.Itoa(f.Attempts), string(f.ID)}
}

// WriteFailures writes [Campaign.Failures] as CSV: recipient, state, code, reason,
// attempts, id. The file holds whole phone numbers: keep it as you keep the list of
// recipients.
func (c *Campaign) WriteFailures(ctx context.Context, w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(FailureColumns()); err != nil {
		return err
	}
	for f, err := range c.Failures(ctx) {
		if err != nil {
			return err
		}
		if err := out.Write(f.Record()); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cell keeps a spreadsheet from taking text for a formula, by the apostrophe that OWASP
// recommends. A phone number stays as it is: its "+" can start no formula but a number, and
// other programs must find it unchanged.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) && !isAddress(text) {
		return "'" + text
	}
	return text
}
