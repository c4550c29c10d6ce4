package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A report is the result of a run.
type report struct {
	Engine   string  `json:"engine"`
	Seed     uint64  `json:"seed"`
	Seconds  float64 `json:"seconds"`
	Messages int     `json:"messages"`

	Kills      int64 `json:"kills"`
	Children   int64 `json:"children"`   // started
	MidEnqueue int64 `json:"midEnqueue"` // of the kills, those of a producer with work to do
	Outages    int64 `json:"outages"`    // of the kills, those of the store's server

	Requests  int `json:"requests"`  // that reached the fake
	Throttled int `json:"throttled"` // answered 429
	Faulted   int `json:"faulted"`   // struck by any fault
	Abandoned int `json:"abandoned"` // whose sender did not live to see the answer, or timed out
	Asked     int `json:"asked"`     // lists that Twilio was asked for

	Proxy   map[string]int64 `json:"proxy,omitempty"`          // what it has done
	Foreign map[string]int64 `json:"foreignAnswers,omitempty"` // that a gateway has given
	Clock   map[string]int64 `json:"clock,omitempty"`          // how often each one was changed

	Found     int   `json:"found"`     // requests in doubt that were found at Twilio
	Resent    int   `json:"resent"`    // those that were not, and were sent again
	MaxClaims int64 `json:"maxClaims"` // of one request

	Reasons map[string]int   `json:"reasons"` // of Failed and parked ones
	Alerts  map[string]int64 `json:"alerts"`

	Paces []pace `json:"paces,omitempty"` // of a campaign

	Sent      int                `json:"sent"`
	Parked    int                `json:"parkedInDoubt"`
	Failed    int                `json:"failed"`
	Recovered int                `json:"parkedOrFailedButAccepted"`
	Wrong     map[fault][]string `json:"wrong"`
}

// count counts a job.
func (rep *report) count(j queue.Job, reason string) {
	rep.MaxClaims = max(rep.MaxClaims, j.Claim)
	switch answered := j.Outcome.Status/100 == 2; {
	case j.State == queue.Sent && !answered: // its SID is not from an answer
		rep.Found++
	case j.State == queue.Sent && j.Looks > 0:
		rep.Resent++
	}
	if j.State != queue.Sent {
		if rep.Reasons == nil {
			rep.Reasons = make(map[string]int)
		}
		rep.Reasons[string(j.State)+": "+generalized(reason)]++
	}
}

// report reads what the queue lists, and compares it with what the fake has made.
func (r *run) report(ctx context.Context, rep *report) error {
	rep.Engine, rep.Seed, rep.Messages = r.engine, r.seed, r.messages
	rep.Kills, rep.Children, rep.MidEnqueue = r.killed.Load(), r.started.Load(), r.midEnqueue.Load()
	rep.Outages = r.outages.Load()
	var listed []listing
	for j, err := range r.q.List(ctx, queue.Filter{}) {
		if err != nil {
			return err
		}
		reason := j.Outcome.Reason
		if reason == "" && j.Outcome.Code != 0 {
			reason = fmt.Sprint(j.Outcome.Code)
		}
		listed = append(listed, listing{
			name: nameOf(url.Values(j.Request.Form)), state: j.State, sid: j.Outcome.SID, reason: reason,
			parked:  j.State == queue.InDoubt && j.Look.IsZero(),
			refused: j.Outcome.Code == refusal,
		})
		rep.count(j, reason)
	}
	var made []creation
	for _, c := range append(r.fake.Messages(), r.fake.Calls()...) {
		made = append(made, creation{nameOf(c.Form), c.SID})
	}
	rep.ofFake(r.fake)
	if r.way != nil {
		rep.Proxy = r.way.tally()
	}
	if r.portal != nil {
		rep.Foreign = r.portal.tally()
	}
	if r.clocks != nil {
		rep.Clock = r.clocks.counts
	}
	rep.Alerts = make(map[string]int64)
	r.alerts.Range(func(kind, count any) bool {
		rep.Alerts[kind.(string)] = count.(*atomic.Int64).Load()
		return true
	})
	rep.set(check(names(r.messages), made, listed))
	rep.Seconds = time.Since(r.began).Seconds()
	return nil
}

