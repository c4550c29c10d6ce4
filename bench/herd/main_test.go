package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/bench/internal/cmdline"
	"github.com/twilio-pacer/pacer/twiliotest"
)

func noEnv(string) string { return "" }

func TestEveryClientDeliversWhereNothingIsScarce(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"-n", "10", "-workers", "4", "-rate", "10000", "-scenarios", "sliding-window", "-timeout", "1m", "-json"}
	if code := run(t.Context(), args, noEnv, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var got struct{ Rows []row }
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != len(entrants) {
		t.Fatalf("%d rows, expected %d", len(got.Rows), len(entrants))
	}
	for i, r := range got.Rows {
		if r.Client != entrants[i].name || r.Delivered != 10 || r.Lost != 0 || r.Doubled == nil || *r.Doubled != 0 || r.Requests != 10 {
			t.Errorf("row is %+v", r)
		}
	}
	if n := strings.Count(stderr.String(), "10 delivered, 0 lost, 0 throttled\n"); n != len(entrants) {
		t.Errorf("%d plain lines of progress, expected %d:\n%s", n, len(entrants), &stderr)
	}
}

func TestTargetGetsTheHerdAndTheCredentials(t *testing.T) {
	const sid, token = "AC" + "ffffffffffffffffffffffffffffffff", "secret"
	srv := twiliotest.NewServer(twiliotest.Config{Credentials: map[string]string{sid: token}})
	defer srv.Close()
	getenv := func(key string) string {
		return map[string]string{"TWILIO_ACCOUNT_SID": sid, "TWILIO_AUTH_TOKEN": token}[key]
	}
	var stdout, stderr bytes.Buffer
	args := []string{"-target", srv.URL, "-clients", "pacer", "-n", "5", "-rate", "1000"}
	if code := run(t.Context(), args, getenv, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	messages := srv.Messages()
	if len(messages) != 5 {
		t.Fatalf("%d messages, expected 5", len(messages))
	}
	if m := messages[0]; m.Path != "/2010-04-01/Accounts/"+sid+"/Messages.json" || m.Method != http.MethodPost {
		t.Errorf("request is %s %s", m.Method, m.Path)
	}
	if strings.Contains(stdout.String()+stderr.String(), token) {
		t.Error("the output has the token")
	}
	if fields := strings.Fields(tableLine(stdout.String(), "pacer")); len(fields) < 4 || fields[3] != "-" {
		t.Errorf("doubled is not -:\n%s", &stdout)
	}
}

func tableLine(table, client string) string {
	for l := range strings.Lines(table) {
		if strings.HasPrefix(l, "  "+client+" ") {
			return l
		}
	}
	return ""
}

func TestTimeoutEndsTheHerd(t *testing.T) {
	for _, e := range entrants {
		if e.name == "twilio-go" || e.name == "node-autoretry" {
			continue // they are done too early
		}
		var stdout, stderr bytes.Buffer
		args := []string{"-clients", e.name, "-n", "100", "-rate", "1", "-scenarios", "strict", "-timeout", "200ms"}
		if code := run(t.Context(), args, noEnv, &stdout, &stderr); code != cmdline.Failed {
			t.Errorf("%s: exit code %d, expected %d", e.name, code, cmdline.Failed)
		}
		if want := "herd: strict, " + e.name + ": not finished after 200ms: raise -timeout, or lower -n\n"; !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("%s: stderr is %q, expected %q at its end", e.name, &stderr, want)
		}
	}
}

func TestCheckFailsLoudly(t *testing.T) {
	// Every answer is 502, so that everything is lost.
	defer func(old []scenario) { scenarios = old }(scenarios)
	scenarios = []scenario{scenarios[0]}
	scenarios[0].open = func(*options, func(string) string) *server {
		return &server{
			transport: statuses{http.StatusBadGateway}.in(t),
			user:      twiliotest.AccountSid, password: twiliotest.AuthToken,
			doubled: func() *int { n := 0; return &n }, close: func() {},
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-check", "-clients", "pacer", "-n", "3", "-rate", "1000"}, noEnv, &stdout, &stderr); code != cmdline.Failed {
		t.Errorf("exit code %d, expected %d", code, cmdline.Failed)
	}
	if want := "herd: missed: sliding-window: pacer: 3 lost, expected 0\n"; !strings.Contains(stderr.String(), want) {
		t.Errorf("stderr is %q, expected %q in it", &stderr, want)
	}
}
