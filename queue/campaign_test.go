package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// memory is the part of an Engine that campaigns use. Its hooks stand for what other
// processes do in between.
type memory struct {
	Engine
	mu        sync.Mutex
	documents map[string]Document
	jobs      []Job
	byKey     map[string]ID

	beforeAdd, beforePut func()
	failCancel           error
}

func newMemory() *memory {
	return &memory{documents: make(map[string]Document), byKey: make(map[string]ID)}
}

func (m *memory) Close() error { return nil }

func (m *memory) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (m *memory) Add(ctx context.Context, jobs []Job) ([]Added, error) {
	if m.beforeAdd != nil {
		m.beforeAdd()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var added []Added
	for _, j := range jobs {
		id, known := m.byKey[j.Unique]
		if !known {
			j.State, j.Created = Ready, time.Now()
			if id = j.ID; j.Unique != "" {
				m.byKey[j.Unique] = id
			}
			m.jobs = append(m.jobs, j)
		}
		added = append(added, Added{id, known})
	}
	return added, nil
}

func (m *memory) Stats(ctx context.Context) ([]LaneStats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lanes := make(map[Lane]*LaneStats)
	for _, j := range m.jobs {
		s, ok := lanes[j.Lane]
		if !ok {
			s = &LaneStats{Lane: j.Lane}
			lanes[j.Lane] = s
		}
		*map[State]*int64{
			Ready: &s.Ready, Delayed: &s.Delayed, Sending: &s.Sending, Sent: &s.Sent,
			Failed: &s.Failed, InDoubt: &s.InDoubt, Cancelled: &s.Cancelled,
		}[j.State]++
	}
	var all []LaneStats
	for _, s := range lanes {
		all = append(all, *s)
	}
	return all, nil
}

func (m *memory) List(ctx context.Context, f Filter, after ID, max int) (found []Job, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		if j.ID > after && j.Lane.Campaign == f.Campaign && slices.Contains(f.States, j.State) && len(found) < max {
			found = append(found, j)
		}
	}
	return found, nil
}

func (m *memory) CancelWaiting(ctx context.Context, campaign string, max int) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failCancel != nil {
		return 0, m.failCancel
	}
	for i := range m.jobs {
		if j := &m.jobs[i]; j.Lane.Campaign == campaign && (j.State == Ready || j.State == Delayed) && n < max {
			j.State = Cancelled
			n++
		}
	}
	return n, nil
}

