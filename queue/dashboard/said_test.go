package dashboard

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// What a person can do on the page is what the command says, in the words of the page.
func TestAdviceFitsItsCause(t *testing.T) {
	hold := queue.Hold{Reason: queue.HoldUnreachable}
	for want, r := range map[string]queue.Reason{
		"Check the network and https://status.twilio.com.":                        {Kind: queue.CauseHeld, Held: hold, Do: "check the network and https://status.twilio.com"},
		"Write the token into /etc/pacer/token.":                                  {Kind: queue.CauseUnauthorized, Do: "write the token into /etc/pacer/token"},
		"Twilio throttles at 10 a second: set the limit to that.":                 {Kind: queue.CauseLimit, Learned: true, Do: "Twilio throttles at 10 a second: set the limit to that"},
		"Wait, or change the window of the campaign.":                             {Kind: queue.CauseWindow, Do: "wait, or change the window"},
		"If Twilio allows your account more, raise the limit on the page Limits.": {Kind: queue.CauseLimit, Do: "raise the limit"},
		"It ends by itself.": {Kind: queue.CauseWindow},
	} {
		if got := reasonsOf([]queue.Reason{r})[0].Do; got != want {
			t.Errorf("%s: %q, expected %q", r.Kind, got, want)
		}
	}
}

func TestErrorsDoNotNamePackages(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, doubtful := s.fill()
	for body, want := range map[[2]string]string{
		{"job", `{"id": "` + string(doubtful) + `", "do": "confirm", "sid": "no SID"}`}: `the SID has 6 characters: expected that of a message, SM or MM and 32 hexadecimal digits, 34 characters in all`,
		{"job", `{"id": "` + string(doubtful) + `", "do": "confirm", "sid": ""}`}:       "no SID: expected that of a message",
		{"campaign", `{"name": "spring", "do": "window", "window": "at night"}`}:        `window: "at night": expected days`,
		{"campaign", `{"name": "spring", "do": "rate", "rate": -1}`}:                    "",
	} {
		w := s.do("POST", "/api/"+body[0], body[1])
		if w.Code != http.StatusBadRequest || !strings.HasPrefix(w.Body.String(), want) || strings.Contains(w.Body.String(), "queue:") {
			t.Errorf("%v: %d: %s: expected %q", body, w.Code, w.Body, want)
		}
	}
}

func TestAWindowIsChanged(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.fill()
	for text, want := range map[string]string{"mon-fri 09:00-20:00 Europe/Berlin": "mon,tue,wed,thu,fri 09:00-20:00 Europe/Berlin", " always ": ""} {
		s.ok("POST", "/api/campaign", string(marshal(t, map[string]any{"name": "spring", "do": "window", "window": text})))
		c, err := s.q.FindCampaign(t.Context(), "spring")
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Progress(t.Context())
		got := ""
		if p.Options.Window != nil {
			got = p.Options.Window.String()
		}
		if err != nil || got != want || p.Options.Rate != 20 {
			t.Errorf("%q: %q, rate %v, %v: expected %q", text, got, p.Options.Rate, err, want)
		}
	}
}

// A change of limits says for which processes it is.
func TestLimitsSayWhereTheyAreInForce(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i, beat := range []map[string]any{{"host": hostname(t), "pid": os.Getpid()}, {"host": "b", "pid": 2}, {"host": "c", "pid": 3}} {
		now := time.Now().UTC()
		beat["v"], beat["id"], beat["started"], beat["seen"] = "1.0", beat["host"], now, now
		if err := s.q.Engine().Put(t.Context(), queue.HeartbeatPrefix+"0"+string(rune('0'+i)), marshal(t, beat), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.d.view.changed()
	var page limitsPage
	const want = "; 2 other workers have limits of their own"
	for range 100 {
		if page = decode[limitsPage](t, s.ok("GET", "/api/limits", "")); strings.HasSuffix(page.Where, want) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.HasPrefix(page.Where, "only in this process (process ") || !strings.HasSuffix(page.Where, want) {
		t.Errorf("%q: expected %q at its end", page.Where, want)
	}
	o := decode[overview](t, s.ok("GET", "/api/overview", ""))
	if !o.Server.Works || o.Workers != 3 {
		t.Errorf("%+v, %d workers: expected that it is one of three", o.Server, o.Workers)
	}
	body, _ := json.Marshal(map[string]any{"text": strings.Replace(page.Text, "20", "21", 1), "version": page.Version, "apply": true})
	if c := decode[limitsCheck](t, s.ok("POST", "/api/limits", string(body))); !c.Applied || !strings.HasSuffix(c.Where, want) {
		t.Errorf("%+v", c)
	}
	if err := WithSharedLimits()(s.d); err != nil {
		t.Fatal(err)
	}
	if page = decode[limitsPage](t, s.ok("GET", "/api/limits", "")); page.Where != "in all processes that share them" {
		t.Error(page.Where)
	}
}

func hostname(t *testing.T) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// What may have been sent is looked for at Twilio by its time, with milliseconds.
func TestTheTimeOnTheWireHasMilliseconds(t *testing.T) {
	began := time.Date(2026, 3, 1, 3, 4, 5, 67_000_000, time.UTC)
	if got := jobOf(&queue.Job{Began: began, Lane: queue.Lane{Resource: pacer.Resource{Account: nobody}}}).Began; got != "2026-03-01T03:04:05.067Z" {
		t.Error(got)
	}
}
