//go:build unix

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// The worker serves its dashboard beside /healthz, and says where.
func TestWorkerServesTheDashboard(t *testing.T) {
	_, url := server(t, twiliotest.Config{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"worker", "--queue", file(t), "--base-url", url, "--listen", "127.0.0.1:0", "--log-format", "json"}, nil, io.Discard, &log)
	}()
	var at string
	eventually(t, "the first line of the log", func() bool {
		found := regexp.MustCompile(`"dashboard":"(http[^"]*)"`).FindStringSubmatch(log.String())
		if found != nil {
			at = found[1]
		}
		return found != nil
	})
	if !strings.HasSuffix(at, "/dashboard/") {
		t.Fatal(at)
	}
	get := func(target string) string {
		r, err := http.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v: %s", target, r.StatusCode, err, body)
		}
		witness(string(body))
		return string(body)
	}
	if page := get(strings.TrimSuffix(at, "dashboard/")); !strings.Contains(page, `id="main"`) {
		t.Error(page)
	}
	eventually(t, "the worker on its dashboard", func() bool {
		var workers []struct{ Alive bool }
		if err := json.Unmarshal([]byte(get(at+"api/workers")), &workers); err != nil {
			t.Fatal(err)
		}
		return len(workers) == 1 && workers[0].Alive
	})
	stop()
	if code := <-ended; code != exitDone {
		t.Error(code, log.String())
	}
}

func TestDashboardNeedsATokenWhereOthersReachIt(t *testing.T) {
	t.Setenv("PACER_DASHBOARD_TOKEN", "")
	fails(t, exitUsage, "expected a token", "worker", "--queue", file(t), "--listen", "off", "--dashboard", ":0")
	t.Setenv("PACER_DASHBOARD_TOKEN", "short")
	fails(t, exitFailed, "at least 16", "worker", "--queue", file(t), "--listen", "off", "--dashboard", "127.0.0.1:0")
}
