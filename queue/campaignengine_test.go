package queue_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

func openFile(t *testing.T, path string) *queue.Queue {
	t.Helper()
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(e, queue.WithAccount("AC00000000000000000000000000000000"))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func closeAll(t *testing.T, queues ...*queue.Queue) {
	t.Helper()
	for _, q := range queues {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

func recipients(n int) iter.Seq[queue.Recipient] {
	return func(yield func(queue.Recipient) bool) {
		for i := range n {
			if !yield(queue.Recipient{ID: fmt.Sprintf("+1500555%04d", i)}) {
				return
			}
		}
	}
}

func hello(tw *twilio.RestClient, r queue.Recipient) error {
	_, err := tw.Api.CreateMessage(new(api.CreateMessageParams).SetTo(r.ID).SetFrom("+15005550006").SetBody("hello"))
	return err
}

// Two processes enqueue the same campaign at once, and again after a restart: everybody
// is enqueued once.
func TestCampaignOfTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	queues := []*queue.Queue{openFile(t, path), openFile(t, path)}
	var wg sync.WaitGroup
	counts := make([]queue.Enqueued, len(queues))
	for i, q := range queues {
		wg.Go(func() {
			c, err := q.Campaign(t.Context(), "spring", queue.CampaignOptions{Rate: float64(i + 1)})
			if err != nil {
				t.Error(err)
				return
			}
			if counts[i], err = c.Enqueue(t.Context(), recipients(1200), hello); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	closeAll(t, queues...)
	if counts[0].New+counts[1].New != 1200 || counts[0].Known+counts[1].Known != 1200 {
		t.Errorf("%+v: expected 1200 new ones, and as many known", counts)
	}

	q := openFile(t, path)
	defer closeAll(t, q)
	c, err := q.Campaign(t.Context(), "spring", queue.CampaignOptions{Rate: 9})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := c.Enqueue(t.Context(), recipients(1201), hello); err != nil || done != (queue.Enqueued{New: 1, Known: 1200}) {
		t.Errorf("after a restart: %+v, %v", done, err)
	}
	if p, err := c.Progress(t.Context()); err != nil || p.Waiting != 1201 || p.Total != 1201 || p.Options.Rate == 9 {
		t.Errorf("%+v, %v", p, err)
	}
}

// One process cancels while the other enqueues, at whatever moment: nothing is left
// waiting, and nothing is lost from the count.
func TestCampaignCancelledByAnotherProcess(t *testing.T) {
	for after := range 5 {
		path := filepath.Join(t.TempDir(), "q.db")
		one, two := openFile(t, path), openFile(t, path)
		c, err := one.Campaign(t.Context(), "spring", queue.CampaignOptions{Rate: 1})
		if err != nil {
			t.Fatal(err)
		}
		other, err := two.FindCampaign(t.Context(), "spring")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Enqueue(t.Context(), func(yield func(queue.Recipient) bool) {
				n := 0
				for r := range recipients(2000) {
					if n == after*400 {
						wg.Go(func() {
							if err := other.Cancel(t.Context()); err != nil {
								t.Error(err)
							}
						})
					}
					if n++; !yield(r) {
						return
					}
				}
			}, hello)
			if err != nil && !errors.Is(err, queue.ErrCampaignCancelled) {
				t.Error(err)
			}
		})
		wg.Wait()
		if p, err := c.Progress(t.Context()); err != nil || p.Waiting != 0 || p.Cancelled != p.Total || p.State != queue.CampaignCancelled {
			t.Errorf("cancelled at recipient %d: %+v, %v", after*400, p, err)
		}
		closeAll(t, one, two)
	}
}

// What a campaign has not sent by Expires fails, is listed, and is known for ever.
func TestCampaignExpires(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	synctest.Test(t, func(t *testing.T) {
		q := openFile(t, path)
		defer closeAll(t, q)
		ctx := context.Background()
		c, err := q.Campaign(ctx, "spring", queue.CampaignOptions{Rate: 1, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Enqueue(ctx, recipients(3), hello); err != nil {
			t.Fatal(err)
		}
		if p, err := c.Progress(ctx); err != nil || p.State != queue.CampaignRunning || time.Until(p.ETA) != 3*time.Second {
			t.Errorf("%+v, %v", p, err)
		}
		time.Sleep(time.Hour + time.Second)
		if p, err := c.Progress(ctx); err != nil || p.State != queue.CampaignDone || p.Waiting != 3 {
			t.Errorf("%+v, %v", p, err)
		}
		sweep := queue.Sweep{Lease: time.Minute, Keep: time.Hour, Max: 100}
		if _, err := q.Engine().Sweep(ctx, sweep); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := c.WriteFailures(ctx, &out); err != nil || strings.Count(out.String(), queue.ReasonDeadline) != 3 || !strings.Contains(out.String(), "\n+15005550000,failed,,") {
			t.Errorf("%s: %v", out.String(), err)
		}

		time.Sleep(2 * time.Hour) // the results are not kept any more
		if _, err := q.Engine().Sweep(ctx, sweep); err != nil {
			t.Fatal(err)
		}
		for f, err := range c.Failures(ctx) {
			t.Errorf("still listed: %+v, %v", f, err)
		}
		if p, err := c.Progress(ctx); err != nil || p.Failed != 3 || p.Total != 3 {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func ExampleQueue_Campaign() {
	dir, err := os.MkdirTemp("", "campaign")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	engine, err := sqlitequeue.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	q, err := queue.Open(engine, queue.WithAccount("AC00000000000000000000000000000000"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Close()
	ctx := context.Background()

	campaign, err := q.Campaign(ctx, "spring sale", queue.CampaignOptions{
		Rate: 10, // a second
		Window: &queue.Window{
			From: "09:00", To: "20:00", Zone: "America/New_York",
			Days: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	file := strings.NewReader("To,First Name\n+15005550001,Ann\n+15005550002,Bob\n") // os.Open, mostly
	message := new(api.CreateMessageParams).SetFrom("+15005550006").SetBody("Hello {{.First_Name}}, spring is here.")
	done, err := campaign.EnqueueCSV(ctx, file, message)
	fmt.Println(done.New, "new,", done.Known, "known", err)

	// After a crash, or by mistake: nobody is enqueued twice.
	file.Seek(0, 0)
	done, err = campaign.EnqueueCSV(ctx, file, message)
	fmt.Println(done.New, "new,", done.Known, "known", err)

	// A Worker sends them, here or in another process. Meanwhile:
	if err := campaign.SetRate(ctx, 2); err != nil {
		fmt.Println(err)
	}
	if err := campaign.Pause(ctx); err != nil {
		fmt.Println(err)
	}
	p, err := campaign.Progress(ctx)
	fmt.Println(p.State, p.Waiting, "of", p.Total, "wait, at", p.Options.Rate, "a second", err)
	// Output:
	// 2 new, 0 known <nil>
	// 0 new, 2 known <nil>
	// paused 2 of 2 wait, at 2 a second <nil>
}

func ExampleCampaign_Enqueue() {
	dir, err := os.MkdirTemp("", "campaign")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	engine, err := sqlitequeue.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	q, err := queue.Open(engine, queue.WithAccount("AC00000000000000000000000000000000"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Close()
	ctx := context.Background()
	campaign, err := q.Campaign(ctx, "reminder", queue.CampaignOptions{Rate: 1, Expires: time.Now().Add(24 * time.Hour)})
	if err != nil {
		fmt.Println(err)
		return
	}

	customers := func(yield func(queue.Recipient) bool) { // from a database, mostly
		_ = yield(queue.Recipient{ID: "+15005550001", Fields: map[string]string{"at": "10:00"}}) &&
			yield(queue.Recipient{ID: "+15005550002", Fields: map[string]string{"at": "11:30"}})
	}
	done, err := campaign.Enqueue(ctx, customers, func(tw *twilio.RestClient, r queue.Recipient) error {
		_, err := tw.Api.CreateMessage(new(api.CreateMessageParams).
			SetTo(r.ID).SetFrom("+15005550006").SetBody("We expect you at " + r.Fields["at"] + "."))
		return err
	})
	fmt.Println(done.New, "enqueued", err)
	// Output: 2 enqueued <nil>
}

// A countedReads engine counts what is read of its documents.
type countedReads struct {
	queue.Engine
	mu           sync.Mutex
	calls, most  int // calls of Documents, and how many one has returned at most
	withoutNames int
}

func (e *countedReads) Documents(ctx context.Context, names ...string) ([]queue.Document, error) {
	docs, err := e.Engine.Documents(ctx, names...)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	e.most = max(e.most, len(docs))
	if len(names) == 0 {
		e.withoutNames++
	}
	return docs, err
}

// However many campaigns there were, a worker reads those of which something is ready, and
// who enqueues reads his own.
func TestOldCampaignsAreNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		all := &countedReads{Engine: e}
		w := worldOn(t, all, twiliotest.Config{})
		for i := range 300 {
			w.campaign(fmt.Sprint("old-", i), queue.CampaignOptions{Rate: 10000}, 1)
		}
		stop := w.work(w.client(unlimited))
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(w.fake.Messages()); n != 300 {
			t.Fatalf("%d messages: expected those of 300 campaigns", n)
		}

		all.most, all.calls = 0, 0
		w.work(w.client(unlimited))
		c := w.campaign("new", queue.CampaignOptions{Rate: 10}, 100)
		w.enqueue("otp", queue.High)
		time.Sleep(20 * time.Second)
		if _, err := w.q.FindCampaign(t.Context(), "new"); err != nil {
			t.Fatal(err)
		}
		if p, err := c.Progress(t.Context()); err != nil || p.Sent != 100 {
			t.Fatal(p, err)
		}
		all.mu.Lock()
		defer all.mu.Unlock()
		if all.most != 1 || all.withoutNames > 0 || all.calls == 0 {
			t.Errorf("%d calls of Documents have returned up to %d of them, %d had no names: expected the one of the campaign that runs", all.calls, all.most, all.withoutNames)
		}
	})
}
