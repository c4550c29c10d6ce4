package otelpacer_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A program that sets OpenTelemetry's global providers needs no more than this option.
func ExampleInstrument() {
	fake := twiliotest.New(twiliotest.Config{}) // in place of Twilio

	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()),
		otelpacer.Instrument())
	if err != nil {
		fmt.Println(err)
		return
	}
	params := &api.CreateMessageParams{}
	params.SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready.")
	msg, err := c.Api.CreateMessage(params)
	fmt.Println(*msg.Status, err)
	// Output: queued <nil>
}

// Metrics go to a provider of the program's own; the drop-in constructors take the option
// as New does.
func ExampleWithMeterProvider() {
	fake := twiliotest.New(twiliotest.Config{})
	reader := sdkmetric.NewManualReader() // in a program: a Prometheus or OTLP exporter
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))

	twilio := pacer.NewRestClientWithParams(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()),
		otelpacer.Instrument(otelpacer.WithMeterProvider(provider)))
	_, _ = twilio.Api.CreateMessage((&api.CreateMessageParams{}).SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready."))

	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		fmt.Println(err)
	}
	var names []string
	for _, m := range collected.ScopeMetrics[0].Metrics {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Println(name)
	}
	// Output:
	// http.client.request.duration
	// pacer.alerts
	// pacer.call.duration
	// pacer.calls.gave_up
	// pacer.calls.queued
	// pacer.calls.waiting
	// pacer.cool_down
	// pacer.rate.configured
	// pacer.rate.effective
	// pacer.requests.in_flight
	// pacer.requests.retried
	// pacer.requests.throttled
	// pacer.requests.throttled_ratio
	// pacer.wait.duration
}

// The span of a call is a child of the span in the context that it is made with.
func ExampleWithTracerProvider() {
	fake := twiliotest.New(twiliotest.Config{})
	recorder := tracetest.NewSpanRecorder() // in a program: a batcher with an OTLP exporter
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))

	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()),
		otelpacer.Instrument(otelpacer.WithTracerProvider(provider)))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, order := provider.Tracer("shop").Start(context.Background(), "order")
	_, _ = c.WithContext(ctx).Api.CreateMessage((&api.CreateMessageParams{}).SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready."))
	order.End()

	for _, span := range recorder.Ended() {
		fmt.Println(span.Name(), span.Parent().IsValid())
	}
	// Output:
	// api/Messages:create true
	// order false
}
