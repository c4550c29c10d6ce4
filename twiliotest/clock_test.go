package twiliotest_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

func TestClockIsOff(t *testing.T) {
	for _, offset := range []time.Duration{0, 2 * time.Minute, -2 * time.Minute, -48 * time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := twiliotest.New(twiliotest.Config{Clock: offset})
				now := time.Now().Add(offset).UTC()
				got := send(t, f, message("x"))
				doc := got.decode(t)
				if date := got.header.Get("Date"); date != now.Format(http.TimeFormat) {
					t.Errorf("Date %s, want %v", date, now)
				}
				for _, it := range append(listed(t, f, nil), doc) {
					if it["date_created"] != now.Format(time.RFC1123Z) || it["date_updated"] != it["date_created"] {
						t.Errorf("dates %v and %v, want %v", it["date_created"], it["date_updated"], now)
					}
				}
				day, instant := time.DateOnly, time.RFC3339
				for _, tt := range []struct {
					filter, date string
					want         int
				}{
					{"DateSent", now.Format(day), 1},
					{"DateSent>", now.Format(day), 1},
					{"DateSent>", now.Add(24 * time.Hour).Format(day), 0},
					{"DateSent<", now.Add(-24 * time.Hour).Format(day), 0},
					{"DateSent>", now.Format(instant), 1},
					{"DateSent>", now.Add(time.Second).Format(instant), 0},
					{"DateSent<", now.Format(instant), 1},
					{"DateSent<", now.Add(-time.Second).Format(instant), 0},
				} {
					if n := len(listed(t, f, url.Values{tt.filter: {tt.date}})); n != tt.want {
						t.Errorf("%s=%s finds %d, want %d", tt.filter, tt.date, n, tt.want)
					}
				}
				if !f.Messages()[0].Time.Equal(time.Now()) {
					t.Errorf("recorded at %v, now is %v", f.Messages()[0].Time, time.Now())
				}
			})
		})
	}
}

// Clocks are set right, or wrong, while a program runs. What was created keeps
// its dates, and filters find it by them.
func TestClockChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{})
		start := time.Now().UTC()
		for _, offset := range []time.Duration{0, time.Hour, -time.Hour} {
			f.SetClock(offset)
			form := message(offset.String())
			if date := send(t, f, form).header.Get("Date"); date != start.Add(offset).Format(http.TimeFormat) {
				t.Errorf("Date %s", date)
			}
		}
		for _, tt := range []struct {
			since time.Duration
			want  string
		}{
			{-time.Hour, "-1h0m0s 1h0m0s 0s"}, // in the order of creation
			{0, "1h0m0s 0s"},
			{time.Minute, "1h0m0s"}, // behind one that looks older
			{2 * time.Hour, ""},
		} {
			var got []string
			for _, it := range listed(t, f, url.Values{"DateSent>": {start.Add(tt.since).Format(time.RFC3339)}}) {
				got = append(got, it["body"].(string))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("since %v: %v, want %s", tt.since, got, tt.want)
			}
		}
	})
}

// Limits, the lag of lists and the lifetime of tokens are no matter of clocks.
func TestClockLeavesDurationsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{
			Limits:   []twiliotest.Limit{{Resource: "Messages", Rate: 1, Window: time.Minute, Method: "POST"}},
			ListLag:  time.Minute,
			TokenTTL: time.Minute,
		})
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"OQ1"}, "client_secret": {"x"}}
		token := do(t, f.Client(), request(t, "https://oauth.twilio.com/v2/token", form)).decode(t)["access_token"].(string)
		bearing := func() int {
			r := request(t, "https://lookups.twilio.com/v2/PhoneNumbers/"+to, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			return do(t, f.Client(), r).status
		}
		send(t, f, message("x"))
		f.SetClock(time.Hour)
		if got := send(t, f, message("y")); got.status != 429 || got.header.Get("Retry-After") != "60" {
			t.Errorf("limit: %+v", got)
		}
		if n := len(listed(t, f, nil)); n != 0 || bearing() != 200 {
			t.Errorf("%d listed before the lag is over; token %d", n, bearing())
		}
		f.SetClock(-time.Hour)
		time.Sleep(time.Minute)
		if got := send(t, f, message("y")); got.status != 201 {
			t.Errorf("limit: %+v", got)
		}
		if n := len(listed(t, f, nil)); n != 1 || bearing() != 401 {
			t.Errorf("%d listed after the lag; token %d", n, bearing())
		}
	})
}

func TestTokensTellTheFakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Clock: -time.Hour})
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"OQ1"}, "client_secret": {"x"}}
		token := do(t, f.Client(), request(t, "https://oauth.twilio.com/v2/token", form)).decode(t)["access_token"].(string)
		claims, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var c struct{ Iat, Exp int64 }
		if err := json.Unmarshal(claims, &c); err != nil || c.Exp != time.Now().Unix() || c.Iat != c.Exp-3600 {
			t.Errorf("claims %+v, %v", c, err)
		}
	})
}

// A call that ended when the clock had been set back has lasted no time.
func TestCallEndsBeforeItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Clock: time.Hour})
		calls := strings.Replace(messagesURL, "Messages", "Calls", 1)
		doc := do(t, f.Client(), request(t, calls, url.Values{"From": {from}, "To": {to}, "Twiml": {"<Response/>"}})).decode(t)
		f.SetClock(0)
		one := strings.Replace(calls, ".json", "/"+doc["sid"].(string)+".json", 1)
		doc = do(t, f.Client(), request(t, one, url.Values{"Status": {"completed"}})).decode(t)
		if doc["duration"] != "0" || doc["end_time"] != time.Now().UTC().Format(time.RFC1123Z) {
			t.Errorf("%v", doc)
		}
	})
}
