package pacer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

const (
	fast = `[{"resource": "Messages", "rate": 10}]`
	slow = `{"limits": [{"resource": "Messages", "rate": 0.01}]}`
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes text to another file and renames it over path, as editors do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// alertLog collects alerts.
type alertLog struct {
	mu  sync.Mutex
	all []Alert
}

func (l *alertLog) option() Option {
	return WithAlert(func(a Alert) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, a)
	})
}

// take returns the alerts since it was last called.
func (l *alertLog) take() []Alert {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

func TestLoadLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, goodLimits)
	want, _ := ParseLimits([]byte(goodLimits))
	if got, err := LoadLimits(path); err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	// The largest that is taken.
	write(t, path, fast+strings.Repeat(" ", maxLimitsText-len(fast)))
	if got, err := LoadLimits(path); err != nil || len(got) != 1 {
		t.Errorf("1 MiB: %v, %v", got, err)
	}
}

func TestLoadLimitsErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "limits.json")
	fails := func(path string, words ...string) error {
		t.Helper()
		limits, err := LoadLimits(path)
		if limits != nil {
			t.Errorf("limits beside the error: %v", limits)
		}
		wantWords(t, err, append(words, "pacer: limits file", path, "expected")...)
		return err
	}
	if err := fails(path, "no such file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	fails(dir, "regular file")
	if err := syscall.Mkfifo(path, 0o600); err == nil { // opening it would take for ever
		fails(path, "regular file")
		try(t, os.Remove(path))
	}
	write(t, path, "[\n{\"resource\": \"Messages\", \"rate\": 1},\n{\"resource\": \"Calls\",\n\"rate\": -1}\n]")
	fails(path, path+", line 4: limits[1].rate: -1: expected requests per second above 0")
	write(t, path, fast+strings.Repeat(" ", maxLimitsText-len(fast)+1))
	fails(path, "too large", "1048577 bytes", "at most 1048576")
	write(t, path, "")
	fails(path, path+", line 1: unexpected end of JSON")
	if os.Getuid() != 0 {
		try(t, os.Chmod(path, 0))
		if err := fails(path, "permission denied"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v is not fs.ErrPermission", err)
		}
	}
}

