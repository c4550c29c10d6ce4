package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A theater is where a trial is played: a store, a fake Twilio, and worker processes.
type theater struct {
	t      *testing.T
	store  queue.Engine
	fake   *twiliotest.Fake
	began  time.Time
	ending sync.WaitGroup // of workers

	processes [2]*process
	lives     int
	onWire    atomic.Int64

	mu      sync.Mutex
	fresh   chan struct{} // closed when something is done in the store; nil: nobody waits
	shifts  []shift       // of the engine's clock
	history []string
	alerted map[queue.ID]string
}

// A process is one life of a worker.
type process struct {
	name   string
	killed context.Context
	kill   context.CancelFunc
	cancel context.CancelFunc // ends its Run
}

// run plays the trial, and checks what has become of each message.
func (t *trial) run(tt *testing.T, store queue.Engine) {
	t.t, t.store, t.began = tt, store, time.Now()
	t.fake = twiliotest.New(t.settings.fake)
	t.alerted = make(map[queue.ID]string)
	t.setClock(t.settings.engine)
	t.inject()
	for _, e := range t.events {
		time.Sleep(time.Until(t.began.Add(e.at)))
		if e.name != "" {
			t.note("%s", e.name)
		}
		e.do()
	}
	time.Sleep(time.Until(t.began.Add(t.settings.calm)))
	t.note("nothing more happens")
	t.settle()
	for i := range t.processes {
		t.stop(i)
	}
	t.ending.Wait()
	time.Sleep(t.settings.late + t.d(1)) // what is accepted late
	t.verify()
	if tt.Failed() {
		t.print()
	}
}

// settle waits until nothing is on its way any more.
func (t *trial) settle() {
	for _, p := range t.phases {
		time.Sleep(time.Until(t.began.Add(min(p.to, t.settings.calm) + p.store.delay)))
	}
	time.Sleep(t.d(1))
	end := time.Now().Add(t.patience())
	for every := t.d(5); t.restless() != ""; time.Sleep(every) {
		if time.Now().After(end) {
			t.t.Errorf("trial %d: after %v %s", t.number, t.patience(), t.restless())
			return
		}
	}
}

func (t *trial) patience() time.Duration {
	if t.real() {
		return 5 * time.Minute
	}
	return 4 * time.Hour
}

// restless names a message that is on its way; "": there is none.
func (t *trial) restless() string {
	if n := t.onWire.Load(); n > 0 {
		return fmt.Sprintf("%d requests are on the wire", n)
	}
	for _, m := range t.letters {
		j, err := t.store.Get(context.Background(), m.id)
		if err != nil {
			return err.Error()
		}
		if m.is = j; !j.State.Final() && !(j.State == queue.InDoubt && j.Look.IsZero()) {
			return fmt.Sprintf("%s is %s: %s", m.tag, j.State, j.Outcome.Reason)
		}
	}
	return ""
}

// note adds to the history.
func (t *trial) note(format string, args ...any) {
	line := fmt.Sprintf("%8.3f ", time.Since(t.began).Seconds()/t.unit.Seconds()) + fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.history = append(t.history, line)
}

func (t *trial) enqueue(m *letter) {
	account := pacer.ResourceOf(m.request.Method, m.request.URL, m.request.Form, twiliotest.AccountSid)
	// As a store has it that was filled by another version: the door may refuse the number.
	j := queue.Job{ID: queue.ID(fmt.Sprintf("%06d-%s", t.number, m.tag)), Lane: queue.Lane{Resource: account}, Request: m.request}
	m.id = j.ID
	if _, err := t.store.Add(context.Background(), []queue.Job{j}); err != nil {
		t.t.Error(err)
	}
	t.announce()
}

// other sends what is none of the queue's.
func (t *trial) other(resource string, form url.Values) {
	r, err := http.NewRequest(http.MethodPost, accountURL+"/"+resource+".json", strings.NewReader(form.Encode()))
	if err != nil {
		t.t.Fatal(err)
	}
	r.SetBasicAuth(twiliotest.AccountSid, twiliotest.AuthToken)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	go func() {
		resp, err := t.fake.Transport().RoundTrip(r)
		if err != nil {
			t.t.Error(err)
			return
		}
		_ = resp.Body.Close()
	}()
}

