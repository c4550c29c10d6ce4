package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
)

// What Twilio can be asked about.
const (
	createMessage = "api/" + pacer.Messages + ":create"
	createCall    = "api/" + pacer.Calls + ":create"
)

func reconcilable(resource string) bool { return resource == createMessage || resource == createCall }

// resolveEvery is how often the worker looks for requests in doubt, and asksAtOnce how
// many it asks Twilio about at a time: a disturbance there leaves thousands of them.
const (
	resolveEvery = time.Second
	asksAtOnce   = 8
)

// resolve applies the policies to what is in doubt.
func (w *Worker) resolve(ctx context.Context) error {
	for on := true; on; on = pause(ctx, min(resolveEvery, w.settle)) { // at once, as sweep
		jobs, err := w.q.engine.List(ctx, Filter{States: []State{InDoubt}, LookBefore: time.Now()}, "", page)
		if err != nil || len(jobs) == 0 {
			continue // a store that fails is the dispatcher's to report
		}
		lists := w.ask(ctx, jobs)
		alike, err := w.alike(ctx)
		if err != nil {
			continue
		}
		for i, j := range jobs {
			w.resolveOne(ctx, j, lists[i], alike)
		}
	}
	return nil
}

// ask gets Twilio's lists for those jobs that are to be looked for.
func (w *Worker) ask(ctx context.Context, jobs []Job) []list {
	lists := make([]list, len(jobs))
	var asking sync.WaitGroup
	slots := make(chan struct{}, asksAtOnce)
	for i := range jobs {
		j := &jobs[i]
		if w.policyFor(j.Lane.Resource, &j.Request) != Reconcile || w.settled(j).After(time.Now()) {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			lists[i] = w.list(ctx, j)
		})
	}
	asking.Wait()
	return lists
}

// settled is from when on Twilio can be asked about j. A worker that has vanished may have
// sent it at the very end of its time.
func (w *Worker) settled(j *Job) time.Time {
	if j.Outcome.Reason != ReasonLease {
		return j.Look
	}
	return j.Began.Add(w.attemptTimeout + w.settle)
}

// twins counts the requests that may have been sent and look alike to Twilio.
type twins struct{ doubtful, sending int }

// maxAlike bounds what is read to find them. With more in doubt than that something else
// is wrong, and those that are not looked at could be twins: none is decided.
const maxAlike = 20_000

// alike counts twins. It is to be called after Twilio was asked: a twin that is sent in
// between is in its list.
func (w *Worker) alike(ctx context.Context) (map[string]twins, error) {
	alike := make(map[string]twins)
	n := 0
	for j, err := range w.q.List(ctx, Filter{States: []State{InDoubt, Sending}}) {
		if err != nil {
			return nil, err
		}
		if n++; n > maxAlike {
			return nil, fmt.Errorf("queue: more than %d requests in doubt", maxAlike)
		}
		key := looks(&j)
		t := alike[key]
		if j.State == Sending {
			t.sending++
		} else {
			t.doubtful++
		}
		alike[key] = t
	}
	return alike, nil
}

// looks is what of a request can be seen in Twilio's lists.
func looks(j *Job) string {
	f := url.Values(j.Request.Form)
	return strings.Join([]string{
		j.Lane.Resource.Account, j.Lane.Resource.String(),
		receiver(f.Get("To")), receiver(f.Get("From")), f.Get("MessagingServiceSid"), text(f.Get("Body")),
	}, "\x00")
}

// resolveOne decides about one request in doubt, or puts the decision off.
func (w *Worker) resolveOne(ctx context.Context, j Job, l list, alike map[string]twins) {
	now := time.Now()
	switch w.policyFor(j.Lane.Resource, &j.Request) {
	case Resend:
		w.decide(ctx, j, Move{To: Ready})
		return
	case ParkInDoubt:
		w.parkInDoubt(ctx, j, j.Outcome.Reason)
		return
	}
	if !l.asked {
		w.decide(ctx, j, Move{To: InDoubt, Look: w.settled(&j)})
		return
	}
	switch found, err := w.find(ctx, &j, l, alike[looks(&j)]); {
	case ctx.Err() != nil:
	case err != nil:
		var unsure *unsureError
		if errors.As(err, &unsure) {
			w.parkInDoubt(ctx, j, unsure.why)
			return
		}
		if w.logger != nil {
			w.logger.Warn("pacer queue: cannot tell yet what became of a request in doubt; Twilio is asked again", "id", j.ID, "error", err)
		}
		w.decide(ctx, j, Move{To: InDoubt, Look: now.Add(w.settle), Looked: err == errLate})
	case found != "":
		o := j.Outcome
		o.SID, o.Reason = found, ""
		if !w.decide(ctx, j, Move{To: Sent, Outcome: &o, Reported: w.onResult == nil}) {
			return
		}
		t := alike[looks(&j)]
		t.doubtful--
		alike[looks(&j)] = t // its twins have one candidate less
		if w.onResult != nil {
			j.State, j.Outcome, j.Finished = Sent, o, now
			w.report(ctx, j)
		}
	case j.Looks == 0: // once more, in case that the list is late
		w.decide(ctx, j, Move{To: InDoubt, Look: now.Add(w.settle), Looked: true})
	default:
		w.decide(ctx, j, Move{To: Ready})
	}
}

