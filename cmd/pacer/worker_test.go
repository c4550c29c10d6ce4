//go:build unix

package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

func TestConfigurationIsCheckedAsAWhole(t *testing.T) {
	c := defaultWorkerConfig()
	err := c.parse([]byte(`{
  "queue": "sqlite:q.db",
  "grace": "soon",
  "colour": "red",
  "concurrency": 0,
  "logFormat": "xml",
  "queue": "twice",
  "inDoubt": {"api/Mesages:create": "park"},
  "account": null
}
x`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"line 3: grace: expected a duration", "line 4: colour: not known: expected one of $schema, account,", "line 5: concurrency: expected a whole number",
		"line 6: logFormat: expected text or json", "line 7: queue: given twice", "line 8: inDoubt: ", "api/Messages:create", "line 9: account: null", "line 11: something follows",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	for text, want := range map[string]string{"": "line 1: expected an object", "[]": "expected an object", "{\n\"queue\"": "line 2", "{\"queue\": \"a\"": "does not end"} {
		if err := c.parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected an error with %q", text, err, want)
		}
	}
	c = defaultWorkerConfig()
	if err := c.parse([]byte(`{"grace": "5s", "retention": "0s", "inDoubt": {"*": "park", "api/Messages:create": "reconcile"}, "concurrency": 7}`)); err != nil ||
		c.Grace != 5*time.Second || c.Retention != 0 || c.Concurrency != 7 || c.InDoubt["*"] != queue.ParkInDoubt || c.Listen == "" {
		t.Errorf("%+v, %v", c, err)
	}
}

// The schema has the fields of the file, and their defaults.
func TestSchemaIsThatOfTheConfiguration(t *testing.T) {
	var schema struct {
		Properties map[string]struct {
			Type        string
			Description string
			Default     any
			Enum        []string
		}
	}
	if err := json.Unmarshal(workerSchema, &schema); err != nil {
		t.Fatal(err)
	}
	c := defaultWorkerConfig()
	fields := c.fields()
	if got, want := slices.Sorted(maps.Keys(schema.Properties)), names(fields); !slices.Equal(got, want) {
		t.Errorf("the schema has %v, the file has %v", got, want)
	}
	for name, p := range schema.Properties {
		if p.Description == "" {
			t.Errorf("%s has no description", name)
		}
		var want any
		switch v := fields[name].(type) {
		case *string:
			want = *v
		case *int:
			want = float64(*v)
		case *time.Duration:
			want = v.String()
		}
		if p.Default != nil && p.Default != want {
			t.Errorf("%s: default %v, expected %v", name, p.Default, want)
		}
	}
	if out := ok(t, "worker", "--schema"); out != string(workerSchema) {
		t.Error("worker --schema prints something else")
	}
}

func TestWorkerSaysWhatIsWrongBeforeItStarts(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "worker.json")
	if err := os.WriteFile(bad, []byte("{\n\"colour\": 1}"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, exitUsage, "line 2: colour", "worker", "--config", bad)
	fails(t, exitUsage, "PACER_QUEUE", "worker")
	fails(t, exitUsage, "log-level", "worker", "--log-level", "loud", "--queue", file(t))
	fails(t, exitUsage, "limits", "worker", "--queue", file(t), "--limits", filepath.Join(t.TempDir(), "none.json"), "--listen", "off")
}

// eventually waits for something that another goroutine or process does.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 3000 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("never: ", what)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	witness(string(body))
	return resp.StatusCode, string(body)
}

