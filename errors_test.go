package pacer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// An ask is one request, as the table's rows send it: classic or v1.0, GET or POST.
type ask struct {
	name string
	v1   bool
	send func(*twilio.RestClient) error
}

const configurations = "https://conversations.twilio.com/v2/ControlPlane/Configurations"

var asks = []ask{
	{"classic POST", false, func(rc *twilio.RestClient) error { return createOn(rc, sender) }},
	{"classic GET", false, func(rc *twilio.RestClient) error {
		_, err := rc.Api.FetchMessage("SM0123456789abcdef0123456789abcdef", nil)
		return err
	}},
	{"v1.0 POST", true, func(rc *twilio.RestClient) error {
		_, err := rc.RequestHandler.Post(configurations, url.Values{}, map[string]any{}, "v1.0")
		return err
	}},
	{"v1.0 GET", true, func(rc *twilio.RestClient) error {
		_, err := rc.ConversationsV2.FetchConfiguration("conf_1")
		return err
	}},
}

func answers(status int, body string, header ...string) script {
	return func(int, *http.Request) *http.Response { return respond(status, body, header...) }
}

func errorBody(status, code int) string {
	return fmt.Sprintf(`{"code": %d, "message": "m", "more_info": "i", "status": %d}`, code, status)
}

func v1ErrorBody(status, code int) string {
	return fmt.Sprintf(`{"code": %d, "message": "m", "httpStatusCode": %d, "userError": true}`, code, status)
}

// wantTyped checks, by plain type assertions, that err is the type of twilio-go's for
// the request, with the status and code given.
func wantTyped(t *testing.T, what string, err error, v1 bool, status, code int) {
	t.Helper()
	if v1 {
		e, ok := err.(*client.RestErrorV1)
		if !ok || e.HttpStatusCode != status || e.Code != code || e.Message == "" {
			t.Errorf("%s: error %v (%T), expected a RestErrorV1 %d/%d", what, err, err, status, code)
		}
		return
	}
	e, ok := err.(*client.TwilioRestError)
	if !ok || e.Status != status || e.Code != code || e.Message == "" {
		t.Errorf("%s: error %v (%T), expected a TwilioRestError %d/%d", what, err, err, status, code)
	}
}

// Codes that waiting does not help with fail at once, whatever the status; they raise
// an alert if a person should look at them.
func TestErrorsOfFinalCodesFailAtOnce(t *testing.T) {
	kinds := map[int]Kind{
		21611: QueueFull, 30454: Quota, 60202: AttemptCap, 60203: AttemptCap, 60308: AttemptCap,
		60309: AttemptCap, 60310: AttemptCap, 60312: Quota, 60326: Quota, 63038: Quota,
	}
	if len(kinds) != len(finalCodes) {
		t.Errorf("%d final codes, expected %d", len(finalCodes), len(kinds))
	}
	for code, kind := range kinds {
		for _, status := range []int{429, 400, 403, 503} {
			synctest.Test(t, func(t *testing.T) { // by the wall clock an alert may come after its call, on a busy machine
				var alerts []Alert
				var outcomes []Event
				w := newWorld(t, answers(status, errorBody(status, code), "Twilio-Request-Id", "RQ1", "Retry-After", "3"),
					WithAlert(func(a Alert) { alerts = append(alerts, a) }),
					WithObserver(func(_ context.Context, e Event) {
						if e.Kind == EventThrottled || e.Kind == EventRetrying {
							outcomes = append(outcomes, e)
						}
					}))
				err := w.send()
				what := fmt.Sprintf("%d with status %d", code, status)
				wantTyped(t, what, err, false, status, code)
				if n := len(w.times()); n != 1 || len(outcomes) != 0 {
					t.Errorf("%s: %d requests, events %v", what, n, outcomes)
				}
				want := RateLimit{Kind: kind, Scope: (*key)(nil).scopeOf(code), Resource: "api/Messages:create", Status: status, Code: code, Attempts: 1, RetryAfter: 3 * time.Second, RequestID: "RQ1"}
				rl, ok := FromError(err)
				rl.Waited = 0 // the limiter's own microseconds
				if !ok || rl != want {
					t.Errorf("%s: FromError %+v, %v, expected %+v", what, rl, ok, want)
				}
				if InDoubt(err) {
					t.Errorf("%s: in doubt", what)
				}
				if alerted := kind == Quota || kind == QueueFull; alerted != (len(alerts) == 1) {
					t.Errorf("%s: alerts %v", what, alerts)
				}
				for _, a := range alerts {
					if a.Kind != AlertQuota || a.RateLimit.Kind != kind || a.RateLimit.Code != code || a.Err != err || a.Advice == "" {
						t.Errorf("%s: alert %+v", what, a)
					}
				}
			})
		}
	}
}