// decide moves a request out of doubt, unless somebody else has meanwhile.
func (w *Worker) decide(ctx context.Context, j Job, m Move) bool {
	m.ID, m.Claim, m.From = j.ID, j.Claim, []State{InDoubt}
	return w.q.engine.Move(ctx, m) == nil
}

func (w *Worker) parkInDoubt(ctx context.Context, j Job, why string) {
	o := j.Outcome
	o.Reason = why
	if w.decide(ctx, j, Move{To: InDoubt, Outcome: &o}) {
		w.parkedInDoubt(j, why)
	}
}

func (w *Worker) parkedInDoubt(j Job, why string) {
	w.raise(Alert{Kind: AlertInDoubt, Lane: j.Lane, ID: j.ID, Err: errors.New(why), Advice: adviceInDoubt})
}

// An unsureError says why what Twilio has does not decide the matter.
type unsureError struct{ why string }

func (e *unsureError) Error() string { return e.why }

func unsure(format string, args ...any) error { return &unsureError{fmt.Sprintf(format, args...)} }

// created is a message or call as Twilio's lists have it.
type created struct {
	SID                 string `json:"sid"`
	To                  string `json:"to"`
	From                string `json:"from"`
	Body                string `json:"body"`
	MessagingServiceSID string `json:"messaging_service_sid"`
	DateCreated         string `json:"date_created"`
	Direction           string `json:"direction"`
}

// errLate: what looks the same was created so late that it is most likely another job's,
// whose result is not recorded yet.
var errLate = errors.New("one that looks the same was sent later")

// maxLooks is how often that is waited for.
const maxLooks = 3

// The margins of the comparison. Twilio's times have whole seconds.
const (
	clockMargin = 5 * time.Second
	listPages   = 5
	listPage    = 1000
)

// find looks for what j has created in Twilio's list. It returns its SID, or "" if it is
// surely not there, or an unsureError. The rule, which docs/queue.md explains:
//
// A candidate is a message (call) of the API's making, to the same number, from the same
// sender or by the same Messaging Service, that no other job of the queue has as its
// result, and that Twilio has created since j was enqueued. Messages also have the same
// text. If j is the only one in doubt that looks like this, one candidate from the time of
// j's attempt is j's, and none means that Twilio does not have it. As many twins as
// candidates are given one each. One from after the attempt may be another job's whose
// result is about to be recorded: that is waited for. All else is unsure.
func (w *Worker) find(ctx context.Context, j *Job, l list, t twins) (string, error) {
	if l.err != nil {
		return "", l.err
	}
	f := url.Values(j.Request.Form)
	calls := j.Lane.Resource.String() == createCall
	readable := calls || f.Get("Body") != "" && f.Get("ContentSid") == "" && f.Get("ShortenUrls") != "true" && f.Get("SmartEncoded") != "true"
	sent := j.Began.Add(l.skew - clockMargin)
	// If this clock was set back after j was sent, the skew is too large by that, and j's
	// own message would seem older than j: such a skew only makes it look early.
	enqueued := j.Created.Add(min(l.skew, 0) - clockMargin)
	over := j.Began.Add(w.attemptTimeout + l.skew + clockMargin)
	var similar []string
	early, late := make(map[string]bool), make(map[string]bool)
	for _, c := range l.all {
		at, err := time.Parse(time.RFC1123Z, c.DateCreated)
		switch {
		case err != nil:
			return "", unsure("Twilio's list has a time that cannot be read")
		case at.Before(enqueued) || strings.HasPrefix(c.Direction, "inbound") || !matches(f, c):
			continue
		case readable && !calls && !sameText(f.Get("Body"), c.Body):
			continue
		}
		similar = append(similar, c.SID)
		early[c.SID] = at.Before(sent)
		late[c.SID] = at.After(over) && !j.Began.IsZero() // never claimed: a restored backup's, see docs/queue.md
	}
	var candidates []string
	for _, sid := range similar {
		if other, err := w.q.engine.List(ctx, Filter{SID: sid}, "", 1); err != nil {
			return "", err
		} else if len(other) == 0 {
			candidates = append(candidates, sid)
		}
	}
	isEarly := slices.ContainsFunc(candidates, func(sid string) bool { return early[sid] })
	isLate := slices.ContainsFunc(candidates, func(sid string) bool { return late[sid] })
	switch n := len(candidates); {
	case n == 0:
		return "", nil
	case !readable:
		return "", unsure("Twilio has something for this receiver from that time, and its text cannot be compared: %s", candidates[0])
	case isEarly:
		return "", unsure("Twilio has one that looks the same from before it was sent: %s", candidates[0])
	case t.sending > 0:
		return "", errors.New("one that looks the same is being sent")
	case isLate && j.Looks < maxLooks:
		return "", errLate
	case isLate:
		return "", unsure("Twilio has one that looks the same from after its attempt was over: %s", candidates[0])
	case n == max(1, t.doubtful):
		return candidates[0], nil
	}
	return "", unsure("Twilio has %d that look the same, for %d in doubt: %s", len(candidates), max(1, t.doubtful), candidates[0])
}

