package dashboard

import (
	"context"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// This file has the routes, and what is read by them.

//go:embed web
var web embed.FS

const (
	maxStreams = 100 // of events; who gets none asks every few seconds
	rowsAtOnce = 50  // of lists
	maxSearch  = 200 // bytes
	beatEvery  = 20 * time.Second
)

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) { serveFile(w, r.PathValue("name")) })
	mux.HandleFunc("POST /login", d.guard.login)
	mux.HandleFunc("POST /logout", d.guard.logout)
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /{$}":              func(w http.ResponseWriter, _ *http.Request) { serveFile(w, "index.html") },
		"GET /events":           d.events,
		"GET /api/overview":     d.fromSnapshot(func(s *snapshot) any { return &s.overview }),
		"GET /api/history":      func(w http.ResponseWriter, _ *http.Request) { answer(w, d.view.hour(), nil) },
		"POST /api/lanes":       d.lanes, // not GET: what is searched for stays out of logs
		"GET /api/campaigns":    d.fromSnapshot(func(s *snapshot) any { return some(s.campaigns) }),
		"GET /api/workers":      d.fromSnapshot(func(s *snapshot) any { return some(s.workers) }),
		"GET /api/holds":        d.fromSnapshot(func(s *snapshot) any { return some(s.holds) }),
		"GET /api/campaign":     d.campaign,
		"GET /api/failures.csv": d.failures,
		"GET /api/doubt":        d.doubt,
		"GET /api/job":          d.job,
		"GET /api/limits":       d.showLimits,
		"POST /api/limits":      d.setLimits,
		"POST /api/campaign":    d.steerCampaign,
		"POST /api/job":         d.decideJob,
		"POST /api/hold":        d.endHold,
	} {
		mux.HandleFunc(pattern, d.guard.signedInOnly(func(w http.ResponseWriter, r *http.Request) {
			d.view.wanted()
			h(w, r)
		}))
	}
	return mux
}

// kinds are the files that there are, by their ends.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// serveFile answers with a file of the folder web.
func serveFile(w http.ResponseWriter, name string) {
	text, err := fs.ReadFile(web, "web/"+name)
	kind := kinds[path.Ext(name)]
	if err != nil || kind == "" {
		http.Error(w, "dashboard: no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Write(text)
}

// some is a list that JSON does not call null.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// inside is how errors begin that say where in a program they come from.
var inside = regexp.MustCompile(`^(dashboard|queue): ((confirm|cancel|requeue) [^:]*: |campaign "[^"]*": (set rate|update|resume): )?`)

// answer writes what was asked for, or the error. Numbers in errors are masked.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, pacer.MaskNumbers(inside.ReplaceAllString(err.Error(), "")), statusOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	_ = e.Encode(v) // the reader may have gone
}

func statusOf(err error) int {
	var wrong *wrongError
	var elsewhere *queue.StateError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &wrong):
		return http.StatusBadRequest
	case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrNoCampaign), errors.Is(err, queue.ErrNotHeld):
		return http.StatusNotFound
	case errors.As(err, &elsewhere), errors.Is(err, queue.ErrConflict), errors.Is(err, queue.ErrCampaignCancelled), errors.Is(err, queue.ErrCampaignExpired), errors.Is(err, errOutdated):
		return http.StatusConflict
	case errors.Is(err, errBusy), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	case strings.Contains(err.Error(), ": expected "): // so all errors of package queue about what was given
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// A wrongError is a request that makes no sense.
type wrongError struct{ text string }

func (e *wrongError) Error() string { return "dashboard: " + e.text }

func wrong(text string) error { return &wrongError{text} }

// read decodes a small JSON body. v's type says what is expected.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return wrong("expected application/json")
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	body.DisallowUnknownFields()
	if err := body.Decode(v); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return wrong("no valid JSON for this")
	}
	return nil
}

func (d *Dashboard) fromSnapshot(of func(*snapshot) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, _, err := d.view.get(r.Context())
		if err != nil {
			answer(w, nil, err)
			return
		}
		answer(w, of(s), nil)
	}
}

// events sends each snapshot's overview. Who reads too slowly misses some, and is cut off after ten seconds.
func (d *Dashboard) events(w http.ResponseWriter, r *http.Request) {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		http.Error(w, "dashboard: too many look", http.StatusServiceUnavailable)
		return
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // that of the server is for requests
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		s, news, err := d.view.get(r.Context())
		if err != nil {
			return
		}
		d.view.wanted()
		within(w, slowest)
		if _, err := w.Write(s.event); err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-d.view.over:
			return
		case <-news:
		case <-time.After(beatEvery):
		}
	}
}