// Any other 429, and 20429 under any status, is a throttle.
func TestErrorsThatAreThrottles(t *testing.T) {
	for _, tt := range []struct{ status, code int }{{429, 20429}, {429, 63018}, {429, 12345}, {429, 14107}, {503, 20429}, {400, 20429}, {500, 20429}} {
		for _, a := range asks {
			synctest.Test(t, func(t *testing.T) {
				var alerts []Alert
				body := errorBody(tt.status, tt.code)
				if a.v1 {
					body = v1ErrorBody(tt.status, tt.code)
				}
				w := newWorld(t, answers(tt.status, body, "Twilio-Request-Id", "RQ2"), WithMaxRetries(2), WithAlert(func(a Alert) { alerts = append(alerts, a) }))
				err := a.send(w.c.RestClient)
				what := fmt.Sprintf("%s, %d with status %d", a.name, tt.code, tt.status)
				wantTyped(t, what, err, a.v1, tt.status, tt.code)
				if got, want := w.times(), seconds(0, 1, 3); !slices.Equal(got, want) {
					t.Errorf("%s: attempts at %v, expected %v", what, got, want)
				}
				rl, ok := FromError(err)
				if !ok || rl.Kind != Throttled || rl.Status != tt.status || rl.Code != tt.code || rl.Attempts != 3 || rl.Waited != 3*time.Second || rl.RequestID != "RQ2" || rl.Resource == "" {
					t.Errorf("%s: FromError %+v, %v", what, rl, ok)
				}
				if InDoubt(err) {
					t.Errorf("%s: in doubt", what)
				}
				if len(alerts) != 1 || alerts[0].Kind != AlertRetriesExhausted {
					t.Errorf("%s: alerts %v", what, alerts)
				}
			})
		}
	}
}

// Errors that have nothing to do with throttling are sent once and stay what they are.
func TestErrorsThatAreNoThrottlesAreSentOnce(t *testing.T) {
	for _, tt := range []struct{ status, code int }{{400, 21211}, {400, 63018}, {401, 20003}, {404, 20404}, {409, 0}, {500, 20500}, {502, 0}, {503, 20503}, {504, 0}} {
		for _, a := range asks {
			body := errorBody(tt.status, tt.code)
			if a.v1 {
				body = v1ErrorBody(tt.status, tt.code)
			}
			alerted := false
			w := newWorld(t, answers(tt.status, body, "Retry-After", "5"), WithAlert(func(Alert) { alerted = true }))
			err := a.send(w.c.RestClient)
			what := fmt.Sprintf("%s, %d with status %d", a.name, tt.code, tt.status)
			wantTyped(t, what, err, a.v1, tt.status, tt.code)
			if n := len(w.times()); n != 1 {
				t.Errorf("%s: %d requests", what, n)
			}
			if rl, ok := FromError(err); ok || rl != (RateLimit{}) {
				t.Errorf("%s: FromError %+v, %v", what, rl, ok)
			}
			if got, want := InDoubt(err), tt.status >= 500; got != want {
				t.Errorf("%s: InDoubt %v", what, got)
			}
			if alerted {
				t.Errorf("%s: alert", what)
			}
		}
	}
}

