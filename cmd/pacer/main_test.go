package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer/queue/engineurl"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// asProgram is set in the processes of this test program that are to be the command itself.
const asProgram = "PACER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	for _, name := range []string{"PACER_QUEUE", "PACER_SHARE", "PACER_BASE_URL", "PACER_LIMITS", "PACER_LIMITS_FILE"} {
		_ = os.Unsetenv(name)
	}
	_ = os.Setenv("TWILIO_ACCOUNT_SID", twiliotest.AccountSid)
	_ = os.Setenv("TWILIO_AUTH_TOKEN", token)
	os.Exit(max(m.Run(), silence()))
}

// A printed is what one command line has printed.
type printed struct {
	code     int
	out, err string
}

const (
	receiver = "+15555550123"
	text     = "your code is 4711"
	token    = "feedfacefeedfacefeedfacefeedface" // the fake takes any
)

// do runs a command line. Whatever it prints has no control characters, no number and no text.
func do(t *testing.T, args ...string) printed {
	t.Helper()
	return doIn(t.Context(), t, "", args...)
}

func doIn(ctx context.Context, t *testing.T, in string, args ...string) printed {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(ctx, args, strings.NewReader(in), &out, &errs)
	p := printed{code, out.String(), errs.String()}
	all := p.out + p.err
	if !shows(args) {
		witness(all)
	}
	if strings.ContainsFunc(all, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
		t.Errorf("%q prints control characters: %q", args, all)
	}
	for _, secret := range []string{receiver, text, token} {
		if strings.Contains(all, secret) && !slices.Contains(args, "--reveal") {
			t.Errorf("%q prints %q: %s", args, secret, all)
		}
	}
	return p
}

// ok runs a command line that must succeed, and returns what it has printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	p := do(t, args...)
	if p.code != exitDone {
		t.Fatalf("%q: exit code %d: %s", args, p.code, p.err)
	}
	return p.out
}

// fails runs a command line that must end with a code, and with an error that has some words.
func fails(t *testing.T, code int, words string, args ...string) {
	t.Helper()
	if p := do(t, args...); p.code != code || !strings.Contains(p.err, words) {
		t.Errorf("%q: exit code %d, expected %d, and an error with %q: %s", args, p.code, code, words, p.err)
	}
}

// decode reads the one JSON value that a command has printed. A field that v lacks is an error.
func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if d.More() {
		t.Fatalf("more than one JSON value: %s", text)
	}
	return v
}

// A buffer that may be written and read at the same time. What is written is witnessed, unless it may have numbers.
type buffer struct {
	numbers bool
	mu      sync.Mutex
	b       bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	if !b.numbers {
		witness(string(p))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// file returns the address of a queue in a new file.
func file(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "queue.db") }

// makeQueue makes an empty queue.
func makeQueue(t *testing.T, address string) {
	t.Helper()
	e, err := engineurl.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// server is a fake Twilio on loopback.
func server(t *testing.T, cfg twiliotest.Config) (*twiliotest.Fake, string) {
	t.Helper()
	fake := twiliotest.New(cfg)
	s := httptest.NewServer(fake)
	t.Cleanup(s.Close)
	return fake, s.URL
}

// each calls f for a command and for all below it.
func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, below := range c.Commands() {
		each(below, f)
	}
}

func TestEveryCommandTeaches(t *testing.T) {
	each((&app{}).root(), func(c *cobra.Command) {
		if c.Short == "" || !strings.Contains(c.Example, "pacer") {
			t.Errorf("%s: expected a line that says what it does, and an example", c.CommandPath())
		}
		p := do(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if p.code != exitDone || !strings.Contains(p.out, c.Example) || p.err != "" {
			t.Errorf("%s --help: exit code %d, %s", c.CommandPath(), p.code, p.err)
		}
	})
}

// The lines of the examples name commands and flags that there are.
func TestExamplesNameWhatThereIs(t *testing.T) {
	flag := regexp.MustCompile(`--[a-z-]+`)
	each((&app{}).root(), func(c *cobra.Command) {
		for _, line := range strings.Split(strings.ReplaceAll(c.Example, "\\\n", ""), "\n") {
			_, words, found := strings.Cut(" "+line, " pacer ")
			if !found {
				continue
			}
			named, _, err := c.Root().Find(strings.Fields(words))
			if err != nil || named == c.Root() && words != "help" {
				t.Errorf("%s: no such command: %s", c.CommandPath(), line)
				continue
			}
			named.InitDefaultHelpFlag()
			for _, name := range flag.FindAllString(words, -1) {
				if named.Flags().Lookup(name[2:]) == nil && named.InheritedFlags().Lookup(name[2:]) == nil {
					t.Errorf("%s: %s has no flag %s", c.CommandPath(), named.CommandPath(), name)
				}
			}
		}
	})
}

func TestUsedWronglyIsExitCode2(t *testing.T) {
	fails(t, exitUsage, "unknown command", "sned")
	fails(t, exitUsage, "unknown flag", "version", "--no-such-flag")
	fails(t, exitUsage, "expected 0", "version", "now")
	fails(t, exitUsage, "PACER_QUEUE", "send", "--to", receiver, "--from", receiver, "--body", text)
	fails(t, exitUsage, "the scheme is not known", "send", "--queue", "file:q.db", "--to", receiver, "--from", receiver, "--body", text)
	fails(t, exitUsage, "expected --to", "send")
	fails(t, exitUsage, "--from and --messaging-service", "send", "--to", receiver, "--body", text)
	fails(t, exitUsage, "--now has no queue", "send", "--now", "--key", "k", "--to", receiver, "--from", receiver, "--body", text)
	fails(t, exitUsage, "high, normal or low", "send", "--queue", file(t), "--priority", "urgent", "--to", receiver, "--from", receiver, "--body", text)
	fails(t, exitUsage, "shares from 0 to 1", "fake", "--errors", "2")
	fails(t, exitUsage, "no Redis", "send", "--now", "--share", "sqlite:q.db", "--to", receiver, "--from", receiver, "--body", text)
	if p := do(t); p.code != exitDone || !strings.Contains(p.out, "Exit codes") {
		t.Error(p)
	}
}

func TestVersion(t *testing.T) {
	if v := decode[versionInfo](t, ok(t, "version", "--json")); v.Version == "" || v.Go == "" {
		t.Error(v)
	}
	if out := ok(t, "version"); !strings.HasPrefix(out, "pacer ") {
		t.Error(out)
	}
}

func TestCompletionIsMade(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, nil, &out, &out); code != exitDone || out.Len() < 1000 {
			t.Errorf("%s: exit code %d, %d bytes", shell, code, out.Len())
		}
	}
}
