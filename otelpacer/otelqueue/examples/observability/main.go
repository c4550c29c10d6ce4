// Observability is a program with metrics. It sends to a fake Twilio on loopback, and
// serves what OpenTelemetry has counted at /metrics, for Prometheus to scrape. It needs
// no account.
//
//	go -C otelpacer/otelqueue run ./examples/observability
//
// After a minute there is trouble. Twilio's limit for messages falls from 30/s to 8/s.
// Somebody else sends for the account as well, so that one request in eight is throttled.
// A minute later it is over: watch what pacer does about it. Then it begins again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go/client"
	"go.opentelemetry.io/otel"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

var (
	addr    = flag.String("addr", "127.0.0.1:9464", "`address` to serve /metrics at")
	runFor  = flag.Duration("for", 0, "how long to run; 0: until interrupted")
	phase   = flag.Duration("phase", time.Minute, "how long all is well, and then how long it is not")
	trouble = flag.Bool("trouble", false, "begin with trouble")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *runFor > 0 {
		ctx, stop = context.WithTimeout(ctx, *runFor)
		defer stop()
	}
	if err := serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "observability:", err)
		os.Exit(1) //nolint:gocritic // nothing that was deferred matters now
	}
}

func serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	metrics, stop, err := start(ctx, *phase, *trouble)
	if err != nil {
		return err
	}
	defer stop()
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Printf(`Sending to a fake Twilio on this machine.

  http://%s/metrics   what there is to see
  prometheus --config.file=deploy/prometheus.yml --storage.tsdb.path=$(mktemp -d) --web.listen-address=127.0.0.1:9090
                      scrapes it every 15 s; then http://127.0.0.1:9090/alerts
  deploy/grafana-dashboard.json
                      to import in Grafana; docs/watching.md says what the metrics mean
`, listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// start begins to send, and returns the handler for /metrics. This is what a program of
// yours does, with Twilio in place of the fake.
func start(ctx context.Context, phase time.Duration, trouble bool) (metrics http.Handler, stop func(), err error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)))

	fake := twiliotest.NewServer(twiliotest.Config{Latency: 40 * time.Millisecond, MaxInFlight: 40})
	base := &client.Client{
		Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken),
		HTTPClient:  fake.Client(),
	}
	base.SetAccountSid(twiliotest.AccountSid)
	c, err := pacer.New(pacer.ClientParams{Client: base},
		otelpacer.Instrument(), // all that metrics and spans need
		pacer.WithAlert(func(pacer.Alert) {}),
		pacer.WithLimits(pacer.Limits{
			{Resource: pacer.Messages, Rate: 30},
			{Resource: "Calls", Rate: 5},
			{Resource: "lookups/PhoneNumbers", Rate: 20},
			{Resource: "*", MaxInFlight: 40},
		}))
	if err != nil {
		fake.Close()
		return nil, nil, err
	}
	queued, err := enqueue(ctx, c)
	if err != nil {
		fake.Close()
		return nil, nil, err
	}
	wait := load(ctx, c, fake, phase, trouble)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), func() { wait(); queued(); fake.Close() }, nil
}