func TestFromError(t *testing.T) {
	rl := RateLimit{Kind: NotSent, Resource: "api/Messages:create", Attempts: 2}
	wait := &WaitError{RateLimit: rl, Err: context.Canceled}
	throttled := RateLimit{Kind: Throttled, Status: 429, Code: 20429, Attempts: 1}
	classic := &client.TwilioRestError{Status: 429, Code: 20429, Message: "Too Many Requests"}
	v1 := &client.RestErrorV1{HttpStatusCode: 429, Code: 20429}
	const opaque = "error decoding the response for an HTTP error code: "
	tests := []struct {
		name string
		err  error
		want RateLimit // zero: no throttle
	}{
		{"nil", nil, RateLimit{}},
		{"unrelated", errors.New("429"), RateLimit{}},
		{"EOF", io.EOF, RateLimit{}},
		{"context", context.DeadlineExceeded, RateLimit{}},
		{"connection", &url.Error{Op: "Post", URL: "u", Err: io.ErrUnexpectedEOF}, RateLimit{}},
		{"plain 404", &client.TwilioRestError{Status: 404, Code: 20404}, RateLimit{}},
		{"plain v1.0 404", &client.RestErrorV1{HttpStatusCode: 404, Code: 20404}, RateLimit{}},
		{"plain 429", classic, throttled},
		{"plain v1.0 429", v1, throttled},
		{"plain quota", &client.TwilioRestError{Status: 429, Code: 63038}, RateLimit{Kind: Quota, Scope: ScopeAccount, Status: 429, Code: 63038, Attempts: 1}},
		{"plain v1.0 attempt cap", &client.RestErrorV1{HttpStatusCode: 429, Code: 60203}, RateLimit{Kind: AttemptCap, Scope: ScopeObject, Status: 429, Code: 60203, Attempts: 1}},
		{"plain opaque 429", errors.New(opaque + "429: EOF"), RateLimit{Kind: Throttled, Status: 429, Attempts: 1}},
		{"plain opaque 503", errors.New(opaque + "503: EOF"), RateLimit{}},
		{"plain opaque nonsense", errors.New(opaque + "many: EOF"), RateLimit{}},
		{"other details", &client.TwilioRestError{Status: 429, Code: 20429, Details: map[string]any{"pacer": "a text"}}, throttled},
		{"wait", wait, rl},
		{"wrapped wait", fmt.Errorf("send: %w", wait), rl},
		{"wait beside its answer", errors.Join(classic, wait), rl},
		{"wrapped", fmt.Errorf("send: %w", classic), throttled},
		{"wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", v1)), throttled},
		{"joined", errors.Join(io.EOF, classic), throttled},
		{"with facts", fmt.Errorf("send: %w", withRateLimit(&client.TwilioRestError{Status: 429, Code: 20429}, RateLimit{Kind: Throttled, Status: 429, Code: 20429, Attempts: 6, Waited: 31 * time.Second})),
			RateLimit{Kind: Throttled, Status: 429, Code: 20429, Attempts: 6, Waited: 31 * time.Second}},
	}
	for _, tt := range tests {
		got, ok := FromError(tt.err)
		if ok != (tt.want != RateLimit{}) || got != tt.want {
			t.Errorf("%s: %+v, %v, expected %+v", tt.name, got, ok, tt.want)
		}
	}
}

