package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file finds why lanes and campaigns do not go on.

// suspendedCodes are Twilio's codes for an account that is suspended, closed or not active.
var suspendedCodes = map[int]bool{10001: true, 20005: true, 20403: true, 70051: true, 90010: true}

// held finds the holds of what is ready.
func (w *inquiry) held(ctx context.Context) error {
	holds, err := w.q.Holds(ctx)
	if err != nil {
		return err
	}
	barred := make(map[string]bool) // accounts
	for _, h := range holds {
		if h.Resource == (pacer.Resource{Account: h.Resource.Account}) && h.Reason == HoldUnauthorized {
			barred[h.Resource.Account] = true
		}
	}
	for _, h := range holds {
		account := h.Resource == pacer.Resource{Account: h.Resource.Account}
		if !account && h.Reason == HoldUnauthorized && barred[h.Resource.Account] {
			continue // that of the account says it
		}
		r := Reason{Kind: CauseHeld, Stops: true, Since: h.Since, Until: h.Until, Held: h}
		for _, l := range w.lanes {
			if !w.keep(l.Lane) || l.Ready == 0 || l.Lane.Resource != h.Resource && !(account && l.Lane.Resource.Account == h.Resource.Account) {
				continue
			}
			if r.Lanes++; r.Lanes == 1 {
				r.Lane = l.Lane
			}
			r.Waiting += l.Ready
		}
		if r.Lanes == 0 {
			continue
		}
		what := h.Resource.String() + " is held"
		if account {
			what = "Account " + h.Resource.Account + " is held"
		}
		r.Text, r.Do = what+": "+meaningOf(h.Reason)+codeIn(h.Code)+".", doAbout(h.Reason)
		switch {
		case h.Reason == HoldUnauthorized && suspendedCodes[h.Code]:
			r.Kind = CauseSuspended
			r.Text, r.Do = what+": the account is suspended or closed"+codeIn(h.Code)+".", "look at the account in Twilio's console; one request a minute tries again, or end the hold"
		case h.Reason == HoldUnauthorized:
			r.Kind = CauseUnauthorized
		}
		w.add(r)
	}
	return nil
}

func codeIn(code int) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprintf(" (code %d)", code)
}

// meaningOf says in words why something is held.
func meaningOf(r HoldReason) string {
	switch r {
	case HoldThrottled:
		return "Twilio was throttling, and asks to wait"
	case HoldQuota:
		return "a quota is used up"
	case HoldQueueFull:
		return "Twilio's queue of the sender is full"
	case HoldUnreachable:
		return "Twilio cannot be reached, or does not answer properly"
	case HoldUnauthorized:
		return "Twilio does not take the worker's credentials"
	case HoldByPerson:
		return "a person has held it"
	}
	return "an older version of pacer does not say why"
}

// doAbout says what a person can do about a hold.
func doAbout(r HoldReason) string {
	switch r {
	case HoldThrottled:
		return "wait, or end the hold if you know better; if it comes again, configure the limit"
	case HoldQuota, HoldQueueFull:
		return adviceHeld + "; to end the hold tries again at once"
	case HoldUnreachable:
		return adviceUnreachable
	case HoldUnauthorized:
		return "give the worker credentials that are right; one request a minute tries again, or end the hold"
	}
	return "end the hold"
}

