package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestHerdCounts(t *testing.T) {
	w := &wire{next: statuses{http.StatusOK, http.StatusTooManyRequests}.in(t)}
	h := &herd{n: 10, workers: 3, wire: w}
	var mu sync.Mutex
	texts := map[string]bool{}
	seconds := h.run(t.Context(), func(text string) error {
		mu.Lock()
		defer mu.Unlock()
		texts[text] = true
		resp, err := w.RoundTrip(nil)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New("throttled")
		}
		return err
	})
	r := h.row(seconds)
	if r.Messages != 10 || r.Delivered != 5 || r.Lost != 5 || r.Throttled != 5 || r.Requests != 10 || r.Error != "throttled" {
		t.Errorf("row is %+v", r)
	}
	if len(texts) != 10 {
		t.Errorf("%d different texts, expected 10", len(texts))
	}
	if got := line("pacer", h); !strings.Contains(got, "[############] 5 delivered, 5 lost, 5 throttled") {
		t.Errorf("line is %q", got)
	}
}

func TestHerdStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &herd{n: 1000, workers: 2, wire: &wire{}}
	h.run(ctx, func(string) error { cancel(); return nil })
	if n := h.delivered.Load(); n > 2 {
		t.Errorf("%d calls, expected no further ones", n)
	}
}

func TestPossible(t *testing.T) {
	for _, tt := range []struct {
		scenario scenario
		seconds  float64
		want     float64
	}{
		{scenarios[0], 0, 20}, // the first window's room, however short the run
		{scenarios[0], 0.5, 20},
		{scenarios[0], 10, 201},
		{scenarios[1], 0, 1},
		{scenarios[1], 0.5, 11},
		{scenarios[1], 10, 201},
	} {
		if got := tt.scenario.possible(20, tt.seconds); got != tt.want {
			t.Errorf("%s: %v possible in %v s, expected %v", tt.scenario.name, got, tt.seconds, tt.want)
		}
	}
}

// statuses are those of a transport's answers, in turn.
type statuses []int

func (s statuses) in(t *testing.T) http.RoundTripper {
	t.Helper()
	var mu sync.Mutex
	n := 0
	return roundTrip(func(*http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return &http.Response{StatusCode: s[(n-1)%len(s)], Body: http.NoBody}, nil
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
