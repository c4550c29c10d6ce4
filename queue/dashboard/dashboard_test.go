package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

const (
	sender   = "+15005550006"
	receiver = "+15555550123"
	text     = "your code is 4711"
	token    = "correct horse battery staple"
)

// A stage is a dashboard with a queue behind it, of which nothing is sent.
type stage struct {
	t      *testing.T
	q      *queue.Queue
	d      *Dashboard
	limits *held
	log    *buffer
}

// held are limits in memory.
type held struct {
	mu sync.Mutex
	l  pacer.Limits
}

func (h *held) Limits() pacer.Limits {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.l
}

func (h *held) SetLimits(l pacer.Limits) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.l = l
	return nil
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func open(t *testing.T, opts ...Option) *stage {
	t.Helper()
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, q: q, log: &buffer{}, limits: &held{l: pacer.Limits{
		{Resource: "Messages", Rate: 20}, {Resource: "Messages", Sender: sender, Rate: 1}, {Resource: "Messages", Sender: "+15009990006", Rate: 2},
	}}}
	quick := func(d *Dashboard) error {
		d.view.reader.pace.every = time.Millisecond
		return nil
	}
	opts = append([]Option{quick, WithLog(slog.New(slog.NewTextHandler(s.log, nil))), WithLimits(s.limits, "until the end of the test")}, opts...)
	if s.d, err = New(q, opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.d.Close(), q.Close() })
	return s
}