// What a program prints of an exhausted call says what happened, and no phone number.
func TestErrorTextOfExhaustedCall(t *testing.T) {
	for _, a := range asks {
		synctest.Test(t, func(t *testing.T) {
			var alert Alert
			w := newWorld(t, always(throttle("Retry-After", "2", "Twilio-Request-Id", "RQ3")), WithAlert(func(a Alert) { alert = a }), WithMaxRetries(2))
			w.c.cfg.jitter = func(time.Duration) time.Duration { return 0 }
			err := a.send(w.c.RestClient)
			resource := alert.Resource.String()
			wantWords(t, err, "429", "20429", "Too Many Requests", resource+": throttled after 3 attempts, waited 4s, Retry-After 2s, request RQ3")
			for _, s := range []string{err.Error(), fmt.Sprint(alert)} {
				if strings.Contains(s, "500555") {
					t.Errorf("%s: phone number in %q", a.name, s)
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always(throttle()), WithMaxWait(2*time.Second))
		err := w.send()
		wantWords(t, err, "pacer: api/Messages:create: not sent after 2 attempts, waited 1s", "WithMaxWait allows 2s")
		if strings.Contains(err.Error(), "500555") {
			t.Errorf("phone number in %q", err)
		}
	})
}

var bodiesOf429 = []struct {
	name, body  string
	classic, v1 int // code
}{
	{"empty", "", 20429, 20429},
	{"blank", "\r\n ", 20429, 20429},
	{"HTML", "<html><body><h1>429 Too Many Requests</h1></body></html>", 20429, 20429},
	{"text", "rate exceeded", 20429, 20429},
	{"SCIM", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"detail":"Too many","status":"429"}`, 20429, 20429},
	{"RFC 9457", `{"type":"https://www.twilio.com/docs/api/errors/20429","title":"Too Many Requests","status":429,"detail":"d","instance":"/i"}`, 20429, 20429},
	{"RFC 9457 with a code", `{"type":"t","title":"Too Many Requests","status":429,"code":14107}`, 14107, 14107},
	{"null", "null", 20429, 20429},
	{"array", "[]", 20429, 20429},
	{"array of errors", `[{"code":20429}]`, 20429, 20429},
	{"string", `"Too Many Requests"`, 20429, 20429},
	{"number", "429", 20429, 20429},
	{"empty object", "{}", 20429, 20429},
	{"code as text", `{"code":"20429","message":"m","status":429}`, 20429, 20429},
	{"truncated", `{"code": 20429, "message": "Too Ma`, 20429, 20429},
	{"truncated before the code", `{"message": "`, 20429, 20429},
	{"200 KB of HTML", strings.Repeat("<p>429</p>", 20<<10), 20429, 20429},
	{"200 KB of JSON", `{"code": 20429, "message": "` + strings.Repeat("m", 200<<10) + `"}`, 20429, 20429},
	{"classic", throttleBody, 20429, 20429},
	{"v1.0", v1ErrorBody(429, 20429), 20429, 20429},
	{"another code", errorBody(429, 63018), 63018, 63018},
	{"JSON and more", throttleBody + "\n<!-- -->", 20429, 20429},
}

// Whatever the body of a 429, the caller gets the error of the type that its service
// has, filled in; also where twilio-go has none, or sends again to read it once more.
func TestErrorBodiesOf429(t *testing.T) {
	for _, tt := range bodiesOf429 {
		for _, a := range asks {
			what := tt.name + ", " + a.name
			w := newWorld(t, answers(429, tt.body), WithMaxRetries(0), quiet)
			err := a.send(w.c.RestClient)
			code := tt.classic
			if a.v1 {
				code = tt.v1
			}
			wantTyped(t, what, err, a.v1, 429, code)
			rl, ok := FromError(err)
			if !ok || rl.Kind != Throttled || rl.Status != 429 || rl.Attempts != 1 || rl.Resource == "" {
				t.Errorf("%s: FromError %+v, %v", what, rl, ok)
			}
			if n := len(w.times()); n != 1 {
				t.Errorf("%s: sent %d times", what, n)
			}
		}
	}
}

func TestErrorBodiesOf429AreRetried(t *testing.T) {
	for _, tt := range bodiesOf429 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, first(1, answers(429, tt.body)))
			if err := w.send(); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if got := w.times(); !slices.Equal(got, seconds(0, 1)) {
				t.Errorf("%s: attempts at %v", tt.name, got)
			}
		})
	}
}

// Where twilio-go cannot decode an error it sends a v1.0 request again by itself, a POST too.
// Through pacer it is sent once, and the error's text is twilio-go's.
// Source: https://github.com/twilio/twilio-go/blob/main/client/client.go, doWithErr.
func TestUndecodableErrorsAreSentOnce(t *testing.T) {
	for _, status := range []int{400, 404, 500, 502, 503} {
		for _, body := range []string{"", "<html></html>", `{"code":`, `"text"`} {
			for _, a := range asks {
				what := fmt.Sprintf("%s, %d with body %q", a.name, status, body)
				w := newWorld(t, answers(status, body))
				err := a.send(w.c.RestClient)
				if n := len(w.times()); n != 1 {
					t.Errorf("%s: sent %d times", what, n)
				}
				wantOwn := plainError(a, status, body)
				if err == nil || err.Error() != wantOwn.Error() || !strings.HasPrefix(err.Error(), "error decoding the response for an HTTP error code: "+strconv.Itoa(status)) {
					t.Errorf("%s: error %v, expected %v", what, err, wantOwn)
				}
				if _, ok := FromError(err); ok {
					t.Errorf("%s: taken for a throttle", what)
				}
				if got, want := InDoubt(err), status >= 500; got != want {
					t.Errorf("%s: InDoubt %v", what, got)
				}
			}
		}
	}
}

