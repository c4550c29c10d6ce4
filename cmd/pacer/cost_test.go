package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/dashboard"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// Workers empty a queue by turns: one of package queue alone, and one that is watched as pacer worker is, with metrics,
// alerts, the dashboard and its readers. The figure watched/alone is how many times as long the second one takes.
//
//	go -C cmd/pacer test -run '^$' -bench Watched -benchtime 10x .
func BenchmarkWatchedWorker(b *testing.B) {
	const jobs = 2000
	var alone, watched time.Duration
	for i := range b.N {
		for turn := range 2 {
			if (i+turn)%2 == 0 {
				alone += emptied(b, jobs, false)
			} else {
				watched += emptied(b, jobs, true)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // it would be of both
	b.ReportMetric(float64(jobs*b.N)/alone.Seconds(), "jobs/s-alone")
	b.ReportMetric(float64(watched)/float64(alone), "watched/alone")
}

// emptied returns how long a worker needs for a new queue of some jobs.
func emptied(b *testing.B, jobs int, watched bool) time.Duration {
	b.Helper()
	e, err := sqlitequeue.Open(filepath.Join(b.TempDir(), "queue.db"))
	must(b, err)
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	must(b, err)
	defer q.Close()
	_, err = q.EnqueueMany(b.Context(), func(yield func(queue.Item) bool) {
		for i := range jobs {
			item := queue.Item{Build: func(tw *twilio.RestClient) error {
				p := &api.CreateMessageParams{}
				_, err := tw.Api.CreateMessage(p.SetTo(receiver).SetFrom(fmt.Sprintf("+1500555%04d", i%50)).SetBody(text))
				return err
			}}
			if !yield(item) {
				return
			}
		}
	})
	must(b, err)

	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	fake := twiliotest.New(twiliotest.Config{})
	clientOpts := []pacer.Option{
		pacer.WithHTTPClient(fake.Client()),
		pacer.WithLimits(pacer.Limits{{Resource: "*", Rate: pacer.Unlimited}}),
	}
	var workerOpts []queue.WorkerOption
	if watched {
		metrics, instrument, alerts, stop, err := instruments(q)
		must(b, err)
		defer stop()
		clientOpts, workerOpts = append(clientOpts, instrument), append(workerOpts, alerts)
		d, err := dashboard.New(q, dashboard.WithLog(slog.New(slog.DiscardHandler)))
		must(b, err)
		defer d.Close()
		mux := http.NewServeMux()
		mux.Handle("/metrics", metrics)
		mux.Handle(boardPath, http.StripPrefix(boardPath[:len(boardPath)-1], d))
		s := httptest.NewServer(mux)
		defer s.Close()
		defer readers(ctx, s.URL).Wait()
	}
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: token}, clientOpts...)
	must(b, err)
	w, err := queue.NewWorker(q, client, workerOpts...)
	must(b, err)
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- w.Run(ctx) }()
	for fake.Stats().Accepted < jobs {
		time.Sleep(time.Millisecond)
	}
	took := time.Since(began)
	cancel()
	must(b, <-ended)
	return took
}

// readers are twenty browsers that have the overview open, and Prometheus once a second, until ctx ends.
func readers(ctx context.Context, url string) *sync.WaitGroup {
	var all sync.WaitGroup
	get := func(path string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body) // the stream of events ends with ctx
		_ = resp.Body.Close()
	}
	for range 20 {
		all.Go(func() { get(boardPath + "events") })
	}
	all.Go(func() {
		for ctx.Err() == nil {
			get("/metrics")
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	})
	return &all
}
