package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// A changing store has a hundred lanes, and others each minute: those of a new campaign.
type changing struct {
	counting
}

func (c *changing) Stats(context.Context) ([]queue.LaneStats, error) {
	lanes := make([]queue.LaneStats, 100)
	for i := range lanes {
		lanes[i] = queue.LaneStats{Ready: 1, InDoubt: 1, Oldest: time.Now(), Lane: queue.Lane{
			Campaign: fmt.Sprint("spring", time.Now().Unix()/60),
			Resource: pacer.Resource{Account: nobody, Product: "api", Name: "Messages", Op: pacer.Create, Sender: fmt.Sprintf("+1500555%04d", i)},
		}}
	}
	return lanes, nil
}

// A nowhere is an answer that nobody keeps.
type nowhere struct{ head http.Header }

func (n nowhere) Header() http.Header         { return n.head }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Flush()                      {}

// Twenty people look for three hours. Once an hour of history is full, neither heap nor goroutines become more.
func TestHoursOfReadersLeaveNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("three hours of virtual time take seconds")
	}
	synctest.Test(t, func(t *testing.T) {
		store := &changing{}
		q, err := queue.Open(store, queue.WithAccount(nobody))
		if err != nil {
			t.Fatal(err)
		}
		d, err := New(q)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		ctx, leave := context.WithCancel(t.Context())
		request := func(method, target, body string) {
			r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
			r.Host = "localhost"
			r.Header.Set("Content-Type", "application/json")
			d.ServeHTTP(nowhere{http.Header{}}, r)
		}
		var looking sync.WaitGroup
		for range 20 {
			looking.Go(func() { request("GET", "/events", "") })
		}
		looking.Go(func() { // different things each time
			for n := 0; ctx.Err() == nil; n++ {
				request("GET", "/api/overview", "")
				request("GET", "/api/history", "")
				request("GET", "/api/doubt", "")
				request("GET", fmt.Sprint("/api/job?id=", n), "")
				request("POST", "/api/lanes", fmt.Sprintf(`{"search": "%d"}`, n))
				time.Sleep(10 * time.Second)
			}
		})
		now := func() (heap uint64, goroutines int) {
			time.Sleep(time.Second) // nobody asks in this one
			synctest.Wait()
			store.mu.Lock()
			store.asked = nil
			store.mu.Unlock()
			var m runtime.MemStats
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc, runtime.NumGoroutine()
		}
		time.Sleep(time.Hour + 5*time.Minute)
		heap, goroutines := now()
		time.Sleep(2 * time.Hour)
		heapLater, goroutinesLater := now()
		t.Logf("after an hour %d bytes and %d goroutines, after three %d and %d", heap, goroutines, heapLater, goroutinesLater)
		if heapLater > heap+256<<10 || goroutinesLater > goroutines+2 {
			t.Errorf("after an hour %d bytes and %d goroutines, after three %d and %d", heap, goroutines, heapLater, goroutinesLater)
		}
		leave()
		looking.Wait()
	})
}