// plainError is what twilio-go alone makes of an answer.
func plainError(a ask, status int, body string) error {
	own := stubClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		resp := respond(status, body)
		resp.Request = r
		return resp, nil
	})})
	return a.send(twilio.NewRestClientWithParams(twilio.ClientParams{Client: own}))
}

// The text that pacer recognises is still what twilio-go prints: an update that
// changes it is noticed here.
func TestErrorTextOfTwilioGo(t *testing.T) {
	for _, status := range []int{429, 503} {
		for _, a := range asks {
			err := plainError(a, status, "<html></html>")
			if err == nil || !strings.HasPrefix(err.Error(), undecodable+strconv.Itoa(status)+":") {
				t.Errorf("%s: twilio-go prints %v, expected %s%d: ...", a.name, err, undecodable, status)
			}
			if got := readAnswer(err).status; got != status {
				t.Errorf("%s: %v read as status %d", a.name, err, got)
			}
		}
	}
}

// A BaseClient of the program's own: its opaque errors for a 429 are retried, and its
// 429 without an error becomes one.
func TestErrorsOfCustomBaseClient(t *testing.T) {
	opaque := func() (*http.Response, error) { return nil, errors.New(undecodable + "429: EOF") }
	bare := func() (*http.Response, error) { return respond(429, "<html></html>", "Retry-After", "9"), nil }
	coded := func() (*http.Response, error) { return respond(429, errorBody(429, 63018)), nil }
	final := func() (*http.Response, error) { return respond(429, errorBody(429, 63038)), nil }
	for _, tt := range []struct {
		name   string
		answer func() (*http.Response, error)
		code   int
		kind   Kind
		sent   int
	}{{"opaque", opaque, 20429, Throttled, 3}, {"bare", bare, 20429, Throttled, 3}, {"coded", coded, 63018, Throttled, 3}, {"final", final, 63038, Quota, 1}} {
		for _, passes := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				base := &blackBox{send: func(n int32) (*http.Response, error) {
					if passes && n == 3 {
						return respond(201, createdBody), nil
					}
					return tt.answer()
				}}
				base.SetAccountSid(account)
				c, err := New(ClientParams{Client: base}, WithMaxRetries(2), quiet)
				if err != nil {
					t.Fatal(err)
				}
				err = createOn(c.RestClient, sender)
				if int(base.sends.Load()) != tt.sent {
					t.Errorf("%s: sent %d times, expected %d", tt.name, base.sends.Load(), tt.sent)
				}
				if passes && tt.kind == Throttled {
					if err != nil {
						t.Errorf("%s: %v", tt.name, err)
					}
					return
				}
				wantTyped(t, tt.name, err, false, 429, tt.code)
				if rl, ok := FromError(err); !ok || rl.Kind != tt.kind || rl.Attempts != tt.sent || rl.Status != 429 || rl.Resource != "api/Messages:create" {
					t.Errorf("%s: FromError %+v, %v", tt.name, rl, ok)
				}
			})
		}
	}
	base := &blackBox{send: func(int32) (*http.Response, error) { return nil, errors.New(undecodable + "503: EOF") }}
	c, err := New(ClientParams{Client: base})
	if err != nil {
		t.Fatal(err)
	}
	if err := createOn(c.RestClient, sender); base.sends.Load() != 1 || !InDoubt(err) {
		t.Errorf("503: sent %d times, error %v", base.sends.Load(), err)
	}
}

// Where the fate of a request is unknown it is sent once, whatever it is: Twilio documents no
// key that would make a second one harmless. Source: https://www.twilio.com/docs/messaging/api/message-resource.
func TestInDoubtIsSentOnce(t *testing.T) {
	for name, s := range map[string]script{
		"500":       answers(500, errorBody(500, 20500)),
		"503":       answers(503, errorBody(503, 20503), "Retry-After", "1"),
		"v1.0 503":  answers(503, v1ErrorBody(503, 20503)),
		"HTML 502":  answers(502, "<html></html>"),
		"empty 504": answers(504, ""),
		"cut":       func(int, *http.Request) *http.Response { return nil },
	} {
		for _, a := range asks {
			if name == "v1.0 503" != a.v1 && !strings.HasPrefix(name, "HTML") && name != "empty 504" && name != "cut" {
				continue // the other format
			}
			w := newWorld(t, s)
			err := a.send(w.c.RestClient)
			if n := len(w.times()); n != 1 || err == nil {
				t.Errorf("%s, %s: sent %d times, error %v", name, a.name, n, err)
			}
			if !InDoubt(err) {
				t.Errorf("%s, %s: not in doubt: %v", name, a.name, err)
			}
		}
	}
}

