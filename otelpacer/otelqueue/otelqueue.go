// Package otelqueue gives a durable queue OpenTelemetry metrics:
//
//	unregister, err := otelqueue.Instrument(q)
//
// It is a module of its own, beside otelpacer. The queue's module needs a newer Go and
// many more modules than a client's metrics do; who has no queue needs none of them.
//
// The metrics, and what to do about them, are in docs/watching.md. No account, SID, phone
// number, campaign or text becomes an attribute.
package otelqueue

import (
	"errors"

	"github.com/twilio-pacer/pacer/queue"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// scope is that of otelpacer: one filter finds the metrics of clients and of queues.
const scope = "github.com/twilio-pacer/pacer/otelpacer"

const (
	// keyResource is the attribute of all metrics: the name of pacer.Resource, as
	// otelpacer has it.
	keyResource = attribute.Key("pacer.resource")
	// keyState is the attribute of pacer.queue.requests: ready, delayed, sending, in_doubt
	// or failed.
	keyState = attribute.Key("pacer.state")
	// keyReason is the attribute of pacer.queue.holds: a queue.HoldReason, with _ for each space.
	keyReason = attribute.Key("pacer.reason")
)

// An Option changes where [Instrument] sends what it sees.
type Option func(*config)

type config struct{ meters metric.MeterProvider }

// WithMeterProvider sets where metrics go. The default is otel.GetMeterProvider; one
// from package metric/noop turns metrics off.
func WithMeterProvider(mp metric.MeterProvider) Option { return func(c *config) { c.meters = mp } }

// Instrument measures the depth of a queue, whenever somebody collects, until unregister
// is called. Call unregister before the queue is closed.
//
// It shows the whole queue, whichever process asks. Of several processes on one store
// instrument one, or take the maximum of what they show, not the sum. Lanes of one
// resource are added up: neither senders nor campaigns become attributes.
//
// It makes no traces. Requests that a worker sends have those of its client, which
// otelpacer.Instrument makes. The error says that q is nil, or what the meter provider
// refused. Instrument is safe for concurrent use.
func Instrument(q *queue.Queue, opts ...Option) (unregister func() error, err error) {
	if q == nil {
		return nil, errors.New("otelqueue: Instrument: nil: expected a queue")
	}
	cfg := config{otel.GetMeterProvider()}
	for _, opt := range opts {
		opt(&cfg)
	}
	g := &queueGauges{queue: q}
	m := cfg.meters.Meter(scope)
	var errs []error
	counter := func(name, text string) metric.Int64ObservableCounter {
		c, err := m.Int64ObservableCounter(name, metric.WithUnit("{request}"), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	count := func(name, unit, text string) metric.Int64ObservableGauge {
		c, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	g.requests = count("pacer.queue.requests", "{request}", "Requests in the queue, by state.")
	g.sendable = count("pacer.queue.sendable", "{request}", "Ready requests that neither a hold nor their campaign keeps back.")
	g.workers = count("pacer.queue.workers", "{worker}", "Workers that have said within 20 s that they live.")
	g.holds = count("pacer.queue.holds", "{hold}", "Buckets and accounts of which nothing is sent now, by reason.")
	g.parked = count("pacer.queue.lanes_parked", "{lane}", "Lanes with something ready that pause since Twilio said so.")
	amount := func(name, unit, text string) metric.Float64ObservableGauge {
		c, err := m.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	g.oldest = amount("pacer.queue.oldest_age", "s", "How long the first ready request has been waiting.")
	g.arrived = counter("pacer.queue.arrived", "Requests that were enqueued, ever.")
	g.departed = counter("pacer.queue.departed", "Requests that were sent, failed or cancelled, ever.")
	r, err := m.RegisterCallback(g.read, g.requests, g.sendable, g.workers, g.holds, g.parked, g.oldest, g.arrived, g.departed)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return r.Unregister, nil
}
