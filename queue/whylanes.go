package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file finds why lanes and campaigns do not go on.

// held finds the holds of what is ready.
func (w *inquiry) held() {
	barred := w.barredAccounts()
	for _, h := range w.holds {
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
		if h.Reason == HoldUnauthorized {
			r.Until = time.Time{} // it comes again, until a person has mended the cause
		}
		what := h.Resource.String() + " is held"
		if account {
			what = "Account " + h.Resource.Account + " is held"
		}
		r.Text, r.Do = what+": "+w.meaningOf(h)+codeIn(h.Code)+".", doAbout(h.Reason)
		switch {
		case h.Suspended():
			r.Kind = CauseSuspended
			r.Text, r.Do = what+": the account is suspended or closed"+codeIn(h.Code)+".", "look at the account in Twilio's console; one request a minute tries again, or end the hold"
		case h.Reason == HoldUnauthorized:
			r.Kind = CauseUnauthorized
			r.Text += w.refusedToo()
			r.Do, r.Watched = w.mendCredentials(h)
		}
		w.add(r)
	}
}

func codeIn(code int) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprintf(" (code %d)", code)
}

// meaningOf says in words why something is held.
func (w *inquiry) meaningOf(h Hold) string {
	switch h.Reason {
	case HoldThrottled:
		if h.Until.Sub(w.at) > longHold { // pacer's own waits are shorter
			return "Twilio was throttling, and has asked for so long a wait (Retry-After)"
		}
		return "Twilio was throttling, so that pacer waits"
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
		return "wait; if it comes again, configure a lower limit, use other senders, or ask Twilio for more"
	case HoldQuota, HoldQueueFull:
		return adviceHeld + "; to end the hold tries again at once"
	case HoldUnreachable:
		return adviceUnreachable
	}
	return "end the hold"
}

// mendCredentials says how to give credentials that are right to the workers that Twilio has refused, and that live.
// watched reports that this is enough, since all of them watch where theirs come from.
func (w *inquiry) mendCredentials(h Hold) (do string, watched bool) {
	const restart = ", and restart it; then end the hold, or wait a minute"
	var ways []string
	others := 0 // workers that Twilio has not refused
	watched = true
	for _, b := range w.beats {
		// A heartbeat from before the hold does not say it yet.
		if !slices.Contains(b.Refused, h.Resource.Account) && b.Seen.After(h.Since) {
			others++
			continue
		}
		var way string
		switch {
		case b.Credentials == "":
			watched = false
			continue
		case b.Watched:
			way = fmt.Sprintf("write the account's present token into %s on %s; the worker tries it within a second", b.Credentials, b.Host)
		default:
			watched = false
			way = fmt.Sprintf("set %s of process %d on %s to the account's present token%s", b.Credentials, b.PID, b.Host, restart)
		}
		if !slices.Contains(ways, way) && len(ways) < fewWorkers {
			ways = append(ways, way)
		}
	}
	if others > 0 && others == len(w.beats) {
		return "end the hold: Twilio has refused none of the workers that live", false
	}
	if len(ways) == 0 {
		return "set the worker's TWILIO_AUTH_TOKEN" + restart + ". Or mend its file of credentials, which its log names at the start; that is tried within a second", false
	}
	return strings.Join(ways, ". And "), watched
}

// fewWorkers is how many workers a sentence names at most.
const fewWorkers = 3

// campaigns finds the campaigns that do not send what waits.
func (w *inquiry) campaigns(ctx context.Context) error {
	if w.about.Campaign != "" {
		if _, err := w.q.FindCampaign(ctx, w.about.Campaign); err != nil {
			return err
		}
	}
	waiting := make(map[string]Reason)
	w.waits = make(map[string]bool)
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
	case c.expired(w.now) && p.Waiting+p.Failed > 0:
		r.Kind, r.Since = CauseExpired, c.Expires
		r.Text = fmt.Sprintf("Campaign %s has expired: %d of %d were not sent.", c.name, p.Waiting+p.Failed, p.Total)
		r.Do = adviceExpired
	case p.State == CampaignDone:
		r.Kind, r.Text = CauseDone, fmt.Sprintf("Nothing of campaign %s waits: %d are sent, %d have failed, %d are in doubt.", c.name, p.Sent, p.Failed, p.InDoubt)
	case p.State == CampaignPaused:
		r.Kind, r.Text, r.Do = CausePaused, fmt.Sprintf("Campaign %s is paused.", c.name), "resume it"
	case p.State == CampaignScheduled:
		r.Kind, r.Until, r.Text = CauseWindow, p.NextOpen, fmt.Sprintf("Campaign %s has not started yet.", c.name)
	case p.State == CampaignClosed:
		r.Kind, r.Until, r.Text = CauseWindow, p.NextOpen, fmt.Sprintf("Campaign %s is outside its window, %s.", c.name, c.Window)
		r.Do = "wait, or change the window"
	case p.LimitedBy == LimitedByRate && !w.unheard:
		r.Kind, r.Stops, r.Until = CauseRate, false, p.ETA
		r.Text, r.Do = fmt.Sprintf("Campaign %s sends at its rate, %.3g a second.", c.name, c.Rate), "raise the rate, if it is to go faster"
	default:
		return // others say what limits it
	}
	w.waits[c.name] = true
	w.add(r)
}
