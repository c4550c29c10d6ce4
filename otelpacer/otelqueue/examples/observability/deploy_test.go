package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/otelpacer/otelqueue/internal/dashboard"
)

const deploy = "../../../../deploy"

// tool returns the path of one of Prometheus's programs.
func tool(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	message := fmt.Sprintf("%s is not installed: apt-get install prometheus", name)
	if os.Getenv("CI") == "true" {
		t.Fatal(message + "; CI skips nothing")
	}
	t.Skip("SKIP: " + message)
	return ""
}

func TestPromtool(t *testing.T) {
	promtool := tool(t, "promtool")
	for _, args := range []string{"check config prometheus.yml", "check rules alerts.yml", "test rules alerts_test.yml"} {
		cmd := exec.Command(promtool, strings.Fields(args)...)
		cmd.Dir = deploy
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
}

// TestAgainstPrometheus runs the program, in trouble, under a real Prometheus: every
// query of the dashboard and every selector of the rules must find something, and the
// alert on throttling must fire. To take seconds it scrapes each half second, with a
// copy of the rules in which "for" is 2 s; their windows stay as they are.
func TestAgainstPrometheus(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a real Prometheus")
	}
	binary := tool(t, "prometheus")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // on a busy machine
	defer cancel()
	metrics, stop, err := start(ctx, time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); stop() }()
	target := httptest.NewServer(metrics)
	defer target.Close()
	prometheus := startPrometheus(ctx, t, binary, strings.TrimPrefix(target.URL, "http://"))

	missing := map[string]string{} // query: where it stands
	panels, err := dashboard.Read(filepath.Join(deploy, "grafana-dashboard.json"))
	if err != nil || len(panels) == 0 {
		t.Fatalf("%d panels, %v", len(panels), err)
	}
	for _, p := range panels {
		for _, target := range p.Targets {
			missing[target.Query(10*time.Second)] = "panel " + p.Title
		}
	}
	for selector, rule := range selectors(ctx, t, prometheus) {
		missing[selector] = "rule " + rule
	}
	t.Logf("%d queries", len(missing))

	fires := `ALERTS{alertname="PacerThrottled", alertstate="firing"}`
	missing[fires] = "alert"
	for len(missing) > 0 {
		for query := range missing {
			now := time.Now()
			found, err := prometheus.Range(ctx, query, now, now, time.Second)
			if err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				delete(missing, query)
			}
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			for query, where := range missing {
				t.Errorf("%s: no data: %s", where, query)
			}
			return
		}
	}
}

// selectors returns what the rules select, with the name of a rule that does.
func selectors(ctx context.Context, t *testing.T, prometheus dashboard.Prometheus) map[string]string {
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Query string }
		}
	}
	if err := prometheus.Get(ctx, "rules", nil, &rules); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			for _, s := range regexp.MustCompile(`\b(job:)?(pacer|http)_[a-z0-9_:]+(\{[^}]*\})?`).FindAllString(rule.Query, -1) {
				if !strings.HasPrefix(s, "pacer_resource") && !strings.HasPrefix(s, "pacer_reason") {
					found[s] = rule.Name
				}
			}
		}
	}
	if len(found) < 7 {
		t.Fatalf("only %d selectors found: %v", len(found), found)
	}
	return found
}

// startPrometheus runs a Prometheus with a copy of deploy until the test ends.
func startPrometheus(ctx context.Context, t *testing.T, binary, target string) dashboard.Prometheus {
	dir := t.TempDir()
	edit := func(file string, replace ...string) {
		data, err := os.ReadFile(filepath.Join(deploy, file))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for i := 0; i < len(replace); i += 2 {
			re := regexp.MustCompile(replace[i])
			if !re.MatchString(text) {
				t.Fatalf("%s has no %s", file, replace[i])
			}
			text = re.ReplaceAllString(text, replace[i+1])
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit("prometheus.yml", `127\.0\.0\.1:9464`, target, `(scrape|evaluation)_interval: 15s`, "${1}_interval: 500ms")
	edit("alerts.yml", `for: \d+m`, "for: 2s")

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	cmd := exec.Command(binary, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("prometheus: %s", log.String())
		}
	})

	prometheus := dashboard.Prometheus("http://" + addr)
	for prometheus.Get(ctx, "rules", nil, &struct{}{}) != nil {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-exited:
			t.Fatal("prometheus has ended")
		case <-ctx.Done():
			t.Fatal("prometheus does not answer")
		}
	}
	return prometheus
}
