package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// cut is what comes of a request of which the answer is missing.
type cut struct {
	fault    twiliotest.Fault
	accepted bool
	after    time.Duration // until it is in doubt
}

// isDoubtful checks that a request is in doubt, is looked for, and is sent once at last.
func isDoubtful(t *testing.T, c cut) {
	t.Helper()
	w := newWorld(t, twiliotest.Config{})
	c.fault.Times = 1
	w.inject(c.fault, nil)
	id := w.enqueue("one")
	w.work(w.client(unlimited))
	time.Sleep(c.after + 100*time.Millisecond)
	if j := w.is(id, queue.InDoubt, 1); j.Look.IsZero() || j.Outcome.Reason == "" {
		t.Errorf("%+v: expected a time at which Twilio is asked, and a reason", j.Outcome)
	}
	r := w.want(id, queue.Sent)
	if attempts := map[bool]int{true: 1, false: 2}[c.accepted]; r.Attempts != attempts {
		t.Errorf("%d attempts, expected %d", r.Attempts, attempts)
	}
	w.once(1)
	if sid := w.fake.Messages()[0].SID; r.SID != sid {
		t.Errorf("SID %q, expected %q", r.SID, sid)
	}
	w.raised(nil)
}

// unwritten are faults of which not a byte reaches Twilio.
var unwritten = map[string]twiliotest.Fault{
	"connection refused":    {Kind: twiliotest.RefuseConnection},
	"no DNS":                {Kind: twiliotest.RefuseConnection, Err: &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api.twilio.com", IsNotFound: true}}},
	"no route":              {Kind: twiliotest.RefuseConnection, Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}},
	"dial timeout":          {Kind: twiliotest.RefuseConnection, Err: &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}},
	"proxy refuses":         {Kind: twiliotest.RefuseProxy},
	"proxy answers 407":     {Kind: twiliotest.RefuseTunnel, Status: 407},
	"proxy answers 503":     {Kind: twiliotest.RefuseTunnel, Status: 503},
	"TLS handshake timeout": {Kind: twiliotest.TimeoutTLS},
}

// An unchanging request may be sent again: it changes nothing, or nothing more. The fault is what it meets.
type unchanging struct {
	build func(*twilio.RestClient) error
	fault twiliotest.Fault
}

func fetches(tw *twilio.RestClient) error {
	_, err := tw.LookupsV2.FetchPhoneNumber(receiver, nil)
	return err
}

func deletes(tw *twilio.RestClient) error {
	return tw.Api.DeleteMessage("SM0123456789abcdef0123456789abcdef", nil)
}

// waits checks that what does not get as far as Twilio waits with its bucket: nothing is
// counted, and one alert tells of it.
func waits(t *testing.T, f twiliotest.Fault) {
	t.Helper()
	w := newWorld(t, twiliotest.Config{})
	first, second := w.inject(f, from(sender)), w.inject(f, from(otherSender))
	var ids []queue.ID
	for i := range 20 {
		ids = append(ids, w.enqueueFrom([]string{sender, otherSender}[i%2], fmt.Sprint(i)))
	}
	w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
	time.Sleep(2500 * time.Millisecond) // after the second probe
	w.raised(nil)
	time.Sleep(200 * time.Second)
	for _, id := range ids {
		w.is(id, queue.Ready, 0)
	}
	first.pauses(t, 1, 2, 4, 8, 16, 32, 60, 60)
	second.pauses(t, 1, 2, 4, 8, 16, 32, 60, 60)
	w.raised(map[queue.AlertKind]int{queue.AlertUnreachable: 1})
	w.fake.ClearFaults()
	for _, id := range ids {
		if r := w.want(id, queue.Sent); r.Attempts != 1 {
			t.Errorf("%d attempts, expected 1", r.Attempts)
		}
	}
	w.raised(map[queue.AlertKind]int{queue.AlertUnreachable: 1})
	w.once(20)
}

