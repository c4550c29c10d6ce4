package queue

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file finds the limits that keep what is ready, and what waits for something else.

// limits finds the buckets whose limits keep what is ready.
func (w *inquiry) limits() {
	of := w.buckets()
	seen := make(map[string]int) // places in reasons
	for _, l := range w.lanes {
		key := BucketKey(l.Lane.Resource)
		bucket, limited := of[key]
		if !limited || !w.keep(l.Lane) || l.Ready == 0 || l.Parked.After(w.at) || w.waits[l.Lane.Campaign] {
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
		if bucket.Rate > 0 {
			what += fmt.Sprintf(", %.3g", bucket.Rate)
		}
		if bucket.Pace < bucket.Rate {
			what += ", below which pacer keeps"
		}
		if bucket.Learned > 0 {
			what = "a limit that throttled answers have shown"
			r.Learned, r.Do = true, fmt.Sprintf("Twilio throttles at %.3g a second: set the limit to that, or ask Twilio for more", bucket.Learned)
		}
		r.Text = fmt.Sprintf("%s may send %.3g a second, by %s: %d wait, which takes %v.", l.Lane.Resource, bucket.Pace, what, r.Waiting, takes.Round(time.Second))
	}
}

// some returns some of the requests in a state that the inquiry is about.
func (w *inquiry) some(ctx context.Context, s State) ([]Job, error) {
	f := Filter{States: []State{s}, Campaign: w.campaign}
	if w.lane != (Lane{}) {
		f.Lane = &w.lane
	}
	return w.q.engine.List(ctx, f, "", page)
}

// later tells why requests are delayed. r has how many are, and their lanes. If they are more than a page, the
// first ones stand for all.
func (w *inquiry) later(ctx context.Context, r Reason) error {
	jobs, err := w.some(ctx, Delayed)
	if err != nil {
		return err
	}
	again, given := r, r
	again.Waiting, again.Text = 0, againThrottled
	for i := range jobs {
		if jobs[i].Claim == 0 {
			continue
		}
		if again.Waiting++; jobs[i].Due.After(again.Until) {
			again.Until = jobs[i].Due
		}
		if text := againText(&jobs[i]); text != againThrottled {
			again.Text = text
		}
	}
	if again.Waiting > 0 && again.Waiting == int64(len(jobs)) {
		again.Waiting = r.Waiting
	}
	if again.Waiting > 0 {
		again.Text = fmt.Sprintf("%d %s", again.Waiting, again.Text)
		w.add(again)
	}
	if given.Waiting -= again.Waiting; given.Waiting > 0 {
		given.Text = "Requests wait for the time that was given when they were enqueued."
		w.add(given)
	}
	return nil
}

const againThrottled = "were throttled, and are tried again."

// againText says why a request that was sent already waits, for several of them.
func againText(j *Job) string {
	if j.Outcome.Status == http.StatusTooManyRequests {
		return againThrottled
	}
	return "did not get through, and are tried again."
}

// others finds what is in doubt, and what is not due yet.
func (w *inquiry) others(ctx context.Context) error {
	doubt, later := false, Reason{Kind: CauseDelayed}
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
		if err := w.later(ctx, later); err != nil {
			return err
		}
	}
	if err := w.late(ctx); err != nil || !doubt {
		return err
	}
	jobs, err := w.some(ctx, InDoubt)
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

const (
	lately    = time.Hour        // so long is it a reason that something was not sent before its deadline
	latelyNew = 10 * time.Minute // so long stays the question to the store the same: a dashboard remembers answers
	lateMax   = 1000             // requests that are looked at for that
)

// late finds what was not sent before its deadline within the last hour. A worker that lives again hides the cause, and
// nothing waits any more.
func (w *inquiry) late(ctx context.Context) error {
	sums, failed := make(map[string]LaneStats), false // by campaign
	for _, l := range w.lanes {
		if l.Failed == 0 && l.Lane.Campaign == "" || !w.keep(l.Lane) {
			continue
		}
		of := sums[l.Lane.Campaign]
		of.Failed += l.Failed
		of.Sent += l.Sent
		of.Arrived += l.Ready + l.Delayed + l.Sending + l.InDoubt + l.Sent + l.Failed + l.Cancelled
		sums[l.Lane.Campaign] = of
		failed = failed || l.Failed > 0
	}
	if !failed {
		return nil
	}
	f := Filter{States: []State{Failed}, Campaign: w.campaign, FinishedAfter: w.at.Add(-lately).Truncate(latelyNew)}
	if w.lane != (Lane{}) {
		f.Lane = &w.lane
	}
	jobs, err := w.q.engine.List(ctx, f, "", lateMax)
	if err != nil {
		return err
	}
	w.mostlyFailed(jobs, sums)
	var found []Reason // one for each campaign, and one for what is of none
	var counts []int64
	for i := range jobs {
		j := &jobs[i]
		if j.Outcome.Reason != ReasonDeadline || w.at.Sub(j.Finished) > lately {
			continue
		}
		at := slices.IndexFunc(found, func(r Reason) bool { return r.Campaign == j.Lane.Campaign })
		if at < 0 {
			at = len(found)
			found = append(found, Reason{Kind: CauseExpired, Lane: j.Lane, Campaign: j.Lane.Campaign, Since: j.Finished})
			counts = append(counts, 0)
		}
		if counts[at]++; j.Finished.Before(found[at].Since) {
			found[at].Since = j.Finished
		}
	}
	for i, r := range found {
		n, about := counts[i], ""
		if len(jobs) == lateMax { // there may be more
			n, about = sums[r.Campaign].Failed, "up to "
		}
		switch {
		case r.Campaign != "" && slices.ContainsFunc(w.reasons, func(o Reason) bool { return o.Kind == CauseExpired && o.Campaign == r.Campaign }):
			continue // campaignSays has said it
		case r.Campaign != "":
			r.Text, r.Do = fmt.Sprintf("Campaign %s has expired: %s%d of %d were not sent.", r.Campaign, about, n, sums[r.Campaign].Arrived), adviceExpired
		case n == 1:
			r.Text, r.Do = "A request was not sent before its deadline.", "requeue it, if it still makes sense"
		default:
			r.Text, r.Do = sentence(fmt.Sprintf("%s%d requests were not sent before their deadlines", about, n)), "requeue those that still make sense"
		}
		w.add(r)
	}
	return nil
}

// mostlyFailed finds the campaigns of which at least half of what was finished has failed, for another reason than
// time. jobs are what has failed lately, and sums the counts by campaign.
func (w *inquiry) mostlyFailed(jobs []Job, sums map[string]LaneStats) {
	found := make(map[string]*Job) // by campaign
	expired := make(map[string]int64)
	for i := range jobs {
		j := &jobs[i]
		if j.Lane.Campaign == "" || w.at.Sub(j.Finished) > lately {
			continue
		}
		if j.Outcome.Reason == ReasonDeadline {
			expired[j.Lane.Campaign]++
			continue
		}
		if first := found[j.Lane.Campaign]; first == nil || j.Finished.Before(first.Finished) {
			found[j.Lane.Campaign] = j
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		// The jobs may have been read sooner or later than the sums, so that only these are counted.
		j, n, finished := found[name], sums[name].Failed-expired[name], sums[name].Sent+sums[name].Failed
		if n <= 0 || 2*n < finished {
			continue
		}
		r := Reason{Kind: CauseFailed, Lane: j.Lane, Campaign: name, Since: j.Finished, Do: adviceFailed}
		r.Text = fmt.Sprintf("%d of %d requests of campaign %s have failed. The first one%s: %s.", n, finished, name, codeIn(j.Outcome.Code),
			strings.TrimSuffix(pacer.MaskNumbers(j.Outcome.Reason), "."))
		w.add(r)
	}
}

// adviceFailed says what to do about a campaign whose requests fail.
const adviceFailed = "pause it if it still sends, and mend what Twilio's code is about; then enqueue them in another campaign"

// adviceExpired says what to do about a campaign that has expired.
const adviceExpired = "enqueue them in another campaign, if they still make sense"