func TestInDoubt(t *testing.T) {
	on := func(err error) error { return &url.Error{Op: "Post", URL: "https://api.twilio.com", Err: err} }
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"unrelated", errors.New("x"), true},
		{"429", &client.TwilioRestError{Status: 429, Code: 20429}, false},
		{"400", &client.TwilioRestError{Status: 400, Code: 21211}, false},
		{"404", &client.TwilioRestError{Status: 404, Code: 20404}, false},
		{"499", &client.TwilioRestError{Status: 499}, false},
		{"500", &client.TwilioRestError{Status: 500, Code: 20500}, true},
		{"503", &client.TwilioRestError{Status: 503}, true},
		{"503 that is a throttle", &client.TwilioRestError{Status: 503, Code: 20429}, false},
		{"v1.0 429", &client.RestErrorV1{HttpStatusCode: 429}, false},
		{"v1.0 404", &client.RestErrorV1{HttpStatusCode: 404}, false},
		{"v1.0 500", &client.RestErrorV1{HttpStatusCode: 500}, true},
		{"v1.0 503", &client.RestErrorV1{HttpStatusCode: 503}, true},
		{"wrapped 500", fmt.Errorf("send: %w", &client.TwilioRestError{Status: 500}), true},
		{"opaque 404", errors.New(undecodable + "404: invalid character"), false},
		{"opaque 429", errors.New(undecodable + "429: EOF"), false},
		{"opaque 503", errors.New(undecodable + "503: EOF"), true},
		{"cut", on(io.ErrUnexpectedEOF), true},
		{"read", on(&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}), true},
		{"timeout", on(&attemptTimeout{time.Second, context.DeadlineExceeded}), true},
		{"context on the wire", on(context.Canceled), true},
		{"wrapped cut", fmt.Errorf("send: %w", on(io.EOF)), true},
		{"dial, as nobody has seen", on(dial), true},
		{"dial, as was seen", on(&attemptError{Attempt{Fate: NotWritten}, dial}), false},
		{"context alone", context.Canceled, true},
		{"300", &client.TwilioRestError{Status: 300}, true},
		{"302", &client.TwilioRestError{Status: 302}, false},
		{"303", &client.TwilioRestError{Status: 303}, true},
		{"304", &client.TwilioRestError{Status: 304}, true},
		{"307", &client.TwilioRestError{Status: 307}, false},
		{"a refusal without a status", &client.TwilioRestError{Code: 21211}, false},
		{"a failure without a status", &client.TwilioRestError{Code: 20500}, true},
		{"neither status nor code", &client.TwilioRestError{}, true},
		{"wait", &WaitError{Err: context.Canceled}, false},
		{"wait after an answer", &WaitError{Err: context.Canceled, Answer: &client.TwilioRestError{Status: 429}}, false},
	} {
		if got := InDoubt(tt.err); got != tt.want {
			t.Errorf("%s: InDoubt(%v) = %v", tt.name, tt.err, got)
		}
	}
}