// The daemon in this process: it sends, serves, reads limits again, and drains.
func TestWorkerSendsServesAndDrains(t *testing.T) {
	fake, url := server(t, twiliotest.Config{})
	q, dir := file(t), t.TempDir()
	limits, config, address := filepath.Join(dir, "limits.json"), filepath.Join(dir, "worker.json"), freeAddress(t)
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(limits, `[{"resource": "Messages", "rate": 50}]`)
	write(config, `{"queue": "`+q+`", "baseURL": "`+url+`", "limitsFile": "`+limits+`", "listen": "`+address+`", "grace": "1s", "logFormat": "json"}`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log buffer
	ended := make(chan int)
	go func() { ended <- run(ctx, []string{"worker", "--config", config}, nil, io.Discard, &log) }()
	eventually(t, "ready", func() bool { code, _ := get(t, "http://"+address+"/readyz"); return code == http.StatusOK })
	if code, _ := get(t, "http://"+address+"/healthz"); code != http.StatusOK {
		t.Error("healthz: ", code)
	}
	s := decode[sent](t, ok(t, "send", "--json", "--queue", q, "--to", receiver, "--from", "+15005550006", "--body", text, "--wait", "30s"))
	if s.State != queue.Sent || s.SID == "" || len(fake.Messages()) != 1 {
		t.Error(s)
	}
	if code, metrics := get(t, "http://"+address+"/metrics"); code != http.StatusOK || !strings.Contains(metrics, "pacer_queue_workers") || !strings.Contains(metrics, "pacer_queue_alerts_total") || strings.Contains(metrics, receiver) {
		t.Error("metrics: ", code)
	}
	write(limits, `[{"resource": "Messages", "rate": "fast"}]`)
	hangUp(t)
	eventually(t, "refused limits are logged", func() bool { return strings.Contains(log.String(), "the limits stay as they were") })
	write(limits, `[{"resource": "Messages", "rate": 60}, {"resource": "Calls", "rate": 1}]`)
	hangUp(t)
	eventually(t, "limits are read again", func() bool { return strings.Contains(log.String(), "limits read again") })
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d", code)
	}
	said := log.String()
	for _, want := range []string{`"msg":"pacer worker: starts"`, `"rules":1`, `"limits":"` + limits, `"msg":"pacer worker: stops`, "has ended"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log lacks %s: %s", want, said)
		}
	}
	for _, secret := range []string{receiver, text, token} {
		if strings.Contains(said, secret) {
			t.Errorf("the log has %s: %s", secret, said)
		}
	}
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// daemon starts the worker in a process of its own, which ends with the test at the latest. It returns its log, too.
func daemon(t *testing.T, args ...string) (*exec.Cmd, *buffer) {
	t.Helper()
	cmd, log := exec.Command(os.Args[0], append([]string{"worker"}, args...)...), new(buffer)
	// The tests themselves may run with another GOGC, with which a process takes more memory than at an operator's.
	cmd.Env = append(os.Environ(), asProgram+"=1", "GOGC=100")
	cmd.Stderr = log
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, log
}

// The daemon in a process of its own, with a request that hangs: SIGTERM waits for it, a second one does not.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	fake, url := server(t, twiliotest.Config{Latency: time.Hour})
	q, address := file(t), freeAddress(t)
	ok(t, "send", "--queue", q, "--to", receiver, "--from", "+15005550006", "--body", text)
	cmd, log := daemon(t, "--queue", q, "--base-url", url, "--listen", address, "--grace", "1h")
	eventually(t, "the request is on the wire", func() bool { return fake.Stats().Received == 1 })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it drains", func() bool {
		code, body := get(t, "http://"+address+"/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "stops")
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(log.String(), "stopped at once") {
		t.Error(err, log.String())
	}
}

func TestSystemdIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "20000")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	_, url := server(t, twiliotest.Config{})
	var log buffer
	go func() {
		ended <- run(ctx, []string{"worker", "--queue", file(t), "--base-url", url, "--listen", "off"}, nil, io.Discard, &log)
	}()
	told := map[string]bool{}
	for !told["STOPPING=1"] {
		text := make([]byte, 100)
		n, err := l.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		if told[string(text[:n])] = true; told["READY=1"] && told["WATCHDOG=1"] {
			stop()
		}
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Error(code, log.String())
	}
}
