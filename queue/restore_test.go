package queue_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A restored backup has forgotten what was sent since. docs/queue.md says what to do:
// what it says is done here, and nothing is sent twice.
func TestRestoredBackup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		later := unlessShort(time.Hour, 5*time.Minute)
		path := filepath.Join(t.TempDir(), "queue.db")
		open := func(path string) *queue.Queue {
			e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
			if err != nil {
				t.Fatal(err)
			}
			q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
			if err != nil {
				t.Fatal(err)
			}
			return q
		}
		w := &world{t: t, q: open(path), fake: twiliotest.New(twiliotest.Config{}), start: time.Now()}
		w.enqueue("sent after the backup")
		unsent := w.enqueue("not sent", queue.In(later))
		if err := w.q.Close(); err != nil {
			t.Fatal(err)
		}
		backup := filepath.Join(t.TempDir(), "backup.db")
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(backup, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}

		w.q = open(path)
		stop := w.work(w.client(unlimited))
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := w.q.Close(); err != nil {
			t.Error(err)
		}
		w.once(1)

		w.q = open(backup)
		defer func() { _ = w.q.Close() }()
		ctx := context.Background()
		engine := w.q.Engine()
		waiting := queue.Filter{States: []queue.State{queue.Ready, queue.Delayed, queue.Sending}}
		n := 0
		for j, err := range w.q.List(ctx, waiting) {
			if err != nil {
				t.Fatal(err)
			}
			m := queue.Move{ID: j.ID, From: waiting.States, To: queue.InDoubt, LookIn: -1}
			if err := engine.Move(ctx, m); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("%d wait in the backup, expected 2", n)
		}
		stop = w.work(w.client(unlimited))
		if r := w.want(unsent, queue.Sent); r.Finished.Sub(w.start) < later {
			t.Errorf("sent after %v, expected not before it is due", r.Finished.Sub(w.start))
		}
		w.once(2)
		if s, err := w.q.Stats(ctx); err != nil || s.Total.Sent != 2 {
			t.Errorf("stats %+v, %v", s.Total, err)
		}
		_ = stop()
	})
}

// aheadBy is a Twilio whose clock is ahead of this machine's: as after this one has been
// set back.
type aheadBy struct {
	time.Duration
	http.RoundTripper
}

func (a aheadBy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Date", time.Now().Add(a.Duration).UTC().Format(http.TimeFormat))
	}
	return resp, err
}

// A request in doubt that Twilio has is not sent again because the clock was set back
// meanwhile, which makes what Twilio has look older than the request.
func TestClockSetBackDoesNotDouble(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1, Match: isMessage})
		c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
			pacer.WithHTTPClient(&http.Client{Transport: aheadBy{time.Hour, w.fake.Transport()}}), pacer.WithLimits(pacer.Limits{unlimited}))
		if err != nil {
			t.Fatal(err)
		}
		id := w.enqueue("once")
		w.work(c)
		time.Sleep(5 * time.Minute)
		if r, err := w.q.Result(t.Context(), id); r.State != queue.InDoubt {
			t.Errorf("it is %q (%v), expected in doubt", r.State, err)
		}
		w.once(1)
		if n := w.alerted(queue.AlertInDoubt); n != 1 {
			t.Errorf("%d alerts of a parked request, expected 1", n)
		}
	})
}

// A worker that was taken for dead, and has sent a request that another one has sent
// meanwhile, tells of it.
func TestSentTwiceIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 20 * time.Second})
		id := w.enqueue("twice")
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Second)

		// Another worker, for whom the first one's time is over.
		ctx, engine := t.Context(), w.q.Engine()
		if err := engine.Move(ctx, queue.Move{ID: id, From: []queue.State{queue.Sending}, To: queue.Delayed, DueIn: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // the worker has it again, at the next claim
		if err := engine.Move(ctx, queue.Move{ID: id, From: []queue.State{queue.Sending}, To: queue.Sent, Outcome: &queue.Outcome{SID: "SM1"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if len(w.fake.Duplicates()) != 1 {
			t.Fatalf("%d sent twice, expected 1", len(w.fake.Duplicates()))
		}
		if n := w.alerted(queue.AlertInDoubt); n != 1 {
			t.Errorf("%d alerts, expected 1: of the first answer, and not of the second, whose claim is the one that is Sent", n)
		}
	})
}
