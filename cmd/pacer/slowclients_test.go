package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A slow client is one that keeps a connection busy for as long as it may. It sends begin, and then each second more.
// It reads answers if it reads, and never ends by itself.
type slow struct {
	begin, more string
	reads       bool
}

var slows = []slow{
	{"", "", true}, // says nothing at all
	{"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", "x", true},                       // a header that does not end
	{"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n", true},                   // headers that do not end
	{"GET /dashboard/events HTTP/1.1\r\nHost: localhost\r\n\r\n", "", false},             // events that nobody reads
	{"GET /dashboard/assets/style.css HTTP/1.1\r\nHost: localhost\r\n\r\n", "", false},   // an answer that nobody reads
	{"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /metrics HTTP/1.1", false}, // and another behind it
	{"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "", false},
	{"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", "", true}, // nothing follows
	{"POST /dashboard/api/campaign HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", " ", true},
	{"POST /dashboard/api/lanes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", true},
	{"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", "x", true}, // a body that nobody has asked for
}

// attack is a slow client on a connection. It returns when the server has closed that, or when gone is closed.
func (s slow) attack(c net.Conn, gone <-chan struct{}) {
	defer c.Close()
	if s.reads {
		go func() {
			_, _ = io.Copy(io.Discard, c) // until the end
			c.Close()
		}()
	}
	_, err := io.WriteString(c, s.begin)
	for err == nil {
		select {
		case <-gone:
			return
		case <-time.After(time.Second):
		}
		if s.more != "" {
			_, err = io.WriteString(c, s.more)
		}
	}
}

// pipes are a listener in memory, so that the server's deadlines are in virtual time.
type pipes struct {
	made chan net.Conn
	end  chan struct{}
	once sync.Once
	open atomic.Int64 // connections that the server has not closed
}

// A counted connection is the server's end of a pipe.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.end) })
	return nil
}

// dial returns a connection, and a channel that is closed when the server closes it.
func (p *pipes) dial() (net.Conn, <-chan struct{}, error) {
	client, server := net.Pipe()
	gone := make(chan struct{})
	p.open.Add(1)
	select {
	case p.made <- &counted{server, sync.OnceFunc(func() { p.open.Add(-1); close(gone) })}:
		return client, gone, nil
	case <-p.end:
		return nil, nil, net.ErrClosed
	}
}

const senders = 10 // each of them has a lane and a pace

// enqueueMany puts n requests into a queue.
func enqueueMany(t *testing.T, q *queue.Queue, n int) {
	t.Helper()
	_, err := q.EnqueueMany(t.Context(), func(yield func(queue.Item) bool) {
		for i := range n {
			item := queue.Item{Build: func(tw *twilio.RestClient) error {
				p := &api.CreateMessageParams{}
				_, err := tw.Api.CreateMessage(p.SetTo(receiver).SetFrom(fmt.Sprintf("+1500555%04d", i%senders)).SetBody(text))
				return err
			}}
			if !yield(item) {
				return
			}
		}
	})
	must(t, err)
}

// besieged runs a worker and all that it serves for four minutes, while slow clients hold connections for the first three. It
// returns how many requests the worker has sent by each minute.
func besieged(t *testing.T, clients, perSecond int) (sent []int) {
	t.Helper()
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
	must(t, err)
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	must(t, err)
	defer q.Close()
	enqueueMany(t, q, 420*perSecond)
	log := slog.New(slog.DiscardHandler)
	fake := twiliotest.New(twiliotest.Config{})
	metrics, instrument, alerts, stop, err := instruments(q)
	must(t, err)
	defer stop()
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: token}, instrument,
		pacer.WithHTTPClient(fake.Client()), pacer.WithLimits(pacer.Limits{{Resource: "Messages", Rate: float64(perSecond) / senders}}))
	must(t, err)
	w, err := queue.NewWorker(q, client, alerts, queue.WithLogger(log))
	must(t, err)

	// What follows is as in app.work.
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	b := board{address: "auto"}
	must(t, b.open(q, client, "", "127.0.0.1:0", log))
	defer b.close()
	h := &health{q: q}
	h.running.Store(true)
	mux := h.handler(metrics)
	b.mount(mux)
	l := &pipes{made: make(chan net.Conn), end: make(chan struct{})}
	running.Go(func() { _ = serve(ctx, l, mux, answersWithin) })
	running.Go(func() { _ = w.Run(ctx) })

	dial := func(context.Context, string, string) (net.Conn, error) {
		c, _, err := l.dial()
		return c, err
	}
	browser := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	get := func(path string, most time.Duration) {
		began := time.Now()
		resp, err := browser.Get("http://localhost" + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, err)
		}
		if took := time.Since(began); took > most {
			t.Errorf("%s has taken %v", path, took)
		}
	}
	minute := func() {
		for range 60 {
			time.Sleep(time.Second)
			get("/healthz", 0)
		}
		time.Sleep(time.Second / 2) // /metrics answers two at a time, and slow clients ask for it at each full second
		get("/readyz", 0)
		get("/metrics", 0)
		get("/dashboard/", 0)
		get("/dashboard/api/overview", 0)
		sent = append(sent, fake.Stats().Accepted)
	}
	time.Sleep(10 * time.Second) // the dashboard has looked
	before, now := runtime.NumGoroutine(), time.Now()
	var attacking sync.WaitGroup
	for i := range clients {
		attacking.Go(func() {
			for time.Since(now) < 3*time.Minute { // whoever is cut off comes again
				c, gone, err := l.dial()
				if err != nil {
					return
				}
				slows[i%len(slows)].attack(c, gone)
			}
		})
	}
	for range 3 {
		minute()
		synctest.Wait() // what was asked is closed
		if open, n := int(l.open.Load()), runtime.NumGoroutine(); open > clients || n > before+5*clients {
			t.Errorf("%d clients have %d connections and %d goroutines", clients, open, n-before)
		}
	}
	attackingEnds := make(chan struct{})
	go func() { attacking.Wait(); close(attackingEnds) }()
	minute()
	time.Sleep(2*time.Minute + time.Second) // the longest time for which the server waits, and one that answers
	select {
	case <-attackingEnds:
	default:
		t.Error("a slow client was not cut off")
	}
	if n := l.open.Load(); n > 0 {
		t.Errorf("%d connections are still open", n)
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
	return sent
}

// A thousand slow clients of all kinds take nothing from the worker. Health, metrics and the dashboard answer at once, and
// each of the clients is cut off. All of it happens in virtual time.
func TestSlowClientsTakeNothingFromTheWorker(t *testing.T) {
	clients, perSecond := 1000, 5
	if testing.Short() {
		clients, perSecond = len(slows), 1
	}
	var alone, with []int
	if !testing.Short() {
		synctest.Test(t, func(t *testing.T) { alone = besieged(t, 0, perSecond) })
	}
	synctest.Test(t, func(t *testing.T) { with = besieged(t, clients, perSecond) })
	t.Logf("sent by each minute: alone %v, with %d slow clients %v", alone, clients, with)
	for i, n := range with {
		if n < 60*(i+1)*perSecond || alone != nil && n < alone[i]-senders { // all of them may be about to send
			t.Errorf("after minute %d the worker has sent %d: alone %v, with %d slow clients %v", i+1, n, alone, clients, with)
		}
	}
}
