package queue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	syncs "github.com/twilio/twilio-go/rest/sync/v1"
	verify "github.com/twilio/twilio-go/rest/verify/v2"
)

// What Twilio, or somebody else, does not take.
var whenRefused = map[string]row{
	"429, 20429": {test: each(map[string]struct {
		retryAfter string
		times      int
		format     twiliotest.ErrorFormat
		pauses     []int
		alerts     map[queue.AlertKind]int
	}{
		"without Retry-After": {times: 8, pauses: []int{1, 2, 4, 8, 16, 16, 16}, alerts: map[queue.AlertKind]int{queue.AlertThrottled: 1}},
		"five in a row":       {times: 5, pauses: []int{1, 2, 4, 8}},
		"without a code":      {times: 3, format: twiliotest.FormatEmpty, pauses: []int{1, 2}},
		"Retry-After 30":      {retryAfter: "30", times: 3, pauses: []int{30, 30}},
		"Retry-After 301":     {retryAfter: "301", times: 1, alerts: map[queue.AlertKind]int{queue.AlertHeld: 1}},
		"Retry-After 299":     {retryAfter: "299", times: 1},
	}, func(t *testing.T, c struct {
		retryAfter string
		times      int
		format     twiliotest.ErrorFormat
		pauses     []int
		alerts     map[queue.AlertKind]int
	}) {
		w := newWorld(t, twiliotest.Config{})
		f := status(429, 20429)
		f.RetryAfter, f.Times, f.Format = c.retryAfter, c.times, c.format
		v := w.inject(f, nil)
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		time.Sleep(100 * time.Millisecond)
		w.is(id, queue.Ready, 0)
		if after, err := time.ParseDuration(c.retryAfter + "s"); err == nil {
			w.kept(id, after-time.Second, after+time.Second)
		} else {
			w.kept(id, 800*time.Millisecond, time.Second)
		}
		w.want(id, queue.Sent)
		w.is(id, queue.Sent, 1)
		v.pauses(t, c.pauses...)
		w.raised(c.alerts)
		w.once(1)
	})},

	"429 for one receiver or object: 60212, 60626, 54009, 50063, and 20429 or 63018 where it is about one": {shown: []string{"TestOneNumbersQuotaHoldsNobodyElse", "TestHeldReceiverCostsItsLaneNoTurns", "TestNarrowLimitThatLastsIsToldOnce"}, test: each(map[string]struct {
		code       int
		retryAfter string
		about      func(name string) func(*twilio.RestClient) error
		most       int // requests for the hot one within a minute
	}{
		"60212":            {60212, "", verification, 16},
		"20429 of Verify":  {20429, "", verification, 16},
		"60212 for 20 s":   {60212, "20", verification, 12},
		"54009":            {54009, "", document, 16},
		"54009 for 10 min": {54009, "600", document, 8},
		"63018 of one":     {63018, "", whatsApp, 16},
	}, func(t *testing.T, c struct {
		code       int
		retryAfter string
		about      func(name string) func(*twilio.RestClient) error
		most       int
	}) {
		w := newWorld(t, twiliotest.Config{Latency: 100 * time.Millisecond})
		f := status(429, c.code)
		f.RetryAfter = c.retryAfter
		v := w.inject(f, func(r *twiliotest.Request) bool { return strings.Contains(r.Path+r.Form.Get("To"), "9999") })
		enqueue := func(name string) queue.ID {
			id, err := w.q.Enqueue(t.Context(), c.about(name))
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		var before, hot, others []queue.ID
		for i := range 10 {
			before = append(before, enqueue(fmt.Sprintf("1%03d", i)))
		}
		w.work(w.client(unlimited))
		for _, id := range before {
			w.want(id, queue.Sent)
		}
		for range 30 {
			hot = append(hot, enqueue("9999"))
		}
		for i := range 60 {
			others = append(others, enqueue(fmt.Sprintf("2%03d", i)))
		}
		start := time.Now()
		for _, id := range others {
			w.want(id, queue.Sent)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("60 others were sent after %v: they waited for the limit of one", took)
		}
		time.Sleep(time.Minute)
		for _, id := range hot {
			if j := w.job(id); j.State != queue.Delayed && j.State != queue.Ready || j.Attempts != 0 {
				t.Errorf("one that is throttled is %q after %d attempts", j.State, j.Attempts)
			}
		}
		lanes, _, err := w.q.Engine().Work(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lanes {
			if c.code != 63018 && l.Parked.After(start) { // the first 63018 may be about all of the sender
				t.Errorf("%v pauses until %v", l.Lane, l.Parked)
			}
		}
		if n := v.count(); n > c.most {
			t.Errorf("%d requests for the throttled one, expected %d at most", n, c.most)
		}
		w.fake.ClearFaults()
		for _, id := range hot {
			if r := w.want(id, queue.Sent); r.Attempts != 1 {
				t.Errorf("%d attempts, expected 1", r.Attempts)
			}
		}
	})},

	"quota used up (63038 and others)": {shown: []string{"TestQuotaHoldsTheLane"}, test: each(map[string]struct {
		code       int
		retryAfter string
		hold       time.Duration
	}{
		"63038":              {63038, "", time.Hour},
		"30454":              {30454, "", time.Hour},
		"60312":              {60312, "", time.Hour},
		"60326":              {60326, "", time.Hour},
		"Retry-After 2 h":    {63038, "7200", 2 * time.Hour},
		"Retry-After 1 min.": {63038, "60", time.Hour},
	}, func(t *testing.T, c struct {
		code       int
		retryAfter string
		hold       time.Duration
	}) {
		f := status(429, c.code)
		f.RetryAfter = c.retryAfter
		heldFor(t, f, c.hold)
	})},

	"the sender's queue at Twilio is full (21611)": {test: alone(func(t *testing.T) { heldFor(t, status(429, 21611), 5*time.Minute) })},

	"attempt cap of a verification (60203 and others)": {test: each(map[string]int{"60202": 60202, "60203": 60203, "60308": 60308, "60309": 60309, "60310": 60310}, func(t *testing.T, code int) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(status(429, code))
		id, err := w.q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
			_, err := tw.VerifyV2.CreateVerification("VA0123456789abcdef0123456789abcdef", new(verify.CreateVerificationParams).SetTo(receiver).SetChannel("sms"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.work(w.client(unlimited))
		time.Sleep(time.Second)
		w.is(id, queue.Failed, 1)
		w.raised(nil)
	})},

	"wrong or rotated credentials (401, 20003), suspended or closed account (20005, 20403, 10001, 90010), missing privileges (20006, 70051)": {test: each(map[string]twiliotest.Suspension{
		"401 20003": {Status: 401, Code: 20003}, "401 20005": {Status: 401, Code: 20005}, "403 20005": {Status: 403, Code: 20005},
		"403 20403": {Status: 403, Code: 20403}, "400 10001": {Status: 400, Code: 10001}, "403 10001": {Status: 403, Code: 10001},
		"403 90010": {Status: 403, Code: 90010}, "403 20006": {Status: 403, Code: 20006}, "403 70051": {Status: 403, Code: 70051},
	}, func(t *testing.T, s twiliotest.Suspension) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Suspend(twiliotest.AccountSid, s)
		var ids []queue.ID
		for i := range 20 {
			ids = append(ids, w.enqueueFrom([]string{sender, otherSender}[i%2], fmt.Sprint(i)))
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
		time.Sleep(6*time.Minute + 30*time.Second)
		for _, id := range ids {
			w.is(id, queue.Ready, 0)
		}
		if n := len(w.fake.Refused()); n < 6 || n > 8 {
			t.Errorf("%d requests in 6 minutes, expected one a minute", n)
		}
		w.raised(map[queue.AlertKind]int{queue.AlertUnauthorized: 1})
		w.fake.Lift(twiliotest.AccountSid)
		for _, id := range ids {
			if r := w.want(id, queue.Sent); r.Attempts != 1 {
				t.Errorf("%d attempts, expected 1", r.Attempts)
			}
		}
		if d := time.Since(w.start); d > 9*time.Minute {
			t.Errorf("all sent after %v, expected a minute and a little after the account was there again", d)
		}
		w.raised(map[queue.AlertKind]int{queue.AlertUnauthorized: 1})
		w.once(20)
	})},

	"the same refusals while other requests of the account pass": {test: each(map[string]bool{"the first to be refused": false, "while others had passed": true}, func(t *testing.T, passed bool) {
		w := newWorld(t, twiliotest.Config{})
		v := w.inject(status(403, 20006), from(otherSender))
		w.work(w.client(unlimited))
		if passed {
			w.want(w.enqueue("before"), queue.Sent)
		}
		bad := w.enqueueFrom(otherSender, "bad")
		time.Sleep(100 * time.Millisecond)
		var slow int
		for i := range 36 { // one each 10 s
			id, start := w.enqueue(fmt.Sprint(i)), time.Now()
			w.want(id, queue.Sent)
			if time.Since(start) > time.Second {
				slow++
			}
			time.Sleep(10 * time.Second)
		}
		w.is(bad, queue.Failed, 5)
		if v.count() != 5 && v.count() != 6 { // the first is not counted if nothing had passed yet
			t.Errorf("refused %d times, expected 5", v.count())
		}
		if slow > 1 {
			t.Errorf("%d others waited, expected the first at most", slow)
		}
		w.raised(map[queue.AlertKind]int{queue.AlertUnauthorized: 1})
	})},

	"any other 4xx with a code of Twilio's (invalid number, unsubscribed, ...)": {test: each(map[string][2]int{
		"invalid number": {400, 21211}, "unsubscribed": {400, 21610}, "not found": {404, 20404}, "conflict": {409, 20409}, "forbidden for this one": {403, 21408},
	}, func(t *testing.T, c [2]int) {
		w := newWorld(t, twiliotest.Config{})
		f := status(c[0], c[1])
		f.Times = 1
		w.fake.Inject(f)
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		r := w.want(id, queue.Failed)
		var te *client.TwilioRestError
		if !errors.As(r.Err, &te) || te.Status != c[0] || te.Code != c[1] || r.Attempts != 1 {
			t.Errorf("%d attempts, error %v", r.Attempts, r.Err)
		}
		w.raised(nil)
		if err := w.q.Requeue(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		w.want(id, queue.Sent)
		w.once(1)
	})},

	"4xx without a code of Twilio's (an edge, a gateway)": {test: func(t *testing.T) {
		for name, f := range map[string]twiliotest.Fault{
			"413 of an edge": {Kind: twiliotest.RespondStatus, Status: 413, Format: twiliotest.FormatHTML}, "400 empty": {Kind: twiliotest.RespondStatus, Status: 400, Format: twiliotest.FormatEmpty},
			"403 of a gateway": foreign(403, loginPage), "404 of a gateway": foreign(404, "no such host"), "451": foreign(451, ""),
		} {
			t.Run(name+" for all", func(t *testing.T) {
				oneOfEachKind(t, "413 of an edge for all", "403 of a gateway for all")
				bubble(t, func(t *testing.T) {
					w, f := newWorld(t, twiliotest.Config{}), f
					f.Times = 9
					v := w.inject(f, nil)
					ids := []queue.ID{w.enqueue("one"), w.enqueue("two"), w.enqueue("three")}
					w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
					for _, id := range ids {
						w.want(id, queue.Sent)
					}
					v.pauses(t, 1, 2, 4, 8, 16, 32, 60, 60)
					w.raised(map[queue.AlertKind]int{queue.AlertUnreachable: 1})
					w.once(3)
				})
			})
			t.Run(name+" for one", func(t *testing.T) {
				oneOfEachKind(t, "400 empty for one", "404 of a gateway for one")
				bubble(t, func(t *testing.T) {
					w := newWorld(t, twiliotest.Config{})
					v := w.inject(f, func(r *twiliotest.Request) bool { return strings.HasPrefix(r.Form.Get("Body"), "bad") })
					bad := w.enqueue("bad")
					w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
					for i := range 20 {
						w.want(w.enqueue(fmt.Sprint(i)), queue.Sent)
					}
					time.Sleep(time.Minute)
					w.is(bad, queue.Failed, 5)
					if v.count() != 8 { // four before others go first, of which one counts
						t.Errorf("refused %d times, expected 8", v.count())
					}
					w.raised(map[queue.AlertKind]int{queue.AlertUnreachable: 1})
				})
			})
		}
	}},
}

// job returns a request as it is now.
func (w *world) job(id queue.ID) queue.Job {
	w.t.Helper()
	j, err := w.q.Engine().Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// Requests about different things of one resource, by the last four digits of their names.
func verification(name string) func(*twilio.RestClient) error {
	return func(tw *twilio.RestClient) error {
		_, err := tw.VerifyV2.CreateVerification("VA0123456789abcdef0123456789abcdef", new(verify.CreateVerificationParams).SetTo("+1500555"+name).SetChannel("sms"))
		return err
	}
}

func document(name string) func(*twilio.RestClient) error {
	return func(tw *twilio.RestClient) error {
		_, err := tw.SyncV1.UpdateDocument("IS0123456789abcdef0123456789abcdef", "doc-"+name, new(syncs.UpdateDocumentParams).SetData(map[string]any{"a": 1}))
		return err
	}
}

func whatsApp(name string) func(*twilio.RestClient) error {
	return message("whatsapp:"+sender, "whatsapp:+1500555"+name, "hello")
}

// A quota of one user's factor, or of one entity, is not the others' affair.
func TestOneNumbersQuotaHoldsNobodyElse(t *testing.T) {
	codes := []int{60312, 60326}
	for _, code := range codes[:unlessShort(len(codes), 1)] {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				w.inject(status(429, code), func(r *twiliotest.Request) bool { return strings.Contains(r.Path, "mallory") })
				enqueue := func(identity string) queue.ID {
					id, err := w.q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
						_, err := tw.VerifyV2.CreateChallenge("VA0123456789abcdef0123456789abcdef", identity, new(verify.CreateChallengeParams).SetFactorSid("YF0123456789abcdef0123456789abcdef"))
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
					return id
				}
				mallory, others := enqueue("mallory"), []queue.ID{enqueue("alice"), enqueue("bob")}
				w.work(w.client(unlimited))
				time.Sleep(time.Second)
				for _, id := range others {
					w.is(id, queue.Sent, 1)
				}
				w.is(mallory, queue.Delayed, 0)
				w.raised(nil)
				w.fake.ClearFaults()
				time.Sleep(time.Hour + 2*time.Second)
				w.is(mallory, queue.Sent, 1)
			})
		})
	}
}

// What waits for a held receiver is passed over: the others of a slow lane have its pace.
func TestHeldReceiverCostsItsLaneNoTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		f := status(429, 60212)
		f.RetryAfter = "60"
		v := w.inject(f, func(r *twiliotest.Request) bool { return strings.HasSuffix(r.Form.Get("To"), "9999") })
		var ids []queue.ID
		for i := range 40 {
			name := "9999"
			if i >= 20 {
				name = fmt.Sprintf("1%03d", i)
			}
			id, err := w.q.Enqueue(t.Context(), verification(name))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		w.work(w.client(pacer.Limit{Resource: "verify/Verifications", Rate: 1}))
		for _, id := range ids[20:] {
			w.want(id, queue.Sent)
		}
		if took := time.Since(w.start); took > 22*time.Second {
			t.Errorf("20 others were sent after %v, expected one a second", took)
		}
		if v.count() != 1 {
			t.Errorf("%d requests for the held one, expected 1", v.count())
		}
	})
}

