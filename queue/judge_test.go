package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// asked are requests of each kind that is judged in its own way, in the order of the
// meanings below.
var asked = [5]Request{
	{Method: http.MethodPost, URL: messages, Form: map[string][]string{"To": {"+15005550009"}, "From": {"+15005550006"}, "Body": {"hello"}}},
	{Method: http.MethodPost, URL: calls, Form: map[string][]string{"To": {"+15005550009"}, "From": {"+15005550006"}}},
	{Method: http.MethodPost, URL: "https://verify.twilio.com/v2/Services/VA0123456789abcdef0123456789abcdef/Verifications", Form: map[string][]string{"To": {"+15005550009"}}},
	{Method: http.MethodGet, URL: "https://lookups.twilio.com/v2/PhoneNumbers/+15005550009"},
	{Method: http.MethodDelete, URL: "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages/SM0123456789abcdef0123456789abcdef.json"},
}

// attempted sends a request to a Twilio that answers with a fault.
func attempted(ctx context.Context, t *testing.T, r Request, f twiliotest.Fault) attempt {
	t.Helper()
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(f)
	c, err := pacer.New(pacer.ClientParams{Username: account, Password: twiliotest.AuthToken}, pacer.WithHTTPClient(fake.Client()),
		pacer.WithLimits(pacer.Limits{{Resource: "*", Rate: pacer.Unlimited}}), pacer.WithAlert(func(pacer.Alert) {}))
	if err != nil {
		t.Fatal(err)
	}
	j := Job{Request: r}
	j.Lane.Resource = pacer.ResourceOf(r.Method, r.URL, url.Values(r.Form), account)
	turn, err := c.Turn(t.Context(), j.Lane.Resource)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := turn.Send(ctx, pacer.SentRequest{Method: r.Method, URL: r.URL, Form: url.Values(r.Form), Header: r.header()})
	return answerOf(&j, resp, err)
}

