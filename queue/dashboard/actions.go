package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/twilio-pacer/pacer/queue"
)

// This file has what people change. Each change is logged.

// changed tells the log who has changed what, and everybody who looks what it is like now.
func (d *Dashboard) changed(r *http.Request, what string, attrs ...any) {
	d.log.Info("dashboard: "+what, append(attrs, "by", r.RemoteAddr)...)
	d.view.changed()
}

// finish answers a change. An error may come after a part of the change, so that all look again.
func (d *Dashboard) finish(w http.ResponseWriter, r *http.Request, err error, what string, attrs ...any) {
	if err != nil {
		d.view.changed()
		answer(w, nil, err)
		return
	}
	d.changed(r, what, attrs...)
	answer(w, struct{}{}, nil)
}

func (d *Dashboard) steerCampaign(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Name   string  `json:"name"`
		Do     string  `json:"do"`     // pause, resume, cancel, rate or window
		Rate   float64 `json:"rate"`   // requests per second
		Window string  `json:"window"` // as Window.UnmarshalText reads it, or always
	}
	if err := read(w, r, &asked); err != nil {
		answer(w, nil, err)
		return
	}
	c, err := d.q.FindCampaign(r.Context(), asked.Name)
	if err != nil {
		answer(w, nil, err)
		return
	}
	attrs := []any{"campaign", c.Name()}
	switch asked.Do {
	case "pause":
		err = c.Pause(r.Context())
	case "resume":
		err = c.Resume(r.Context())
	case "cancel":
		// Whoever leaves the page meanwhile has cancelled it all the same.
		err = c.Cancel(context.WithoutCancel(r.Context()))
	case "rate":
		err = c.SetRate(r.Context(), asked.Rate)
		attrs = append(attrs, "rate", asked.Rate)
	case "window":
		err = setWindow(r.Context(), c, strings.TrimSpace(asked.Window))
		attrs = append(attrs, "window", asked.Window)
	default:
		answer(w, nil, wrong("expected pause, resume, cancel, rate or window"))
		return
	}
	d.finish(w, r, err, "campaign: "+asked.Do, attrs...)
}

// anyTime is the window of a campaign that has none, as the command pacer takes it.
const anyTime = "always"

// setWindow changes when a campaign may send.
func setWindow(ctx context.Context, c *queue.Campaign, text string) error {
	var window *queue.Window
	if text != anyTime {
		window = new(queue.Window)
		if err := window.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%w (or write %s: then there is no window)", err, anyTime)
		}
	}
	p, err := c.Progress(ctx)
	if err != nil {
		return err
	}
	p.Options.Window = window
	return c.Update(ctx, p.Options)
}

func (d *Dashboard) decideJob(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		ID  queue.ID `json:"id"`
		Do  string   `json:"do"`  // confirm, resend or cancel
		SID string   `json:"sid"` // for confirm
	}
	err := read(w, r, &asked)
	if err == nil && (asked.ID == "" || len(asked.ID) > maxSearch) {
		err = wrong("expected an ID")
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	switch asked.Do {
	case "confirm":
		err = d.q.Confirm(r.Context(), asked.ID, asked.SID)
	case "resend":
		err = d.q.Requeue(r.Context(), asked.ID)
	case "cancel":
		err = d.q.Cancel(r.Context(), asked.ID)
	default:
		answer(w, nil, wrong("expected confirm, resend or cancel"))
		return
	}
	d.finish(w, r, err, "request: "+asked.Do, "id", asked.ID)
}

func (d *Dashboard) endHold(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Hold string `json:"hold"` // its name
	}
	if err := read(w, r, &asked); err != nil {
		answer(w, nil, err)
		return
	}
	holds, err := d.q.Holds(r.Context())
	if err != nil {
		answer(w, nil, err)
		return
	}
	for _, h := range holds {
		if h.Name() == asked.Hold {
			err := d.q.EndHold(r.Context(), h.Resource)
			d.finish(w, r, err, "hold: end", "hold", asked.Hold, "resource", h.Resource.String(), "reason", h.Reason)
			return
		}
	}
	answer(w, nil, queue.ErrNotHeld)
}
