//go:build unix

package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
	"github.com/twilio-pacer/pacer/twiliotest"
)

const (
	key       = "SK0123456789abcdef0123456789abcdef"
	keySecret = "c0ffeec0ffeec0ffeec0ffeec0ffee00"
)

// The daemon's credentials are replaced in their file. Twilio refuses one, cannot be asked about another, and takes a third.
func TestCredentialsAreRotatedWhileTheWorkerRuns(t *testing.T) {
	fake := twiliotest.New(twiliotest.Config{Credentials: map[string]string{twiliotest.AccountSid: token, key: keySecret}})
	var away atomic.Bool
	var user atomic.Value // who has sent the last message
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() && r.Method == http.MethodGet {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if name, _, _ := r.BasicAuth(); r.Method == http.MethodPost {
			user.Store(name)
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	q, path, address := file(t), filepath.Join(t.TempDir(), "token"), freeAddress(t)
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(token + "\n")
	t.Setenv("TWILIO_AUTH_TOKEN", "")
	t.Setenv("PACER_CREDENTIALS_FILE", path)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log buffer
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"worker", "--queue", q, "--base-url", s.URL, "--listen", address, "--grace", "1s"}, nil, io.Discard, &log)
	}()
	logged := func(words string) {
		t.Helper()
		eventually(t, words, func() bool { return strings.Contains(log.String(), words) })
	}
	sends := func(as string) {
		t.Helper()
		sent := decode[sent](t, ok(t, "send", "--json", "--queue", q, "--to", receiver, "--from", "+15005550006", "--body", text, "--wait", "30s"))
		if sent.State != queue.Sent || user.Load() != as {
			t.Errorf("%+v, sent as %v, expected %s", sent, user.Load(), as)
		}
	}
	logged("pacer worker: starts")
	sends(twiliotest.AccountSid)
	eventually(t, "a heartbeat that names the file", func() bool {
		e, err := engineurl.Open(ctx, q)
		if err != nil {
			return false
		}
		all, err := queue.Open(e)
		if err != nil {
			return false
		}
		defer all.Close()
		workers, err := all.Workers(ctx)
		return err == nil && len(workers) == 1 && workers[0].CredentialsFrom == path
	})
	write("one two three")
	logged("expected the auth token alone")
	write(key + " wrong" + keySecret)
	logged("not taken by Twilio")
	away.Store(true)
	write(key + "\n" + keySecret + "\n")
	logged("cannot be asked about them now")
	sends(twiliotest.AccountSid)
	away.Store(false)
	hangUp(t)
	logged("new credentials are in force")
	sends(key)
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, log.String())
	}
	for _, secret := range []string{token, keySecret, receiver, text} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %s: %s", secret, log.String())
		}
	}
	if said := log.String(); !strings.Contains(said, "credentials="+path) || !strings.Contains(said, "lanes=0 ready=0") {
		t.Errorf("the log does not say with what the worker began: %s", said)
	}
}

// Each wrong token is told, also if the error is that of the one before, until one is taken.
func TestEachWrongTokenIsTold(t *testing.T) {
	fake := httptest.NewServer(twiliotest.New(twiliotest.Config{Credentials: map[string]string{twiliotest.AccountSid: token}}))
	t.Cleanup(fake.Close)
	path := written(t, "token", "the first one")
	e, err := engineurl.Open(t.Context(), file(t))
	must(t, err)
	q, err := queue.Open(e)
	must(t, err)
	t.Cleanup(func() { must(t, q.Close()) })
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: "before"})
	must(t, err)
	var told []queue.Refusal
	var log buffer
	r := &rotation{a: &app{account: twiliotest.AccountSid, baseURL: fake.URL}, path: path, client: client, q: q, log: slog.New(slog.NewTextHandler(&log, nil)), refuse: func(r queue.Refusal) { told = append(told, r) }}
	for _, content := range []string{"wrong", "wrong", "wrongtoo", token} {
		must(t, os.WriteFile(path, []byte(content), 0o600))
		r.look(t.Context())
	}
	if len(told) != 3 || told[0].From != path || told[0].Time.IsZero() || !told[1].Time.After(told[0].Time) || told[1].Why != "they are not taken by Twilio (code 20003)" || told[2].Why != "" {
		t.Errorf("%+v", told)
	}
	if n := strings.Count(log.String(), "stay as they were"); n != 2 || strings.Contains(log.String()+told[1].Why, "wrong") {
		t.Errorf("logged %d times: %s", n, log.String())
	}
}

