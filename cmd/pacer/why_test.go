package main

import (
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
)

func TestWhySaysWhatToDo(t *testing.T) {
	q := startCampaign(t)
	ok(t, "campaign", "pause", "spring", "--queue", q)
	kinds := func(args ...string) string {
		p := do(t, append(args, "--json", "--queue", q)...)
		if p.code != exitPerson {
			t.Errorf("%q: exit code %d: %s", args, p.code, p.err)
		}
		var all []string
		for _, r := range decode[[]reason](t, p.out) {
			if r.Text == "" {
				t.Errorf("%+v", r)
			}
			all = append(all, string(r.Kind))
		}
		return strings.Join(all, ", ")
	}
	if all := kinds("why", "spring"); !strings.Contains(all, string(queue.CausePaused)) || !strings.Contains(all, string(queue.CauseNoWorker)) {
		t.Error(all)
	}
	if all := kinds("why"); !strings.Contains(all, string(queue.CauseNoWorker)) {
		t.Error(all)
	}
	if p := do(t, "why", "spring", "--queue", q); p.code != exitPerson || !strings.Contains(p.out, "  run:   pacer campaign resume spring\n") {
		t.Error(p)
	}
	fails(t, exitNotFound, "not \"autumn\"", "why", "autumn", "--queue", q)
	fails(t, exitUsage, "2 arguments", "why", "a", "b", "--queue", q)
	empty := file(t)
	makeQueue(t, empty)
	if out := ok(t, "why", "--queue", empty); !strings.Contains(out, "nothing stands in the way") {
		t.Error(out)
	}
	fails(t, exitNotFound, "no worker", "workers", "--queue", q)
}

// A store that is away is a reason like others, with what to do.
func TestWhySaysThatTheStoreIsAway(t *testing.T) {
	p := do(t, "why", "spring", "--queue", "redis://127.0.0.1:1/0")
	if p.code != exitPerson || !strings.HasPrefix(p.out, "store: The store cannot be reached: dial tcp ") || !strings.Contains(p.out, "\n  do:    start its server") || strings.Contains(p.out, "done or not") {
		t.Errorf("%+v", p)
	}
}

// A worker that is started hides why requests have expired, so that the exit code has to tell it.
func TestExitCodeTellsOfWhatExpired(t *testing.T) {
	r := queue.Reason{Kind: queue.CauseExpired, Campaign: "spring", Do: "any words"}
	if !forPerson(&r, true) || forPerson(&r, false) {
		t.Error("expected that a person has to know of many, and has asked about one")
	}
	if got := commandFor(&r); got != "pacer campaign failures spring" {
		t.Error(got)
	}
}

// Credentials that are mended in their file end the hold by themselves.
func TestCommandIsThatOfTheAdvice(t *testing.T) {
	h := queue.Hold{Reason: queue.HoldUnauthorized}
	for watched, want := range map[bool]string{true: "", false: "pacer hold end " + h.Name()} {
		if got := commandFor(&queue.Reason{Kind: queue.CauseUnauthorized, Held: h, Watched: watched, Do: "any words"}); got != want {
			t.Errorf("watched %v: %q, expected %q", watched, got, want)
		}
	}
}

func TestHoldsAreListedAndEnded(t *testing.T) {
	address := startCampaign(t)
	fails(t, exitNotFound, "no hold", "hold", "list", "--queue", address)
	e, err := engineurl.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	s, err := q.Stats(t.Context())
	if err != nil || len(s.Lanes) != 1 {
		t.Fatal(s, err)
	}
	if _, err := q.Hold(t.Context(), s.Lanes[0].Lane.Resource, time.Hour); err != nil {
		t.Fatal(err)
	}
	holds := decode[[]holdInfo](t, ok(t, "hold", "list", "--json", "--queue", address))
	if len(holds) != 1 || holds[0].Reason != queue.HoldByPerson || holds[0].Until == "" {
		t.Fatalf("%+v", holds)
	}
	if out := ok(t, "hold", "list", "--queue", address); !strings.Contains(out, holds[0].Name) {
		t.Error(out)
	}
	fails(t, exitUsage, "--yes", "hold", "end", holds[0].Name, "--queue", address)
	fails(t, exitNotFound, "no hold of that name", "hold", "end", "00000000", "--yes", "--queue", address)
	if left := decode[[]holdInfo](t, ok(t, "hold", "end", holds[0].Name, "--yes", "--json", "--queue", address)); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}
