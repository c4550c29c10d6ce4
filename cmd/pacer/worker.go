package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer"
	"github.com/twilio-pacer/pacer/otelpacer/otelqueue"
	"github.com/twilio-pacer/pacer/queue"
)

func (a *app) worker() *cobra.Command {
	var path, listen, board, format, level string
	var grace time.Duration
	var schema, insecure bool
	cmd := &cobra.Command{
		Use: "worker", Short: "Run the daemon that sends what waits", Args: exactly(),
		Long: `Sends what waits in the queue, until SIGTERM or Ctrl-C. Then it lets the requests on the wire end,
for the grace period at most. A second signal stops it at once, and leaves requests in doubt. Whoever
stops it, such as systemd or Kubernetes, has to wait for the grace period and 5 s more.

Flags go before the environment, the environment before the file of --config, the file before the defaults.

It serves /healthz (the process lives), /readyz (it runs, and the store answers) and /metrics (for
Prometheus). It logs to the standard error: what it begins with, and a line each minute.

It serves a dashboard at /dashboard/ of the same address, if that is a loopback one, or if PACER_DASHBOARD_TOKEN has a token.
With --dashboard it has an address of its own, or none. Without a token it starts on a loopback address only, unless
--dashboard-insecure says that others are kept out by something else.

A change of the limits' file is in force within two seconds, or at once after SIGHUP. Limits that are not valid
change nothing. With --share the limits are in Redis, and the file only counts while Redis has none.

Credentials can be in a file (PACER_CREDENTIALS_FILE, or credentialsFile in the file of --config). It has the auth token
alone, or an API key's SID and its secret. A change of it is in force at once after SIGHUP, and within seconds without,
if Twilio takes it.`,
		Example: "  pacer worker --queue sqlite:queue.db --limits limits.json\n  pacer worker --config worker.json --listen :9465\n  pacer worker --schema",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if schema {
				_, err := a.out.Write(workerSchema)
				return err
			}
			c, err := loadWorkerConfig(path)
			if err != nil {
				return err
			}
			for name, change := range map[string]func(){
				"listen": func() { c.Listen = listen }, "dashboard": func() { c.Dashboard = board }, "log-format": func() { c.LogFormat = format },
				"log-level": func() { c.LogLevel = level }, "grace": func() { c.Grace = grace },
			} {
				if cmd.Flags().Changed(name) {
					change()
				}
			}
			a.override(&c)
			return a.work(cmd.Context(), c, insecure)
		},
	}
	f, d := cmd.Flags(), defaultWorkerConfig()
	f.StringVar(&path, "config", "", "the configuration `file`")
	f.StringVar(&listen, "listen", d.Listen, "the `address` of /healthz, /readyz and /metrics; off: none")
	f.StringVar(&board, "dashboard", d.Dashboard, "auto, off, or an `address` of the dashboard's own")
	f.BoolVar(&insecure, "dashboard-insecure", false, "serve the dashboard to all who reach it, without a token")
	f.StringVar(&format, "log-format", d.LogFormat, "text or json")
	f.StringVar(&level, "log-level", d.LogLevel, "debug, info, warn or error")
	f.DurationVar(&grace, "grace", d.Grace, "how long requests on the wire may take to end")
	f.BoolVar(&schema, "schema", false, "print the JSON Schema of the configuration file, and end")
	return cmd
}

// level returns a level by its name in the configuration.
func level(name string) (slog.Level, error) {
	l, known := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[name]
	if !known {
		return 0, errors.New("expected debug, info, warn or error")
	}
	return l, nil
}

func (a *app) workerLog(c *workerConfig) (*slog.Logger, error) {
	least, err := level(c.LogLevel)
	if err != nil {
		return nil, usage("--log-level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: least}
	switch c.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(a.errs, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.errs, opts)), nil
	}
	return nil, usage("--log-format %q: expected text or json", c.LogFormat)
}

func (c *workerConfig) options(log *slog.Logger) []queue.WorkerOption {
	return append(c.policies(),
		queue.WithLogger(log), queue.WithGrace(c.Grace), queue.WithAttemptTimeout(c.AttemptTimeout), queue.WithSettle(c.Settle),
		queue.WithRetention(c.Retention), queue.WithConcurrency(c.Concurrency))
}