// start begins a life of worker i.
func (t *trial) start(i int) {
	t.lives++
	p := &process{name: fmt.Sprintf("w%d.%d", i, t.lives)}
	p.killed, p.kill = context.WithCancel(context.Background())
	t.processes[i] = p
	q, err := queue.Open(&skewed{Engine: t.store, trial: t, process: p}, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.t.Fatal(err)
	}
	limit := pacer.Limit{Resource: "*", Rate: pacer.Unlimited}
	if t.settings.rate > 0 {
		limit.Rate = t.settings.rate
	}
	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(&http.Client{Transport: &observed{t, p}}), pacer.WithLimits(pacer.Limits{limit}), pacer.WithAlert(func(pacer.Alert) {}))
	if err != nil {
		t.t.Fatal(err)
	}
	s := t.settings
	w, err := queue.NewWorker(q, c, queue.WithAttemptTimeout(s.attempt), queue.WithLeaseMargin(s.margin), queue.WithSettle(s.settle), queue.WithGrace(s.grace),
		queue.WithAlert(func(a queue.Alert) {
			t.note("%s alerts of %s: %s: %v", p.name, a.Kind, t.tagOf(a.ID), a.Err)
			t.mu.Lock()
			defer t.mu.Unlock()
			if a.Kind == queue.AlertInDoubt && a.ID != "" {
				t.alerted[a.ID] = a.String()
			}
		}))
	if err != nil {
		t.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	t.ending.Go(func() {
		if err := w.Run(ctx); err != nil && p.killed.Err() == nil {
			t.note("%s has ended: %v", p.name, err)
		}
	})
}

func (t *trial) stop(i int) {
	if p := t.processes[i]; p != nil {
		p.cancel()
	}
}

// kill ends a worker's process: it reaches neither the store nor Twilio any more.
func (t *trial) kill(i int) {
	if p := t.processes[i]; p != nil {
		p.kill()
		p.cancel()
	}
}

func (t *trial) tagOf(id queue.ID) string {
	return strings.TrimPrefix(string(id), fmt.Sprintf("%06d-", t.number))
}

// inject tells the fake what happens to requests.
func (t *trial) inject() {
	for _, p := range t.phases {
		if p.store.op != "" {
			continue
		}
		f := p.fault
		f.Match = func(r *twiliotest.Request) bool {
			now := time.Since(t.began)
			return now >= p.from && now < p.to && (r.Method == http.MethodGet && p.lists || t.ours(r) != "" && p.posts)
		}
		t.fake.Inject(f)
	}
	for _, m := range t.letters {
		for _, h := range m.mishaps {
			f := h.fault
			f.Times = 1
			f.Match = func(r *twiliotest.Request) bool { return t.ours(r) == m.tag && time.Since(t.began) < t.settings.calm }
			t.fake.Inject(f)
		}
	}
}

// ours returns the tag of a message of the queue's; "": it is none.
func (t *trial) ours(r *twiliotest.Request) string {
	if tag := path.Base(r.Form.Get("StatusCallback")); r.Method == http.MethodPost && strings.HasPrefix(tag, "m") {
		return tag
	}
	return ""
}

// observed is a process's way to Twilio. It ends with the process.
type observed struct {
	trial   *trial
	process *process
}

var errKilled = errors.New("the process is killed")

func (o *observed) RoundTrip(r *http.Request) (*http.Response, error) {
	t, what := o.trial, "asks for a list"
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		form, _ := url.ParseQuery(string(body))
		what = "sends " + path.Base(form.Get("StatusCallback"))
		r.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	if o.process.killed.Err() != nil {
		return nil, errKilled
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	context.AfterFunc(o.process.killed, func() { cancel(errKilled) })
	if t.settings.silent {
		ctx = silent{ctx}
	}
	t.note("%s %s", o.process.name, what)
	t.onWire.Add(1)
	resp, err := t.fake.Transport().RoundTrip(r.WithContext(ctx))
	if err != nil {
		t.onWire.Add(-1)
		t.note("%s %s: %v", o.process.name, what, err)
		return nil, err
	}
	t.note("%s %s: %d", o.process.name, what, resp.StatusCode)
	resp.Body = &counted{resp.Body, sync.OnceFunc(func() { t.onWire.Add(-1) })}
	return resp, nil
}

// counted is the body of an answer that is on the wire until it is closed.
type counted struct {
	io.ReadCloser
	over func()
}

func (c *counted) Close() error {
	defer c.over()
	return c.ReadCloser.Close()
}

// silent keeps the hooks of httptrace from the transport.
type silent struct{ context.Context }

func (silent) Value(any) any { return nil }