// However a file is changed, and whatever it becomes: good limits are in force soon,
// bad ones never, and there is one alert for each bad state.
func TestWatchLimits(t *testing.T) {
	const enough = 3 * time.Second // for two looks and some
	fast5 := `[{"resource": "Messages", "rate": 5}]`
	type world struct {
		dir, path string
		t         *testing.T
	}
	tests := map[string]struct {
		change func(w world)
		rate   float64  // in the end; it was 10
		why    []string // of the alert; none: there is none
	}{
		"written in place":       {func(w world) { write(w.t, w.path, fast5) }, 5, nil},
		"replaced":               {func(w world) { replace(w.t, w.path, fast5) }, 5, nil},
		"replaced by the same":   {func(w world) { replace(w.t, w.path, fast) }, 10, nil},
		"formatted":              {func(w world) { write(w.t, w.path, "\n"+fast+"\n") }, 10, nil},
		"same size and times":    {func(w world) { sameStat(w.t, w.path, strings.Replace(fast, "10", "12", 1)) }, 12, nil},
		"truncated, then filled": {func(w world) { write(w.t, w.path, ""); time.Sleep(1400 * time.Millisecond); write(w.t, w.path, fast5) }, 5, nil},
		"half, then whole": {func(w world) {
			write(w.t, w.path, fast5[:20])
			time.Sleep(1400 * time.Millisecond)
			write(w.t, w.path, fast5)
		}, 5, nil},
		"gone for a moment": {func(w world) {
			try(w.t, os.Remove(w.path))
			time.Sleep(1400 * time.Millisecond)
			write(w.t, w.path, fast5)
		}, 5, nil},
		"behind a link that is swapped": {func(w world) {
			// As Kubernetes mounts a ConfigMap: limits.json -> ..data/limits.json, ..data -> ..1.
			for _, version := range []string{"..1", "..2"} {
				try(w.t, os.Mkdir(filepath.Join(w.dir, version), 0o700))
			}
			write(w.t, filepath.Join(w.dir, "..1", "limits.json"), fast)
			write(w.t, filepath.Join(w.dir, "..2", "limits.json"), fast5)
			data := filepath.Join(w.dir, "..data")
			try(w.t, os.Symlink("..1", data))
			try(w.t, os.Remove(w.path))
			try(w.t, os.Symlink(filepath.Join("..data", "limits.json"), w.path))
			time.Sleep(enough)
			try(w.t, os.Symlink("..2", data+"_tmp"))
			try(w.t, os.Rename(data+"_tmp", data))
			try(w.t, os.RemoveAll(filepath.Join(w.dir, "..1")))
		}, 5, nil},

		"deleted":           {func(w world) { try(w.t, os.Remove(w.path)) }, 10, []string{"no such file"}},
		"link to nowhere":   {func(w world) { try(w.t, os.Remove(w.path)); try(w.t, os.Symlink("nowhere", w.path)) }, 10, []string{"no such file"}},
		"emptied":           {func(w world) { write(w.t, w.path, "") }, 10, []string{"line 1", "end of JSON"}},
		"half":              {func(w world) { write(w.t, w.path, fast5[:20]) }, 10, []string{"line 1", "end of JSON"}},
		"invalid":           {func(w world) { write(w.t, w.path, "[\n{\"resource\": \"Messages\",\n\"rate\": \"a lot\"}]") }, 10, []string{", line 3: limits[0].rate: \"a lot\": expected a number"}},
		"replaced, invalid": {func(w world) { replace(w.t, w.path, `[{"resource": "Messages", "rate": -1}]`) }, 10, []string{", line 1: limits[0].rate: -1: expected"}},
		"10 MB of garbage":  {func(w world) { write(w.t, w.path, strings.Repeat("garbage\n", 10<<20/8)) }, 10, []string{"too large: 10485760 bytes, expected at most 1048576"}},
		"1 MB of garbage":   {func(w world) { write(w.t, w.path, strings.Repeat("garbage\n", 1<<20/8)) }, 10, []string{"line 1", "'g'"}},
		"a directory":       {func(w world) { try(w.t, os.Remove(w.path)); try(w.t, os.Mkdir(w.path, 0o700)) }, 10, []string{"expected a regular file"}},
		"a pipe":            {func(w world) { try(w.t, os.Remove(w.path)); try(w.t, syscall.Mkfifo(w.path, 0o600)) }, 10, []string{"expected a regular file"}},
	}
	if os.Getuid() != 0 {
		tests["unreadable"] = struct {
			change func(world)
			rate   float64
			why    []string
		}{func(w world) { try(w.t, os.Chmod(w.path, 0)) }, 10, []string{"permission denied"}}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := world{dir: t.TempDir(), t: t}
			w.path = filepath.Join(w.dir, "limits.json")
			write(t, w.path, fast)
			synctest.Test(t, func(t *testing.T) {
				var alerts alertLog
				c := newWorld(t, ok201, alerts.option()).c
				ctx, cancel := context.WithCancel(bg)
				defer cancel()
				try(t, c.WatchLimits(ctx, w.path))
				wantRate(t, c, 10)
				time.Sleep(100 * time.Millisecond) // so that what follows is between looks

				tt.change(w)
				time.Sleep(enough)
				wantRate(t, c, tt.rate)
				wantAlert(t, &alerts, w.path, tt.why...)
				time.Sleep(time.Minute) // it is not said again
				wantAlert(t, &alerts, w.path)

				// Whatever it was, a good file is taken again, and then bad ones tell again.
				try(t, os.RemoveAll(w.path))
				write(t, w.path, fast)
				time.Sleep(enough)
				wantRate(t, c, 10)
				wantAlert(t, &alerts, w.path)
				write(t, w.path, "[7]")
				time.Sleep(enough)
				wantRate(t, c, 10)
				wantAlert(t, &alerts, w.path, "limits[0]: 7: expected an object")
			})
		})
	}
}

