package sqsqueue_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

// What can be read can be sent on, and is the same then. No error shows what a message holds.
func FuzzDecode(f *testing.F) {
	const request = `"request":{"v":"1.0","method":"POST","url":"https://api.twilio.com/x","form":{"To":["+15551234567"]}}`
	for _, s := range []string{
		"", "{}", "null", "[]", `"+15551234567"`, `{"v":"1.0"}`, `{"v":"2.0",` + request + `}`, `{"v":"1",` + request + `}`,
		`{"v":"1.0",` + request + `}`, `{"v":"1.0","id":"x","lane":"|AC1|us1|api|Messages|create|+15551234567",` + request + `}`,
		`{"v":"1.9","due":"2026-01-02T03:04:05.678901234+02:00","deadline":"0001-01-01T00:00:00Z","priority":7,"unique":"\ud83d","labels":{"a":null},` + request + `}`,
		`{"v":"1.0","due":"+15551234567",` + request + `}`, `{"v":"1.0","lane":"+15551234567",` + request + `}`, `{"v":"1.0","id":["+15551234567"],` + request + `}`,
		`{"v":"1.0","request":{"v":"1.0","method":"POST","url":"https://example.com/+15551234567"}}`,
		`{"v":"1.0","request":"+15551234567"}`, `{"v":"1.0","v":"2.0",` + request + `}`, `{"V":"1.0",` + request + `}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		j, err := sqsqueue.Decode(body, "m-1")
		if err != nil {
			if strings.Contains(err.Error(), "5551234567") {
				t.Fatalf("the error shows a number: %v", err)
			}
			return
		}
		if j.ID == "" || j.Request.Method == "" {
			t.Fatalf("a job without an ID or a request: %+v", j)
		}
		b, err := sqsqueue.Encode(j)
		if err != nil {
			return // a year of five digits, ...
		}
		for i := range len(b) {
			if b[i] < ' ' || b[i] > '~' && b[i] != 0x7f {
				t.Fatalf("character %d of a message is not one that SQS takes: %q", i, b[i])
			}
		}
		again, err := sqsqueue.Decode(b, "m-2")
		if err != nil {
			t.Fatal(err)
		}
		if !again.Due.Equal(j.Due) || !again.Deadline.Equal(j.Deadline) {
			t.Fatalf("other times: %v, %v: expected %v, %v", again.Due, again.Deadline, j.Due, j.Deadline)
		}
		if again.Due, again.Deadline = j.Due, j.Deadline; plain(t, again) != plain(t, j) || again.Lane != j.Lane {
			t.Fatalf("another job:\n got %+v\nwant %+v", again, j)
		}
	})
}

// plain is a job as text, in which an empty map is none.
func plain(t *testing.T, j queue.Job) string {
	t.Helper()
	if len(j.Labels) == 0 {
		j.Labels = nil
	}
	b, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A message and an ID as they were first written: programs in other languages write them.
func TestMessageIsStable(t *testing.T) {
	const body = `{"v":"1.0","id":"job-1","lane":"c|AC1|us1|api|Messages|create|+15550001","priority":1,"due":"2026-01-02T03:04:05.000000006Z","deadline":"2026-01-03T00:00:00Z","unique":"u:k","labels":{"a":"\u00e9\ud83d\udc4b"},"request":{"v":"1.0","method":"GET","url":"https://api.twilio.com/x"}}`
	j, err := sqsqueue.Decode(body, "m")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sqsqueue.Encode(j); err != nil || got != body {
		t.Errorf("%v\n got %s\nwant %s", err, got, body)
	}
	if got := sqsqueue.IDOf("u:order-1"); got != stableID {
		t.Errorf("ID of a key: %s, want %s", got, stableID)
	}
}

const stableID = "08a7117f-efe4-5d26-90c9-f78874bfc2b3"

// Programs in other languages write numbers as people do; Twilio lists them in one form.
func TestReceiverOfAForeignMessageIsKeptAsTwilioWritesIt(t *testing.T) {
	const body = `{"v":"1.0","request":{"v":"1.0","method":"POST","url":"https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json","form":{"To":["+1 (500) 555-0009"],"From":["+15005550006"],"Body":["hello"]}}}`
	j, err := sqsqueue.Decode(body, "m")
	if err != nil || j.Request.Form["To"][0] != "+15005550009" {
		t.Errorf("%v, %v", j.Request.Form, err)
	}
}
