package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
)

func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// a campaign of three, of whom nothing is sent.
func startCampaign(t *testing.T) (q string) {
	t.Helper()
	q = file(t)
	list := written(t, "list.csv", "to,name\n"+receiver+",Ann\n+15555550124,Bob\n+15555550125,Cy\n")
	out := ok(t, "campaign", "start", "spring", "--queue", q, "--csv", list, "--from", "+15005550006", "--rate", "20",
		"--body", "Hello {{.name}}, "+text, "--window", "mon-fri 09:00-20:00 Europe/Berlin", "--expires", "48h")
	if !strings.Contains(out, "3 enqueued, 0 were known already") {
		t.Fatal(out)
	}
	return q
}

func TestCampaignIsSteered(t *testing.T) {
	q := startCampaign(t)
	show := func() campaignInfo {
		return decode[campaignInfo](t, ok(t, "campaign", "show", "spring", "--json", "--queue", q))
	}
	if c := show(); c.Total != 3 || c.Waiting != 3 || c.Rate != 20 || c.Window != "mon-fri 09:00-20:00 Europe/Berlin" && !strings.Contains(c.Window, "Berlin") || c.Expires == "" {
		t.Errorf("%+v", c)
	}
	ok(t, "campaign", "pause", "spring", "--queue", q)
	if c := show(); c.State != queue.CampaignPaused {
		t.Errorf("%+v", c)
	}
	ok(t, "campaign", "resume", "spring", "--queue", q)
	if c := decode[campaignInfo](t, ok(t, "campaign", "rate", "spring", "2.5/s", "--json", "--queue", q)); c.Rate != 2.5 {
		t.Errorf("%+v", c)
	}
	if all := decode[[]campaignInfo](t, ok(t, "campaign", "list", "--json", "--queue", q)); len(all) != 1 || all[0].Name != "spring" {
		t.Errorf("%+v", all)
	}
	for _, args := range [][]string{{"campaign", "show", "spring"}, {"campaign", "list"}} {
		if out := ok(t, append(args, "--queue", q)...); !strings.Contains(out, "spring") {
			t.Error(out)
		}
	}
	fails(t, exitUsage, "expected --yes", "campaign", "cancel", "spring", "--queue", q)
	if p := doIn(t.Context(), t, "no\n", "campaign", "cancel", "spring", "--queue", q); p.code != exitFailed || !strings.Contains(p.err, "3 who wait get nothing") {
		t.Error(p)
	}
	if p := doIn(t.Context(), t, "yes\n", "campaign", "cancel", "spring", "--queue", q); p.code != exitDone {
		t.Error(p)
	}
	if c := show(); c.State != queue.CampaignCancelled || c.Cancelled != 3 {
		t.Errorf("%+v", c)
	}
	fails(t, exitFailed, "final", "campaign", "resume", "spring", "--queue", q)
}

func TestCampaignWindow(t *testing.T) {
	q := startCampaign(t)
	show := func() campaignInfo {
		return decode[campaignInfo](t, ok(t, "campaign", "show", "spring", "--json", "--queue", q))
	}
	fails(t, exitUsage, "window", "campaign", "window", "spring", "at night", "--queue", q)
	ok(t, "campaign", "window", "spring", "sat 10:00-12:00 Europe/Berlin", "--queue", q)
	if c := show(); c.Window != "sat 10:00-12:00 Europe/Berlin" || c.Rate != 20 {
		t.Errorf("%+v", c)
	}
	ok(t, "campaign", "window", "spring", "always", "--queue", q)
	if c := show(); c.Window != "" || c.State != queue.CampaignRunning || c.ETA != "" {
		t.Errorf("%+v: expected no window, and no end that is known, as no worker lives", c)
	}
	list := written(t, "more.csv", "to\n+15555550126\n")
	start := []string{"campaign", "start", "spring", "--queue", q, "--csv", list, "--from", "+15005550006", "--body", "Hello", "--rate", "9", "--json"}
	for n, want := range []startedInfo{{New: 1}, {Known: 1}} {
		p := do(t, start...)
		if p.code != exitDone || !strings.Contains(p.err, "keeps its rate") || show().Rate != 20 {
			t.Error(p)
		}
		if s := decode[startedInfo](t, p.out); s.New != want.New || s.Known != want.Known || s.Campaign.Name != "spring" || s.Campaign.Total != 4 {
			t.Errorf("start %d: %+v", n, s)
		}
	}
}