// Somebody should know that requests wait for so long, but not for each of them.
func TestNarrowLimitThatLastsIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.inject(status(429, 60212), func(r *twiliotest.Request) bool { return strings.HasSuffix(r.Form.Get("To"), "9999") })
		for range 20 {
			if _, err := w.q.Enqueue(t.Context(), verification("9999")); err != nil {
				t.Fatal(err)
			}
		}
		w.work(w.client(unlimited))
		time.Sleep(time.Duration(unlessShort(30, 10)) * time.Minute)
		w.raised(map[queue.AlertKind]int{queue.AlertThrottled: 1})
	})
}

// heldFor checks that a bucket pauses after one answer, and that the request is sent
// afterwards as if nothing had been.
func heldFor(t *testing.T, f twiliotest.Fault, hold time.Duration) {
	t.Helper()
	w := newWorld(t, twiliotest.Config{})
	f.Times = 1
	w.fake.Inject(f)
	id := w.enqueue("one")
	w.work(w.client(unlimited))
	time.Sleep(100 * time.Millisecond)
	w.is(id, queue.Ready, 0)
	w.kept(id, hold-time.Second, hold)
	other := w.enqueueFrom(otherSender, "of another sender")
	time.Sleep(100 * time.Millisecond)
	w.is(other, queue.Sent, 1)
	w.raised(map[queue.AlertKind]int{queue.AlertHeld: 1})
	if hold > 5*time.Minute { // TestQuotaHoldsTheLane waits for the end of an hour
		return
	}
	if r := w.want(id, queue.Sent); r.Attempts != 1 {
		t.Errorf("%d attempts, expected 1", r.Attempts)
	}
	if at := w.sent()["one"]; at < hold || at > hold+2*time.Second {
		t.Errorf("sent after %v, expected %v", at, hold)
	}
	w.once(2)
}
