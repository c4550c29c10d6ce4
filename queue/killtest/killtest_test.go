package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// The children of a test are this test's program.
func TestMain(m *testing.M) {
	if task, ok := os.LookupEnv(childEnv); ok {
		if err := child(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// killed runs the test as a command with few kills. It must find nothing wrong.
func killed(t *testing.T, flags ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts and kills processes, for 20 s")
	}
	var stdout, stderr strings.Builder
	if code := command(t.Context(), append([]string{"-kills", "5", "-messages", "200"}, flags...), &stdout, &stderr); code != 0 {
		t.Errorf("exit code %d\n%s\n%s", code, &stdout, &stderr)
	}
}

func TestKill(t *testing.T) { killed(t) }

func TestKillBehindProxy(t *testing.T) { killed(t, "-kills", "12", "-proxy") }

func TestKillBehindGateway(t *testing.T) { killed(t, "-kills", "12", "-gateway") }

func TestKillWithClockAhead(t *testing.T) { killed(t, "-clock", "10s") }

func TestKillWithClockBehind(t *testing.T) { killed(t, "-clock", "-10s", "-clockstays") }

func TestKillWithEverything(t *testing.T) {
	killed(t, "-kills", "12", "-proxy", "-gateway", "-clock", "10s")
}

func TestKillSQS(t *testing.T) {
	sqstest.Need(t)
	killed(t, "-engine", "sqs")
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"-engine paper": `-engine "paper": expected one of`,
		"-kills -1":     "-kills -1: expected 0",
		"-messages 0":   "-messages 0: expected 1",
		"fast":          `"fast": expected only flags`,
		"-clock 2h":     "-clock 2h0m0s: expected -1h to 1h",
		"-clockstays":   "-clockstays: expected with -clock",

		"-worker no/such/pacer":         `-worker: exec: "no/such/pacer":`,
		"-worker /bin/true -proxy":      "-worker: expected without -proxy",
		"-worker /bin/true -engine sqs": `-worker: expected with -engine sqlite or redis, and not with "sqs"`,
		"-pause -proxy":                 "-pause measures an undisturbed pace: expected without -proxy",
	} {
		var stdout, stderr strings.Builder
		if code := command(t.Context(), strings.Fields(args), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %q, want 2 and %q", args, code, &stderr, want)
		}
	}
}

func TestLogOfPacerWorkerIsUnderstood(t *testing.T) {
	for line, want := range map[string]string{
		`{"level":"INFO","msg":"pacer worker: starts","version":"v1"}`:     saysUp,
		`{"level":"ERROR","msg":"pacer queue: in doubt","error":"x"}`:      saysAlert + "in doubt",
		`{"level":"INFO","msg":"pacer queue: the store answers again"}`:    "",
		`{"level":"INFO","msg":"pacer worker: stops; a second signal..."}`: "",
		"panic: no JSON": "",
	} {
		if got := saidBy(line); got != want {
			t.Errorf("%s: %q, expected %q", line, got, want)
		}
	}
}

// A run that takes too long, or is interrupted, has failed and says so.
func TestTimeout(t *testing.T) {
	var stdout, stderr strings.Builder
	code := command(t.Context(), []string{"-kills", "1000", "-timeout", "300ms"}, &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "has not ended within 300ms") {
		t.Errorf("timeout: exit code %d, %s", code, &stderr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stderr.Reset()
	if code := command(ctx, []string{"-kills", "1000"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "could not be done") {
		t.Errorf("interrupted: exit code %d, %s", code, &stderr)
	}
}

func TestReport(t *testing.T) {
	rep := report{Messages: 2, Seed: 7, Wrong: map[fault][]string{lost: {"message 1 (no such job)"}}}
	var b strings.Builder
	if err := rep.print(&b, false); err != nil || !strings.Contains(b.String(), "message 1 (no such job)") {
		t.Errorf("%v\n%s", err, &b)
	}
	b.Reset()
	if err := rep.print(&b, true); err != nil || !strings.Contains(b.String(), `"lost": [`) {
		t.Errorf("%v\n%s", err, &b)
	}
	if got := generalized("Twilio has one: SM" + strings.Repeat("0", 32) + " for +15550001234"); got != "Twilio has one: SM... for +***" {
		t.Error(got)
	}
}

// nowhere is an engine that keeps what is added, and can do nothing else.
type nowhere struct {
	queue.Engine
	jobs []queue.Job
}

func (e *nowhere) Add(_ context.Context, jobs []queue.Job) ([]queue.Added, error) {
	e.jobs = append(e.jobs, jobs...)
	return make([]queue.Added, len(jobs)), nil
}

// captured is the form of request n as the queue keeps it.
func captured(t *testing.T, n int) url.Values {
	t.Helper()
	e := &nowhere{}
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	for item := range items(n, n+1) {
		if _, err := q.Enqueue(t.Context(), item.Build, item.Options...); err != nil {
			t.Fatal(err)
		}
	}
	return e.jobs[0].Request.Form
}