// The same, of errors as they come from a client.
func TestInDoubtOfCalls(t *testing.T) {
	type row struct {
		name string
		do   func(t *testing.T) (*world, error)
		want bool
		sent int
	}
	failing := func(err error) func(t *testing.T) (*world, error) {
		return func(t *testing.T) (*world, error) {
			w := newWorld(t, always(ok201))
			count := w.own.HTTPClient.Transport
			w.own.HTTPClient.Transport = transport(func(r *http.Request) (*http.Response, error) {
				_, _ = count.RoundTrip(r)
				return nil, err
			})
			return w, w.send()
		}
	}
	hanging := func(_ int, r *http.Request) *http.Response { <-r.Context().Done(); return nil }
	for _, tt := range []row{
		{"success", func(t *testing.T) (*world, error) { w := newWorld(t, always(ok201)); return w, w.send() }, false, 1},
		{"timeout", func(t *testing.T) (*world, error) {
			w := newWorld(t, hanging)
			w.own.HTTPClient.Timeout = time.Second
			err := w.send()
			var failure *url.Error
			if !errors.As(err, &failure) || !failure.Timeout() {
				t.Errorf("error %v (%T), expected a *url.Error that is a timeout", err, err)
			}
			return w, err
		}, true, 1},
		{"cancelled on the wire", func(t *testing.T) (*world, error) {
			w := newWorld(t, func(_ int, r *http.Request) *http.Response { <-r.Context().Done(); return nil })
			ctx, cancel := context.WithCancel(bg)
			time.AfterFunc(time.Second, cancel)
			return w, w.sendWith(ctx)
		}, true, 1},
		{"deadline on the wire", func(t *testing.T) (*world, error) {
			w := newWorld(t, hanging)
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			return w, w.sendWith(ctx)
		}, true, 1},
		{"cut after a throttle", func(t *testing.T) (*world, error) {
			w := newWorld(t, func(n int, r *http.Request) *http.Response {
				if n == 1 {
					return throttle()(n, r)
				}
				return nil
			})
			return w, w.send()
		}, true, 2},
		{"cancelled before", func(t *testing.T) (*world, error) {
			w := newWorld(t, always(ok201))
			ctx, cancel := context.WithCancel(bg)
			cancel()
			return w, w.sendWith(ctx)
		}, false, 0},
		{"cancelled in a wait", func(t *testing.T) (*world, error) {
			w := newWorld(t, always(throttle()))
			ctx, cancel := context.WithCancel(bg)
			time.AfterFunc(500*time.Millisecond, cancel)
			return w, w.sendWith(ctx)
		}, false, 1},
		{"exhausted", func(t *testing.T) (*world, error) {
			w := newWorld(t, always(throttle()), quiet)
			return w, w.send()
		}, false, 6},
		{"a transport without hooks says dial", failing(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), true, 1},
		{"reset", failing(&net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}), true, 1},
		{"invalid option", func(t *testing.T) (*world, error) {
			w := newWorld(t, always(ok201))
			return w, createOn(NewRestClientWithParams(ClientParams{Client: w.own}, WithMaxRetries(-1)), sender)
		}, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, err := tt.do(t)
			if got := InDoubt(err); got != tt.want {
				t.Errorf("%s: InDoubt(%v) = %v", tt.name, err, got)
			}
			if (err == nil) != (tt.name == "success") {
				t.Errorf("%s: error %v", tt.name, err)
			}
			if n := len(w.times()); n != tt.sent {
				t.Errorf("%s: %d requests, expected %d", tt.name, n, tt.sent)
			}
		})
	}
}