// An ownClient is a BaseClient of the program's own, which fails with err after it has
// sent, or without.
type ownClient struct {
	*client.Client
	err   error
	sends bool
}

func (o *ownClient) SendRequest(method, address string, form url.Values, headers map[string]any, body ...byte) (*http.Response, error) {
	if o.err == nil || method == http.MethodGet {
		return o.Client.SendRequest(method, address, form, headers, body...)
	}
	err := o.err
	o.err = nil
	if o.sends {
		if resp, err := o.Client.SendRequest(method, address, form, headers, body...); err == nil {
			_ = resp.Body.Close()
		}
	}
	return nil, err
}

// What gets no answer, or one that proves nothing.
var whenUnanswered = map[string]row{
	"5xx to anything but a GET or DELETE": {test: each(map[string]cut{
		"500":                   {fault: status(500, 0)},
		"503, accepted":         {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 503}, accepted: true},
		"500, accepted":         {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 500, Code: 20500}, accepted: true},
		"502 of a gateway":      {fault: foreign(502, loginPage)},
		"504, empty, accepted":  {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 504, Foreign: true}, accepted: true},
		"529, of nobody's list": {fault: foreign(529, "")},
	}, isDoubtful)},

	"timeout (35 s), connection cut, answer broken off": {test: each(map[string]cut{
		"timeout":                        {fault: twiliotest.Fault{Kind: twiliotest.Slow, Delay: time.Hour}, accepted: true, after: 35 * time.Second},
		"timeout of the body":            {fault: twiliotest.Fault{Kind: twiliotest.Slow, BodyDelay: time.Hour}, accepted: true, after: 35 * time.Second},
		"cut before it is accepted":      {fault: twiliotest.Fault{Kind: twiliotest.DropBeforeAccept}},
		"cut afterwards":                 {fault: twiliotest.Fault{Kind: twiliotest.DropAfterAccept}, accepted: true},
		"reset afterwards":               {fault: twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Err: &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}}, accepted: true},
		"answer broken off":              {fault: twiliotest.Fault{Kind: twiliotest.Slow, BodyErr: io.ErrUnexpectedEOF}, accepted: true},
		"answer reset":                   {fault: twiliotest.Fault{Kind: twiliotest.Slow, BodyErr: syscall.ECONNRESET}, accepted: true},
		"answer of an error broken off":  {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 500, BodyErr: io.ErrUnexpectedEOF}, accepted: true},
		"answer that is not compressed":  {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 201, Foreign: true, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: []byte("{}")}, accepted: true},
		"accepted when nobody waits any": {fault: twiliotest.Fault{Kind: twiliotest.AcceptLate, Delay: 36 * time.Second}, accepted: true, after: 35 * time.Second},
	}, isDoubtful)},

	"three in a row that end in doubt": {test: each(map[string]twiliotest.Fault{
		"503": status(503, 0), "a login page": foreign(200, loginPage), "cut": {Kind: twiliotest.DropBeforeAccept}, "303": foreign(303, ""),
	}, func(t *testing.T, f twiliotest.Fault) {
		w := newWorld(t, twiliotest.Config{})
		v := w.inject(f, nil)
		var ids []queue.ID
		for i := range 60 {
			ids = append(ids, w.enqueue(fmt.Sprint(i)))
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}), queue.WithSettle(5*time.Minute)) // what is in doubt stays so
		time.Sleep(4500 * time.Millisecond)                                                    // after the second hold
		w.raised(nil)
		time.Sleep(4 * time.Minute)
		v.pauses(t, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60)
		w.raised(map[queue.AlertKind]int{queue.AlertUnreachable: 1})
		s, err := w.q.Stats(t.Context())
		if err != nil || s.Total.InDoubt != int64(v.count()) || s.Total.Ready != int64(60-v.count()) {
			t.Errorf("%d in doubt and %d ready (%v), expected %d and the others", s.Total.InDoubt, s.Total.Ready, err, v.count())
		}
		w.fake.ClearFaults()
		for _, id := range ids {
			w.want(id, queue.Sent)
		}
		w.once(60)
		w.raised(map[queue.AlertKind]int{queue.AlertUnreachable: 1})
	})},

	"GET and DELETE without an answer or with a 5xx": {test: each(map[string]unchanging{
		"GET, 503":          {fetches, status(503, 0)},
		"GET, no answer":    {fetches, twiliotest.Fault{Kind: twiliotest.DropBeforeAccept}},
		"DELETE, 500":       {deletes, status(500, 20500)},
		"DELETE, no answer": {deletes, twiliotest.Fault{Kind: twiliotest.DropBeforeAccept}},
	}, func(t *testing.T, c unchanging) {
		w := newWorld(t, twiliotest.Config{})
		v := w.inject(c.fault, func(*twiliotest.Request) bool { return true })
		id, err := w.q.Enqueue(t.Context(), c.build)
		if err != nil {
			t.Fatal(err)
		}
		w.work(w.client(unlimited))
		w.want(id, queue.Failed)
		w.is(id, queue.Failed, 10)
		v.pauses(t, 1, 2, 4, 8, 16, 32, 60, 60, 60)
	})},

	"connection refused, no DNS, no proxy (refused, 407, 503), no TLS": {test: each(unwritten, waits)},

	"somebody else answers in Twilio's place: a redirect (301, 302, 307, 308)": {test: each(map[string]twiliotest.Fault{
		"301": foreign(301, ""), "302": foreign(302, loginPage), "307": foreign(307, ""), "308": foreign(308, ""),
	}, waits)},

	"an answer of 2xx without Twilio's SID or JSON, or 303": {test: each(map[string]cut{
		"a login page":           {fault: foreign(200, loginPage)},
		"200, empty":             {fault: foreign(200, "")},
		"204":                    {fault: foreign(204, "")},
		"JSON of somebody else":  {fault: foreign(200, `{"status":"ok"}`)},
		"another kind of SID":    {fault: foreign(201, `{"sid":"CA0123456789abcdef0123456789abcdef"}`)},
		"half a SID":             {fault: foreign(201, `{"sid":"SM0123"}`)},
		"303":                    {fault: foreign(303, "")},
		"201, empty, accepted":   {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 201, Foreign: true}, accepted: true},
		"200, a page, accepted":  {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 200, Foreign: true, Body: []byte(loginPage)}, accepted: true},
		"303 of a proxy, likely": {fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 303, Foreign: true, Header: http.Header{"Location": {"/"}}}, accepted: true},
	}, isDoubtful)},

	"the client sends through a client.BaseClient of the program's own": {test: each(map[string]ownClient{
		"an error of its own":           {err: errors.New("timeout"), sends: true},
		"a bare deadline":               {err: context.DeadlineExceeded, sends: true},
		"a refused connection, it says": {err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}},
		"503 of a proxy, it says":       {err: errors.New("503 Service Unavailable")},
	}, func(t *testing.T, own ownClient) {
		w, log := newWorld(t, twiliotest.Config{}), &logbook{}
		own.Client = &client.Client{Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken), HTTPClient: w.fake.Client()}
		own.SetAccountSid(twiliotest.AccountSid)
		c, err := pacer.New(pacer.ClientParams{Client: &own}, pacer.WithLimits(pacer.Limits{unlimited}))
		if err != nil {
			t.Fatal(err)
		}
		id := w.enqueue("one")
		w.work(c, log.option())
		time.Sleep(100 * time.Millisecond)
		w.is(id, queue.InDoubt, 1)
		if n := log.count("BaseClient"); n != 1 {
			t.Errorf("the log warns %d times, expected once", n)
		}
		w.want(id, queue.Sent)
		w.once(1)
	})},
}