// policies returns the options for requests in doubt.
func (c *workerConfig) policies() (opts []queue.WorkerOption) {
	for operation, p := range c.InDoubt {
		if operation == "*" {
			opts = append(opts, queue.WithInDoubt(p))
		} else {
			opts = append(opts, queue.WithInDoubt(p, operation))
		}
	}
	return opts
}

// work runs the daemon until ctx ends.
func (a *app) work(ctx context.Context, c workerConfig, insecure bool) (err error) {
	log, err := a.workerLog(&c)
	if err != nil {
		return err
	}
	q, err := a.awaitQueue(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	metrics, instrument, alerts, stopMetrics, err := instruments(q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopMetrics()) }()
	client, stopClient, err := a.newClient(log, instrument)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopClient()) }()
	worker, err := queue.NewWorker(q, client, append(c.options(log), alerts, a.credentialsFrom())...)
	if err != nil {
		return err
	}

	b := board{address: c.Dashboard, token: os.Getenv("PACER_DASHBOARD_TOKEN"), insecure: insecure, shared: a.share != "", limitsFile: a.watchedLimits()}
	if err := b.open(q, client, a.limitsKept(), c.Listen, log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if file := a.watchedLimits(); file != "" {
		if err := client.WatchLimits(ctx, file); err != nil {
			return err
		}
	}
	h := &health{q: q}
	var background sync.WaitGroup
	defer background.Wait()
	at := "off"
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx)) // while the worker stops, too
	defer stopServing()
	if c.Listen != "off" {
		l, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return err
		}
		at = l.Addr().String()
		mux := h.handler(metrics)
		b.mount(mux)
		background.Go(func() {
			if err := serve(serving, l, mux, answersWithin); err != nil {
				log.Error("pacer worker: /healthz, /readyz and /metrics are not served any more", "error", err)
			}
		})
	}
	background.Go(func() { b.serve(serving, log) })
	background.Go(func() { a.reload(serving, client, log) })
	background.Go(func() { a.checkLimits(serving, worker.Refuse) })
	background.Go(func() { minutely(ctx, q, log) })
	background.Go(func() { a.rotate(serving, client, q, worker.Refuse, log) })
	v := buildVersion()
	log.Info("pacer worker: starts", append([]any{"version", v.Version, "revision", v.Revision, "config", cmp.Or(c.file, "none"),
		"credentials", cmp.Or(a.credentialsPath(), "environment"), "queue", shownAddress(a.queueAddress),
		"limits", a.limitsFrom(), "rules", len(client.Limits()), "in_force", shownLimits(client.Limits()),
		"listen", at, "dashboard", b.at(at), "grace", c.Grace, "concurrency", c.Concurrency}, waiting(ctx, q)...)...)
	notify := notifier(log)
	context.AfterFunc(ctx, func() {
		h.stopping.Store(true)
		notify("STOPPING=1")
		log.Info("pacer worker: stops; a second signal stops it at once", "grace", c.Grace)
	})
	notify("READY=1")
	background.Go(func() { watchdog(serving, notify) })
	h.running.Store(true)
	err = worker.Run(ctx)
	h.running.Store(false)
	stop()
	stopServing()
	log.Info("pacer worker: has ended")
	return err
}

// waiting returns what waits, for the log; nothing, if the store does not say.
func waiting(ctx context.Context, q *queue.Queue) []any {
	s, err := q.Stats(ctx)
	if err != nil {
		return nil
	}
	return []any{"lanes", len(s.Lanes), "ready", s.Total.Ready, "delayed", s.Total.Delayed, "in_doubt", s.Total.InDoubt}
}

// shownLimits returns limits in one line, 20 of them at most.
func shownLimits(limits pacer.Limits) string {
	const most = 20
	var shown []string
	for i, l := range limits {
		if i == most {
			shown = append(shown, fmt.Sprintf("and %d more", len(limits)-most))
			break
		}
		of := l.Resource
		if l.Op != "" {
			of += ":" + string(l.Op)
		}
		if l.Sender != "" {
			of += " from " + pacer.MaskNumbers(l.Sender)
		}
		switch {
		case l.Rate == pacer.Unlimited:
			of += " unlimited"
		case l.Rate > 0:
			of += " " + rate(l.Rate)
		}
		if l.MaxInFlight > 0 {
			of += fmt.Sprintf(" %d in flight", l.MaxInFlight)
		}
		shown = append(shown, of)
	}
	return strings.Join(shown, ", ")
}

