package pacer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go/client"
)

// Twilio's messages may name a number. It does not get out through what pacer writes by itself:
// events and alerts, in any form in which a program may log them, and the log. The error itself
// stays as it is.
func TestNumbersInTwiliosMessagesAreMasked(t *testing.T) {
	const message = "The From phone number +15005550006 has sent too many to +1 (500) 555-0001"
	for name, tt := range map[string]struct {
		answer script
		send   func(c *Client) error
	}{
		"throttled": {
			answers(429, `{"code": 20429, "message": "`+message+`", "status": 429}`),
			func(c *Client) error { return createOn(c.RestClient, sender) },
		},
		"a full queue": {
			answers(429, `{"code": 21611, "message": "`+message+`", "status": 429}`),
			func(c *Client) error { return createOn(c.RestClient, sender) },
		},
		"a refused request": {
			answers(400, `{"code": 21211, "message": "`+message+`", "status": 400}`),
			func(c *Client) error { return createOn(c.RestClient, sender) },
		},
		"a pool that cannot be read": {
			func(_ int, r *http.Request) *http.Response {
				if r.Method == http.MethodGet {
					return respond(403, `{"code": 20403, "message": "`+message+`", "status": 403}`)
				}
				return ok201(1, r)
			},
			func(c *Client) error {
				_ = createOn(c.RestClient, serviceSID)
				return nil
			},
		},
	} {
		for _, handler := range []string{"JSON", "text"} {
			t.Run(name+", in a log of "+handler, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log safeLog
					opts := &slog.HandlerOptions{Level: slog.LevelDebug}
					logger := slog.New(slog.NewJSONHandler(&log, opts))
					if handler == "text" {
						logger = slog.New(slog.NewTextHandler(&log, opts))
					}
					var mu sync.Mutex
					var told []error
					alerts := 0
					tell := func(what any, err error) {
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							told = append(told, err)
						}
						if _, is := what.(Alert); is {
							alerts++
						}
						logger.Info("told", "what", what)
						inJSON, jsonErr := json.Marshal(what)
						if jsonErr != nil || !json.Valid(inJSON) {
							t.Errorf("%s, %v", inJSON, jsonErr)
						}
						fmt.Fprintf(&log, "%s %v %+v %s\n", inJSON, what, what, what)
					}
					w := newWorld(t, tt.answer, WithLogger(logger), WithMaxRetries(1), WithLimits(nil), WithPoolDiscovery(true),
						WithObserver(func(_ context.Context, e Event) { tell(e, e.Err) }),
						WithAlert(func(a Alert) { tell(a, a.Err) }))
					err := tt.send(w.c)
					time.Sleep(time.Minute)
					var twilios *client.TwilioRestError
					if err != nil && (!errors.As(err, &twilios) || twilios.Message != message) {
						t.Errorf("the caller has got %v, expected Twilio's own message", err)
					}
					mu.Lock()
					defer mu.Unlock()
					if name != "a refused request" && alerts == 0 {
						t.Error("there was no alert")
					}
					whole := 0
					for _, err := range told {
						if errors.As(err, &twilios) && twilios.Message == message {
							whole++
						}
					}
					if whole == 0 {
						t.Error("no error that the program was told of has Twilio's own message")
					}
					text := log.String()
					if !strings.Contains(text, "has sent too many to") {
						t.Error("Twilio's message is not shown at all")
					}
					for _, number := range []string{"5005550006", "555-0001", "5550001"} {
						if at := strings.Index(text, number); at >= 0 {
							t.Errorf("%s is shown: %s", number, text[max(0, at-200):min(len(text), at+50)])
						}
					}
				})
			})
		}
	}
}

func TestNumbersAreMaskedAndOthersAreNot(t *testing.T) {
	for text, want := range map[string]string{
		"to +15005550006 at once":              "to +1500•••0006 at once",
		"to whatsapp:+15005550006":             "to whatsapp:+1500•••0006",
		"PhoneNumbers/%2B15005550006?":         "PhoneNumbers/%2B150•••0006?",
		"call (500) 555-0006 now":              "call (500) •••0006 now",
		"15005550006":                          "15005•••0006",
		"01a21d1f-2952-7f08-9f65-fc7e503e1ceb": "01a21d1f-2952-7f08-9f65-fc7e503e1ceb",
		"until 2026-11-27T13:20:26Z, not 2026-11-27T13:20:26.123456789+01:00": "until 2026-11-27T13:20:26Z, not 2026-11-27T13:20:26.123456789+01:00",
		"at https://api.twilio.com/2010-04-01/Accounts":                       "at https://api.twilio.com/2010-04-01/Accounts",
		"2026-11-27 13:20 +1 500 555 0006":                                    "2026-11-27 13:20 +1 50•••0006",
		"2026-11-2715005550006":                                               "2026-•••0006",
		account:                                                               account,
		"dial tcp 192.168.100.200:443: timeout":                               "dial tcp 192.168.100.200:443: timeout",
		"code 20429, 3600 s, 1,200 of 10000":                                  "code 20429, 3600 s, 1,200 of 10000",
		"":                                                                    "",
	} {
		if got := MaskNumbers(text); got != want {
			t.Errorf("%q became %q, expected %q", text, got, want)
		}
	}
}

// A path with many digits is no number: an alert says which file of limits has to be mended.
func TestAlertShowsTheWholePathOfRejectedLimits(t *testing.T) {
	a := Alert{Kind: AlertLimitsRejected, Err: errors.New("pacer: limits file /srv/release20261126200929/limits.json, line 1"), Advice: adviceRejected}
	inJSON, err := json.Marshal(a)
	for form, text := range map[string]string{"JSON": string(inJSON), "String": a.String()} {
		if err != nil || !strings.Contains(text, "/srv/release20261126200929/limits.json") {
			t.Errorf("%s: %s, %v", form, text, err)
		}
	}
}
