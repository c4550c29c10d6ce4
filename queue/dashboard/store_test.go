package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// A counting is a store in memory that notes when it was asked.
type counting struct {
	queue.Engine
	mu    sync.Mutex
	asked []time.Time
	takes time.Duration
	err   error
	lanes []queue.LaneStats
}

func (c *counting) ask() error {
	c.mu.Lock()
	c.asked = append(c.asked, time.Now())
	takes, err := c.takes, c.err
	c.mu.Unlock()
	time.Sleep(takes)
	return err
}

func (c *counting) Stats(context.Context) ([]queue.LaneStats, error) { return c.lanes, c.ask() }
func (c *counting) Holds(context.Context) ([]queue.Hold, error)      { return nil, c.ask() }
func (c *counting) Now(context.Context) (time.Time, error)           { return time.Now(), c.ask() }
func (c *counting) Documents(context.Context, ...string) ([]queue.Document, error) {
	return nil, c.ask()
}
func (c *counting) Put(context.Context, string, []byte, int64) error { return c.ask() }
func (c *counting) Get(_ context.Context, id queue.ID) (queue.Job, error) {
	return queue.Job{ID: id}, c.ask()
}
func (c *counting) List(context.Context, queue.Filter, queue.ID, int) ([]queue.Job, error) {
	return nil, c.ask()
}
func (c *counting) Close() error { return nil }

// most returns the highest number of questions within a second.
func (c *counting) most() (most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, from := range c.asked {
		n := 0
		for _, at := range c.asked[i:] {
			if at.Sub(from) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func counted(t *testing.T, store *counting) *Dashboard {
	t.Helper()
	q, err := queue.Open(store, queue.WithAccount(nobody))
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(q)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func ask(d *Dashboard, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestTwentyWhoLookAskTheStoreTwiceASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resource := pacer.Resource{Account: nobody, Product: "api", Name: "Messages", Op: pacer.Create}
		store := &counting{lanes: []queue.LaneStats{{Lane: queue.Lane{Resource: resource}, Ready: 1, InDoubt: 1, Oldest: time.Now()}}}
		d := counted(t, store)
		ctx, leave := context.WithCancel(t.Context())
		var looking sync.WaitGroup
		for i := range 20 {
			looking.Go(func() { // a stream, as the page has one
				r := httptest.NewRequestWithContext(ctx, "GET", "/events", nil)
				r.Host = "localhost"
				w := httptest.NewRecorder()
				d.ServeHTTP(w, r)
				if n := strings.Count(w.Body.String(), "data: "); n < 24 { // one in five seconds, while the others take all they can
					t.Errorf("%d events in two minutes", n)
				}
			})
			looking.Go(func() { // and what it asks with each event
				for n := 0; ctx.Err() == nil; n++ {
					ask(d, "/api/overview")
					ask(d, "/api/doubt")
					ask(d, fmt.Sprintf("/api/job?id=%d", (i*7+n)%30))
					time.Sleep(2500 * time.Millisecond)
				}
			})
		}
		time.Sleep(2 * time.Minute)
		leave()
		looking.Wait()
		if n := store.most(); n > 2 {
			t.Errorf("%d queries within a second", n)
		}
		// Whoever comes later finds all as it was: nobody is shut out for long.
		if w := ask(d, "/api/overview"); w.Code != 200 {
			t.Error(w.Code, w.Body)
		}
		d.Close()
	})
}

func TestWithoutPeopleTheStoreIsAskedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{}
		d := counted(t, store)
		time.Sleep(time.Hour)
		d.Close()
		if n := len(store.asked); n > 3600 || n < 1000 {
			t.Errorf("%d queries in an hour", n)
		}
		if p := d.view.hour(); len(p) < points-5 || len(p) > points {
			t.Errorf("%d points of an hour", len(p))
		}
	})
}

// A store that needs seconds for its answer is left alone for nine times as long.
func TestASlowStoreIsAskedMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{takes: time.Second}
		d := counted(t, store)
		for range 60 {
			d.view.wanted()
			time.Sleep(time.Second)
		}
		d.Close()
		if n := len(store.asked); n > 30 {
			t.Errorf("%d queries of a second each in a minute", n)
		}
	})
}

