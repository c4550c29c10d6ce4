package dashboard

import (
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// This file has what pages show, as JSON. Senders and recipients are masked, and no text of a message is in it. Times
// are RFC 3339, and left out where there is none. Rates are requests per second.

type lane struct {
	ID        string  `json:"id"` // as Lane.ID
	Resource  string  `json:"resource"`
	Campaign  string  `json:"campaign,omitempty"`
	Sender    string  `json:"sender,omitempty"`
	Ready     int64   `json:"ready"`
	Delayed   int64   `json:"delayed"`
	Sending   int64   `json:"sending"`
	InDoubt   int64   `json:"inDoubt"`
	Sent      int64   `json:"sent"`
	Failed    int64   `json:"failed"`
	Cancelled int64   `json:"cancelled"`
	Age       float64 `json:"age"` // seconds that the first of the ready ones has waited
	Pace      float64 `json:"pace"`
	HeldUntil string  `json:"heldUntil,omitempty"`
}

// busy reports whether a lane matters: something waits in it, or a person should look.
func (l *lane) busy() bool {
	return l.Ready+l.Delayed+l.Sending+l.InDoubt > 0
}

type campaign struct {
	Name         string              `json:"name"`
	State        queue.CampaignState `json:"state"`
	Rate         float64             `json:"rate"`
	Pace         float64             `json:"pace"`
	Window       string              `json:"window,omitempty"`
	Start        string              `json:"start,omitempty"`
	Expires      string              `json:"expires,omitempty"`
	Total        int64               `json:"total"`
	Sent         int64               `json:"sent"`
	Failed       int64               `json:"failed"`
	InDoubt      int64               `json:"inDoubt"`
	Cancelled    int64               `json:"cancelled"`
	Waiting      int64               `json:"waiting"`
	Sending      int64               `json:"sending"`
	LimitedBy    queue.CampaignLimit `json:"limitedBy,omitempty"`
	LimitedUntil string              `json:"limitedUntil,omitempty"`
	ETA          string              `json:"eta,omitempty"`
	NextOpen     string              `json:"nextOpen,omitempty"`
}

func campaignOf(p *queue.Progress) campaign {
	eta, window := p.ETA, ""
	if p.NobodySends() {
		eta = time.Time{}
	}
	if p.Options.Window != nil {
		window = p.Options.Window.String()
	}
	return campaign{
		p.Name, p.State, p.Options.Rate, p.Pace, window, moment(p.Options.Start), moment(p.Options.Expires),
		p.Total, p.Sent, p.Failed, p.InDoubt, p.Cancelled, p.Waiting, p.Sending,
		p.LimitedBy, moment(p.LimitedUntil), moment(eta), moment(p.NextOpen),
	}
}

type job struct {
	ID        queue.ID    `json:"id"`
	State     queue.State `json:"state"`
	Resource  string      `json:"resource"`
	Lane      string      `json:"lane"`
	Campaign  string      `json:"campaign,omitempty"`
	Sender    string      `json:"sender,omitempty"`
	Recipient string      `json:"recipient,omitempty"`
	Key       string      `json:"key,omitempty"`
	Priority  int         `json:"priority"`
	Attempts  int         `json:"attempts"`
	Claims    int64       `json:"claims"`
	Looks     int         `json:"looks"` // how often Twilio was asked about it
	Created   string      `json:"created"`
	Due       string      `json:"due,omitempty"`
	Deadline  string      `json:"deadline,omitempty"`
	Began     string      `json:"began,omitempty"` // with milliseconds, to find it at Twilio
	Lease     string      `json:"lease,omitempty"`
	Look      string      `json:"look,omitempty"` // when Twilio is asked again
	Finished  string      `json:"finished,omitempty"`
	SID       string      `json:"sid,omitempty"`
	Status    int         `json:"status,omitempty"`
	Code      int         `json:"code,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Decide    bool        `json:"decide"` // a person must decide
}

func jobOf(j *queue.Job) job {
	began := ""
	if !j.Began.IsZero() {
		began = j.Began.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	return job{
		j.ID, j.State, j.Lane.Resource.String(), j.Lane.ID(), j.Lane.Campaign, pacer.MaskNumbers(j.Lane.Resource.Sender),
		pacer.MaskNumbers(j.Recipient()), pacer.MaskNumbers(j.Key()), int(j.Priority), j.Attempts, j.Claim, j.Looks,
		moment(j.Created), moment(j.Due), moment(j.Deadline), began, moment(j.Lease), moment(j.Look), moment(j.Finished),
		j.Outcome.SID, j.Outcome.Status, j.Outcome.Code, pacer.MaskNumbers(j.Outcome.Reason), j.State == queue.InDoubt && j.Look.IsZero(),
	}
}

type worker struct {
	Host        string    `json:"host"`
	PID         int       `json:"pid"`
	Version     string    `json:"version,omitempty"`
	Alive       bool      `json:"alive"`
	Started     string    `json:"started"`
	Seen        string    `json:"seen"`
	Concurrency int       `json:"concurrency"`
	OnWire      int       `json:"onWire"`
	Pace        float64   `json:"pace"`
	Clock       float64   `json:"clock"` // seconds by which its clock is ahead of the store's
	Refusals    []refusal `json:"refusals"`
}

// A refusal is something that a worker has read while it runs and not taken.
type refusal struct {
	What string `json:"what"`
	From string `json:"from"`
	Time string `json:"time,omitempty"`
	Why  string `json:"why"`
}

func workerOf(w *queue.WorkerStatus) worker {
	refusals := []refusal{}
	for _, r := range w.Refusals {
		refusals = append(refusals, refusal{r.What, r.From, moment(r.Time), pacer.MaskNumbers(r.Why)})
	}
	return worker{w.Host, w.PID, w.Version, w.Alive, moment(w.Started), moment(w.Seen), w.Concurrency, w.OnWire, w.Pace, w.Clock.Seconds(), refusals}
}

type hold struct {
	Hold     string           `json:"hold"`               // its name, as pacer hold list prints it
	Resource string           `json:"resource,omitempty"` // left out: all of the account
	Sender   string           `json:"sender,omitempty"`
	Reason   queue.HoldReason `json:"reason"`
	Code     int              `json:"code,omitempty"`
	Since    string           `json:"since,omitempty"`
	Until    string           `json:"until"`
}

// named returns a resource as it is shown; "": one that stands for an account as a whole, or for nothing.
func named(r pacer.Resource) string {
	if r.Name == "" {
		return ""
	}
	return r.String()
}

func holdOf(h *queue.Hold) hold {
	return hold{h.Name(), named(h.Resource), pacer.MaskNumbers(h.Resource.Sender), h.Reason, h.Code, moment(h.Since), moment(h.Until)}
}

// A reason is one answer of Queue.Why.
type reason struct {
	Kind     queue.Cause `json:"kind"`
	Stops    bool        `json:"stops"`
	Resource string      `json:"resource,omitempty"`
	Sender   string      `json:"sender,omitempty"`
	Campaign string      `json:"campaign,omitempty"`
	ID       queue.ID    `json:"id,omitempty"`
	Over     bool        `json:"over,omitempty"` // the request cannot be sent again
	Lanes    int         `json:"lanes"`
	Waiting  int64       `json:"waiting"`
	Since    string      `json:"since,omitempty"`
	Until    string      `json:"until,omitempty"`
	Text     string      `json:"text"`
	Do       string      `json:"do"` // "It ends by itself." where a person can do nothing
}

func reasonsOf(all []queue.Reason) []reason {
	shown := []reason{}
	for i := range all {
		r := &all[i]
		shown = append(shown, reason{
			r.Kind, r.Stops, named(r.Lane.Resource), pacer.MaskNumbers(r.Lane.Resource.Sender), r.Campaign, r.ID, r.Over, r.Lanes, r.Waiting,
			moment(r.Since), moment(r.Until), r.Text, advice(r),
		})
	}
	return shown
}

// doings are what a person can do about a cause with the dashboard. For the others Queue.Why says it.
var doings = map[queue.Cause]string{
	queue.CausePaused:    "Resume the campaign.",
	queue.CauseWindow:    "Wait, or change the window of the campaign.",
	queue.CauseExpired:   "Requests that still make sense can be sent again from their own page.",
	queue.CauseCancelled: "A request can be sent again from its page. A cancelled campaign needs a new name.",
	queue.CauseInDoubt:   "Look for it in Twilio's console. Then say on the page In doubt whether Twilio has it.",
	queue.CauseFailed:    "Mend what Twilio's code is about. Then send the request again.",
	queue.CauseLimit:     "If Twilio allows your account more, raise the limit on the page Limits.",
	queue.CauseRate:      "Raise the campaign's rate, if it is to go faster.",
	queue.CauseBusy:      "Start another worker, or give this one a higher concurrency.",
	queue.CauseNoWorker:  "Start a worker: pacer worker, or systemctl start pacer. Its log says why the last one has ended.",
}

// advice says in the words of the page what a person can do.
func advice(r *queue.Reason) string {
	switch text, known := doings[r.Kind]; {
	case r.Do == "" && r.Kind == queue.CauseDone:
		return "Nothing is left to do."
	case r.Do == "":
		return "It ends by itself."
	case r.Kind == queue.CauseLimit && r.Learned, r.Over, r.Kind == queue.CauseFailed && r.ID == "", r.Kind == queue.CauseExpired && r.Campaign != "": // Why says more
	case known:
		return text
	case r.Kind == queue.CauseSuspended:
		return "Settle it with Twilio. Then end the hold on the page Holds, or wait a minute."
	}
	return strings.ToUpper(r.Do[:1]) + r.Do[1:] + "."
}

// moment returns a time as it is shown; "": the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
