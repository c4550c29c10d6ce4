package twiliotest_test

import (
	"net/http"
	"net/url"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// at sends a message at each offset and returns the statuses.
func at(t *testing.T, f *twiliotest.Fake, offsets ...time.Duration) []int {
	t.Helper()
	start := time.Now()
	var got []int
	for _, d := range offsets {
		time.Sleep(time.Until(start.Add(d)))
		got = append(got, send(t, f, message("x")).status)
	}
	return got
}

func equal(t *testing.T, got []int, want ...int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

const ms = time.Millisecond

func TestSlidingWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 3}}})
		// The first three fill (t-1s, t] until exactly one second after each;
		// throttled requests do not count.
		equal(t, at(t, f, 0, 400*ms, 600*ms, 600*ms, 1000*ms-1, 1000*ms, 1000*ms, 1400*ms-1, 1400*ms, 1600*ms),
			201, 201, 201, 429, 429, 201, 429, 429, 201, 201)
	})
}

func TestStrict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 4, Strict: true}}})
		equal(t, at(t, f, 0, 250*ms-1, 250*ms, 499*ms, 5000*ms, 5000*ms, 5250*ms),
			201, 429, 201, 429, 201, 429, 201)
	})
}

func TestPerSenderCountsNotationsOfOneNumberTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 1, PerSender: true}}})
		for sender, want := range map[string]int{"+15005550006": 201, "+15005550001": 201, "whatsapp:+15005550006": 201, "ACME": 201} {
			form := message("x")
			form.Set("From", sender)
			equal(t, []int{send(t, f, form).status}, want)
		}
		for _, sender := range []string{"+1 (500) 555-0006", "15005550001", "whatsapp:15005550006", "5005550006"} {
			form := message("x")
			form.Set("From", sender)
			equal(t, []int{send(t, f, form).status}, 429)
		}
	})
}

func TestPerReceiverCountsEachReceiverByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "verify/Verifications", Rate: 1, Window: time.Minute, PerReceiver: true, Code: 60212, Message: "Too many concurrent requests for phone number"}}})
		start := func(to string) reply {
			form := url.Values{"Channel": {"sms"}}
			if to != "" {
				form.Set("To", to)
			}
			return do(t, f.Client(), request(t, "https://verify.twilio.com/v2/Services/VA0123456789abcdef0123456789abcdef/Verifications", form))
		}
		equal(t, []int{start("+15005550009").status, start("+15005550008").status, start("+1 500 555 0009").status, start("").status, start("").status}, 201, 201, 429, 201, 201)
		if code := start("15005550008").decode(t)["code"]; code != float64(60212) {
			t.Errorf("code %v, expected 60212", code)
		}
		time.Sleep(time.Minute)
		equal(t, []int{start("+15005550009").status}, 201)
	})
}

func TestPerCountsEachValueByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{})
		f.SetLimits([]twiliotest.Limit{{Resource: "sync/Documents", Method: "*", Rate: 1, Code: 54009, Per: func(r *twiliotest.Request) string {
			_ = f.Stats() // it may call the Fake
			if name := path.Base(r.Path); name != "quiet" {
				return name
			}
			return ""
		}}})
		update := func(name string) int {
			return do(t, f.Client(), request(t, "https://sync.twilio.com/v1/Services/IS0123456789abcdef0123456789abcdef/Documents/"+name, url.Values{"Data": {"{}"}})).status
		}
		equal(t, []int{update("hot"), update("warm"), update("hot"), update("quiet"), update("quiet")}, 200, 200, 429, 200, 200)
	})
}

