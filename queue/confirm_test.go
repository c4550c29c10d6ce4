package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// storedInDoubt stores a request that is in doubt and waits for a person.
func (w *world) storedInDoubt(method, url string) queue.ID {
	w.t.Helper()
	form := map[string][]string{"To": {receiver}, "From": {sender}, "Body": {"hello"}}
	id, err := w.q.EnqueueRequest(w.t.Context(), queue.Request{Method: method, URL: url, Form: form}, queue.In(time.Hour))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.q.Engine().Move(w.t.Context(), queue.Move{ID: id, From: []queue.State{queue.Delayed}, To: queue.InDoubt}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func TestConfirmTakesOnlyTheSIDOfWhatTheRequestCreates(t *testing.T) {
	const (
		account = "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid
		hex     = "0123456789abcdef0123456789abcdef"
	)
	for name, c := range map[string]struct {
		method, url string
		good, bad   []string
	}{
		"message": {"POST", account + "/Messages.json", []string{"SM" + hex, "MM" + hex, "SM" + strings.ToUpper(hex)}, []string{"", "nonsense", "SM1", "CA" + hex, "sm" + hex, "SM" + hex + "0", " SM" + hex, "SM" + hex + "\n", receiver}},
		"call":    {"POST", account + "/Calls.json", []string{"CA" + hex}, []string{"", "SM" + hex, "CA1"}},
		"another": {"POST", "https://verify.twilio.com/v2/Services/VA" + hex + "/Verifications", []string{"VE" + hex, "mem_profile_00000000000000000000000000"}, []string{"", "nonsense", "VE1", "ve" + hex}},
		"change":  {"POST", account + "/Messages/SM" + hex + ".json", []string{"", "SM" + hex}, []string{"nonsense"}},
		"delete":  {"DELETE", account + "/Messages/SM" + hex + ".json", []string{""}, []string{"nonsense"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			id := w.storedInDoubt(c.method, c.url)
			for _, sid := range c.bad {
				err := w.q.Confirm(t.Context(), id, sid)
				if err == nil || !strings.Contains(err.Error(), "SID") || !strings.Contains(err.Error(), "expected ") || strings.Contains(err.Error(), receiver) {
					t.Errorf("%q: %v", sid, err)
				}
				if j, err := w.q.Engine().Get(t.Context(), id); err != nil || j.State != queue.InDoubt || j.Outcome.SID != "" {
					t.Errorf("after %q: %v with SID %q, %v", sid, j, j.Outcome.SID, err)
				}
			}
			for _, sid := range c.good {
				w := newWorld(t, twiliotest.Config{})
				id := w.storedInDoubt(c.method, c.url)
				if err := w.q.Confirm(t.Context(), id, sid); err != nil {
					t.Errorf("%q: %v", sid, err)
				}
				if r, err := w.q.Result(t.Context(), id); err != nil || r.State != queue.Sent || !strings.EqualFold(r.SID, sid) {
					t.Errorf("%q: %v with %q, %v", sid, r.State, r.SID, err)
				}
			}
		})
	}
}

// What was in doubt before is kept with what was confirmed.
func TestConfirmKeepsWhatWasInDoubt(t *testing.T) {
	w := newWorld(t, twiliotest.Config{})
	id := w.storedInDoubt("POST", "https://api.twilio.com/2010-04-01/Accounts/"+twiliotest.AccountSid+"/Messages.json")
	if err := w.q.Engine().Move(t.Context(), queue.Move{ID: id, From: []queue.State{queue.InDoubt}, To: queue.InDoubt, Outcome: &queue.Outcome{Reason: "no answer came"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.q.Confirm(t.Context(), id, "SM0123456789abcdef0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
	r := w.why(queue.About{ID: id}, queue.CauseDone)
	if want := "has said that Twilio has it; before that it was in doubt: no answer came."; !strings.HasSuffix(r.Text, want) || r.Since.IsZero() {
		t.Errorf("%+v, expected %q", r, want)
	}
	if r, err := w.q.Result(t.Context(), id); err != nil || r.Err != nil {
		t.Errorf("%v, %v: expected that nothing is wrong", r, err)
	}
}

// The error says what is wrong with a SID that was copied badly.
func TestConfirmSaysWhatIsWrongWithASID(t *testing.T) {
	w := newWorld(t, twiliotest.Config{})
	id := w.storedInDoubt("POST", "https://api.twilio.com/2010-04-01/Accounts/"+twiliotest.AccountSid+"/Messages.json")
	for sid, want := range map[string]string{
		"SM0123456789abcdef0123456789abcde":  "the SID has 33 characters: expected that of a message",
		"SM0123456789abcdef0123456789abcdeO": `character 34 of the SID is 'O': expected that of a message`,
		"CA0123456789abcdef0123456789abcdef": `the SID begins with "CA": expected that of a message`,
	} {
		if err := w.q.Confirm(t.Context(), id, sid); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q", sid, err, want)
		}
	}
}

// Two requests cannot have created the same message.
func TestConfirmRefusesTheSIDOfAnotherRequest(t *testing.T) {
	const (
		messages = "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages"
		sid      = "SM0123456789abcdef0123456789abcdef"
	)
	w := newWorld(t, twiliotest.Config{})
	redaction := w.storedInDoubt("POST", messages+"/"+sid+".json")
	first, second := w.storedInDoubt("POST", messages+".json"), w.storedInDoubt("POST", messages+".json")
	for _, id := range []queue.ID{redaction, first} { // what changes a message has its SID, too
		if err := w.q.Confirm(t.Context(), id, sid); err != nil {
			t.Fatal(err)
		}
	}
	for _, same := range []string{sid, "SM" + strings.ToUpper(sid[2:])} {
		err := w.q.Confirm(t.Context(), second, same)
		if err == nil || !strings.Contains(err.Error(), string(first)) {
			t.Errorf("%s: %v, expected the ID of the request that has it", same, err)
		}
	}
	if j, err := w.q.Engine().Get(t.Context(), second); err != nil || j.State != queue.InDoubt {
		t.Errorf("%v, %v", j, err)
	}
}
