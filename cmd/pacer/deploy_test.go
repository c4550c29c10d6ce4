package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
)

func deployed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whoever stops the worker has to wait for the grace period and 5 s. No default of theirs is as long.
func TestManifestsWaitForTheGracePeriod(t *testing.T) {
	if defaultWorkerConfig().Grace != 35*time.Second {
		t.Error("the grace period has changed: change the manifests and this test")
	}
	for name, want := range map[string]string{
		"Dockerfile": "--stop-timeout 40", "compose.yaml": "stop_grace_period: 40s", "pacer.service": "TimeoutStopSec=40",
		"kubernetes/worker.yaml": "terminationGracePeriodSeconds: 40",
	} {
		if !strings.Contains(deployed(t, name), want) {
			t.Errorf("%s lacks %q", name, want)
		}
	}
}

// block returns a text of a ConfigMap.
func block(t *testing.T, text, key string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n  "+key+": |\n")
	if !found {
		t.Fatalf("no %s", key)
	}
	var lines []string
	for line := range strings.SplitSeq(rest, "\n") {
		if !strings.HasPrefix(line, "    ") {
			break
		}
		lines = append(lines, line[4:])
	}
	return strings.Join(lines, "\n")
}

func TestKubernetesHasAConfigurationThatTheWorkerTakes(t *testing.T) {
	text := deployed(t, "kubernetes/worker.yaml")
	c := defaultWorkerConfig()
	if err := c.parse([]byte(block(t, text, "worker.json"))); err != nil {
		t.Error(err)
	}
	if limits, err := pacer.ParseLimits([]byte(block(t, text, "limits.json"))); err != nil || len(limits) == 0 {
		t.Error(limits, err)
	}
}

func TestUnitIsVerifiedBySystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIP: systemd-analyze is not installed: apt-get install systemd")
	}
	unit := filepath.Join(t.TempDir(), "pacer.service") // with a program that is there
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(deployed(t, "pacer.service"), "/usr/local/bin/pacer ", "/bin/true ")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// The table of docs/operating.md has each field of the worker's file.
func TestManualKnowsTheWorkersSettings(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	c := defaultWorkerConfig()
	for _, name := range names(c.fields()) {
		if name != "$schema" && !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/operating.md does not name the field %s", name)
		}
	}
}

// Every command that the manual names is one.
func TestManualNamesCommandsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, part := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '`' || r == '\n' }) {
		words, found := strings.CutPrefix(part, "pacer ")
		if !found {
			continue
		}
		n++
		root := (&app{}).root()
		root.InitDefaultCompletionCmd()
		c, _, err := root.Find(strings.Fields(words))
		if err != nil || c == root {
			t.Errorf("docs/operating.md: no such command: %s", part)
		}
	}
	if n < 15 {
		t.Errorf("%d commands, expected more", n)
	}
}