// When the store fails, what was known stays, with the error. When it is back all is as before.
func TestAStoreThatFailsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{lanes: []queue.LaneStats{{Lane: queue.Lane{Campaign: "spring"}, Ready: 7}}}
		d := counted(t, store)
		overviewNow := func() overview { return decode[overview](t, ask(d, "/api/overview").Body.String()) }
		time.Sleep(10 * time.Second)
		if o := overviewNow(); o.Error != "" || o.Total.Ready != 7 {
			t.Errorf("%+v", o)
		}
		fail := func(err error) {
			store.mu.Lock()
			store.err = err
			store.mu.Unlock()
			time.Sleep(20 * time.Second)
		}
		fail(errors.New("the disk of +15555550123 is gone"))
		since := overviewNow().Since
		if o := overviewNow(); o.Total.Ready != 7 || !strings.Contains(o.Error, "is gone") || strings.Contains(o.Error, receiver) || since == "" {
			t.Errorf("%+v", o)
		}
		fail(errors.New("the disk is gone"))
		if o := overviewNow(); o.Since != since {
			t.Errorf("it fails since %s, and not since %s", o.Since, since)
		}
		fail(nil)
		if o := overviewNow(); o.Error != "" || o.Total.Ready != 7 {
			t.Errorf("%+v", o)
		}
		gaps := 0
		for _, p := range decode[[]point](t, ask(d, "/api/history").Body.String()) {
			if p.Gap {
				gaps++
			}
		}
		if gaps != 2 {
			t.Errorf("%d gaps, expected one before the first point and one for the outage", gaps)
		}
		d.Close()
	})
}

// A store that was away, so that each query had to wait for its end, is seen again soon after it is back.
func TestAStoreThatIsBackIsSeenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{takes: 3 * time.Second, err: errors.New("away")}
		d := counted(t, store)
		look := func(seconds int) overview {
			for range seconds {
				d.view.wanted()
				time.Sleep(time.Second)
			}
			return decode[overview](t, ask(d, "/api/overview").Body.String())
		}
		if o := look(60); o.Error == "" {
			t.Errorf("%+v", o)
		}
		store.mu.Lock()
		store.takes, store.err = 0, nil
		store.mu.Unlock()
		if o := look(12); o.Error != "" {
			t.Errorf("12 s after the store was back: %s", o.Error)
		}
		d.Close()
	})
}

// What was asked before a person's change, and is answered after it, is not remembered.
func TestAnAnswerFromBeforeAChangeIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r remembered[string]
		p := &pace{every: time.Millisecond}
		get := func(answer string) string {
			got, err := r.get(t.Context(), p, false, time.Hour, func(context.Context) (string, error) {
				time.Sleep(time.Second)
				return answer, nil
			})
			if err != nil {
				t.Error(err)
			}
			return got
		}
		go get("before")
		time.Sleep(500 * time.Millisecond)
		r.forget()
		if got := get("after"); got != "after" {
			t.Error(got)
		}
		time.Sleep(time.Second)
		if got := get("not asked"); got != "after" {
			t.Error(got)
		}
	})
}

func TestHistoryHasRatesAndAnHour(t *testing.T) {
	var h history
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	total := queue.LaneDepth{}
	for i := range 2 * points {
		total.Departed += 50
		total.Arrived += 100
		if i == points { // of which nothing was sent
			total.Cancelled += 1000
			total.Departed += 1000
		}
		h.add(&total, at, 0.5)
		if h.add(&total, at.Add(time.Second), 0.5) != nil {
			t.Fatal("two points within a second")
		}
		at = at.Add(pointEvery)
	}
	if len(h.ring) != points || h.ring[0].Time != at.Add(-points*pointEvery).Unix() {
		t.Errorf("%d points, the first at %d", len(h.ring), h.ring[0].Time)
	}
	for _, p := range h.ring {
		if p.Sent != 10 || p.Arrived != 20 || p.Throttled != 0.5 {
			t.Fatalf("%+v", p)
		}
	}
}

// What one person looks at takes several questions, of which the first is still known when the last is answered.
func TestAPageIsMostlyAnsweredFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := queue.Lane{Resource: pacer.Resource{Account: nobody, Product: "api", Name: "Messages", Op: pacer.Create}}
		store := &counting{lanes: []queue.LaneStats{{Lane: lane, Ready: 1, Delayed: 1, InDoubt: 1, Failed: 1, Oldest: time.Now()}}}
		d := counted(t, store)
		var waited time.Duration
		for range 60 {
			d.view.wanted() // somebody looks at the overview meanwhile
			began := time.Now()
			if _, err := d.view.q.Why(t.Context(), queue.About{Lane: lane}); err != nil {
				t.Fatal(err)
			}
			waited += time.Since(began)
			time.Sleep(time.Second)
		}
		d.Close()
		if waited > 90*time.Second { // when all was asked anew it took 4 min 26 s
			t.Errorf("60 answers took %v", waited)
		}
	})
}