func matches(f url.Values, c created) bool {
	if receiver(c.To) != receiver(f.Get("To")) {
		return false
	}
	if service := f.Get("MessagingServiceSid"); service != "" && c.MessagingServiceSID != service {
		return false
	}
	from := f.Get("From")
	return from == "" || receiver(c.From) == receiver(from)
}

// receiver makes numbers comparable that are written differently: "+1 (555) 010-0006".
// What is no number (an alphanumeric sender, a SIP or WhatsApp address) keeps its text.
func receiver(s string) string {
	s = strings.TrimSpace(s)
	if strings.Trim(s, "+0123456789 ()-.") == "" {
		s = strings.NewReplacer(" ", "", "(", "", ")", "", "-", "", ".", "").Replace(s)
	}
	return strings.ToLower(s)
}

func text(s string) string { return strings.Join(strings.Fields(s), " ") }

// sameText allows for white space, and for what Twilio puts before the text of a trial
// account: "Sent from your Twilio trial account - ".
func sameText(want, have string) bool {
	want, have = text(want), text(have)
	return want == have || strings.HasPrefix(have, "Sent from your Twilio trial account") && strings.HasSuffix(have, want)
}

// A list is what Twilio has created for a job's receiver and sender.
type list struct {
	asked bool
	all   []created
	skew  time.Duration // how far Twilio's clock is ahead of the engine's
	err   error
}

func (w *Worker) list(ctx context.Context, j *Job) list {
	l := list{asked: true}
	l.err = w.fill(ctx, j, &l)
	return l
}

func (w *Worker) fill(ctx context.Context, j *Job, l *list) error {
	f := url.Values(j.Request.Form)
	if receiver(f.Get("To")) == "" {
		return unsure("it has no number or address that Twilio's list could be asked for")
	}
	base, _, _ := strings.Cut(j.Request.URL, "?")
	query := url.Values{"To": {strings.TrimSpace(f.Get("To"))}, "PageSize": {fmt.Sprint(listPage)}}
	if from := f.Get("From"); from != "" {
		query.Set("From", strings.TrimSpace(from))
	}
	ctx, cancel := context.WithTimeout(pacer.WithPriority(ctx, pacer.Low), w.attemptTimeout+w.settle)
	defer cancel()
	next := base + "?" + query.Encode()
	for range listPages {
		began := time.Now()
		resp, err := w.client.WithContext(ctx).RequestHandler.Client.SendRequest(http.MethodGet, next, nil, nil)
		if err != nil {
			_, code, reason := saidBy(err)
			return fmt.Errorf("list at Twilio: code %d: %s", code, reason)
		}
		var answer struct {
			Messages, Calls []created
			Next            string `json:"next_page_uri"`
		}
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			l.skew = date.Sub(began.Truncate(time.Second))
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		_ = resp.Body.Close()
		if err != nil {
			return errors.New("list at Twilio: the answer is not the JSON of a list")
		}
		l.all = append(append(l.all, answer.Messages...), answer.Calls...)
		if answer.Next == "" {
			return nil
		}
		u, err := url.Parse(base)
		if err == nil {
			u, err = u.Parse(answer.Next)
		}
		if err != nil || !sameHost(base, u) {
			return errors.New("list at Twilio: the address of the next page is not one")
		}
		next = u.String()
	}
	return unsure("Twilio has more than %d for this receiver", listPages*listPage)
}

func sameHost(base string, u *url.URL) bool {
	b, err := url.Parse(base)
	return err == nil && b.Host == u.Host && b.Scheme == u.Scheme
}