func (m *memory) Put(ctx context.Context, name string, value []byte, version int64) error {
	if m.beforePut != nil {
		m.beforePut()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.documents[name].Version != version {
		return ErrConflict
	}
	m.documents[name] = Document{name, value, version + 1}
	return nil
}

func (m *memory) Documents(ctx context.Context, names ...string) ([]Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	docs := slices.SortedFunc(maps.Values(m.documents), func(a, b Document) int { return strings.Compare(a.Name, b.Name) })
	return slices.DeleteFunc(docs, func(d Document) bool { return len(names) > 0 && !slices.Contains(names, d.Name) }), nil
}

func openMemory(t *testing.T) (*Queue, *memory) {
	t.Helper()
	m := newMemory()
	q, err := Open(m, WithAccount("AC00000000000000000000000000000000"))
	if err != nil {
		t.Fatal(err)
	}
	return q, m
}

func create(t *testing.T, q *Queue, name string, opts CampaignOptions) *Campaign {
	t.Helper()
	c, err := q.Campaign(t.Context(), name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func progress(t *testing.T, c *Campaign) Progress {
	t.Helper()
	p, err := c.Progress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// people yields the recipients first to last.
func people(first, last int) iter.Seq[Recipient] {
	return func(yield func(Recipient) bool) {
		for n := first; n <= last; n++ {
			if !yield(Recipient{ID: fmt.Sprintf("+1500555%04d", n)}) {
				return
			}
		}
	}
}

func hello(tw *twilio.RestClient, r Recipient) error {
	_, err := tw.Api.CreateMessage(new(api.CreateMessageParams).SetTo(r.ID).SetFrom("+15005550006").SetBody("hello"))
	return err
}

func enqueue(t *testing.T, c *Campaign, recipients iter.Seq[Recipient], want Enqueued) {
	t.Helper()
	if got, err := c.Enqueue(t.Context(), recipients, hello); err != nil || got != want {
		t.Fatalf("enqueued %+v, %v, expected %+v", got, err, want)
	}
}

func TestCampaignKeepsStoredSettings(t *testing.T) {
	q, m := openMemory(t)
	w := window(t, "mon-fri 09:00-20:00 Europe/Berlin")
	start := time.Now().Round(0)
	opts := CampaignOptions{Rate: 5, Start: start, Window: &w, Expires: start.Add(time.Hour), Priority: new(pacer.High)}
	c := create(t, q, "spring", opts)
	if err := c.SetRate(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}

	again, err := Open(m, WithAccount(q.account)) // another process, with what was compiled into it
	if err != nil {
		t.Fatal(err)
	}
	p := progress(t, create(t, again, "spring", CampaignOptions{Rate: 5}))
	o := p.Options
	if o.Rate != 50 || !o.Start.Equal(start) || o.Window.String() != w.String() || !o.Expires.Equal(opts.Expires) || *o.Priority != pacer.High || p.State != CampaignPaused {
		t.Errorf("%+v, %s", o, p.State)
	}
	if err := c.Update(t.Context(), CampaignOptions{Rate: 7}); err != nil {
		t.Fatal(err)
	}
	if p := progress(t, c); p.Options != (CampaignOptions{Rate: 7}) || p.State != CampaignPaused {
		t.Errorf("after Update: %+v", p)
	}
	if _, err := q.FindCampaign(t.Context(), "autumn"); !errors.Is(err, ErrNoCampaign) {
		t.Errorf("a campaign that is not there: %v", err)
	}
}

func TestCampaignErrors(t *testing.T) {
	q, m := openMemory(t)
	for name, want := range map[string]string{
		"":                       "name of 0 bytes: expected 1 to 100",
		strings.Repeat("x", 101): "name of 101 bytes",
		"a|b":                    "printable",
		"a\nb":                   "printable",
		"a\xffb":                 "printable",
	} {
		if _, err := q.Campaign(t.Context(), name, CampaignOptions{Rate: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("name %q: %v, expected %q in it", name, err, want)
		}
	}
	now := time.Now()
	for want, opts := range map[string]CampaignOptions{
		"Rate: 0: expected":         {},
		"Rate: -1":                  {Rate: -1},
		"Rate: NaN":                 {Rate: math.NaN()},
		"Rate: +Inf":                {Rate: math.Inf(1)},
		"expected a time after":     {Rate: 1, Start: now.Add(2 * time.Hour), Expires: now.Add(time.Hour)},
		"has passed":                {Rate: 1, Expires: now.Add(-time.Hour)},
		"Priority: 2":               {Rate: 1, Priority: new(pacer.Priority(2))},
		`Window: queue: window: Fr`: {Rate: 1, Window: &Window{}},
	} {
		if _, err := q.Campaign(t.Context(), "bad", opts); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `campaign "bad"`) {
			t.Errorf("%+v: %v, expected %q in it", opts, err, want)
		}
	}
	if len(m.documents) != 0 {
		t.Errorf("stored all the same: %v", m.documents)
	}
}

// Two processes change a campaign at once: neither change is lost.
func TestCampaignChangesConcurrently(t *testing.T) {
	q, m := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 1})
	m.beforePut = func() {
		m.beforePut = nil
		if err := c.SetRate(t.Context(), 9); err != nil {
			t.Error(err)
		}
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := progress(t, c); p.State != CampaignPaused || p.Options.Rate != 9 {
		t.Errorf("%s at %v, expected paused at 9", p.State, p.Options.Rate)
	}

	m.beforePut = nil
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := q.Campaign(t.Context(), "new", CampaignOptions{Rate: 1})
			if err == nil {
				err = c.Pause(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c, err := q.FindCampaign(t.Context(), "new"); err != nil || progress(t, c).State != CampaignPaused {
		t.Errorf("created by many at once: %v", err)
	}
}

func TestCampaignEnqueue(t *testing.T) {
	q, m := openMemory(t)
	expires := time.Now().Add(time.Hour).Round(0)
	c := create(t, q, "spring", CampaignOptions{Rate: 10, Expires: expires})
	enqueue(t, c, people(1, 1200), Enqueued{New: 1200})
	enqueue(t, c, people(1, 1201), Enqueued{New: 1, Known: 1200})
	enqueue(t, create(t, q, "summer", CampaignOptions{Rate: 10}), people(1, 2), Enqueued{New: 2})
	j := m.jobs[0]
	if j.Lane.Campaign != "spring" || j.Priority != pacer.Low || !j.Deadline.Equal(expires) || j.Unique != "c:spring|+15005550001" || j.Lane.Resource.Sender != "+15005550006" {
		t.Errorf("%+v", j)
	}

	err := c.Update(t.Context(), CampaignOptions{Rate: 10, Expires: expires.Add(time.Hour)})
	if err == nil || !strings.Contains(err.Error(), "deadline of 1201 recipients") {
		t.Errorf("Expires of recipients changed: %v", err)
	}
	done, err := c.Enqueue(t.Context(), people(2001, 2003), func(tw *twilio.RestClient, r Recipient) error {
		if r.ID == "+15005552003" {
			return errors.New("no such customer")
		}
		return hello(tw, r)
	})
	if err == nil || !strings.Contains(err.Error(), `campaign "spring": recipient 2: no such customer`) || done != (Enqueued{New: 2}) {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := c.Enqueue(t.Context(), slices.Values([]Recipient{{}}), hello); err == nil || !strings.Contains(err.Error(), "Recipient.ID") {
		t.Errorf("recipient without ID: %v", err)
	}
	if _, err := c.Enqueue(t.Context(), nil, nil); err == nil {
		t.Error("nil is taken")
	}
}

func TestCampaignCancel(t *testing.T) {
	q, m := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 10})
	enqueue(t, c, people(1, 1100), Enqueued{New: 1100})
	m.jobs[0].State, m.jobs[1].State = Sent, Sending

	// It dies after the first step.
	m.failCancel = errors.New("power failure")
	if err := c.Cancel(t.Context()); !errors.Is(err, m.failCancel) {
		t.Fatal(err)
	}
	campaigns, err := loadCampaigns(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, again := campaigns["spring"].sendable(time.Now()); ok || !again.IsZero() {
		t.Errorf("cancelled, and sendable: %t, %s", ok, again)
	}
	m.failCancel = nil
	for range 2 {
		if err := c.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p := progress(t, c); p.State != CampaignCancelled || p.Sent != 1 || p.Sending != 1 || p.Cancelled != 1098 || p.Waiting != 0 || p.Total != 1100 || !p.ETA.IsZero() {
		t.Errorf("%+v", p)
	}
	_, err = c.Enqueue(t.Context(), people(1, 1), hello)
	for what, err := range map[string]error{
		"enqueue": err, "pause": c.Pause(t.Context()), "resume": c.Resume(t.Context()), "set rate": c.SetRate(t.Context(), 1),
		"update": c.Update(t.Context(), CampaignOptions{Rate: 1}),
	} {
		if !errors.Is(err, ErrCampaignCancelled) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whatever Enqueue has stored beside a Cancel is not left waiting.
func TestCampaignCancelRacesEnqueue(t *testing.T) {
	q, m := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 10})
	m.beforeAdd = func() {
		if err := c.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Enqueue(t.Context(), people(1, batch+200), hello); !errors.Is(err, ErrCampaignCancelled) {
		t.Errorf("enqueued into a cancelled campaign: %v", err)
	}
	if p := progress(t, c); p.Waiting != 0 || p.Cancelled != batch {
		t.Errorf("%+v", p)
	}
}

// A day of a campaign, by the clock: what workers are told, and what people are shown.
func TestCampaignDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is midnight UTC, 2000-01-01, a Saturday
		q, m := openMemory(t)
		midnight := time.Now().UTC()
		w := window(t, "09:00-10:00 UTC")
		c := create(t, q, "spring", CampaignOptions{Rate: 1, Start: midnight.Add(24*time.Hour + 9*time.Hour + 30*time.Minute), Window: &w, Expires: midnight.AddDate(0, 0, 5)})
		enqueue(t, c, people(1, 3600), Enqueued{New: 3600})
		at := func(days, hour, minute int) time.Time {
			return midnight.AddDate(0, 0, days).Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
		}
		for _, step := range []struct {
			at       time.Time
			state    CampaignState
			again    time.Time
			nextOpen time.Time
			eta      time.Time
		}{
			{at(0, 9, 30), CampaignScheduled, at(1, 9, 30), at(1, 9, 30), at(2, 9, 30)}, // half an hour a day is open twice
			{at(1, 9, 30), CampaignRunning, at(1, 10, 0), time.Time{}, at(2, 9, 30)},
			{at(1, 10, 0), CampaignClosed, at(2, 9, 0), at(2, 9, 0), at(2, 10, 0)},
			{at(2, 9, 15), CampaignRunning, at(2, 10, 0), time.Time{}, at(3, 9, 15)},
			{at(4, 10, 0), CampaignClosed, time.Time{}, time.Time{}, at(5, 10, 0)}, // it opens after Expires only
			{at(5, 0, 0), CampaignDone, time.Time{}, time.Time{}, time.Time{}},
		} {
			time.Sleep(time.Until(step.at))
			campaigns, err := loadCampaigns(t.Context(), m, nil)
			if err != nil {
				t.Fatal(err)
			}
			ok, again := campaigns["spring"].sendable(time.Now())
			p := progress(t, c)
			if ok != (step.state == CampaignRunning) || !again.Equal(step.again) || p.State != step.state || !p.NextOpen.Equal(step.nextOpen) || !p.ETA.Equal(step.eta) {
				t.Errorf("at %s: sendable %t, again %s, %s, next %s, ETA %s; expected %+v", step.at, ok, again, p.State, p.NextOpen, p.ETA, step)
			}
		}
		if _, err := c.Enqueue(t.Context(), people(1, 1), hello); !errors.Is(err, ErrCampaignExpired) {
			t.Errorf("enqueued after Expires: %v", err)
		}
		// A restart of the program with the same options is no error.
		if _, err := q.Campaign(t.Context(), "spring", progress(t, c).Options); err != nil {
			t.Error(err)
		}
	})
}

func TestCampaignProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, m := openMemory(t)
		c := create(t, q, "spring", CampaignOptions{Rate: 0.5})
		if p := progress(t, c); p.State != CampaignRunning || p.Total != 0 || !p.ETA.IsZero() {
			t.Errorf("empty: %+v", p)
		}
		create(t, q, "autumn", CampaignOptions{Rate: 1})
		enqueue(t, c, people(1, 10), Enqueued{New: 10})
		for i, s := range []State{Sent, Sent, Failed, InDoubt, Cancelled, Sending, Delayed} {
			m.jobs[i].State = s
		}
		p := progress(t, c)
		if p.Total != 10 || p.Sent != 2 || p.Failed != 1 || p.InDoubt != 1 || p.Cancelled != 1 || p.Sending != 1 || p.Waiting != 4 {
			t.Errorf("%+v", p)
		}
		if eta := time.Until(p.ETA); eta != 8*time.Second {
			t.Errorf("ETA in %s, expected 8s", eta)
		}
		if err := c.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := progress(t, c); p.State != CampaignPaused || !p.ETA.IsZero() {
			t.Errorf("paused: %+v", p)
		}
		if err := c.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range m.jobs {
			if m.jobs[i].State == Ready || m.jobs[i].State == Delayed || m.jobs[i].State == Sending {
				m.jobs[i].State = Sent
			}
		}
		if p := progress(t, c); p.State != CampaignDone {
			t.Errorf("all sent or in doubt: %+v", p)
		}

		m.documents["campaign/winter"] = Document{"campaign/winter", []byte(`{"v":"2.0"}`), 1}
		m.documents["other"] = Document{"other", []byte("x"), 1}
		all, err := q.Campaigns(t.Context())
		if len(all) != 2 || all[0].Name != "autumn" || all[1].Name != "spring" || all[1].Total != 10 {
			t.Errorf("%+v", all)
		}
		if err == nil || !strings.Contains(err.Error(), `campaign "winter"`) || !strings.Contains(err.Error(), "update this program") {
			t.Errorf("a newer one: %v", err)
		}
	})
}

func TestCampaignETAInTheFarFuture(t *testing.T) {
	w := window(t, "mon 09:00-09:01 UTC")
	for _, c := range []campaignDoc{{CampaignOptions: CampaignOptions{Rate: minCampaignRate}}, {CampaignOptions: CampaignOptions{Rate: 1, Window: &w}}} {
		if c.Window != nil {
			c.hours, _ = w.hours()
		}
		if eta := c.eta(time.Now(), 1e6/c.Rate); !eta.IsZero() {
			t.Errorf("%+v: %s", c.CampaignOptions, eta)
		}
	}
}

func TestCampaignFailures(t *testing.T) {
	q, m := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 1})
	recipients := []Recipient{{ID: "+15005550001"}, {ID: "whatsapp:+15005550002"}, {ID: `=HYPERLINK("x")`}, {ID: "+1+cmd|' /C calc'!A0"}, {ID: "sent"}}
	done, err := c.Enqueue(t.Context(), slices.Values(recipients), func(tw *twilio.RestClient, _ Recipient) error {
		return hello(tw, Recipient{ID: "+15005550009"})
	})
	if err != nil || done != (Enqueued{New: 5}) {
		t.Fatalf("%+v, %v", done, err)
	}
	for i := range m.jobs {
		m.jobs[i].ID = ID(fmt.Sprint("id-", i))
		m.jobs[i].State, m.jobs[i].Attempts = Failed, i
	}
	m.jobs[0].Outcome = Outcome{Status: 400, Code: 21610, Reason: "unsubscribed, \"STOP\""}
	m.jobs[1].State, m.jobs[1].Outcome = InDoubt, Outcome{Reason: "-no answer"}
	m.jobs[4].State = Sent
	var out bytes.Buffer
	if err := c.WriteFailures(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	want := `recipient,state,code,reason,attempts,id
+15005550001,failed,21610,"unsubscribed, ""STOP""",0,id-0
whatsapp:+15005550002,in doubt,,'-no answer,1,id-1
"'=HYPERLINK(""x"")",failed,,,2,id-2
'+1+cmd|' /C calc'!A0,failed,,,3,id-3
`
	if out.String() != want {
		t.Errorf("got\n%s\nexpected\n%s", &out, want)
	}
}

