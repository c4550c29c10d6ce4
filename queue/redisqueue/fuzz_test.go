package redisqueue

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

var laneForFuzz = queue.Lane{Resource: pacer.Resource{Account: "AC1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: "+1500"}}

// Whatever stands in an entry, it is an error or a job that can be stored and sent.
func FuzzIntake(f *testing.F) {
	f.Add(`{"request":{"v":"1.0","method":"GET","url":"https://api.twilio.com/x"},"unique":"a","priority":"low","at":"2030-01-01T00:00:00Z","labels":{"a":"b"}}`)
	f.Add(`{"request":{"v":"1.0","method":"POST","url":"https://api.twilio.com/x","form":{"To":["+1"]}},"account":"AC1","deadline":"2000-01-01T00:00:00+01:00"}`)
	f.Add(`{"request":{}} x`)
	f.Fuzz(func(t *testing.T, text string) {
		j, err := parseIntake("queue", "1764000000000-0", []byte(text))
		if err != nil {
			return
		}
		again, err := parseIntake("queue", "1764000000000-0", []byte(text))
		if err != nil || again.ID != j.ID {
			t.Fatalf("%v, %s: expected the same job again", err, again.ID)
		}
		b, err := encode(j, j.Lane.Key())
		if err != nil {
			t.Fatal(err)
		}
		h := hash{"s": "ready", "p": letter(j.Priority), "u": j.Unique}
		if h["u"] == "" {
			delete(h, "u")
		}
		got, ok := decode(j.ID, j.Lane, h, b)
		if !ok || got.Request.URL != j.Request.URL {
			t.Fatalf("stored and read: %+v, %v", got, ok)
		}
	})
}

// Whatever somebody has made of the keys, a job is what was stored or is said to be
// damaged.
func FuzzStored(f *testing.F) {
	j := queue.Job{ID: "id", Lane: laneForFuzz, Unique: "u:1", Labels: map[string]string{"a": "b"}, Request: queue.Request{Method: "GET", URL: "https://api.twilio.com/x"}}
	good, err := encode(j, j.Lane.Key())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"s":"ready","p":"n","u":"u:1","d":"1764000000000000"}`, good)
	f.Add(`{"s":"sent","p":"n","u":"u:1","o":"{\"status\":201}","sid":"SM1","a":"-1"}`, good)
	f.Add(`{}`, []byte("00000000{}"))
	f.Fuzz(func(t *testing.T, fields string, stored []byte) {
		var h hash
		if json.Unmarshal([]byte(fields), &h) != nil {
			return
		}
		got, ok := decode("id", laneForFuzz, h, stored)
		if ok && string(stored) == string(good) && !reflect.DeepEqual(got.Request, j.Request) {
			t.Fatalf("another request: %+v", got)
		}
		if !ok && (got.Request.URL != "" || got.Outcome.Reason != queue.ReasonDamaged) {
			t.Fatalf("damaged, and shown: %+v", got)
		}
	})
}

func TestWarnings(t *testing.T) {
	for _, test := range []struct {
		s    map[string]string
		want int
	}{
		{map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory": "0", "maxmemory-policy": "noeviction"}, 0},
		{map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory": "0", "maxmemory-policy": "allkeys-lru"}, 0},
		{map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory": "9", "maxmemory-policy": "allkeys-lru"}, 1},
		{map[string]string{"appendonly": "yes", "appendfsync": "everysec", "maxmemory": "0", "maxmemory-policy": "noeviction"}, 1},
		{map[string]string{"appendonly": "yes", "appendfsync": "no", "maxmemory": "0", "maxmemory-policy": "noeviction"}, 1},
		{map[string]string{"appendonly": "no", "appendfsync": "everysec", "maxmemory": "0", "maxmemory-policy": "noeviction"}, 1},
		{nil, 2},
	} {
		if got := warnings(test.s); len(got) != test.want {
			t.Errorf("%v: %q: expected %d", test.s, got, test.want)
		}
	}
	for v, ok := range map[string]bool{"6.0.16": false, "5.0": false, "6.2.0": true, "7.0.15": true, "8.2": true, "": true, "unstable": true} {
		if err := checkVersion(v); (err == nil) != ok {
			t.Errorf("Redis %q: %v", v, err)
		}
	}
}

func TestIntakeIDsSortByTime(t *testing.T) {
	before := intakeID("q", "1764000000000-0")
	if after := intakeID("q", "1764000000001-0"); after <= before || before == intakeID("p", "1764000000000-0") || before == intakeID("q", "1764000000000-1") {
		t.Errorf("%s, %s", before, after)
	}
}