// A file that is too large and goes on growing, a log say, is one bad state.
func TestWatchedFileThatGrowsIsOneAlert(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, fast)
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		c := newWorld(t, ok201, alerts.option()).c
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		try(t, c.WatchLimits(ctx, path))
		for i := range int64(100) {
			try(t, os.Truncate(path, 2<<20+i))
			time.Sleep(500 * time.Millisecond)
		}
		wantAlert(t, &alerts, path, "too large")
		wantRate(t, c, 10)
	})
}

// sameStat changes what is in a file and nothing that stat tells of it.
func sameStat(t *testing.T, path, text string) {
	info, err := os.Stat(path)
	try(t, err)
	write(t, path, text)
	try(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	if after, err := os.Stat(path); err != nil || after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
		t.Fatalf("%v, %v", after, err)
	}
}

func wantRate(t *testing.T, c *Client, rate float64) {
	t.Helper()
	if got := c.Limits(); !slices.Equal(got, Limits{{Resource: Messages, Rate: rate}}) {
		t.Errorf("limits %+v, expected a rate of %v", got, rate)
	}
}

// wantAlert checks that there has been one alert with words, or none without words.
func wantAlert(t *testing.T, alerts *alertLog, path string, words ...string) {
	t.Helper()
	got := alerts.take()
	if want := min(1, len(words)); len(got) != want {
		t.Errorf("%d alerts, expected %d: %v", len(got), want, got)
		return
	}
	for _, a := range got {
		if a.Kind != AlertLimitsRejected || a.Advice != adviceRejected || a.Time.IsZero() {
			t.Errorf("alert %+v", a)
		}
		wantWords(t, a.Err, append(words, "pacer: limits file", path)...)
	}
}

// A hundred callers that would wait for hours leave at the new pace within two looks.
func TestWatchedLimitsReachThoseWhoWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, slow)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201)
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		try(t, w.c.WatchLimits(ctx, path))
		done := make(chan []error)
		go func() { done <- w.sendAll(100) }()
		time.Sleep(10500 * time.Millisecond)
		if n := len(w.times()); n != 1 {
			t.Fatalf("%d have left, expected 1", n)
		}
		replace(t, path, fast)
		if errs := <-done; errs != nil {
			t.Error(errs)
		}
		at := w.times()
		if at[1] < 12*time.Second || at[1] > 12200*time.Millisecond {
			t.Errorf("the second left at %v, expected 12 s, when the change was seen for the second time", at[1])
		}
		if last := at[99] - at[1]; last > 10*time.Second {
			t.Errorf("the other 98 took %v, expected 9.8 s", last)
		}
	})
}

func TestWatchLimitsThatFailsWatchesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		before := Limits{{Resource: Calls, Rate: 3}}
		c := newWorld(t, ok201, alerts.option(), WithLimits(before)).c
		wantWords(t, c.WatchLimits(bg, path), "pacer: WatchLimits:", path, "no such file")
		write(t, path, "[")
		wantWords(t, c.WatchLimits(bg, path), "pacer: WatchLimits:", path, "line 1")
		write(t, path, fast)
		ended, cancel := context.WithCancel(bg)
		cancel()
		if err := c.WatchLimits(ended, path); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
		time.Sleep(10 * time.Second)
		if got := c.Limits(); !slices.Equal(got, before) || len(alerts.take()) > 0 {
			t.Errorf("limits %v", got)
		}

		mute := limiterClient(t, open{})
		wantWords(t, mute.WatchLimits(bg, path), "limiter pacer.open has no method SetLimits")
		if got := mute.Limits(); got != nil {
			t.Errorf("limits of a limiter that has none: %v", got)
		}
		broken, err := New(ClientParams{}, WithMaxRetries(-1))
		if got := broken.WatchLimits(bg, path); got != err {
			t.Errorf("a client that is not usable: %v, expected %v", got, err)
		}
	})
}

// open is a limiter with no more than it must have.
type open struct{}

func (open) Acquire(context.Context, Resource) (func(Outcome), error) { return func(Outcome) {}, nil }

func TestWatchLimitsEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, fast)
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		c := newWorld(t, ok201, alerts.option()).c
		ctx, cancel := context.WithCancel(bg)
		try(t, c.WatchLimits(ctx, path))
		time.Sleep(5500 * time.Millisecond)
		write(t, path, slow)
		time.Sleep(time.Second) // seen once
		cancel()
		time.Sleep(time.Hour)
		wantRate(t, c, 10)
		write(t, path, "[")
		time.Sleep(time.Hour)
		wantAlert(t, &alerts, path)
	})
}

// What a limiter of another's refuses is a bad state of the file, too.
func TestWatchedLimitsThatTheLimiterRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, "[]")
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		c := limiterClient(t, picky{}, alerts.option())
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		try(t, c.WatchLimits(ctx, path))
		write(t, path, fast)
		time.Sleep(time.Minute)
		if got := alerts.take(); len(got) != 1 || !strings.Contains(got[0].Err.Error(), "the store is down") {
			t.Errorf("%v", got)
		}
	})
}

// picky takes no rules.
type picky struct{ open }

func (picky) SetLimits(ls Limits) error {
	if len(ls) > 0 {
		return errors.New("the store is down")
	}
	return nil
}

func limiterClient(t *testing.T, l Limiter, opts ...Option) *Client {
	t.Helper()
	c, err := New(ClientParams{Username: account, Password: "token"}, append([]Option{WithLimiter(l)}, opts...)...)
	try(t, err)
	return c
}

func TestWatchedChangesAreLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, fast)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := newWorld(t, ok201, quiet, WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).c
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		try(t, c.WatchLimits(ctx, path))
		for _, step := range []struct{ text, want string }{
			{fast + "\n", ""}, // no other limits
			{slow, "INFO"},
			{"[", "ERROR"},
			{slow, "INFO"}, // it is good again
		} {
			log.Reset()
			write(t, path, step.text)
			time.Sleep(time.Minute)
			synctest.Wait() // the look that is due now; log has no lock
			got := log.String()
			if lines := strings.Count(got, "\n"); lines != min(1, len(step.want)) || !strings.Contains(got, step.want) {
				t.Errorf("%q is logged as %q", step.text, got)
			}
			if step.want == "INFO" && (!strings.Contains(got, `msg="pacer: limits changed"`) || !strings.Contains(got, "path="+path+" rules=1")) {
				t.Errorf("%q is logged as %q", step.text, got)
			}
		}
	})
}

// What was set by other means stays until the file changes.
func TestWatchedFileOverridesOnlyWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, fast)
	synctest.Test(t, func(t *testing.T) {
		c := newWorld(t, ok201).c
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		try(t, c.WatchLimits(ctx, path))
		try(t, c.SetLimits(Limits{{Resource: Messages, Rate: 77}}))
		time.Sleep(time.Hour)
		wantRate(t, c, 77)
		write(t, path, slow)
		time.Sleep(3 * time.Second)
		wantRate(t, c, 0.01)
	})
}

func TestLimitsFromEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, `[{"resource": "Messages", "rate": 5}]`)
	bad := filepath.Join(t.TempDir(), "bad.json")
	write(t, bad, "[\n7]")
	none := Limits{}
	tests := map[string]struct {
		json, path string
		opts       []Option
		rate       float64 // 0: no limits
		words      []string
	}{
		"neither":                  {"", "", nil, 0, nil},
		"JSON":                     {fast, "", nil, 10, nil},
		"file":                     {"", path, nil, 5, nil},
		"code before JSON":         {fast, "", []Option{WithLimits(Limits{{Resource: Messages, Rate: 3}})}, 3, nil},
		"code before file":         {"", path, []Option{WithLimits(Limits{{Resource: Messages, Rate: 3}})}, 3, nil},
		"code with no limits":      {fast, "", []Option{WithLimits(nil)}, 0, nil},
		"limiter before JSON":      {fast, "", []Option{WithLimiter(newLimiter(t, Limit{Resource: Messages, Rate: 2}))}, 2, nil},
		"code before what is bad":  {"[", bad, []Option{WithLimits(none)}, 0, nil},
		"limiter, and what is bad": {"[", bad, []Option{WithLimiter(newLimiter(t))}, 0, nil},
		"both":                     {fast, path, nil, 0, []string{"pacer: PACER_LIMITS and PACER_LIMITS_FILE: both are set", "expected one"}},
		"bad JSON":                 {`[{"resource": "messages", "rate": 1}]`, "", nil, 0, []string{"pacer: PACER_LIMITS, line 1: limits[0].resource: \"messages\": expected"}},
		"bad file":                 {"", bad, nil, 0, []string{"pacer: PACER_LIMITS_FILE: limits file " + bad + ", line 2: limits[0]: 7: expected"}},
		"no file":                  {"", bad + "x", nil, 0, []string{"pacer: PACER_LIMITS_FILE: limits file: ", bad + "x: no such file", "expected"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PACER_LIMITS", tt.json)
			t.Setenv("PACER_LIMITS_FILE", tt.path)
			c, err := New(ClientParams{Username: account, Password: "token"}, tt.opts...)
			if tt.words != nil {
				wantWords(t, err, tt.words...)
				wantWords(t, createOn(NewRestClient(tt.opts...), sender), tt.words...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.rate == 0 {
				if got := c.Limits(); len(got) != 0 {
					t.Errorf("limits %v", got)
				}
				return
			}
			wantRate(t, c, tt.rate)
		})
	}
}

func TestFileOfTheEnvironmentIsWatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, fast)
	t.Setenv("PACER_LIMITS_FILE", path)
	synctest.Test(t, func(t *testing.T) {
		var alerts alertLog
		rc := NewRestClientWithParams(ClientParams{Username: account, Password: "token"}, alerts.option())
		c, _ := ClientOf(rc)
		wantRate(t, c, 10)
		write(t, path, slow)
		time.Sleep(3 * time.Second)
		wantRate(t, c, 0.01)
		write(t, path, "[")
		time.Sleep(time.Minute)
		wantRate(t, c, 0.01)
		wantAlert(t, &alerts, path, "line 1")
		runtime.KeepAlive(rc)
	})
}

// Nobody closes a client: a watch must neither keep it alive nor outlive it.
func TestWatchEndsWithTheClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, fast)
	t.Setenv("PACER_LIMITS_FILE", path)
	synctest.Test(t, func(t *testing.T) {
		client, watch := func() (weak.Pointer[Client], weak.Pointer[limitsWatch]) {
			c, err := New(ClientParams{Username: account, Password: "token"})
			try(t, err)
			w := newLimitsWatch(bg, c, path, fast)
			w.again()
			return weak.Make(c), weak.Make(w)
		}()
		time.Sleep(5500 * time.Millisecond)
		if watch.Value() == nil {
			t.Fatal("the watch is gone already: this test shows nothing")
		}
		for range 10 { // a dead timer is collected a little later
			runtime.GC()
			time.Sleep(time.Second)
		}
		if client.Value() != nil {
			t.Error("the watch keeps its client alive")
		}
		if watch.Value() != nil {
			t.Error("the watch goes on without its client")
		}
	})
}

// Looks, changes, readers and writers at the same time; for the race detector.
func TestWatchedLimitsConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	write(t, path, fast)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201)
		ctx, cancel := context.WithCancel(bg)
		for range 3 {
			try(t, w.c.WatchLimits(ctx, path))
		}
		var wg sync.WaitGroup
		wg.Go(func() { w.sendAll(50) })
		wg.Go(func() {
			for i := range 20 {
				replace(t, path, fmt.Sprintf(`[{"resource": "Messages", "rate": %d}]`, 10+i))
				time.Sleep(700 * time.Millisecond)
			}
		})
		wg.Go(func() {
			for range 20 {
				_ = w.c.Limits()
				_ = w.c.SetLimits(Limits{{Resource: Messages, Rate: 50}})
				time.Sleep(time.Second)
			}
		})
		wg.Wait()
		time.Sleep(3 * time.Second)
		wantLast := w.c.Limits()
		if len(wantLast) != 1 || wantLast[0].Rate != 29 && wantLast[0].Rate != 50 {
			t.Errorf("limits %v", wantLast)
		}
		cancel()
	})
}
