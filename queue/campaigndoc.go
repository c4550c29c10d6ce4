package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A campaignDoc is a campaign as it is kept in a [Document].
type campaignDoc struct {
	Format  string        `json:"v"`
	State   CampaignState `json:"state"`           // running, paused or cancelled
	Draft   bool          `json:"draft,omitempty"` // nobody was enqueued yet, and no operator has changed it
	Created time.Time     `json:"created"`
	CampaignOptions

	name    string
	version int64  // of the Document; 0: none is there yet
	stored  []byte // its Value
	hours   *hours
}

const campaignPrefix = "campaign/"

func parseCampaign(d Document) (*campaignDoc, error) {
	c := &campaignDoc{name: strings.TrimPrefix(d.Name, campaignPrefix), version: d.Version, stored: d.Value}
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

// loadCampaigns returns the campaigns of documents, or all if none is named, by their names.
// One that cannot be read is not among them, and named in the error. What is known, and has
// not changed since, is not parsed again.
func loadCampaigns(ctx context.Context, e Engine, known map[string]*campaignDoc, documents ...string) (map[string]*campaignDoc, error) {
	found, err := e.Documents(ctx, documents...)
	if err != nil {
		return nil, fmt.Errorf("queue: campaigns: %w", err)
	}
	campaigns := make(map[string]*campaignDoc)
	var errs []error
	for _, d := range found {
		name, ok := strings.CutPrefix(d.Name, campaignPrefix)
		if !ok {
			continue
		}
		// The version alone would not do: one that was deleted and made anew begins at 1.
		if c := known[name]; c != nil && c.version == d.Version && bytes.Equal(c.stored, d.Value) {
			campaigns[name] = c
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

// schedule is the name under which workers reserve the campaign's places. There is one for each
// rate. So a raised rate need not wait until the places have passed that were reserved at the
// old one.
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

// over returns why nothing more of the campaign is sent; nil: it may be.
func (c *campaignDoc) over(now time.Time) error {
	switch {
	case c.State == CampaignCancelled:
		return ErrCampaignCancelled
	case c.expired(now):
		return ErrCampaignExpired
	}
	return nil
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