// campaigns finds the campaigns that do not send what waits.
func (w *inquiry) campaigns(ctx context.Context) error {
	if w.about.Campaign != "" {
		if _, err := w.q.FindCampaign(ctx, w.about.Campaign); err != nil {
			return err
		}
	}
	waiting := make(map[string]Reason)
	for _, l := range w.lanes {
		if name := l.Lane.Campaign; name != "" && w.keep(l.Lane) && (l.Ready+l.Delayed > 0 || name == w.about.Campaign) {
			r := waiting[name]
			if r.Lanes++; r.Lanes == 1 {
				r.Lane, r.Campaign = l.Lane, name
			}
			r.Waiting += l.Ready + l.Delayed
			waiting[name] = r
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	names := make([]string, 0, len(waiting))
	for name := range waiting {
		names = append(names, campaignPrefix+name)
	}
	slices.Sort(names)
	docs, unreadable := loadCampaigns(ctx, w.q.engine, nil, names...)
	if docs == nil {
		return unreadable
	}
	for _, name := range names {
		name = name[len(campaignPrefix):]
		if c := docs[name]; c != nil {
			w.campaignSays(c, waiting[name])
		}
	}
	return nil
}

// campaignSays adds what a campaign's own settings have to do with what waits. r has its lanes.
func (w *inquiry) campaignSays(c *campaignDoc, r Reason) {
	p := c.progressIn(&w.scene)
	r.Stops = r.Waiting > 0
	switch {
	case p.State == CampaignCancelled:
		r.Kind, r.Text = CauseCancelled, fmt.Sprintf("Campaign %s is cancelled.", c.name)
	case c.expired(w.now):
		r.Kind, r.Since = CauseExpired, c.Expires
		r.Text = fmt.Sprintf("Campaign %s has expired: %d of %d were not sent.", c.name, p.Waiting+p.Failed, p.Total)
		r.Do = "enqueue them in another campaign, if they still make sense"
	case p.State == CampaignDone:
		r.Kind, r.Text = CauseDone, fmt.Sprintf("Nothing of campaign %s waits: %d are sent, %d have failed, %d are in doubt.", c.name, p.Sent, p.Failed, p.InDoubt)
	case p.State == CampaignPaused:
		r.Kind, r.Text, r.Do = CausePaused, fmt.Sprintf("Campaign %s is paused.", c.name), "resume it"
	case p.State == CampaignScheduled:
		r.Kind, r.Until, r.Text = CauseWindow, p.NextOpen, fmt.Sprintf("Campaign %s has not started yet.", c.name)
	case p.State == CampaignClosed:
		r.Kind, r.Until, r.Text = CauseWindow, p.NextOpen, fmt.Sprintf("Campaign %s is outside its window, %s.", c.name, c.Window)
		r.Do = "wait, or change the window"
	case p.LimitedBy == LimitedByRate:
		r.Kind, r.Stops, r.Until = CauseRate, false, p.ETA
		r.Text, r.Do = fmt.Sprintf("Campaign %s sends at its rate, %.3g a second.", c.name, c.Rate), "raise the rate, if it is to go faster"
	default:
		return // others say what limits it
	}
	w.add(r)
}

// limits finds the buckets whose limits keep what is ready.
func (w *inquiry) limits() {
	of := w.buckets()
	seen := make(map[string]int) // places in reasons
	for _, l := range w.lanes {
		key := BucketKey(l.Lane.Resource)
		bucket, limited := of[key]
		if !limited || !w.keep(l.Lane) || l.Ready == 0 || l.Parked.After(w.at) {
			continue
		}
		at, known := seen[key]
		if !known {
			at = len(w.reasons)
			seen[key] = at
			w.add(Reason{Kind: CauseLimit, Lane: l.Lane, Do: "if Twilio allows more, raise the limit in the worker's limits"})
		}
		r := &w.reasons[at]
		r.Lanes++
		r.Waiting += l.Ready
		takes := time.Duration(float64(r.Waiting) / bucket.Pace * float64(time.Second))
		r.Until = w.at.Add(takes)
		what := "the limit in force"
		if bucket.Learned > 0 {
			what = "a limit that throttled answers have shown"
		}
		r.Text = fmt.Sprintf("%s may send %.3g a second, by %s: %d wait, which takes %v.", l.Lane.Resource, bucket.Pace, what, r.Waiting, takes.Round(time.Second))
	}
}

// others finds what is in doubt, and what is not due yet.
func (w *inquiry) others(ctx context.Context) error {
	doubt, later := false, Reason{Kind: CauseDelayed, Text: "Requests wait for the time that was given when they were enqueued."}
	for _, l := range w.lanes {
		if !w.keep(l.Lane) {
			continue
		}
		doubt = doubt || l.InDoubt > 0
		if l.Delayed > 0 {
			if later.Lanes++; later.Lanes == 1 {
				later.Lane = l.Lane
			}
			later.Waiting += l.Delayed
		}
	}
	if later.Waiting > 0 {
		later.Stops = w.ready == 0
		w.add(later)
	}
	if !doubt {
		return nil
	}
	f := Filter{States: []State{InDoubt}, Campaign: w.campaign}
	if w.lane != (Lane{}) {
		f.Lane = &w.lane
	}
	jobs, err := w.q.engine.List(ctx, f, "", page)
	if err != nil {
		return err
	}
	r := Reason{Kind: CauseInDoubt, Stops: true, Do: adviceInDoubt}
	asked := Reason{Kind: CauseInDoubt}
	for _, j := range jobs {
		of := &r
		if !j.Look.IsZero() {
			of = &asked
		}
		if of.Waiting++; of.Waiting == 1 {
			of.ID, of.Lane, of.Lanes, of.Campaign, of.Since, of.Until = j.ID, j.Lane, 1, j.Lane.Campaign, j.Began, j.Look
		}
	}
	if asked.Waiting > 0 {
		asked.Text = fmt.Sprintf("%d in doubt: a worker looks at Twilio whether they were sent.", asked.Waiting)
		w.add(asked)
	}
	switch r.Waiting {
	case 0:
		return nil
	case 1:
		r.Text = "A request may have been sent, and a person has to decide."
	default:
		r.Text = fmt.Sprintf("%d requests may have been sent, and a person has to decide.", r.Waiting)
	}
	w.add(r)
	return nil
}
