package twiliotest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"

	"github.com/twilio-pacer/pacer/twiliotest"
)

const (
	from = "+15005550006"
	to   = "+15005550001"

	messagesURL = "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json"
)

func newRest(hc *http.Client) *twilio.RestClient {
	c := &client.Client{
		Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken),
		HTTPClient:  hc,
	}
	c.SetAccountSid(twiliotest.AccountSid)
	return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
}

// request makes an authorized request; a form makes it a POST.
func request(t testing.TB, url string, form url.Values) *http.Request {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(twiliotest.AccountSid, twiliotest.AuthToken)
	return r
}

func message(text string) url.Values {
	return url.Values{"From": {from}, "To": {to}, "Body": {text}}
}

type reply struct {
	status int
	header http.Header
	body   string
}

func do(t testing.TB, hc *http.Client, r *http.Request) reply {
	t.Helper()
	resp, err := hc.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", r.Method, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func send(t testing.TB, f *twiliotest.Fake, form url.Values) reply {
	t.Helper()
	return do(t, f.Client(), request(t, messagesURL, form))
}

func (r reply) decode(t testing.TB) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
		t.Fatalf("body %q: %v", r.body, err)
	}
	return doc
}

func TestThrottledAnswer(t *testing.T) {
	const (
		classic = `{"code":20429,"message":"Too Many Requests","more_info":"https://www.twilio.com/docs/errors/20429","status":429}`
		v1      = `{"code":20429,"message":"Too Many Requests","httpStatusCode":429,"params":{},"userError":false}`
	)
	tests := []struct {
		name        string
		format      twiliotest.ErrorFormat
		url, header string
		want        string
		kind        string
	}{
		{"classic", twiliotest.FormatAuto, messagesURL, "", classic, "application/json"},
		{"v1 by host", twiliotest.FormatAuto, "https://voice.dublin.ie1.twilio.com/v3/Transcriptions", "", v1, "application/json"},
		{"v1 by header", twiliotest.FormatAuto, "https://new.twilio.com/v1/Things", "v1.0", v1, "application/json"},
		{"other version", twiliotest.FormatAuto, "https://voice.twilio.com/v1/IpRecords", "", classic, "application/json"},
		{"forced v1", twiliotest.FormatV1, messagesURL, "", v1, "application/json"},
		{"forced classic", twiliotest.FormatClassic, "https://voice.twilio.com/v3/Transcriptions", "v1.0", classic, "application/json"},
		{"empty", twiliotest.FormatEmpty, messagesURL, "", "", "text/plain; charset=utf-8"},
		{"html", twiliotest.FormatHTML, messagesURL, "", "<html><head><title>429 Too Many Requests</title></head><body><h1>429 Too Many Requests</h1></body></html>\n", "text/html; charset=utf-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := twiliotest.New(twiliotest.Config{
				Limits: []twiliotest.Limit{{Resource: "*", Rate: 1, Window: time.Hour}},
				Errors: tt.format,
			})
			var got reply
			for range 2 {
				r := request(t, tt.url, message("x"))
				if tt.header != "" {
					r.Header.Set("X-Twilio-ApiVersion", tt.header)
				}
				got = do(t, f.Client(), r)
			}
			if got.status != 429 || got.body != tt.want || got.header.Get("Content-Type") != tt.kind {
				t.Errorf("got %d %s %q, want 429 %s %q", got.status, got.header.Get("Content-Type"), got.body, tt.kind, tt.want)
			}
			code := got.header.Get("X-Twilio-Error-Code")
			if jsonBody := tt.kind == "application/json"; jsonBody != (code == "20429") {
				t.Errorf("X-Twilio-Error-Code %q", code)
			}
			for _, h := range []string{"Date", "Twilio-Request-Id", "Twilio-Request-Duration", "Retry-After"} {
				if got.header.Get(h) == "" {
					t.Errorf("no header %s", h)
				}
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{Credentials: map[string]string{"SK1": "secret"}})
	for _, tt := range []struct {
		user, password string
		want           int
	}{
		{"SK1", "secret", 201}, {"SK1", "other", 401}, {"SK1", "", 401}, {twiliotest.AccountSid, twiliotest.AuthToken, 401}, {"", "", 401},
	} {
		r := request(t, messagesURL, message("x"))
		r.SetBasicAuth(tt.user, tt.password)
		if tt.user == "" {
			r.Header.Del("Authorization")
		}
		got := do(t, f.Client(), r)
		if got.status != tt.want {
			t.Errorf("user %q: %d, want %d", tt.user, got.status, tt.want)
		}
		if tt.want == 401 && (got.decode(t)["code"] != 20003.0 || got.header.Get("WWW-Authenticate") == "") {
			t.Errorf("user %q: %s %v", tt.user, got.body, got.header)
		}
	}
	if s := f.Stats(); s.Received != 5 || s.Unauthorized != 4 || s.Accepted != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{MaxInFlight: 2, Latency: time.Second, RetryAfter: twiliotest.NoRetryAfter})
		var replies [3]reply
		var wg sync.WaitGroup
		for i := range replies {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				replies[i] = send(t, f, message("x"))
			})
		}
		start := time.Now()
		wg.Wait()
		if took := time.Since(start); took != time.Second+time.Millisecond {
			t.Errorf("took %v", took)
		}
		if replies[2].status != 429 || replies[2].decode(t)["code"] != 20429.0 || replies[2].header.Get("Retry-After") != "" {
			t.Errorf("third: %+v", replies[2])
		}
		for i, want := range []string{"1", "2", "3"} {
			if got := replies[i].header.Get("Twilio-Concurrent-Requests"); got != want {
				t.Errorf("request %d: Twilio-Concurrent-Requests %s, want %s", i, got, want)
			}
		}
		if got := replies[0].header.Get("Twilio-Request-Duration"); got != "1.000" {
			t.Errorf("Twilio-Request-Duration %s", got)
		}
		if s := f.Stats(); s.MaxInFlight != 2 || s.Throttled != 1 || s.Accepted != 2 {
			t.Errorf("stats %+v", s)
		}
		f.SetMaxInFlight(0)
		f.SetLatency(0)
		start = time.Now()
		if got := send(t, f, message("x")); got.status != 201 || time.Since(start) != 0 {
			t.Errorf("after the change: %d, %v", got.status, time.Since(start))
		}
	})
}

func TestContextEndsDuringLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Latency: time.Minute})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := f.Client().Do(request(t, messagesURL, message("x")).WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		_, err = f.Client().Do(request(t, messagesURL, message("y")).WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with an ended context: %v", err)
		}
		hc := f.Client()
		hc.Timeout = time.Second
		_, err = hc.Do(request(t, messagesURL, message("z")))
		if timeout := (*url.Error)(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("Client.Timeout: %v", err)
		}
		if s := f.Stats(); s.Accepted != 2 || s.Abandoned != 2 || s.Received != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRecords(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	sub := "AC" + strings.Repeat("f", 32)
	send(t, f, message("x"))
	do(t, f.Client(), request(t, strings.Replace(messagesURL, twiliotest.AccountSid, sub, 1), message("x")))
	send(t, f, message("y"))
	send(t, f, url.Values{"MessagingServiceSid": {"MG1"}, "To": {to}, "Body": {"y"}})
	send(t, f, url.Values{"From": {from}, "To": {to}})
	send(t, f, message("x"))
	got := f.Accepted()
	if len(got) != 6 {
		t.Fatalf("%d accepted", len(got))
	}
	if r := got[1]; r.Account != sub || r.Product != "api" || r.Resource != "Messages" || r.Sender != from || r.Status != 201 || r.SID == "" {
		t.Errorf("%+v", r)
	}
	if got[3].Sender != "MG1" || got[4].Status != 400 || got[4].Code != 21602 || got[4].SID != "" {
		t.Errorf("%v %v", got[3], got[4])
	}
	if s := got[0].String(); strings.Contains(s, from) || !strings.Contains(s, "POST Messages -> 201") {
		t.Errorf("String %q", s)
	}
	if dup := f.Duplicates(); len(dup) != 1 || dup[0].SID != got[5].SID {
		t.Errorf("duplicates %v", dup)
	}
	f.Reset()
	if len(f.Accepted())+len(f.Duplicates()) != 0 || f.Stats() != (twiliotest.Stats{}) {
		t.Error("Reset left something")
	}
}

func TestBadConfig(t *testing.T) {
	for field, bad := range map[string]func(){
		"Config.Limits[0].Rate is -1": func() { twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "*", Rate: -1}}}) },
		"Config.Limits[0].Resource":   func() { twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Rate: 1}}}) },
		"Config.Limits[0].Status is 42": func() {
			twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "*", Rate: 1, Status: 42}}})
		},
		"Config.Latency is -1ns":   func() { twiliotest.New(twiliotest.Config{Latency: -1}) },
		"Config.ListLag is -1ns":   func() { twiliotest.New(twiliotest.Config{ListLag: -1}) },
		"Config.MaxInFlight is -2": func() { twiliotest.New(twiliotest.Config{}).SetMaxInFlight(-2) },
		"Config.Errors is 9":       func() { twiliotest.New(twiliotest.Config{Errors: 9}) },
		"Fault.Kind is 0":          func() { twiliotest.New(twiliotest.Config{}).Inject(twiliotest.Fault{}) },
		"Fault.Times is -1":        func() { twiliotest.New(twiliotest.Config{}).Inject(twiliotest.Fault{Kind: twiliotest.Slow, Times: -1}) },
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, field) {
					t.Errorf("panic %q, want one about %s", p, field)
				}
			}()
			bad()
		}()
	}
}