// limitsFrom says where the limits come from.
func (a *app) limitsFrom() string {
	if a.share != "" {
		return "shared at " + shownAddress(a.share)
	}
	return a.ownLimitsFrom()
}

// ownLimitsFrom says where the limits come from that are not shared.
func (a *app) ownLimitsFrom() string {
	switch {
	case a.limitsFile != "":
		return a.limitsFile
	case os.Getenv("PACER_LIMITS") != "":
		return "PACER_LIMITS"
	}
	return "defaults"
}

// watchedLimits returns the file of limits that is read again when it changes; "": none is, as with a shared pace.
func (a *app) watchedLimits() string {
	if a.share != "" {
		return ""
	}
	return a.limitsFile
}

// reload reads the limits again with each SIGHUP, until ctx ends.
func (a *app) reload(ctx context.Context, c *pacer.Client, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		if a.watchedLimits() == "" {
			log.Info("pacer worker: SIGHUP: no file of limits to read again", "limits", a.limitsFrom())
			continue
		}
		limits, err := pacer.LoadLimits(a.limitsFile)
		if err == nil {
			err = c.SetLimits(limits)
		}
		if err != nil {
			log.Error("pacer worker: SIGHUP: the limits stay as they were", "error", pacer.MaskNumbers(err.Error()))
			continue
		}
		log.Info("pacer worker: SIGHUP: limits read again", "limits", a.limitsFile, "rules", len(limits))
	}
}

// checkLimits tells others when the file of limits cannot be taken, and when it can again, until ctx ends.
func (a *app) checkLimits(ctx context.Context, refuse func(queue.Refusal)) {
	file := a.watchedLimits()
	if file == "" {
		return
	}
	const every = 2 * time.Second // so long does a change take to be in force
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := (queue.Refusal{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r := queue.Refusal{What: "limits"}
		if info, err := os.Stat(file); err == nil {
			r.Time = info.ModTime()
		}
		if age := time.Since(r.Time); 0 <= age && age < every {
			continue // somebody may be writing it
		}
		if _, err := pacer.LoadLimits(file); err != nil {
			r.From, r.Why = absolute(file), strings.TrimPrefix(err.Error(), "pacer: ")
		} else {
			r.Time = time.Time{}
		}
		if r != last {
			last = r
			refuse(r)
		}
	}
}

// minutely logs one line a minute.
func minutely(ctx context.Context, q *queue.Queue, log *slog.Logger) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	begin, _ := q.Stats(ctx) // if the store fails now, its alert says so
	before := begin.Total.Departed
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, err := q.Stats(ctx)
		if err != nil {
			if ctx.Err() == nil {
				log.Warn("pacer worker: the store does not say what waits", "error", err)
			}
			continue
		}
		t := s.Total
		log.Info("pacer worker: a minute", "ready", t.Ready, "delayed", t.Delayed, "sending", t.Sending, "in_doubt", t.InDoubt,
			"finished", max(0, t.Departed-before), "lanes", len(s.Lanes), "oldest", t.OldestAge.Round(time.Second))
		before = t.Departed
	}
}

// instruments makes metrics for the queue, and options that make those of a client and of a worker's alerts.
func instruments(q *queue.Queue) (metrics http.Handler, client pacer.Option, alerts queue.WorkerOption, stop func() error, err error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, nil, nil, nil, err
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	if alerts, err = otelqueue.CountAlerts(otelqueue.WithMeterProvider(provider)); err != nil {
		return nil, nil, nil, nil, fmt.Errorf("metrics: %w", err)
	}
	unregister, err := otelqueue.Instrument(q, otelqueue.WithMeterProvider(provider))
	if err != nil {
		return nil, nil, nil, nil, fmt.Errorf("metrics: %w", err)
	}
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second})
	return handler, otelpacer.Instrument(otelpacer.WithMeterProvider(provider)), alerts, unregister, nil
}
