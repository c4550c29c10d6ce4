package otelqueue

import (
	"context"

	"github.com/twilio-pacer/pacer/queue"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// keyAlert is the attribute of pacer.queue.alerts: a queue.AlertKind, with _ for each space.
const keyAlert = attribute.Key("pacer.alert")

// alertKinds have a counter from the start, so that the first alert is an increase.
var alertKinds = []queue.AlertKind{
	queue.AlertThrottled, queue.AlertHeld, queue.AlertUnauthorized, queue.AlertUnreachable, queue.AlertInDoubt,
	queue.AlertGrowing, queue.AlertStore, queue.AlertResults, queue.AlertStopped,
}

// CountAlerts returns an option for [queue.NewWorker] that counts the worker's alerts, by kind. With
// any [queue.WithAlert] a worker logs its alerts only if it has a logger ([queue.WithLogger]). This option is
// one. The error is the meter provider's. CountAlerts is safe for concurrent use, and so is what it returns.
func CountAlerts(opts ...Option) (queue.WorkerOption, error) {
	cfg := config{otel.GetMeterProvider()}
	for _, opt := range opts {
		opt(&cfg)
	}
	c, err := cfg.meters.Meter(scope).Int64Counter("pacer.queue.alerts", metric.WithUnit("{alert}"), metric.WithDescription("Alerts that a worker has raised."))
	if err != nil {
		return nil, err
	}
	count := func(kind queue.AlertKind, n int64) {
		c.Add(context.Background(), n, metric.WithAttributes(keyAlert.String(snake(string(kind)))))
	}
	for _, kind := range alertKinds {
		count(kind, 0)
	}
	return queue.WithAlert(func(a queue.Alert) { count(a.Kind, 1) }), nil
}
