package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

func findingOf(t *testing.T, all []finding, check string) finding {
	t.Helper()
	i := slices.IndexFunc(all, func(f finding) bool { return f.Check == check })
	if i < 0 {
		t.Fatalf("no finding about %s: %+v", check, all)
	}
	return all[i]
}

func TestDoctor(t *testing.T) {
	fake, url := server(t, twiliotest.Config{})
	q := startCampaign(t)
	args := []string{"doctor", "--json", "--queue", q, "--base-url", url}
	all := decode[[]finding](t, ok(t, args...))
	for _, check := range []string{"version", "file", "queue", "clock", "credentials"} {
		if f := findingOf(t, all, check); f.Result != fine {
			t.Errorf("%+v", f)
		}
	}
	if f := findingOf(t, all, "limits"); f.Result != warning {
		t.Errorf("%+v", f)
	}
	if out := ok(t, "doctor", "--offline"); !strings.Contains(out, "skipped") {
		t.Error(out)
	}
	path := strings.TrimPrefix(q, "sqlite:")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	fake.Suspend(twiliotest.AccountSid, twiliotest.Suspension{})
	p := do(t, args...)
	all = decode[[]finding](t, p.out)
	if p.code != exitPerson || findingOf(t, all, "file").Result != warning || findingOf(t, all, "credentials").Result != bad {
		t.Errorf("%d: %+v", p.code, all)
	}
	p = do(t, "doctor", "--offline", "--json", "--queue", "redis://:geheim@127.0.0.1:1", "--limits", "none.json")
	all = decode[[]finding](t, p.out)
	if p.code != exitPerson || findingOf(t, all, "queue").Result != bad || findingOf(t, all, "limits").Result != bad || strings.Contains(p.out+p.err, "geheim") {
		t.Errorf("%d: %+v", p.code, all)
	}
	if f := examineClock(time.Hour); f.Result != bad || !strings.Contains(f.Text, "1h0m0s") {
		t.Errorf("%+v", f)
	}
}