// FuzzErrorBody: no answer makes pacer panic, send twice, or lose a 429.
func FuzzErrorBody(f *testing.F) {
	for _, tt := range bodiesOf429 {
		if len(tt.body) < 1000 {
			f.Add(uint16(429), tt.body, false, "application/json")
			f.Add(uint16(429), tt.body, true, "text/html")
			f.Add(uint16(503), tt.body, true, "")
		}
	}
	f.Add(uint16(400), errorBody(400, 60203), false, "application/json")
	f.Add(uint16(201), createdBody, false, "application/json")
	f.Add(uint16(307), "", false, "")
	f.Add(uint16(429), `{"details":{"pacer":{}},"params":{"pacer":1}}`, true, "")
	f.Fuzz(func(t *testing.T, status16 uint16, body string, v1 bool, content string) {
		status := 100 + int(status16)%500
		if 100 <= status16 && status16 < 600 {
			status = int(status16)
		}
		w := newWorld(t, answers(status, body, "Content-Type", content), WithMaxRetries(0), quiet)
		defer stopSweeper(w)
		a := asks[0]
		if v1 {
			a = asks[2]
		}
		err := a.send(w.c.RestClient)
		if n := len(w.times()); n != 1 {
			t.Errorf("sent %d times", n)
		}
		rl, limited := FromError(err)
		_ = InDoubt(err)
		if err != nil {
			_ = err.Error()
		}
		if (status < 200 || status >= 400) && err == nil {
			t.Errorf("no error for status %d", status)
		}
		if status >= 200 && status < 400 && limited {
			t.Errorf("status %d is taken for a throttle: %v", status, err)
		}
		// Without a resource these are not pacer's facts, but what the body claims.
		if limited && rl.Resource != "" && (rl.Status != status || rl.Attempts != 1 || InDoubt(err)) {
			t.Errorf("status %d: FromError %+v", status, rl)
		}
		if status != http.StatusTooManyRequests {
			return
		}
		if !limited || rl.Resource == "" || (rl.Kind != Throttled && finalCodes[rl.Code] != rl.Kind) {
			t.Errorf("429: FromError %+v, %v", rl, limited)
		}
		var code, typed int
		switch e := err.(type) {
		case *client.TwilioRestError:
			code, typed = e.Code, e.Status
			if v1 {
				t.Errorf("429 of a v1.0 service: %T", err)
			}
		case *client.RestErrorV1:
			code, typed = e.Code, e.HttpStatusCode
			if !v1 {
				t.Errorf("429 of a classic service: %T", err)
			}
		default:
			t.Errorf("429: error %v (%T)", err, err)
		}
		// A body that claims another status is believed, as by twilio-go.
		if code == 0 || typed == 0 || (typed != 429 && !strings.Contains(body, strconv.Itoa(typed))) {
			t.Errorf("429: the error has status %d and code %d", typed, code)
		}
	})
}

// stopSweeper keeps a limiter from living on for the minute of its sweeper.
func stopSweeper(w *world) {
	l := w.c.cfg.limiter.(*BucketLimiter)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sweeper != nil {
		l.sweeper.Stop()
	}
}

// The status of an error is that of the answer, whatever its body says, so that a 5xx
// is in doubt also where twilio-go would have read 0 or another status.
func TestInDoubtGoesByTheAnswersStatus(t *testing.T) {
	for _, body := range []string{"{}", "null", `{"code":20500,"message":"m"}`, `{"status":404}`, `{"status":429}`, `{"code":20500,"httpStatusCode":500}`} {
		w := newWorld(t, func(int, *http.Request) *http.Response { return respond(500, body) })
		err := w.send()
		if _, ok := FromError(err); ok || !InDoubt(err) || len(w.times()) != 1 {
			t.Errorf("%s: FromError %v, InDoubt %v, %d requests: %v", body, ok, InDoubt(err), len(w.times()), err)
		}
		wantTwilioError(t, err, 500, readAnswer(err).code)
	}
}

// A wrapped error says what it says unwrapped.
func TestWrappedOpaqueError(t *testing.T) {
	for status, inDoubt := range map[int]bool{429: false, 404: false, 503: true} {
		_, opaque := stubClient(&http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return respond(status, "<html>"), nil
		})}).SendRequest("POST", "https://api.twilio.com/x", nil, nil)
		for _, err := range []error{opaque, fmt.Errorf("send: %w", opaque)} {
			if _, ok := FromError(err); ok != (status == 429) || InDoubt(err) != inDoubt {
				t.Errorf("%d: FromError %v, InDoubt %v: %v", status, ok, InDoubt(err), err)
			}
		}
	}
}

// What was certainly not sent is not in doubt.
func TestNotSentIsNotInDoubt(t *testing.T) {
	w := newWorld(t, ok201)
	if _, err := w.c.RequestHandler.Client.SendRequest("POST", "http://[::1", url.Values{}, nil); err == nil || InDoubt(err) {
		t.Errorf("an impossible URL: %v", err)
	}
	for _, cause := range []error{io.ErrUnexpectedEOF, &client.TwilioRestError{Status: 503}, &url.Error{Op: "Post", Err: io.EOF}} {
		if err := error(&noToken{err: cause}); InDoubt(err) || !errors.Is(err, cause) {
			t.Errorf("no token: %v", err)
		}
	}
	var nothing *client.TwilioRestError
	if _, ok := FromError(nothing); ok || !InDoubt(nothing) {
		t.Error("a typed nil says nothing: expected it in doubt")
	}
}