func FuzzParseCampaign(f *testing.F) {
	for _, s := range []string{
		`{"v":"1.0","state":"running","created":"2026-11-24T00:00:00Z","rate":5}`,
		`{"v":"1.7","state":"paused","rate":5,"window":"mon-fri 09:00-20:00 Europe/Berlin","start":"2026-11-24T00:00:00Z","expires":"2026-11-25T00:00:00Z","priority":1,"new":{}}`,
		`{"v":"2.0","state":7}`, `{"v":"1.0","state":"stopped","rate":1}`, `{"v":"1.0","state":"running","rate":1e99}`, `[]`, ``, `{"v":"1.0","window":""}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := parseCampaign(Document{"campaign/x", value, 3})
		if err != nil {
			if c != nil || !strings.Contains(err.Error(), `campaign "x"`) {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		ok, again := c.sendable(time.Unix(1e9, 0))
		if !again.IsZero() && !again.After(time.Unix(1e9, 0)) {
			t.Fatalf("sendable %t, again at %s, which has passed", ok, again)
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		same, err := parseCampaign(Document{"campaign/x", b, 3})
		if err != nil {
			t.Fatalf("%s became %s: %v", value, b, err)
		}
		if b2, err := json.Marshal(same); err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("%s became %s and %s: %v", value, b, b2, err)
		}
	})
}

// A campaign that has not changed is not parsed again; one that has, or was made anew under
// the same name, is.
func TestCampaignsAreParsedOnceForEachVersion(t *testing.T) {
	q, m := openMemory(t)
	c, other := create(t, q, "spring", CampaignOptions{Rate: 5}), create(t, q, "summer", CampaignOptions{Rate: 5})
	load := func(known map[string]*campaignDoc) map[string]*campaignDoc {
		t.Helper()
		all, err := loadCampaigns(t.Context(), m, known, campaignPrefix+"spring", campaignPrefix+"summer")
		if err != nil || len(all) != 2 {
			t.Fatal(all, err)
		}
		return all
	}
	first := load(nil)
	if again := load(first); again["spring"] != first["spring"] || again["summer"] != first["summer"] {
		t.Error("parsed again, although nothing has changed")
	}
	if err := c.SetRate(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	changed := load(first)
	if changed["spring"].Rate != 7 || changed["summer"] != first["summer"] {
		t.Errorf("%+v: expected the new rate of one, and the other as it was", changed["spring"])
	}
	m.mu.Lock()
	delete(m.documents, campaignPrefix+"summer")
	m.mu.Unlock()
	create(t, q, other.Name(), CampaignOptions{Rate: 9})
	if anew := load(changed); anew["summer"].version != first["summer"].version || anew["summer"].Rate != 9 {
		t.Errorf("%+v: expected the one that was made anew at the same version", anew["summer"])
	}
}
