package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
)

func TestTopInAPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := startCampaign(t)
		ok(t, "campaign", "pause", "spring", "--queue", q)
		for _, c := range []struct {
			args   []string
			lasts  time.Duration
			blocks int
		}{
			{[]string{"top"}, 25 * time.Second, 3},
			{[]string{"top", "--every", "1s"}, 4500 * time.Millisecond, 5},
			{[]string{"top", "--once"}, time.Hour, 1},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), c.lasts)
			p := doIn(ctx, t, "", append(c.args, "--queue", q)...)
			cancel()
			blocks := strings.Split(p.out, "\n\n")
			if p.code != exitDone || p.err != "" || len(blocks) != c.blocks {
				t.Errorf("%q: exit code %d, %d blocks, expected %d: %s%s", c.args, p.code, len(blocks), c.blocks, p.out, p.err)
			}
			for _, b := range blocks {
				for _, words := range []string{"Z  waiting 3  sending 0  sent 0 ", "\n! Campaign spring is paused. -> resume it; pacer campaign resume spring\n", "\nspring ", "+1500•••0006", "\nNo worker.\n", "\nNothing is held."} {
					if !strings.Contains(b, words) {
						t.Errorf("%q: no %q in %s", c.args, words, b)
					}
				}
			}
		}
		if p := doIn(t.Context(), t, "", "top", "--once", "--reveal", "--queue", q); !strings.Contains(p.out, from) {
			t.Error(p)
		}
	})
}

func TestTopJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := startCampaign(t)
		s := decode[topInfo](t, ok(t, "top", "--once", "--json", "--queue", q))
		if s.Time == "" || s.Total.Ready != 3 || len(s.Campaigns) != 1 || s.Campaigns[0].Name != "spring" || len(s.Lanes) != 1 || s.LanesBusy != 1 || len(s.Reasons) == 0 || s.Workers == nil || s.Holds == nil {
			t.Errorf("%+v", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		lines := strings.Split(strings.TrimSpace(doIn(ctx, t, "", "top", "--json", "--queue", q).out), "\n")
		for _, l := range lines {
			decode[topInfo](t, l)
		}
		if len(lines) != 3 {
			t.Errorf("%d lines in 25 s, expected 3", len(lines))
		}
	})
}

func TestTopUsedWrongly(t *testing.T) {
	fails(t, exitUsage, "expected 1s or more", "top", "--every", "10ms", "--queue", file(t))
	fails(t, exitUsage, "expected 0", "top", "spring", "--queue", file(t))
	fails(t, exitNotFound, "no queue at sqlite:", "top", "--queue", file(t))
}

// A moody engine counts what it is asked, and fails when it is told to.
type moody struct {
	queue.Engine
	asked  int
	probes int // of Queue.Why
	away   atomic.Bool
}

func (m *moody) ask() error {
	if m.asked++; m.away.Load() {
		return errors.New("connection refused, says " + receiver)
	}
	return nil
}

func (m *moody) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	if err := m.ask(); err != nil {
		return nil, err
	}
	return m.Engine.Stats(ctx)
}

func (m *moody) Holds(ctx context.Context) ([]queue.Hold, error) {
	if err := m.ask(); err != nil {
		return nil, err
	}
	return m.Engine.Holds(ctx)
}

func (m *moody) Now(ctx context.Context) (time.Time, error) {
	if err := m.ask(); err != nil {
		return time.Time{}, err
	}
	return m.Engine.Now(ctx)
}

func (m *moody) Documents(ctx context.Context, names ...string) ([]queue.Document, error) {
	if err := m.ask(); err != nil {
		return nil, err
	}
	return m.Engine.Documents(ctx, names...)
}

func (m *moody) Put(ctx context.Context, name string, value []byte, version int64) error {
	if err := m.ask(); err != nil {
		return err
	}
	if value != nil {
		m.probes++
	}
	return m.Engine.Put(ctx, name, value, version)
}

func (m *moody) List(ctx context.Context, f queue.Filter, after queue.ID, most int) ([]queue.Job, error) {
	if err := m.ask(); err != nil {
		return nil, err
	}
	return m.Engine.List(ctx, f, after, most)
}

// moodyTop returns a top over a queue with requests in doubt, about which Why asks most.
func moodyTop(t *testing.T, a *app) (*top, *moody) {
	t.Helper()
	address, _ := doubtful(t, 3)
	e, err := engineurl.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	m := &moody{Engine: e}
	l, err := newLooker(m)
	if err != nil {
		t.Fatal(err)
	}
	return &top{app: a, looker: l, every: time.Second}, m
}

func TestTopAsksTheStoreLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top, m := moodyTop(t, &app{})
		for n := range 10 {
			m.asked = 0
			s, err := top.looker.look(t.Context())
			if err != nil || s.stats.Total.InDoubt != 3 || len(s.reasons) == 0 {
				t.Fatalf("%+v, %v", s, err)
			}
			if m.asked == 0 || m.asked > 10 {
				t.Errorf("look %d has asked the store %d times, expected 10 at most", n, m.asked)
			}
			time.Sleep(time.Second)
		}
		if m.probes != 2 {
			t.Errorf("Queue.Why was asked %d times in 10 s, expected 2", m.probes)
		}
	})
}

// A store that is away ends nothing but a single look. What was known stays, and the next answer is shown.
func TestTopGoesOnWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		top, m := moodyTop(t, &app{out: &out, json: true})
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		time.AfterFunc(1500*time.Millisecond, func() { m.away.Store(true) })
		time.AfterFunc(3500*time.Millisecond, func() { m.away.Store(false) })
		if err := top.print(ctx, sized(unlimited, lineHeight)); err != nil {
			t.Fatal(err)
		}
		var seen string
		d := json.NewDecoder(strings.NewReader(out.String()))
		for d.More() {
			var s topInfo
			if err := d.Decode(&s); err != nil {
				t.Fatal(err)
			}
			switch {
			case s.Total.InDoubt != 3:
				t.Errorf("%+v", s)
			case s.Error == "":
				seen += "+"
			case strings.Contains(s.Error, "refused") && !strings.Contains(s.Error, receiver):
				seen += "-"
			default:
				t.Error(s.Error)
			}
		}
		if seen != "++--++" {
			t.Errorf("%s, expected two answers, two failures and two answers", seen)
		}
		m.away.Store(true)
		top.once = true
		if err := top.print(t.Context(), sized(unlimited, lineHeight)); err == nil {
			t.Error("--once tells nothing of a store that is away")
		}
	})
}
