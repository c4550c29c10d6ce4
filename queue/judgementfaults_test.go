package queue_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// A mishap is something that happens to a request on its way, or to its answer.
type mishap struct {
	name  string
	fault twiliotest.Fault
}

// accepts reports a mishap after which nobody knows that Twilio has the request.
func (m mishap) accepts() bool {
	switch m.fault.Kind {
	case twiliotest.DropAfterAccept, twiliotest.AcceptThenStatus, twiliotest.Slow, twiliotest.AcceptLate:
		return true
	}
	return false
}

func html(status int, body string) twiliotest.Fault {
	return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Foreign: true,
		Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(body)}
}

func foreignJSON(status int, body string) twiliotest.Fault {
	return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Foreign: true,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
}

func redirect(status int) twiliotest.Fault {
	return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Foreign: true,
		Header: http.Header{"Location": {"https://portal.example/login"}}}
}

func answer(status, code int) twiliotest.Fault {
	return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Code: code}
}

func but(f twiliotest.Fault, kind twiliotest.FaultKind) twiliotest.Fault {
	f.Kind = kind
	return f
}

const page = "<!DOCTYPE html><html><body>Please log in</body></html>"

var errStrange = errors.New("something strange")

// mishaps returns what can happen to one request that creates something. Twilio has
// accepted only those whose kind says so: nobody can tell such a one from a refusal that
// Twilio has signed with its code.
func (t *trial) mishaps() []mishap {
	d := t.between(0, t.settings.attempt*3/4)
	late := t.between(0, t.settings.late)
	return []mishap{
		{"connection refused", twiliotest.Fault{Kind: twiliotest.RefuseConnection}},
		{"proxy refused", twiliotest.Fault{Kind: twiliotest.RefuseProxy}},
		{"tunnel 407", twiliotest.Fault{Kind: twiliotest.RefuseTunnel, Status: 407}},
		{"tunnel 503", twiliotest.Fault{Kind: twiliotest.RefuseTunnel, Status: 503}},
		{"TLS timeout", twiliotest.Fault{Kind: twiliotest.TimeoutTLS, Delay: t.d(10)}},

		{"cut before", twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Delay: d}},
		{"cut before, strangely", twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Err: errStrange}},
		{"cut before by a deadline", twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Err: context.DeadlineExceeded}},
		{"timeout before", twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Delay: time.Hour}},
		{"cut after", twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Delay: d}},
		{"cut after", twiliotest.Fault{Kind: twiliotest.DropAfterAccept}},
		{"cut after, strangely", twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Err: errStrange, Delay: d}},
		{"timeout after", twiliotest.Fault{Kind: twiliotest.Slow, Delay: time.Hour}},
		{"slow", twiliotest.Fault{Kind: twiliotest.Slow, Delay: d}},
		{"accepted late", twiliotest.Fault{Kind: twiliotest.AcceptLate, Delay: late}},

		{"302", redirect(302)}, {"301", redirect(301)}, {"307", redirect(307)}, {"308", redirect(308)},
		{"303", redirect(303)}, {"303 after", but(redirect(303), twiliotest.AcceptThenStatus)},
		{"200 HTML", html(200, page)}, {"200 HTML after", but(html(200, page), twiliotest.AcceptThenStatus)},
		{"200 empty", foreignJSON(200, "")}, {"200 empty after", but(foreignJSON(200, ""), twiliotest.AcceptThenStatus)},
		{"200 without sid", foreignJSON(200, `{"status":"ok"}`)},
		{"201 with another sid", foreignJSON(201, `{"sid":"AC0123456789abcdef0123456789abcdef"}`)},
		{"204", foreignJSON(204, "")}, {"204 after", but(foreignJSON(204, ""), twiliotest.AcceptThenStatus)},
		{"201 that breaks off", twiliotest.Fault{Kind: twiliotest.Slow, BodyErr: io.ErrUnexpectedEOF}},
		{"201 that comes to no end", twiliotest.Fault{Kind: twiliotest.Slow, BodyDelay: time.Hour}},
		{"201 of another type after", but(foreignJSON(201, `{"num_segments":1}`), twiliotest.AcceptThenStatus)},
		{"200 that breaks off", twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 200, Foreign: true, Body: []byte(`{"si`), BodyErr: io.ErrUnexpectedEOF}},

		{"503 HTML", html(503, page)}, {"502 HTML after", but(html(502, page), twiliotest.AcceptThenStatus)},
		{"500", answer(500, 20500)}, {"500 after", but(answer(500, 20500), twiliotest.AcceptThenStatus)},
		{"503", answer(503, 20503)}, {"503 after", but(answer(503, 20503), twiliotest.AcceptThenStatus)},
		{"504 HTML after", but(html(504, page), twiliotest.AcceptThenStatus)},
		{"429", twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: one(t.chance, "", "1", "3")}},
		{"429 HTML", html(429, page)},
		{"400 21211", answer(400, 21211)}, {"400 21610", answer(400, 21610)}, {"404 20404", answer(404, 20404)},
		{"400 HTML", html(400, page)}, {"413 HTML", html(413, page)}, {"404 HTML", html(404, page)},
		{"403 HTML", html(403, page)}, {"407 HTML", html(407, page)},
	}
}

// accountMishaps are refusals of all that an account asks for. The queue waits a minute
// after each.
func accountMishaps() []mishap {
	return []mishap{
		{"403 20403", answer(403, 20403)}, {"403 20005", answer(403, 20005)}, {"403 90010", answer(403, 90010)},
		{"400 10001", answer(400, 10001)}, {"401 20003", answer(401, 20003)}, {"401 HTML", html(401, page)},
	}
}

// listMishaps returns what can happen to a question for a list. An answer that nobody can
// tell from Twilio's empty list is not among them.
func (t *trial) listMishaps() []mishap {
	return []mishap{
		{"500", answer(500, 20500)}, {"503", answer(503, 20503)}, {"503 HTML", html(503, page)},
		{"403", answer(403, 20003)}, {"403 HTML", html(403, page)}, {"404", answer(404, 20404)},
		{"429", twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: one(t.chance, "", "1", "20")}},
		{"200 HTML", html(200, page)}, {"200 empty", foreignJSON(200, "")}, {"204", foreignJSON(204, "")},
		{"200 {}", foreignJSON(200, "{}")}, {"200 []", foreignJSON(200, "[]")},
		{"200 null", foreignJSON(200, `{"messages":null,"calls":null}`)},
		{"206", foreignJSON(206, `{"messages":[],"calls":[]}`)},
		{"302", redirect(302)}, {"303", redirect(303)},
		{"slow", twiliotest.Fault{Kind: twiliotest.Slow, Delay: t.between(t.d(1), t.d(20))}},
		{"very slow", twiliotest.Fault{Kind: twiliotest.Slow, Delay: t.between(t.d(20), t.d(120))}},
		{"slow body", twiliotest.Fault{Kind: twiliotest.Slow, BodyDelay: t.between(t.d(1), t.d(50))}},
		{"breaks off", twiliotest.Fault{Kind: twiliotest.Slow, BodyErr: io.ErrUnexpectedEOF}},
		{"cut", twiliotest.Fault{Kind: twiliotest.DropBeforeAccept}},
		{"connection refused", twiliotest.Fault{Kind: twiliotest.RefuseConnection}},
	}
}