func TestCampaignErrors(t *testing.T) {
	q := file(t)
	for _, looks := range [][]string{{"why"}, {"workers"}, {"campaign", "list"}, {"queue", "stats"}, {"doubt", "list"}, {"hold", "list"}} {
		fails(t, exitNotFound, "no queue at sqlite:", append(looks, "--queue", q)...)
	}
	if _, err := os.Stat(strings.TrimPrefix(q, "sqlite:")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("to look has made a queue: %v", err)
	}
	makeQueue(t, q)
	fails(t, exitNotFound, "no such campaign", "campaign", "show", "none", "--queue", q)
	fails(t, exitNotFound, "no campaign", "campaign", "list", "--queue", q)
	fails(t, exitUsage, "--csv", "campaign", "start", "c", "--queue", q)
	fails(t, exitUsage, "--window", "campaign", "start", "c", "--queue", q, "--csv", "x", "--from", receiver, "--body", "b", "--window", "always")
	fails(t, exitFailed, "Rate", "campaign", "start", "c", "--queue", q, "--csv", written(t, "l.csv", "to\n"), "--from", receiver, "--body", "b", "--rate", "-1")
	bad := written(t, "list.csv", "to\n"+receiver+"\nnobody\n")
	fails(t, exitFailed, "line 3", "campaign", "start", "c", "--queue", q, "--csv", bad, "--from", receiver, "--body", text)
	if out := ok(t, "campaign", "list", "--json", "--queue", q); strings.TrimSpace(out) == "" {
		t.Error("no JSON")
	}
}