// TestWindowHolds checks what the documentation says about every window,
// against a flood at odd times.
func TestWindowHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, window = 7, 300 * ms
		f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: rate, Window: window}}})
		for i := range 2000 {
			time.Sleep(time.Duration(i*i*7919%13) * ms)
			send(t, f, message("x"))
		}
		got := f.Messages()
		for i := rate; i < len(got); i++ {
			if d := got[i].Time.Sub(got[i-rate].Time); d < window {
				t.Fatalf("%d requests within %v", rate+1, d)
			}
		}
		if s := f.Stats(); s.Throttled == 0 || s.Accepted+s.Throttled != 2000 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestLimitKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{
			{Resource: "Messages", Rate: 1, PerSender: true},
			{Resource: "Messages", Rate: 3, Status: 429, Code: 63018, Message: "exceeded"},
			{Resource: "*", Rate: 6},
		}})
		sender := func(name, value string) int {
			return send(t, f, url.Values{name: {value}, "To": {to}, "Body": {"x"}}).status
		}
		equal(t, []int{
			sender("From", "+15005550001"), sender("From", "+15005550001"),
			sender("From", "+15005550002"), sender("MessagingServiceSid", "MG1"), sender("MessagingServiceSid", "MG2"),
		}, 201, 429, 201, 201, 429)
		refused := f.Refused()
		if refused[0].Code != 20429 || refused[1].Code != 63018 {
			t.Errorf("refused %v", refused)
		}
		// Listing is no creation, but one of all requests.
		list := func() int { return do(t, f.Client(), request(t, messagesURL, nil)).status }
		equal(t, []int{list(), list(), list(), list()}, 200, 200, 200, 429)
		f.SetLimits(nil)
		equal(t, []int{list()}, 200)
	})
}

func TestLimitMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lookup = "https://lookups.twilio.com/v2/PhoneNumbers/" + to
		f := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{
			{Resource: "lookups/PhoneNumbers", Rate: 1, Window: time.Hour},
			{Resource: "Messages", Rate: 1, Window: time.Hour},
			{Resource: "Calls", Method: "*", Rate: 1, Window: time.Hour},
		}})
		get := func(url string) int { return do(t, f.Client(), request(t, url, nil)).status }
		equal(t, []int{get(lookup), get(lookup)}, 200, 429)
		first := send(t, f, message("x")).decode(t)
		update := "https://api.twilio.com" + first["uri"].(string)
		redact := func() int { return do(t, f.Client(), request(t, update, url.Values{"Body": {""}})).status }
		equal(t, []int{redact(), redact(), send(t, f, message("x")).status}, 200, 200, 429)
		calls := "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Calls.json"
		equal(t, []int{get(calls), get(calls)}, 200, 429)
	})
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		name string
		make twiliotest.RetryAfter
		want string
	}{
		{"default", nil, "1"},
		{"none", twiliotest.NoRetryAfter, ""},
		{"seconds", twiliotest.RetryAfterSeconds, "1"},
		{"fraction", twiliotest.RetryAfterFraction, "0.35"},
		{"date", twiliotest.RetryAfterDate, "Sat, 01 Jan 2000 00:00:01 GMT"},
		{"hostile", twiliotest.RetryAfterValue("soon"), "soon"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := twiliotest.New(twiliotest.Config{
					Limits:     []twiliotest.Limit{{Resource: "Messages", Rate: 1}},
					RetryAfter: tt.make,
				})
				send(t, f, message("x"))
				time.Sleep(650 * ms)
				got := send(t, f, message("x"))
				values, present := got.header["Retry-After"]
				if got.status != 429 || got.header.Get("Retry-After") != tt.want || present != (tt.want != "") {
					t.Errorf("%d, Retry-After %q, want %q", got.status, values, tt.want)
				}
				if date := got.header.Get("Date"); date != "Sat, 01 Jan 2000 00:00:00 GMT" {
					t.Errorf("Date %q", date)
				}
			})
		})
	}
	for wait, want := range map[time.Duration]string{0: "1", 1: "1", time.Second: "1", time.Second + 1: "2", time.Minute: "60"} {
		if got := twiliotest.RetryAfterSeconds(wait); got != want {
			t.Errorf("RetryAfterSeconds(%v) = %s, want %s", wait, got, want)
		}
	}
}

// BenchmarkCreate is the cost of creating a message in memory.
func BenchmarkCreate(b *testing.B) {
	f := twiliotest.New(twiliotest.Config{
		Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 1 << 20, PerSender: true}, {Resource: "*", Rate: 1 << 20}},
	})
	rt := f.Transport()
	form := message("hello")
	b.ReportAllocs()
	for b.Loop() {
		resp, err := rt.RoundTrip(request(b, messagesURL, form))
		if err != nil || resp.StatusCode != http.StatusCreated {
			b.Fatal(resp, err)
		}
	}
}
