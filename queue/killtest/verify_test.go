package main

import (
	"fmt"
	"testing"

	"github.com/twilio-pacer/pacer/queue"
)

// The verification is worth what it finds: each way of breaking the promise must show.
func TestCheckFinds(t *testing.T) {
	const a, b = "message 1", "message 2"
	good := listing{name: b, state: queue.Sent, sid: "SM2"}
	for name, tt := range map[string]struct {
		made   []creation
		listed []listing
		want   fault
	}{
		"no job":               {[]creation{{a, "SM1"}}, nil, lost},
		"left ready":           {nil, []listing{{name: a, state: queue.Ready}}, lost},
		"left sending":         {[]creation{{a, "SM1"}}, []listing{{name: a, state: queue.Sending}}, lost},
		"still to be asked":    {nil, []listing{{name: a, state: queue.InDoubt, reason: "cut"}}, lost},
		"cancelled":            {nil, []listing{{name: a, state: queue.Cancelled}}, lost},
		"two messages":         {[]creation{{a, "SM1"}, {a, "SM3"}}, []listing{{name: a, state: queue.Sent, sid: "SM1"}}, doubled},
		"two, and in doubt":    {[]creation{{a, "SM1"}, {a, "SM3"}}, []listing{{name: a, state: queue.InDoubt, parked: true, reason: "cut"}}, doubled},
		"two, and unsure":      {[]creation{{a, "SM1"}, {a, "SM3"}}, []listing{{name: a, state: queue.InDoubt, parked: true, reason: "21211"}}, doubled},
		"falsely sent":         {nil, []listing{{name: a, state: queue.Sent, sid: "SM1"}}, falsely},
		"another's SID":        {[]creation{{a, "SM1"}}, []listing{{name: a, state: queue.Sent, sid: "SM2"}}, wrongSID},
		"no SID":               {[]creation{{a, "SM1"}}, []listing{{name: a, state: queue.Sent}}, wrongSID},
		"two jobs":             {[]creation{{a, "SM1"}}, []listing{{name: a, state: queue.Sent, sid: "SM1"}, {name: a, state: queue.Failed, refused: true, reason: "21211"}}, twice},
		"failed for no reason": {nil, []listing{{name: a, state: queue.Failed, refused: true}}, mute},
		"failed for a page":    {nil, []listing{{name: a, state: queue.Failed, reason: "403"}}, burnt},
		"failed, and sent":     {[]creation{{a, "SM1"}}, []listing{{name: a, state: queue.Failed, refused: true, reason: "21211"}}, denied},
		"parked for no reason": {nil, []listing{{name: a, state: queue.InDoubt, parked: true}}, mute},
		"an unknown job":       {[]creation{{a, "SM1"}}, []listing{{name: a, state: queue.Sent, sid: "SM1"}, {name: "x", state: queue.Sent}}, foreign},
		"an unknown message":   {[]creation{{a, "SM1"}, {"x", "SM9"}}, []listing{{name: a, state: queue.Sent, sid: "SM1"}}, foreign},
	} {
		v := check([]string{a, b}, append(tt.made, creation{b, "SM2"}), append(tt.listed, good))
		if v.ok() || len(v.wrong) != 1 || len(v.wrong[tt.want]) != 1 {
			t.Errorf("%s: %v, want one that is %q", name, v.wrong, tt.want)
		}
	}
}

func TestCheckAccepts(t *testing.T) {
	v := check([]string{"a", "b", "c", "d", "e"},
		[]creation{{"a", "SM1"}, {"c", "SM2"}},
		[]listing{
			{name: "a", state: queue.Sent, sid: "SM1"},
			{name: "b", state: queue.Failed, refused: true, reason: "21211"},
			{name: "c", state: queue.InDoubt, parked: true, reason: "cut"},
			{name: "d", state: queue.InDoubt, parked: true, reason: "cut"},
			{name: "e", state: queue.Failed, refused: true, reason: "Invalid 'To' Phone Number"},
		})
	if !v.ok() || v.Sent != 1 || v.Failed != 2 || v.Parked != 2 || v.Recovered != 1 {
		t.Errorf("%+v", v)
	}
	if v := check(nil, nil, nil); !v.ok() {
		t.Errorf("nothing: %+v", v)
	}
}

// Requests must be told apart by what the fake and the queue know of them.
func TestNames(t *testing.T) {
	seen := make(map[string]int)
	for n := range 400 {
		if m, ok := seen[name(n)]; ok {
			t.Errorf("requests %d and %d have one name", m, n)
		}
		seen[name(n)] = n
		form := captured(t, n)
		if got := nameOf(form); got != name(n) {
			t.Errorf("request %d is recognized as %q, want %q", n, got, name(n))
		}
	}
	if fmt.Sprint(len(seen)) != "400" {
		t.Error(len(seen))
	}
}