// fill puts a campaign of three, a failed request and one in doubt into the queue.
func (s *stage) fill() (failed, doubtful queue.ID) {
	s.t.Helper()
	ctx := s.t.Context()
	c, err := s.q.Campaign(ctx, "spring", queue.CampaignOptions{Rate: 20})
	if err != nil {
		s.t.Fatal(err)
	}
	message := func(tw *twilio.RestClient, to string) error {
		p := &api.CreateMessageParams{}
		_, err := tw.Api.CreateMessage(p.SetTo(to).SetFrom(sender).SetBody(text))
		return err
	}
	ids := []queue.ID{}
	for i := range 2 {
		id, err := s.q.Enqueue(ctx, func(tw *twilio.RestClient) error { return message(tw, receiver) }, queue.Unique(fmt.Sprint(receiver, i)))
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	e := s.q.Engine()
	lanes, _, err := e.Work(ctx)
	if err != nil || len(lanes) != 1 {
		s.t.Fatal(lanes, err)
	}
	jobs, err := e.Claim(ctx, queue.Claim{Lane: lanes[0].Lane, Max: 2, Lease: time.Minute})
	if err != nil || len(jobs) != 2 {
		s.t.Fatal(jobs, err)
	}
	for i, to := range []queue.State{queue.Failed, queue.InDoubt} {
		m := queue.Move{ID: ids[i], From: []queue.State{queue.Sending}, To: to, Outcome: &queue.Outcome{Code: 21211, Status: 400, Reason: "no answer came for " + receiver}}
		if err := e.Move(ctx, m); err != nil {
			s.t.Fatal(err)
		}
	}
	recipients := func(yield func(queue.Recipient) bool) {
		for i := range 3 {
			if !yield(queue.Recipient{ID: fmt.Sprintf("+1555555020%d", i)}) {
				return
			}
		}
	}
	if _, err := c.Enqueue(ctx, recipients, func(tw *twilio.RestClient, r queue.Recipient) error { return message(tw, r.ID) }); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.q.Hold(ctx, lanes[0].Lane.Resource, time.Hour); err != nil {
		s.t.Fatal(err)
	}
	return ids[0], ids[1]
}

// do makes a request as the page does, and returns the answer.
func (s *stage) do(method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:9465"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.d.ServeHTTP(w, r)
	return w
}

// ok makes a request that must succeed.
func (s *stage) ok(method, target, body string) string {
	s.t.Helper()
	w := s.do(method, target, body)
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s %s: %d: %s", method, target, w.Code, w.Body)
	}
	return w.Body.String()
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// seen waits until the snapshot is as f wants it.
func (s *stage) seen(what string, f func(*snapshot) bool) {
	s.t.Helper()
	for range 500 {
		s.d.view.wanted()
		if now, _, err := s.d.view.get(s.t.Context()); err == nil && f(now) {
			return
		}
		s.d.view.changed()
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatal("not seen: " + what)
}

// The pages of a queue with all kinds of requests, in which no number, no text and no token may be.
func TestPagesShowWhatThereIsAndNoSecret(t *testing.T) {
	t.Parallel()
	s := open(t)
	failed, doubtful := s.fill()
	s.seen("three ready", func(now *snapshot) bool {
		return now.overview.Total.Ready == 3 && len(now.holds) == 1 && len(now.overview.Reasons) >= 3
	})
	all := map[string]string{}
	for _, target := range []string{
		"/", "/api/overview", "/api/history", "/api/campaigns", "/api/campaign?name=spring", "/api/doubt", "/api/holds", "/api/workers", "/api/limits",
		"/api/failures.csv?name=spring", "/api/job?id=" + string(failed), "/api/job?id=" + string(doubtful),
	} {
		all[target] = s.ok("GET", target, "")
	}
	all["/api/lanes"] = s.ok("POST", "/api/lanes", `{"search": "0006"}`)
	for target, body := range all {
		for _, secret := range []string{sender, receiver, sender[1:], receiver[1:], "555550201", text, token} {
			if strings.Contains(body, secret) {
				t.Errorf("%s shows %q: %s", target, secret, body)
			}
		}
	}
	if o := decode[overview](t, all["/api/overview"]); o.Total.InDoubt != 1 || o.Total.Failed != 1 || o.Campaigns != 1 || o.Holds != 1 || len(o.Reasons) < 3 || !o.Limits {
		t.Errorf("%+v", o)
	}
	if c := decode[struct {
		campaign
		Reasons []reason
	}](t, all["/api/campaign?name=spring"]); c.Waiting != 3 || c.Rate != 20 || len(c.Reasons) == 0 || c.Reasons[0].Do == "" {
		t.Errorf("%+v", c)
	}
	j := decode[struct {
		job
		Reasons []reason
	}](t, all["/api/job?id="+string(doubtful)])
	if !j.Decide || j.Recipient != "+1555•••0123" || j.Sender != "+1500•••0006" || len(j.Reasons) != 1 || j.Reasons[0].Kind != queue.CauseInDoubt {
		t.Errorf("%+v", j)
	}
	if h := decode[[]hold](t, all["/api/holds"]); len(h) != 1 || h[0].Reason != queue.HoldByPerson || h[0].Sender != "+1500•••0006" {
		t.Errorf("%+v", h)
	}
	for target, want := range map[string]int{"/api/job?id=none": http.StatusNotFound, "/api/job": http.StatusBadRequest, "/api/campaign?name=none": http.StatusNotFound, "/api/none": http.StatusNotFound} {
		if w := s.do("GET", target, ""); w.Code != want {
			t.Errorf("%s: %d, expected %d: %s", target, w.Code, want, w.Body)
		}
	}
}

func TestLanesAreSearchedAndPaged(t *testing.T) {
	t.Parallel()
	d := &Dashboard{view: &view{now: &snapshot{}}}
	for i := range 10_000 {
		l := lane{ID: fmt.Sprintf("%012x", i), Resource: "api/Messages:create", Sender: fmt.Sprintf("+1500•••%04d", i)}
		if i < 120 {
			l.Ready = 1
		}
		d.view.now.lanes = append(d.view.now.lanes, l)
	}
	for asked, want := range map[string][2]int{
		`{}`: {120, 50}, `{"page": 2}`: {120, 20}, `{"page": 3}`: {120, 0}, `{"all": true}`: {10_000, 50}, `{"all": true, "page": 199}`: {10_000, 50},
		`{"search": "•4711"}`: {1, 1}, `{"search": "MESSAGES 0007"}`: {1, 1}, `{"search": "calls"}`: {0, 0},
	} {
		r := httptest.NewRequest("POST", "/api/lanes", strings.NewReader(asked))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		d.lanes(w, r)
		found := decode[struct {
			Total int
			Lanes []lane
		}](t, w.Body.String())
		if found.Total != want[0] || len(found.Lanes) != want[1] {
			t.Errorf("%s: %d in all, %d shown, expected %v", asked, found.Total, len(found.Lanes), want)
		}
	}
}

func TestPeopleChangeWhatTheySee(t *testing.T) {
	t.Parallel()
	s := open(t)
	failed, doubtful := s.fill()
	ctx := t.Context()
	progress := func() queue.Progress {
		c, err := s.q.FindCampaign(ctx, "spring")
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Progress(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	state := func(id queue.ID) queue.State {
		r, err := s.q.Result(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	s.ok("POST", "/api/campaign", `{"name": "spring", "do": "pause"}`)
	if p := progress(); p.State != queue.CampaignPaused {
		t.Error(p.State)
	}
	s.ok("POST", "/api/campaign", `{"name": "spring", "do": "resume"}`)
	s.ok("POST", "/api/campaign", `{"name": "spring", "do": "rate", "rate": 2.5}`)
	if p := progress(); p.State != queue.CampaignRunning || p.Options.Rate != 2.5 {
		t.Errorf("%+v", p)
	}
	s.ok("POST", "/api/campaign", `{"name": "spring", "do": "cancel"}`)
	if p := progress(); p.State != queue.CampaignCancelled || p.Cancelled != 3 {
		t.Errorf("%+v", p)
	}
	sid := "SM0123456789abcdef0123456789abcdef"
	s.ok("POST", "/api/job", `{"id": "`+string(doubtful)+`", "do": "confirm", "sid": "`+sid+`"}`)
	s.ok("POST", "/api/job", `{"id": "`+string(failed)+`", "do": "resend"}`)
	if a, b := state(doubtful), state(failed); a != queue.Sent || b != queue.Ready {
		t.Error(a, b)
	}
	s.ok("POST", "/api/job", `{"id": "`+string(failed)+`", "do": "cancel"}`)
	if a := state(failed); a != queue.Cancelled {
		t.Error(a)
	}
	holds, err := s.q.Holds(ctx)
	if err != nil || len(holds) != 1 {
		t.Fatal(holds, err)
	}
	s.ok("POST", "/api/hold", `{"hold": "`+holds[0].Name()+`"}`)
	if holds, err := s.q.Holds(ctx); err != nil || len(holds) != 0 {
		t.Error(holds, err)
	}
	for body, want := range map[[2]string]int{
		{"campaign", `{"name": "spring", "do": "resume"}`}:                           http.StatusConflict,
		{"campaign", `{"name": "none", "do": "pause"}`}:                              http.StatusNotFound,
		{"campaign", `{"name": "spring", "do": "stop"}`}:                             http.StatusBadRequest,
		{"campaign", `{"name": "spring", "doo": "pause"}`}:                           http.StatusBadRequest,
		{"job", `{"id": "` + string(doubtful) + `", "do": "resend"}`}:                http.StatusConflict,
		{"job", `{"id": "none", "do": "cancel"}`}:                                    http.StatusNotFound,
		{"job", `{"do": "cancel"}`}:                                                  http.StatusBadRequest,
		{"job", `{"id": "` + string(failed) + `", "do": "send"}`}:                    http.StatusBadRequest,
		{"job", `{"id": "` + string(failed) + `", "do": "confirm", "sid": "CA000"}`}: http.StatusBadRequest,
		{"hold", `{"hold": "none"}`}:                                                 http.StatusNotFound,
	} {
		if w := s.do("POST", "/api/"+body[0], body[1]); w.Code != want {
			t.Errorf("%v: %d, expected %d: %s", body, w.Code, want, w.Body)
		}
	}
	log := s.log.String()
	for _, line := range []string{`campaign: pause" campaign=spring by=192.0.2.1:1234`, "campaign: resume", "rate=2.5", "campaign: cancel", "request: confirm", "request: resend", "hold: end"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q: %s", line, log)
		}
	}
	if strings.Contains(log, receiver) || strings.Contains(log, sender) || strings.Contains(log, text) {
		t.Error(log)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, opt := range []Option{WithToken("short"), WithToken(""), WithLimits(nil, ""), WithLog(nil)} {
		if _, err := New(q, opt); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Error(err)
		}
	}
	if _, err := New(nil); err == nil {
		t.Error("a dashboard of no queue")
	}
}

// A stream has an event for each snapshot, and ends with the dashboard.
func TestEventsAreStreamed(t *testing.T) {
	t.Parallel()
	s := open(t)
	server := httptest.NewServer(s.d)
	defer server.Close()
	r, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	ended := make(chan string)
	go func() {
		all, _ := io.ReadAll(r.Body)
		ended <- string(all)
	}()
	s.fill()
	s.seen("three ready", func(now *snapshot) bool { return now.overview.Total.Ready == 3 })
	s.d.Close()
	events := strings.Split(strings.TrimSpace(<-ended), "\n\n")
	last := decode[overview](t, strings.TrimPrefix(events[len(events)-1], "data: "))
	if len(events) < 2 || last.Campaigns+int(last.Total.Ready) == 0 {
		t.Errorf("%d events, the last: %+v", len(events), last)
	}
}
