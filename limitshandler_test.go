package pacer

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func askHandler(h http.Handler, method, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/limits", strings.NewReader(body)))
	return w
}

func TestLimitsHandler(t *testing.T) {
	var log bytes.Buffer
	c := newWorld(t, ok201, WithLimits(nil), WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).c
	h := c.LimitsHandler()
	answers := func(method, body, want string) {
		t.Helper()
		w := askHandler(h, method, body)
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Body.String() != want {
			t.Errorf("%s %s: %d %v %s\nexpected %s", method, body, w.Code, w.Header(), w.Body, want)
		}
	}
	const fastAnswer = "[\n  {\n    \"resource\": \"Messages\",\n    \"rate\": 10\n  }\n]\n"
	answers("GET", "", "[]\n")
	if log.Len() > 0 {
		t.Errorf("reading is logged: %s", &log)
	}
	answers("PUT", fast, fastAnswer)
	wantRate(t, c, 10)
	if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, `INFO msg="pacer: limits changed" by=192.0.2.1:1234 rules=1`) {
		t.Errorf("the change is logged as %q", line)
	}
	answers("GET", "", fastAnswer)
	answers("PUT", `{"$schema": "x", "limits": `+fast+`}`, fastAnswer)
	answers("PUT", "[]", "[]\n")
	if got := c.Limits(); len(got) != 0 {
		t.Errorf("limits %v", got)
	}

	// What GET answers can be edited and put back.
	want, _ := ParseLimits([]byte(goodLimits))
	if err := c.SetLimits(want); err != nil {
		t.Fatal(err)
	}
	text := askHandler(h, "GET", "").Body.String()
	answers("PUT", text, text)
	if got := c.Limits(); !slices.Equal(got, want) {
		t.Errorf("limits %+v, expected %+v", got, want)
	}
}

func TestLimitsHandlerRefuses(t *testing.T) {
	var log bytes.Buffer
	c := newWorld(t, ok201, WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).c
	h := c.LimitsHandler()
	if err := c.SetLimits(Limits{{Resource: Messages, Rate: 10}}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		method, body string
		status       int
		words        []string
	}{
		"invalid rule": {"PUT", "[{\"resource\": \"Messages\", \"rate\": 99},\n{\"resource\": \"Calls\", \"rate\": -1}]", 400, []string{"pacer: limits, line 2: limits[1].rate: -1", "expected"}},
		"no JSON":      {"PUT", "rate=5", 400, []string{"line 1", "expected"}},
		"nothing":      {"PUT", "", 400, []string{"line 1", "expected"}},
		"too large":    {"PUT", fast + strings.Repeat(" ", maxLimitsText), 413, []string{"1048576 bytes", "expected"}},
		"POST":         {"POST", fast, 405, []string{"\"POST\"", "expected GET or PUT"}},
		"DELETE":       {"DELETE", "", 405, []string{"\"DELETE\"", "expected GET or PUT"}},
	} {
		w := askHandler(h, tt.method, tt.body)
		if w.Code != tt.status || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if allow := w.Header().Get("Allow"); (tt.status == 405) != (allow == "GET, HEAD, PUT") {
			t.Errorf("%s: Allow: %q", name, allow)
		}
		for _, word := range tt.words {
			if !strings.Contains(w.Body.String(), word) {
				t.Errorf("%s: %q does not say %q", name, w.Body, word)
			}
		}
		wantRate(t, c, 10)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PUT", "/", iotest.ErrReader(context.Canceled)))
	if w.Code != 400 {
		t.Errorf("a request that is cut off: %d %s", w.Code, w.Body)
	}
	wantRate(t, c, 10)
	if log.Len() > 0 {
		t.Errorf("logged, though nothing has changed: %s", &log)
	}
}

// A limiter of another's that lacks the methods, or fails.
func TestLimitsHandlerWithAnotherLimiter(t *testing.T) {
	h := limiterClient(t, open{}).LimitsHandler()
	if w := askHandler(h, "GET", ""); w.Code != 501 || !strings.Contains(w.Body.String(), "pacer.open has no method Limits") {
		t.Errorf("GET: %d %s", w.Code, w.Body)
	}
	if w := askHandler(h, "PUT", fast); w.Code != 501 || !strings.Contains(w.Body.String(), "pacer.open has no method SetLimits") {
		t.Errorf("PUT: %d %s", w.Code, w.Body)
	}
	if w := askHandler(limiterClient(t, picky{}).LimitsHandler(), "PUT", fast); w.Code != 500 || !strings.Contains(w.Body.String(), "the store is down") {
		t.Errorf("PUT to one that fails: %d %s", w.Code, w.Body)
	}
}

func TestPutLimitsReachThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok201, WithLimits(Limits{{Resource: Messages, Rate: 0.001}}))
		h := w.c.LimitsHandler()
		var wg sync.WaitGroup
		wg.Go(func() {
			if errs := w.sendAll(20); errs != nil {
				t.Error(errs)
			}
		})
		time.Sleep(5 * time.Second)
		wg.Go(func() { askHandler(h, "GET", "") })
		wg.Go(func() { askHandler(h, "PUT", "[7]") })
		if got := askHandler(h, "PUT", fast); got.Code != 200 {
			t.Error(got.Code, got.Body)
		}
		wg.Wait()
		if at := w.times(); at[1] > 5100*time.Millisecond || at[19] > 7*time.Second {
			t.Errorf("left at %v, expected from 5 s on at 10/s", at)
		}
	})
}
