package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/dashboard"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

var screenshots = flag.String("screenshots", "", "a folder for pictures of the dashboard's pages")

// browserFolder has the program that drives a browser, and what it needs from npm.
const browserFolder = "internal/browser"

// needBrowser skips the test where there is no browser. CI must have one.
func needBrowser(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts a browser")
	}
	missing := ""
	for _, program := range []string{"chromium", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = "apt-get install chromium nodejs npm"
		}
	}
	if _, err := os.Stat(filepath.Join(browserFolder, "node_modules", "axe-core")); err != nil && missing == "" {
		missing = "npm ci --ignore-scripts --prefix cmd/pacer/" + browserFolder
	}
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatal("no browser: " + missing)
	default:
		t.Skip("no browser: " + missing)
	}
}

// page is what a scene's dashboard is made of.
type page struct {
	q       *queue.Queue
	client  *pacer.Client
	through func(http.Handler) http.Handler // what stands before the dashboard; nil: nothing
	url     string
}

func openPage(t *testing.T) page {
	t.Helper()
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	return openPageOn(t, e)
}

func openPageOn(t *testing.T, e queue.Engine) page {
	t.Helper()
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: token},
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 20}, {Resource: pacer.Messages, Sender: "+15005550006", Rate: 2}}))
	if err != nil {
		t.Fatal(err)
	}
	return page{q: q, client: client}
}

// serve starts the dashboard, when all that it is to show is there.
func (p *page) serve(t *testing.T) {
	t.Helper()
	limits := written(t, "limits.json", `[{"resource": "Messages", "rate": 10}, {"resource": "Messages", "sender": "+15005550006", "rate": 2}]`)
	d, err := dashboard.New(p.q, dashboard.WithLimits(p.client, "until the end of the test"), dashboard.WithLimitsFile(limits), dashboard.WithStats(p.client.Stats),
		dashboard.WithLog(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = d
	if p.through != nil {
		h = p.through(d)
	}
	s := httptest.NewServer(overheard(h))
	t.Cleanup(func() { d.Close(); s.Close() })
	p.url = s.URL
}

// drive has a browser do what a script says, and returns what it has measured.
func (p *page) drive(t *testing.T, script string, args ...string) (measured map[string]float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // a browser that hangs shall not hold up all other tests
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{script, p.url}, args...)...)
	cmd.Dir, cmd.WaitDelay = browserFolder, 10*time.Second
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &measured); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s %v: %s", script, args, out)
	return measured
}

// enqueue puts a campaign of n into the queue.
func (p *page) enqueue(t *testing.T, name, from string, n int) {
	t.Helper()
	c, err := p.q.Campaign(t.Context(), name, queue.CampaignOptions{Rate: 20})
	if err != nil {
		t.Fatal(err)
	}
	recipients := func(yield func(queue.Recipient) bool) {
		for i := range n {
			if !yield(queue.Recipient{ID: fmt.Sprintf("+1555%07d", i)}) {
				return
			}
		}
	}
	_, err = c.Enqueue(t.Context(), recipients, func(tw *twilio.RestClient, r queue.Recipient) error {
		params := &api.CreateMessageParams{}
		_, err := tw.Api.CreateMessage(params.SetTo(r.ID).SetFrom(from).SetBody(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes three campaigns and a hold. Of the jobs that it returns four are in doubt, two have failed, and four are sent.
func (p *page) fill(t *testing.T) []queue.Job {
	t.Helper()
	ctx, e := t.Context(), p.q.Engine()
	p.enqueue(t, "spring", "+15005550006", 30)
	lanes, _, err := e.Work(ctx)
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	jobs, err := e.Claim(ctx, queue.Claim{Lane: lanes[0].Lane, Max: 10, Lease: time.Minute})
	if err != nil || len(jobs) != 10 {
		t.Fatal(jobs, err)
	}
	for i, j := range jobs {
		m := queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, To: queue.InDoubt, Attempt: true, Outcome: &queue.Outcome{Reason: "no answer came for " + receiver}}
		switch {
		case i >= 6:
			m.To, m.Outcome = queue.Sent, &queue.Outcome{SID: fmt.Sprintf("SM%032d", i), Status: 201}
		case i >= 4:
			m.To, m.Outcome = queue.Failed, &queue.Outcome{Status: 400, Code: 21211, Reason: "invalid number " + receiver}
		}
		if err := e.Move(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	p.enqueue(t, "summer", "+15005550007", 20)
	p.enqueue(t, "winter", "+15005550008", 5)
	beat := fmt.Appendf(nil, `{"v": "1.0", "id": "gone", "host": "sender-1", "pid": 4711, "started": %q, "seen": %[1]q, "concurrency": 200, "onWire": 17, "pace": 19.5}`, time.Now().Add(-10*time.Minute).Format(time.RFC3339))
	must(t, e.Put(ctx, queue.HeartbeatPrefix+"00", beat, 0))
	if _, err := p.q.Hold(ctx, lanes[0].Lane.Resource, time.Hour); err != nil {
		t.Fatal(err)
	}
	return jobs
}

func TestDashboardInABrowserWithoutLanes(t *testing.T) {
	needBrowser(t)
	p := openPage(t)
	p.serve(t)
	p.drive(t, "check.js", "empty")
}

// Each button of each page does what it says.
func TestDashboardInABrowser(t *testing.T) {
	needBrowser(t)
	p := openPage(t)
	ctx, jobs := t.Context(), p.fill(t)
	p.serve(t)
	p.drive(t, "check.js", "small", *screenshots)

	for name, want := range map[string]queue.CampaignState{"spring": queue.CampaignRunning, "summer": queue.CampaignPaused, "winter": queue.CampaignCancelled} {
		c, err := p.q.FindCampaign(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Progress(ctx); err != nil || got.State != want || name == "spring" && got.Options.Rate != 7.5 {
			t.Errorf("%s: %s at %v, %v, expected %s", name, got.State, got.Options.Rate, err, want)
		}
	}
	var states []queue.State
	for _, j := range jobs[:5] {
		r, err := p.q.Result(ctx, j.ID)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, r.State)
	}
	if fmt.Sprint(states) != fmt.Sprint([]queue.State{queue.Sent, queue.Ready, queue.Cancelled, queue.InDoubt, queue.Ready}) {
		t.Error(states)
	}
	if holds, err := p.q.Holds(ctx); err != nil || len(holds) != 0 {
		t.Error(holds, err)
	}
	if l := p.client.Limits(); len(l) != 2 || l[0].Rate != 30 || l[1].Sender != "+15005550006" {
		t.Errorf("%+v", l)
	}
}