// lanes answers with some of the lanes: a page of those that matter, or of all, or of those that a search finds.
func (d *Dashboard) lanes(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Search string `json:"search"`
		All    bool   `json:"all"`
		Page   int    `json:"page"` // from 0
	}
	err := read(w, r, &asked)
	if err == nil && (len(asked.Search) > maxSearch || asked.Page < 0) {
		err = wrong("expected a shorter search, and a page from 0")
	}
	s, _, gone := d.view.get(r.Context())
	if err = errors.Join(err, gone); err != nil {
		answer(w, nil, err)
		return
	}
	words := strings.Fields(strings.ToLower(asked.Search))
	found := struct {
		Total int    `json:"total"`
		Page  int    `json:"page"`
		Size  int    `json:"size"`
		Lanes []lane `json:"lanes"`
	}{0, asked.Page, rowsAtOnce, []lane{}}
	for i := range s.lanes {
		l := &s.lanes[i]
		if !asked.All && !l.busy() && len(words) == 0 || !l.matches(words) {
			continue
		}
		if found.Total++; found.Total > asked.Page*rowsAtOnce && len(found.Lanes) < rowsAtOnce {
			found.Lanes = append(found.Lanes, *l)
		}
	}
	answer(w, &found, nil)
}

// matches reports whether each word is in one of the lane's names.
func (l *lane) matches(words []string) bool {
	for _, word := range words {
		if !strings.Contains(strings.ToLower(l.Resource), word) && !strings.Contains(strings.ToLower(l.Campaign), word) &&
			!strings.Contains(strings.ToLower(l.Sender), word) && !strings.HasPrefix(l.ID, word) {
			return false
		}
	}
	return true
}

// campaign answers with one campaign, and what limits it.
func (d *Dashboard) campaign(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	why, err := d.view.q.Why(r.Context(), queue.About{Campaign: name})
	s, _, gone := d.view.get(r.Context())
	if err = errors.Join(err, gone); err == nil && name == "" {
		err = wrong("expected a name")
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	for _, c := range s.campaigns {
		if c.Name == name {
			answer(w, struct {
				campaign
				Reasons []reason `json:"reasons"`
			}{c, reasonsOf(why)}, nil)
			return
		}
	}
	answer(w, nil, queue.ErrNoCampaign)
}

// failures answers with a campaign's failures, as the command pacer lists them.
func (d *Dashboard) failures(w http.ResponseWriter, r *http.Request) {
	c, err := d.view.q.FindCampaign(r.Context(), r.URL.Query().Get("name"))
	if err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="failures.csv"`)
	out := csv.NewWriter(w)
	_ = out.Write(queue.FailureColumns())
	for f, err := range c.Failures(r.Context()) {
		within(w, askWait+slowest)
		if err != nil {
			_ = out.Write([]string{"", "", "", "the list ends here: " + pacer.MaskNumbers(err.Error()), "", ""})
			break
		}
		record := f.Record()
		for i := range record {
			record[i] = pacer.MaskNumbers(record[i])
		}
		if out.Write(record) != nil {
			return
		}
	}
	out.Flush()
}

// doubt answers with requests in doubt, after one of an ID. Those about which a person must decide come first.
func (d *Dashboard) doubt(w http.ResponseWriter, r *http.Request) {
	found, err := d.view.reader.List(r.Context(), queue.Filter{States: []queue.State{queue.InDoubt}}, queue.ID(r.URL.Query().Get("after")), rowsAtOnce)
	if err != nil {
		answer(w, nil, err)
		return
	}
	shown := struct {
		Jobs  []job    `json:"jobs"`
		After queue.ID `json:"after,omitempty"` // of the next page
	}{Jobs: []job{}}
	var later []job
	for i := range found {
		if j := jobOf(&found[i]); j.Decide {
			shown.Jobs = append(shown.Jobs, j)
		} else {
			later = append(later, j)
		}
	}
	if len(found) == rowsAtOnce {
		shown.After = found[len(found)-1].ID
	}
	shown.Jobs = append(shown.Jobs, later...)
	answer(w, &shown, nil)
}

// job answers with one request, and why it is where it is.
func (d *Dashboard) job(w http.ResponseWriter, r *http.Request) {
	id := queue.ID(r.URL.Query().Get("id"))
	if id == "" || len(id) > maxSearch {
		answer(w, nil, wrong("expected an ID"))
		return
	}
	j, err := d.view.reader.Get(r.Context(), id)
	if err != nil {
		answer(w, nil, err)
		return
	}
	why, err := d.view.q.Why(r.Context(), queue.About{ID: id})
	answer(w, struct {
		job
		Reasons []reason `json:"reasons"`
	}{jobOf(&j), reasonsOf(why)}, err)
}
