package otelqueue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/twilio-pacer/pacer/otelpacer/otelqueue"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A program that sets OpenTelemetry's global meter provider needs no option.
func ExampleInstrument() {
	dir, err := os.MkdirTemp("", "queue")
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
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Close()

	reader := sdkmetric.NewManualReader() // in a program: a Prometheus or OTLP exporter
	unregister, err := otelqueue.Instrument(q, otelqueue.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unregister() // before q.Close

	ctx := context.Background()
	_, err = q.Enqueue(ctx, func(tw *twilio.RestClient) error {
		_, err := tw.Api.CreateMessage((&api.CreateMessageParams{}).SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready."))
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		fmt.Println(err)
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		if m.Name == "pacer.queue.arrived" {
			fmt.Println(m.Name, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
		}
	}
	// Output: pacer.queue.arrived 1
}
