package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file asks Twilio's lists for messages and calls.

// What is read of Twilio's lists.
const (
	listPages   = 5
	listPage    = 1000
	maxListBody = 16 << 20 // of one page; 1,000 long messages have some 3 MiB
	listTries   = 3        // how often a throttled question is asked again at once
	sampleSize  = 50       // messages that tell whether an account hides numbers
	redactsFor  = 5 * time.Minute
)

// An inquirer asks Twilio's lists what Twilio has created. Each question waits for a turn of the
// client, at the lowest priority.
type inquirer struct {
	*base
	redactions map[string]redaction // by account; redacts alone uses it, and not concurrently
}

// A list is what Twilio has created for a job's receiver.
type list struct {
	asked  bool
	all    []created
	unsure string // why the list is not the whole truth; "": it is
	err    error
}

// A refusedError is Twilio's word that its list may not be read.
type refusedError struct {
	code, status int
	reason       string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("Twilio does not show its list: status %d, code %d: %s", e.status, e.code, e.reason)
}

// list asks Twilio for what it has created for j's receiver. Of the sender it does not
// ask, since Twilio may show another one than was named. A number that is written in
// another form than Twilio's is asked for in both.
func (q *inquirer) list(ctx context.Context, j *Job) list {
	l := list{asked: true}
	written := strings.TrimSpace(url.Values(j.Request.Form).Get("To"))
	if written == "" {
		return l
	}
	ctx, cancel := context.WithTimeout(pacer.WithPriority(ctx, pacer.Low), q.attemptTimeout+q.settle)
	defer cancel()
	l.err = q.listTo(ctx, j, &l, partyOf(written).String())
	if l.err == nil && partyOf(written).String() != written {
		l.err = q.listTo(ctx, j, &l, written)
	}
	return l
}

// listTo adds to l what Twilio has for a receiver.
func (q *inquirer) listTo(ctx context.Context, j *Job, l *list, to string) error {
	base, _, _ := strings.Cut(j.Request.URL, "?")
	next := base + "?" + url.Values{"To": {to}, "PageSize": {fmt.Sprint(listPage)}}.Encode()
	for range listPages {
		page, after, err := q.listPage(ctx, j, next)
		if err != nil {
			return err
		}
		for _, c := range page {
			if !slices.ContainsFunc(l.all, func(o created) bool { return o.SID == c.SID }) {
				l.all = append(l.all, c)
			}
		}
		if after == "" || q.before(j, page) {
			return nil
		}
		if next, err = nextPage(base, after); err != nil {
			return err
		}
	}
	l.unsure = fmt.Sprintf("Twilio has more than %d for this receiver", listPages*listPage)
	return nil
}

// before reports whether a page, whose newest comes first, ends long before j was enqueued:
// what follows cannot be j's.
func (q *inquirer) before(j *Job, page []created) bool {
	if len(page) == 0 {
		return false
	}
	first, readable := page[0].at()
	last, too := page[len(page)-1].at()
	ahead, measured := q.clocks.ahead()
	return readable && too && measured && !first.Before(last) && last.Before(j.Created.Add(ahead.lo-2*earlyMargin))
}

// listPage reads one page. The list is proved: an answer that is not Twilio's must not be
// taken for an empty list.
func (q *inquirer) listPage(ctx context.Context, j *Job, address string) (all []created, next string, err error) {
	body, said, err := q.get(ctx, j, address)
	if err != nil {
		return nil, "", err
	}
	key := "messages"
	if j.Lane.Resource.String() == createCall {
		key = "calls"
	}
	var page map[string]json.RawMessage
	if json.Unmarshal(body, &page) != nil || page[key] == nil || json.Unmarshal(page[key], &all) != nil || all == nil {
		return nil, "", errors.New("list at Twilio: the answer is not the JSON of a list")
	}
	if after := page["next_page_uri"]; after != nil && json.Unmarshal(after, &next) != nil {
		return nil, "", errors.New("list at Twilio: the address of the next page is not one")
	}
	said()
	return all, next, nil
}

// get asks Twilio. Each attempt is made by itself, so that neither the wait for its turn nor a
// throttled answer counts for the comparison of the clocks. The function said notes Twilio's
// clock. Call it when the answer is proved to be Twilio's.
func (q *inquirer) get(ctx context.Context, j *Job, address string) (body []byte, said func(), err error) {
	resource := pacer.ResourceOf(http.MethodGet, address, nil, j.Lane.Resource.Account)
	for n := 1; ; n++ {
		turn, err := q.client.Turn(ctx, resource)
		if err != nil {
			return nil, nil, fmt.Errorf("list at Twilio: %w", err)
		}
		began := time.Now()
		resp, err := turn.Send(ctx, pacer.SentRequest{Method: http.MethodGet, URL: address, Throttled: n - 1}) //nolint:bodyclose // listBody closes it
		if err == nil {
			ended := time.Now()
			body, err := listBody(resp)
			return body, func() { q.clocks.twilioSaid(resp.Header, began, ended) }, err
		}
		limit, notNow := pacer.FromError(err)
		if notNow && limit.Kind == pacer.Throttled && n < listTries {
			continue
		}
		fact := pacer.AttemptOf(err)
		if !notNow && twilioCode(fact.Code) && fact.Status >= 400 && fact.Status < 500 {
			return nil, nil, &refusedError{fact.Code, fact.Status, reasonOf(err)}
		}
		if fact.Status >= http.StatusBadRequest && !twilioCode(fact.Code) {
			return nil, nil, fmt.Errorf("list at Twilio: %s", answeredReason(fact, err))
		}
		return nil, nil, fmt.Errorf("list at Twilio: %w", reasonError(err))
	}
}

func listBody(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxListBody))
	_ = resp.Body.Close()
	switch {
	case err != nil:
		return nil, errors.New("list at Twilio: the answer broke off")
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("list at Twilio: status %d: somebody else answers in Twilio's place", resp.StatusCode)
	}
	return body, nil
}

func nextPage(base, after string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", errors.New("list at Twilio: its address is not one")
	}
	u, err := b.Parse(after)
	if err != nil || u.Host != b.Host || u.Scheme != b.Scheme {
		return "", errors.New("list at Twilio: the address of the next page is not one of Twilio's")
	}
	return u.String(), nil
}

// redacts reports whether an account's lists hide receivers. It looks at the account's newest
// messages. That they do is remembered for five minutes. That they do not is true only until
// Twilio lists the next message, and is remembered only if it was seen since a time.
func (q *inquirer) redacts(ctx context.Context, j *Job, since time.Time) (bool, error) {
	account := j.Lane.Resource.Account
	known, ok := q.redactions[account]
	if ok && (!known.at.Before(since) || known.redacts && time.Since(known.at) < redactsFor) {
		return known.redacts, nil
	}
	base, _, _ := strings.Cut(j.Request.URL, "?")
	all, _, err := q.listPage(ctx, j, base+"?"+url.Values{"PageSize": {fmt.Sprint(sampleSize)}}.Encode())
	if err != nil {
		return false, err
	}
	known = redaction{at: time.Now()}
	for _, c := range all {
		known.redacts = known.redacts || !c.inbound() && partyOf(c.To).hidden()
	}
	q.redactions[account] = known
	return known.redacts, nil
}

// redaction is whether an account's lists hide receivers, as was seen at an instant.
type redaction struct {
	at      time.Time
	redacts bool
}
