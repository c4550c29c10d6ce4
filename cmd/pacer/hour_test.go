package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A hurried is a dashboard whose time is made: an event comes when the script wants it, and each is of 2.5 s later.
type hurried struct {
	of    http.Handler
	first time.Time

	mu    sync.Mutex
	steps chan step // of the page that was opened last
	n     int       // events so far
}

// A step makes so many events. Its channel is closed when they are written.
type step struct {
	events int
	done   chan struct{}
}

func (h *hurried) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/advance":
		events, err := strconv.Atoi(r.URL.Query().Get("events"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s := step{events, make(chan struct{})}
		h.mu.Lock()
		steps := h.steps
		h.mu.Unlock()
		select {
		case steps <- s:
			<-s.done
		case <-r.Context().Done(): // the page has opened another stream
		}
	case "/events":
		steps := make(chan step)
		h.mu.Lock()
		h.steps = steps
		h.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		for s := (step{1, make(chan struct{})}); ; { // the first one comes at once
			for range s.events {
				fmt.Fprintf(w, "data: %s\n\n", h.event())
			}
			_ = http.NewResponseController(w).Flush() // a page that is gone asks for no more
			close(s.done)
			select {
			case <-r.Context().Done():
				return
			case s = <-steps:
			}
		}
	case "/api/history":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(h.hour()) // the page may have gone
	default:
		h.of.ServeHTTP(w, r)
	}
}

// hour has the points of the hour before now, so that a page has them all from the start.
func (h *hurried) hour() (points []map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := h.n - 1438; n <= h.n; n += 2 {
		points = append(points, h.point(n))
	}
	return points
}

func (h *hurried) at(n int) time.Time { return h.first.Add(time.Duration(n) * 2500 * time.Millisecond) }

// point is that of an event.
func (h *hurried) point(n int) map[string]any {
	n += 1440 // so that no figure is below 0
	return map[string]any{"time": h.at(n - 1440).Unix(), "sent": n % 97, "arrived": n % 89, "ready": n % 7919, "delayed": 0, "age": n % 79, "throttled": 0.01}
}

// event is the overview of now, with figures that change. Each second one has a point, as that of a dashboard. Reasons, lanes
// and campaigns come and go.
func (h *hurried) event() []byte {
	r := httptest.NewRequest(http.MethodGet, "/api/overview", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	h.of.ServeHTTP(w, r)
	var o map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
		panic(fmt.Sprintf("%v: %s", err, w.Body))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	o["time"] = h.at(h.n).UTC().Format(time.RFC3339)
	o["rate"] = float64(h.n%50) / 2
	delete(o, "point")
	if h.n%2 == 0 {
		o["point"] = h.point(h.n)
	}
	for i, name := range []string{"reasons", "foremost", "running"} {
		if h.n%3 == i {
			all, _ := o[name].([]any)
			o[name] = all[:len(all)/2]
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

// Each page is left open. After half an hour more of events it has as many elements and listeners as after fifteen
// minutes, and its heap has not grown. The overview has an hour of them.
func TestAPageLeftOpenDoesNotGrow(t *testing.T) {
	needBrowser(t)
	p := openPage(t)
	jobs := p.fill(t)
	p.through = func(h http.Handler) http.Handler { return &hurried{of: h, first: time.Now()} }
	p.serve(t)
	m := p.drive(t, "hour.js", string(jobs[0].ID))
	if m["pages"] != 9 || m["events"] < 45*24 {
		t.Errorf("%v: expected nine pages, and 45 minutes of events for each", m)
	}
}
