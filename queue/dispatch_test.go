package queue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
)

// A labored engine needs virtual time for Work.
type labored struct {
	queue.Engine
	looks   atomic.Int64
	once    atomic.Int64  // how long the next look takes, as a Duration
	each    time.Duration // how long a look takes
	promote time.Duration // how long it takes to make a job Ready that is due
}

func newLabored(t *testing.T, cfg twiliotest.Config) (*world, *labored) {
	t.Helper()
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	l := &labored{Engine: e}
	return worldOn(t, l, cfg), l
}

func (l *labored) delayed(ctx context.Context) (n int64) {
	stats, err := l.Stats(ctx)
	for _, s := range stats {
		n += s.Delayed
	}
	if err != nil {
		return 0
	}
	return n
}

func (l *labored) Work(ctx context.Context) ([]queue.ReadyLane, time.Duration, error) {
	l.looks.Add(1)
	takes := l.each + time.Duration(l.once.Swap(0))
	if l.promote == 0 {
		time.Sleep(takes)
		return l.Engine.Work(ctx)
	}
	before := l.delayed(ctx)
	lanes, next, err := l.Engine.Work(ctx)
	time.Sleep(takes + time.Duration(before-l.delayed(ctx))*l.promote)
	return lanes, next, err
}

// However many are due at one moment: what is urgent does not wait until all of them are Ready.
func TestManyDueAtOnceDelayNothingElse(t *testing.T) {
	const many = 30_000
	if testing.Short() && slower > 1 {
		t.Skip("takes a minute: run without -short or -race")
	}
	bubble(t, func(t *testing.T) {
		w, engine := newLabored(t, twiliotest.Config{Latency: 50 * time.Millisecond})
		engine.promote = 300 * time.Microsecond // as 100,000 in 30 s
		due := w.start.Add(time.Minute)
		w.many(many, func(i int) func(*twilio.RestClient) error { return message(sender, receiver, fmt.Sprint("due ", i)) }, queue.At(due))
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 100}))
		time.Sleep(time.Until(due.Add(200 * time.Millisecond)))
		for i := range 5 {
			asked := time.Now()
			body := fmt.Sprint("urgent ", i)
			w.enqueueFrom(otherSender, body, queue.High)
			time.Sleep(2 * time.Second)
			if took := w.sentAfter(body, asked); took > time.Second {
				t.Errorf("%q was sent after %v", body, took)
			}
		}
		if n := len(w.fake.Messages()); n < 900 {
			t.Errorf("%d messages were sent in 10 s at 100/s", n)
		}
		time.Sleep(20 * time.Second)
		if n := engine.delayed(t.Context()); n > 0 {
			t.Errorf("%d of %d that were due 30 s ago are not Ready", n, many)
		}
	})
}

// A look that has taken long is followed by no long pause, and news ends it.
func TestDispatcherListensAfterALongLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, engine := newLabored(t, twiliotest.Config{})
		engine.once.Store(int64(10 * time.Second))
		w.work(w.client(unlimited))
		time.Sleep(10*time.Second + time.Millisecond)
		asked := time.Now()
		w.enqueue("urgent", queue.High)
		time.Sleep(time.Minute)
		if took := w.sentAfter("urgent", asked); took > 200*time.Millisecond {
			t.Errorf("it was sent %v after a look of 10 s", took)
		}
	})
}

// News ends the pause after a look that takes 20 ms, and looking takes half of the time at most.
func TestDispatcherHearsNewsAndRests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, engine := newLabored(t, twiliotest.Config{})
		engine.each = 20 * time.Millisecond
		w.work(w.client(unlimited))
		time.Sleep(time.Second + 21*time.Millisecond) // a look is over
		asked := time.Now()
		w.enqueue("urgent", queue.High)
		time.Sleep(time.Second)
		if took := w.sentAfter("urgent", asked); took > 45*time.Millisecond {
			t.Errorf("it was sent after %v, expected two looks at most", took)
		}
		before := engine.looks.Load()
		seconds := unlessShort[int64](10, 2)
		for i := range 200 * seconds {
			w.enqueue(fmt.Sprint(i))
			time.Sleep(5 * time.Millisecond)
		}
		if n := engine.looks.Load() - before; n > 25*seconds+5 || n < 10*seconds-5 {
			t.Errorf("%d looks of 20 ms in %d s, expected at most half of the time, and ten a second at least", n, seconds)
		}
	})
}