func TestJudge(t *testing.T) {
	const page, other = "<html>Welcome</html>", `{"status":"ok"}`
	twilio := func(status, code int) twiliotest.Fault {
		return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Code: code}
	}
	format := func(status int, f twiliotest.ErrorFormat) twiliotest.Fault {
		return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Format: f}
	}
	foreign := func(status int, body string) twiliotest.Fault {
		return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Foreign: true, Body: []byte(body), Header: http.Header{"Location": {"https://portal.example/"}}}
	}
	cut := func(kind twiliotest.FaultKind) twiliotest.Fault { return twiliotest.Fault{Kind: kind} }
	broken := func(status int, body string) twiliotest.Fault {
		f := foreign(status, body)
		f.BodyErr = io.ErrUnexpectedEOF
		return f
	}
	all := func(v meaning) [5]meaning { return [5]meaning{v, v, v, v, v} }
	const a, u, n = wasAccepted, wasUnproved, wasUntaken

	for name, c := range map[string]struct {
		fault twiliotest.Fault
		want  [5]meaning // of a message, a call, another POST, a GET, a DELETE
	}{
		"a message's SID":             {foreign(201, `{"sid":"SM0123456789abcdef0123456789abcdef"}`), [5]meaning{a, u, a, a, a}},
		"a picture's SID":             {foreign(201, `{"sid":"MM0123456789abcdef0123456789abcdef"}`), [5]meaning{a, u, a, a, a}},
		"a call's SID":                {foreign(200, `{"sid":"CA0123456789abcdef0123456789abcdef"}`), [5]meaning{u, a, a, a, a}},
		"a SID with more behind it":   {foreign(201, `{"sid":"SM0123456789abcdef0123456789abcdef0"}`), [5]meaning{u, u, a, a, a}},
		"a SID in lower case":         {foreign(201, `{"sid":"sm0123456789abcdef0123456789abcdef"}`), [5]meaning{u, u, a, a, a}},
		"a SID that is a number":      {foreign(201, `{"sid":1}`), [5]meaning{u, u, a, a, a}},
		"a SID that is nested":        {foreign(201, `{"message":{"sid":"SM0123456789abcdef0123456789abcdef"}}`), [5]meaning{u, u, a, a, a}},
		"JSON without a SID":          {foreign(200, other), [5]meaning{u, u, a, a, a}},
		"a page with 200":             {foreign(200, page), [5]meaning{u, u, u, n, n}},
		"a page with 202":             {foreign(202, page), [5]meaning{u, u, u, n, n}},
		"200, empty":                  {foreign(200, ""), [5]meaning{u, u, u, n, n}},
		"200, blanks":                 {foreign(200, " \n"), [5]meaning{u, u, u, n, n}},
		"204":                         {foreign(204, ""), [5]meaning{u, u, u, n, a}},
		"200, broken off":             {broken(200, `{"sid":"SM0123456789abcdef`), [5]meaning{u, u, u, n, n}},
		"200, empty and broken off":   {broken(200, ""), [5]meaning{u, u, u, n, n}},
		"301":                         {foreign(301, page), all(n)},
		"302":                         {foreign(302, ""), all(n)},
		"303":                         {foreign(303, ""), [5]meaning{u, u, u, n, n}},
		"304":                         {foreign(304, ""), [5]meaning{u, u, u, n, n}},
		"307":                         {foreign(307, ""), all(n)},
		"308":                         {foreign(308, other), all(n)},
		"400 with a code":             {twilio(400, 21211), all(wasRefused)},
		"403 with a code":             {twilio(403, 21408), all(wasRefused)},
		"404 with a code":             {twilio(404, 20404), all(wasRefused)},
		"400, form of API 1.0":        {twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21211, Format: twiliotest.FormatV1}, all(wasRefused)},
		"400, a page":                 {format(400, twiliotest.FormatHTML), all(n)},
		"400, empty":                  {format(400, twiliotest.FormatEmpty), all(n)},
		"403 of a gateway":            {foreign(403, page), all(n)},
		"404, JSON of somebody":       {foreign(404, other), all(n)},
		"407":                         {foreign(407, ""), all(n)},
		"408":                         {foreign(408, ""), all(n)},
		"413":                         {foreign(413, page), all(n)},
		"401":                         {twilio(401, 20003), all(wasBarred)},
		"401, a page":                 {format(401, twiliotest.FormatHTML), all(wasBarred)},
		"suspended, 403":              {twilio(403, 20403), all(wasBarred)},
		"suspended, 403 20005":        {twilio(403, 20005), all(wasBarred)},
		"suspended, 400":              {twilio(400, 10001), all(wasBarred)},
		"suspended, 403 90010":        {twilio(403, 90010), all(wasBarred)},
		"missing privileges":          {twilio(403, 20006), all(wasBarred)},
		"missing privileges, 70051":   {twilio(403, 70051), all(wasBarred)},
		"429":                         {twilio(429, 20429), all(wasThrottled)},
		"429, a page":                 {format(429, twiliotest.FormatHTML), all(wasThrottled)},
		"429, empty":                  {foreign(429, ""), all(wasThrottled)},
		"quota":                       {twilio(429, 63038), all(wasExhausted)},
		"queue is full":               {twilio(429, 21611), all(wasExhausted)},
		"attempt cap":                 {twilio(429, 60203), all(wasRefused)},
		"500":                         {twilio(500, 20500), all(u)},
		"502, a page":                 {format(502, twiliotest.FormatHTML), all(u)},
		"503":                         {twilio(503, 0), all(u)},
		"504 of a gateway":            {foreign(504, ""), all(u)},
		"connection refused":          {cut(twiliotest.RefuseConnection), all(n)},
		"proxy refuses":               {cut(twiliotest.RefuseProxy), all(n)},
		"proxy opens no tunnel":       {twiliotest.Fault{Kind: twiliotest.RefuseTunnel, Status: 407}, all(n)},
		"TLS takes too long":          {cut(twiliotest.TimeoutTLS), all(n)},
		"cut":                         {cut(twiliotest.DropBeforeAccept), all(u)},
		"cut when it has been done":   {cut(twiliotest.DropAfterAccept), all(u)},
		"a deadline, says the error":  {twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Err: context.DeadlineExceeded}, all(u)},
		"refused, but was written":    {twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Err: errors.New("connect: connection refused")}, all(u)},
		"a deadline, but not written": {twiliotest.Fault{Kind: twiliotest.RefuseConnection, Err: context.DeadlineExceeded}, all(n)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for i, want := range c.want {
					got, o := judge(attempted(t.Context(), t, asked[i], c.fault))
					if got != want {
						t.Errorf("%s %s is %s (%+v), expected %s", asked[i].Method, asked[i].URL, got, o, want)
					}
					if (o.SID != "") != (got == a) && i < 2 {
						t.Errorf("SID %q of what was %s", o.SID, got)
					}
					if got != a && o.Reason == "" {
						t.Errorf("%s: no reason", got)
					}
				}
			})
		})
	}
}

// What is not known is in doubt, and what was not sent is not.
func TestJudgeOfErrorsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want meaning
	}{
		"an error of somebody's":  {errors.New("timeout"), wasUnproved},
		"a bare deadline":         {context.DeadlineExceeded, wasUnproved},
		"a cancelled context":     {context.Canceled, wasUnproved},
		"an error in a URL error": {&url.Error{Op: "Post", URL: messages, Err: errors.New("dial tcp: connection refused")}, wasUnproved},
		"it has not had its turn": {&pacer.WaitError{RateLimit: pacer.RateLimit{Kind: pacer.NotSent}, Err: context.Canceled}, wasUnsent},
	} {
		for _, r := range asked {
			if got, _ := judge(attempt{request: &r, err: fmt.Errorf("sending: %w", c.err)}); got != c.want {
				t.Errorf("%s: %s %s is %s, expected %s", name, r.Method, r.URL, got, c.want)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, r := range asked {
			if got, o := judge(attempted(ctx, t, r, twiliotest.Fault{Kind: twiliotest.RefuseConnection})); got != wasUntaken && got != wasUnsent {
				t.Errorf("a request whose context had ended is %s (%+v)", got, o)
			}
		}
	})
}