func TestAFileOfLimitsThatIsWrongIsTold(t *testing.T) {
	path := written(t, "limits.json", `[{"resource": "Messages", "rate": 1}]`)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		told := make(chan queue.Refusal, 10)
		write := func(text string) queue.Refusal {
			must(t, os.WriteFile(path, []byte(text), 0o600))
			must(t, os.Chtimes(path, time.Now(), time.Now()))
			time.Sleep(6 * time.Second)
			select {
			case r := <-told:
				return r
			default:
				return queue.Refusal{}
			}
		}
		go (&app{limitsFile: path}).checkLimits(ctx, func(r queue.Refusal) { told <- r })
		time.Sleep(time.Second) // so that nobody reads it while it is written
		write(`[{"resource": "Messages", "rate": 2}]`)
		began := time.Now()
		if r := write(`[{"resource": "Mesages", "rate": 2}]`); r.From != path || !r.Time.Equal(began) || !strings.Contains(r.Why, "line 1") {
			t.Errorf("%+v", r)
		}
		if r := write(`[{"resource": "Messages", "rate": 3}]`); r != (queue.Refusal{What: "limits"}) {
			t.Errorf("%+v", r)
		}
		if r := write(`[{"resource": "Messages", "rate": 4}]`); r != (queue.Refusal{}) {
			t.Errorf("%+v: expected that it is told once", r)
		}
		stop()
	})
}

func TestCredentialsFileErrorsShowNothingOfIt(t *testing.T) {
	for _, content := range []string{"", "a " + keySecret + " c", strings.Repeat(keySecret, 200)} {
		t.Setenv("PACER_CREDENTIALS_FILE", written(t, "token", content))
		p := do(t, "send", "--now", "--to", receiver, "--from", "+15005550006", "--body", text)
		if p.code != exitUsage || !strings.Contains(p.err, "no credentials") || strings.Contains(p.err, keySecret) {
			t.Error(p)
		}
	}
}

func TestLimitsAreShownInOneLine(t *testing.T) {
	limits := pacer.Limits{{Resource: "*", MaxInFlight: 40}, {Resource: "Messages", Sender: receiver, Rate: 0.5}, {Resource: "Calls", Op: "*", Rate: pacer.Unlimited}}
	if got, want := shownLimits(limits), "* 40 in flight, Messages from +1555•••0123 0.5/s, Calls:* unlimited"; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	if got := shownLimits(make(pacer.Limits, 25)); !strings.HasSuffix(got, ", and 5 more") {
		t.Error(got)
	}
}

// still is a store that is only looked at.
type still struct {
	queue.Engine
	departed int64
}

func (s *still) Now(context.Context) (time.Time, error) { return time.Now(), nil }
func (s *still) Stats(context.Context) ([]queue.LaneStats, error) {
	s.departed += 7
	return []queue.LaneStats{{Ready: 3, Sending: 1, Departed: s.departed, Oldest: time.Now().Add(-time.Hour)}}, nil
}

func TestWorkerLogsOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, err := queue.Open(&still{}, queue.WithAccount(twiliotest.AccountSid))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute+time.Second)
		defer stop()
		var log buffer
		minutely(ctx, q, slog.New(slog.NewTextHandler(&log, nil)))
		if said := log.String(); strings.Count(said, "\n") != 3 || strings.Count(said, "ready=3 delayed=0 sending=1 in_doubt=0 finished=7 lanes=1 oldest=1h0m0s") != 3 {
			t.Error(said)
		}
	})
}
