package otelpacer_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

var created = []byte(`{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}`)

// stub answers at once, so that what is measured is the client.
type stub struct{}

func (stub) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(created)), Request: r}, nil
}

func stubbed(b *testing.B, opts ...pacer.Option) *twilio.RestClient {
	base := &client.Client{Credentials: client.NewCredentials("AC0123456789abcdef0123456789abcdef", "token"), HTTPClient: &http.Client{Transport: stub{}}}
	base.SetAccountSid("AC0123456789abcdef0123456789abcdef")
	c, err := pacer.New(pacer.ClientParams{Client: base}, append(opts, pacer.WithLimits(pacer.Limits{{Resource: "*", Rate: 1e9, Burst: 1e6}}))...)
	if err != nil {
		b.Fatal(err)
	}
	return c.RestClient
}

// BenchmarkCreateMessage sends over the same stub with and without telemetry, in turn:
// "extra-ns/call" is the median difference of paired batches, and x/plain their ratio.
func BenchmarkCreateMessage(b *testing.B) {
	meters := otelpacer.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))
	noMeters := otelpacer.WithMeterProvider(metricnoop.NewMeterProvider())
	noSpans := otelpacer.WithTracerProvider(tracenoop.NewTracerProvider())
	plain := stubbed(b)
	for _, bm := range []struct {
		name string
		opts []otelpacer.Option
	}{
		{"noop", []otelpacer.Option{noMeters, noSpans}},
		{"metrics", []otelpacer.Option{meters, noSpans}},
		{"metrics+unsampled", []otelpacer.Option{meters, otelpacer.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())))}},
		{"metrics+spans", []otelpacer.Option{meters, otelpacer.WithTracerProvider(sdktrace.NewTracerProvider())}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			observed := stubbed(b, otelpacer.Instrument(bm.opts...))
			b.ReportAllocs()
			var ratios, extra []float64
			for b.Loop() {
				// One right after the other, first the one and then the other first.
				before, with1 := batch(b, plain), batch(b, observed)
				with2, after := batch(b, observed), batch(b, plain)
				ratios = append(ratios, (with1+with2)/(before+after))
				extra = append(extra, (with1+with2-before-after)/(2*perBatch))
			}
			slices.Sort(ratios)
			slices.Sort(extra)
			b.ReportMetric(ratios[len(ratios)/2], "x/plain")
			b.ReportMetric(extra[len(extra)/2], "extra-ns/call")
			b.ReportMetric(0, "ns/op") // of four batches: says nothing
		})
	}
}

const perBatch = 50

func batch(b *testing.B, rest *twilio.RestClient) float64 {
	start := time.Now()
	for range perBatch {
		if err := send(rest, sender); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(start))
}