// doubtful puts requests into a queue and makes them in doubt and parked, as a worker would.
func doubtful(t *testing.T, n int) (address string, ids []queue.ID) {
	t.Helper()
	address = file(t)
	for range n {
		ids = append(ids, decode[sent](t, ok(t, "send", "--json", "--queue", address, "--to", receiver, "--from", "+15005550006", "--body", text)).ID)
	}
	e, err := engineurl.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	lanes, _, err := e.Work(t.Context())
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	jobs, err := e.Claim(t.Context(), queue.Claim{Lane: lanes[0].Lane, Max: n, Lease: time.Minute})
	if err != nil || len(jobs) != n {
		t.Fatal(jobs, err)
	}
	for _, j := range jobs {
		m := queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.InDoubt, Outcome: &queue.Outcome{Reason: "no answer came for " + receiver}}
		if err := e.Move(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	return address, ids
}

func TestDoubtIsDecided(t *testing.T) {
	q, ids := doubtful(t, 3)
	p := do(t, "doubt", "list", "--json", "--queue", q)
	all := decode[[]jobInfo](t, p.out)
	if p.code != exitPerson || len(all) != 3 || !all[0].Decide || all[0].Recipient == "" {
		t.Errorf("%d: %+v", p.code, all)
	}
	if p := do(t, "doubt", "list", "--queue", q, "--reveal"); p.code != exitPerson || !strings.Contains(p.out, receiver) {
		t.Error(p)
	}
	ok(t, "doubt", "show", string(ids[0]), "--queue", q)
	fails(t, exitFailed, "expected that of a message", "doubt", "confirm", string(ids[0]), "CA0", "--queue", q)
	sid := "SM0123456789abcdef0123456789abcdef"
	if j := decode[jobInfo](t, ok(t, "doubt", "confirm", string(ids[0]), sid, "--json", "--queue", q)); j.State != queue.Sent || j.SID != sid {
		t.Errorf("%+v", j)
	}
	fails(t, exitUsage, "--yes", "doubt", "resend", string(ids[1]), "--queue", q)
	if j := decode[jobInfo](t, ok(t, "doubt", "resend", string(ids[1]), "--yes", "--json", "--queue", q)); j.State != queue.Ready {
		t.Errorf("%+v", j)
	}
	if j := decode[jobInfo](t, ok(t, "doubt", "cancel", string(ids[2]), "--yes", "--json", "--queue", q)); j.State != queue.Cancelled {
		t.Errorf("%+v", j)
	}
	fails(t, exitNotFound, "no request that is in doubt", "doubt", "list", "--queue", q)
	if p := do(t, "why", string(ids[2]), "--queue", q); p.code != exitDone || !strings.Contains(p.out, "Somebody has cancelled it while it was in doubt") {
		t.Errorf("a request that was cancelled in doubt: %+v", p)
	}
	fails(t, exitNotFound, "no such job", "doubt", "resend", "none", "--yes", "--queue", q)
	if j := decode[jobInfo](t, ok(t, "queue", "requeue", string(ids[2]), "--yes", "--json", "--queue", q)); j.State != queue.Ready {
		t.Errorf("%+v", j)
	}
	ok(t, "queue", "cancel", string(ids[2]), "--yes", "--queue", q)
	if all := decode[[]jobInfo](t, ok(t, "queue", "list", "--state", "cancelled", "--json", "--queue", q)); len(all) != 1 || all[0].ID != ids[2] {
		t.Errorf("%+v", all)
	}
}

func TestQueueIsShown(t *testing.T) {
	q := startCampaign(t)
	s := decode[depths](t, ok(t, "queue", "stats", "--json", "--queue", q))
	if s.Total.Ready != 3 || len(s.Lanes) != 1 || s.Lanes[0].Campaign != "spring" || s.Lanes[0].Resource != "api/Messages:create" || s.Lanes[0].Sender == "" {
		t.Errorf("%+v", s)
	}
	if out := ok(t, "queue", "stats", "--queue", q); !strings.Contains(out, "spring") {
		t.Error(out)
	}
	if out := ok(t, "queue", "list", "--queue", q, "--campaign", "spring"); strings.Count(out, "\n") != 4 {
		t.Error(out)
	}
	if p := do(t, "queue", "list", "--queue", q, "--limit", "2", "--json"); len(decode[[]jobInfo](t, p.out)) != 2 || !strings.Contains(p.err, "more than 2") {
		t.Error(p)
	}
	fails(t, exitUsage, "--state", "queue", "list", "--queue", q, "--state", "lost")
	fails(t, exitUsage, "--limit", "queue", "list", "--queue", q, "--limit", "-1")
	fails(t, exitNotFound, "no request that is failed", "queue", "failures", "--queue", q)
	fails(t, exitNotFound, "no failure", "campaign", "failures", "spring", "--queue", q)
	fails(t, exitUsage, "unknown command", "queue", "empty")
	if out := ok(t, "queue"); !strings.Contains(out, "stats") {
		t.Error(out)
	}
}

func TestLimitsAreCheckedAndShown(t *testing.T) {
	good := written(t, "limits.json", `[{"resource": "Messages", "rate": 20}, {"resource": "Messages", "sender": "`+receiver+`", "rate": 1}]`)
	if out := ok(t, "limits", "check", good); !strings.Contains(out, "2 rules") {
		t.Error(out)
	}
	bad := written(t, "bad.json", "[\n{\"resource\": \"Mesages\", \"rate\": 1}]")
	fails(t, exitFailed, "line 2", "limits", "check", bad)
	info := decode[limitsInfo](t, ok(t, "limits", "show", "--json", "--limits", good))
	if len(info.Limits) != 2 || info.From != good || len(info.Defaults) == 0 || info.Defaults[0].Source == "" {
		t.Errorf("%+v", info)
	}
	if out := ok(t, "limits", "show", "--limits", good); !strings.Contains(out, "20/s") || !strings.Contains(out, "default") {
		t.Error(out)
	}
	t.Setenv("PACER_LIMITS", `[{"resource": "Calls", "rate": 3}]`)
	if info := decode[limitsInfo](t, ok(t, "limits", "show", "--json")); info.From != "PACER_LIMITS" || len(info.Limits) != 1 {
		t.Errorf("%+v", info)
	}
	fails(t, exitUsage, "PACER_SHARE", "limits", "set", good)
	fails(t, exitUsage, "no Redis", "limits", "set", good, "--share", "sqlite:q.db")
}

// The schema is a copy, since a module cannot embed the files of another.
func TestLimitsSchemaIsThatOfTheRoot(t *testing.T) {
	root, err := os.ReadFile("../../limits.schema.json")
	if err != nil || !bytes.Equal(root, limitsSchema) {
		t.Error("limits.schema.json differs from that of the root module: copy it here", err)
	}
	if !json.Valid([]byte(ok(t, "limits", "schema"))) {
		t.Error("no JSON")
	}
}

// With a shared pace the limits in Redis count, and those of the file only while Redis has none.
func TestLimitsInRedisAreShown(t *testing.T) {
	address := redisServer(t)
	own := written(t, "own.json", `[{"resource": "Calls", "rate": 3}]`)
	shared := written(t, "shared.json", `[{"resource": "Messages", "rate": 20}]`)
	for _, c := range []struct{ from, resource string }{{own, "Calls"}, {"shared at redis://", "Messages"}} {
		i := decode[limitsInfo](t, ok(t, "limits", "show", "--json", "--share", address, "--limits", own))
		if len(i.Limits) != 1 || i.Limits[0].Resource != c.resource || !strings.HasPrefix(i.From, c.from) {
			t.Errorf("%+v, expected %v", i, c)
		}
		ok(t, "limits", "set", shared, "--share", address, "--yes")
	}
	fails(t, exitFailed, "pacer: redispacer: Redis cannot be reached", "limits", "show", "--share", "redis://127.0.0.1:1")
}

func TestRatesAndCountsAreReadable(t *testing.T) {
	for r, want := range map[float64]string{1. / 3: "0.3333/s", 2.5: "2.5/s", 20: "20/s", 12345: "12345/s", 0.00001: "0.00001/s", 1234.5678: "1235/s"} {
		if got := rate(r); got != want {
			t.Errorf("%v is shown as %s, expected %s", r, got, want)
		}
	}
	if one, two := rulesOf(1), rulesOf(2); one != "1 rule" || two != "2 rules" {
		t.Error(one, two)
	}
}