func (rep *report) ofFake(f *twiliotest.Fake) {
	s := f.Stats()
	rep.Requests, rep.Faulted, rep.Abandoned = s.Received, s.Faulted, s.Abandoned
	for _, r := range f.Refused() {
		if r.Status == 429 {
			rep.Throttled++
		}
	}
	for _, r := range f.Accepted() {
		if r.Method == http.MethodGet {
			rep.Asked++
		}
	}
}

var particular = regexp.MustCompile(`(SM|MM|CA)[0-9a-f]{32}`)

// generalized makes reasons that are about particular messages countable.
func generalized(reason string) string { return masked(particular.ReplaceAllString(reason, "$1...")) }

// set puts in what the verification has found.
func (rep *report) set(v verdict) {
	rep.Sent, rep.Parked, rep.Failed, rep.Recovered, rep.Wrong = v.Sent, v.Parked, v.Failed, v.Recovered, v.wrong
}

// ok reports whether the queue has kept its promise.
func (rep *report) ok() bool {
	for _, p := range rep.Paces {
		if !p.ok() {
			return false
		}
	}
	return len(rep.Wrong) == 0
}

func (rep *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(rep)
	}
	return rep.table(w)
}

// wrongShown is how many requests are named of each kind of fault.
const wrongShown = 10

func (rep *report) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what string, n any, about string, args ...any) {
		fmt.Fprintf(t, "%s\t%v\t%s\n", what, n, fmt.Sprintf(about, args...))
	}
	fmt.Fprintf(t, "engine %s, seed %d, %.0f s\n\n", rep.Engine, rep.Seed, rep.Seconds)
	for _, p := range rep.Paces {
		verdict := "as it should"
		if !p.ok() {
			verdict = "WRONG"
		}
		row(p.What, p.Accepted, "accepted in %.1f s: %s, expected %d to %d", p.Seconds, verdict, p.Least, p.Most)
	}
	if rep.Paces != nil {
		fmt.Fprintln(t)
	}
	row("kills", rep.Kills, "%d of a producer in the middle of its work; %d processes were started", rep.MidEnqueue, rep.Children)
	if rep.Outages > 0 {
		row("", rep.Outages, "of the store's server, which was started again")
	}
	row("requests at Twilio", rep.Requests, "%d struck by a fault, %d answered 429, %d not waited for", rep.Faulted, rep.Throttled, rep.Abandoned)
	row("lists asked for", rep.Asked, "%d requests in doubt were found, %d were not and were sent again", rep.Found, rep.Resent)
	row("claims of one request", rep.MaxClaims, "at most")
	for _, group := range []struct {
		name   string
		counts map[string]int64
	}{{"proxy", rep.Proxy}, {"foreign answers", rep.Foreign}, {"clock", rep.Clock}, {"alerts", rep.Alerts}} {
		for _, kind := range slices.Sorted(maps.Keys(group.counts)) {
			row(group.name, group.counts[kind], "%s", kind)
		}
	}
	fmt.Fprintln(t)
	row("enqueued", rep.Messages, "")
	row("sent", rep.Sent, "each accepted once, with the SID that the queue says")
	row("failed", rep.Failed, "")
	row("parked in doubt", rep.Parked, "for a person to decide; of these and the failed, Twilio has %d", rep.Recovered)
	for _, reason := range slices.Sorted(maps.Keys(rep.Reasons)) {
		row("", rep.Reasons[reason], "%s", reason)
	}
	fmt.Fprintln(t)
	for _, f := range faultsInOrder {
		names := rep.Wrong[f]
		shown := strings.Join(names[:min(len(names), wrongShown)], ", ")
		if len(names) > wrongShown {
			shown += ", ..."
		}
		row(string(f), len(names), "%s", shown)
	}
	return t.Flush()
}
