package dashboard

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer"
)

func TestLimitsAreCheckedAndThenApplied(t *testing.T) {
	t.Parallel()
	s := open(t)
	page := decode[limitsPage](t, s.ok("GET", "/api/limits", ""))
	// Two senders that look alike can be told apart, and neither is shown.
	if !strings.Contains(page.Text, `"+1500•••0006"`) || !strings.Contains(page.Text, `"+1500•••0006 (2)"`) || page.Kept == "" || len(page.Defaults) == 0 {
		t.Errorf("%+v", page)
	}
	before := s.limits.Limits()
	post := func(text string, apply bool) limitsCheck {
		t.Helper()
		body := map[string]any{"text": text, "version": page.Version, "apply": apply}
		return decode[limitsCheck](t, s.ok("POST", "/api/limits", string(marshal(t, body))))
	}
	if c := post(page.Text, false); c.Error != "" || len(c.Changes) != 0 || c.Applied {
		t.Errorf("%+v", c)
	}
	if c := post(strings.Replace(page.Text, "Messages", "Mesages", 1), true); !strings.Contains(c.Error, "line 2") || c.Applied {
		t.Errorf("%+v", c)
	}
	if c := post(strings.Replace(page.Text, "0006 (2)", "0007", 1), true); !strings.Contains(c.Error, "line 4") || !strings.Contains(c.Error, "whole number") {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(s.limits.Limits(), before) {
		t.Error(s.limits.Limits())
	}
	edited := strings.Replace(page.Text, `"rate":20`, `"rate":30,"maxInFlight":5`, 1)
	edited = strings.Replace(edited, "\n]", ",\n  {\"resource\": \"Calls\", \"sender\": \"\", \"rate\": 3}\n]", 1)
	want := []string{"Messages: 20/s becomes 30/s, 5 in flight", "new: Calls, 3/s"}
	if c := post(edited, false); !slices.Equal(c.Changes, want) || c.Applied {
		t.Errorf("%+v", c)
	}
	if c := post(edited, true); !c.Applied || !slices.Equal(c.Changes, want) {
		t.Errorf("%+v", c)
	}
	now := pacer.Limits{{Resource: "Messages", Rate: 30, MaxInFlight: 5}, before[1], before[2], {Resource: "Calls", Rate: 3}}
	if !slices.Equal(s.limits.Limits(), now) {
		t.Errorf("%+v", s.limits.Limits())
	}
	// Somebody who had read the old ones does not overwrite the new ones.
	body := marshal(t, map[string]any{"text": page.Text, "version": page.Version, "apply": true})
	if w := s.do("POST", "/api/limits", string(body)); w.Code != http.StatusConflict {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	if !slices.Equal(s.limits.Limits(), now) || !strings.Contains(s.log.String(), "dashboard: limits") || strings.Contains(s.log.String(), sender) {
		t.Error(s.limits.Limits(), s.log.String())
	}
	if said := changes(now, before[:2]); !slices.Contains(said, "no longer: Messages +1500•••0006, 2/s") || !slices.Contains(said, "no longer: Calls, 3/s") {
		t.Error(said)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The page says what is in force and not in the file, and why the file is not taken.
func TestLimitsAreComparedWithTheirFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "limits.json")
	s := open(t, WithLimitsFile(path))
	beside := func(text string) *limitsFile {
		t.Helper()
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return decode[limitsPage](t, s.ok("GET", "/api/limits", "")).File
	}
	if f := beside(""); f.Error == "" || f.Changed != "" || f.Path != path {
		t.Errorf("gone: %+v", f)
	}
	text := string(marshal(t, s.limits.Limits()))
	if f := beside(text); f.Error != "" || len(f.Changes) != 0 || f.Changed == "" {
		t.Errorf("the same: %+v", f)
	}
	if f := beside(strings.Replace(text, "20", "25", 1)); f.Error != "" || !slices.Equal(f.Changes, []string{"Messages: 25/s becomes 20/s"}) {
		t.Errorf("different: %+v", f)
	}
	if f := beside(strings.Replace(text, "Messages", "Mesages", 1)); !strings.Contains(f.Error, "line 1") || strings.Contains(f.Error, sender) || len(f.Changes) != 0 {
		t.Errorf("wrong: %+v", f)
	}
	if _, err := New(s.q, WithLimitsFile(path)); err == nil {
		t.Error("a file without limits: expected an error")
	}
}
