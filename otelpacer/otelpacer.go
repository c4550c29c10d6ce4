// Package otelpacer gives a pacer client OpenTelemetry metrics and traces. It is one
// option, for every constructor of pacer's:
//
//	c, err := pacer.New(pacer.ClientParams{}, otelpacer.Instrument())
//	rest := pacer.NewRestClient(otelpacer.Instrument())
//
// The metrics, and what to do about them, are in docs/watching.md; deploy has rules and a
// dashboard for Prometheus and Grafana. Those of a durable queue are in a module of their
// own, otelpacer/otelqueue.
//
// Each call has a span named after its resource, such as "api/Messages:create", a child of the span
// in the context that [pacer.Client.WithContext] was given. It is of kind internal, as it may hold
// several HTTP requests and the waits between them, which are its events. For a client span of each
// request below it give pacer.WithHTTPClient an http.Client with a transport that is instrumented.
// Then drop one of the two http.client.request.duration with a view.
//
// # Privacy and cardinality
//
// No account, SID, phone number, message or text of an error becomes an attribute. The
// attribute pacer.resource is [pacer.Resource.String], which takes a bounded number of
// values; what is known of single senders is added up.
package otelpacer

import (
	"context"
	"errors"
	"sync"
	"weak"

	"github.com/twilio-pacer/pacer"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/twilio-pacer/pacer/otelpacer"

// An Option changes where [Instrument] sends what it sees.
type Option func(*config)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
}

// WithMeterProvider sets where metrics go. The default is otel.GetMeterProvider; one
// from package metric/noop turns metrics off.
func WithMeterProvider(mp metric.MeterProvider) Option { return func(c *config) { c.meters = mp } }

// WithTracerProvider sets where spans go. The default is otel.GetTracerProvider; one
// from package trace/noop turns them off.
func WithTracerProvider(tp trace.TracerProvider) Option { return func(c *config) { c.tracers = tp } }

// Instrument returns an option of pacer's that measures and traces the client it is given
// to. If an instrument cannot be made the error is that of the client's constructor.
//
// It keeps no client alive and needs no closing. Clients of one program that share a
// provider are to share the option, too: what it shows of them is then their sum. Of two
// options with one provider each would overwrite the other's gauges.
func Instrument(opts ...Option) pacer.Option {
	cfg := config{otel.GetMeterProvider(), otel.GetTracerProvider()}
	for _, opt := range opts {
		opt(&cfg)
	}
	in := &instrumentation{tracer: cfg.tracers.Tracer(scope), known: map[route]*series{}}
	err := errors.Join(
		in.makeInstruments(cfg.meters.Meter(scope)),
		in.makeGauges(cfg.meters.Meter(scope)),
	)
	return pacer.Options(
		pacer.WithStart(func(c *pacer.Client) error { return in.started(c, err) }),
		pacer.WithCallContext(in.begin),
		pacer.WithObserver(in.observe),
	)
}

// An instrumentation is what one call of Instrument makes.
type instrumentation struct {
	tracer trace.Tracer
	instruments
	gauges

	mu      sync.RWMutex
	known   map[route]*series
	clients []weak.Pointer[pacer.Client] // a meter provider lives on, a client may not
}

// started makes the gauges show c.
func (in *instrumentation) started(c *pacer.Client, err error) error {
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.clients = append(in.clients, weak.Make(c))
	return nil
}

// begin is where a call begins. What is kept of it between its events is in its context.
func (in *instrumentation) begin(ctx context.Context, r pacer.Resource) context.Context {
	s := in.seriesOf(r)
	ctx, span := in.tracer.Start(ctx, s.name, s.span...)
	return context.WithValue(ctx, in, &call{series: s, span: span})
}

// observe gets the events of all calls.
func (in *instrumentation) observe(ctx context.Context, e pacer.Event) {
	c, ok := ctx.Value(in).(*call)
	if !ok { // a WithCallContext of the program's own has left out what it was given
		c = &call{series: in.seriesOf(e.Resource), span: trace.SpanFromContext(context.Background())}
	}
	in.measure(ctx, c, e)
	if c.span.IsRecording() {
		c.trace(e)
	}
	if e.Kind == pacer.EventDone {
		c.span.End()
	}
}
