package otelqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer/otelqueue"
	"github.com/twilio-pacer/pacer/queue"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// depths is an engine of which only Stats and Now are used.
type depths struct {
	queue.Engine
	lanes []queue.LaneStats
	err   error
}

func (d *depths) Stats(context.Context) ([]queue.LaneStats, error) { return d.lanes, d.err }
func (d *depths) Now(context.Context) (time.Time, error)           { return time.Now(), nil }

func lane(campaign, sender string) queue.Lane {
	return queue.Lane{Campaign: campaign, Resource: pacer.Resource{
		Account: "AC1", Region: "us1", Product: "api", Name: pacer.Messages, Op: pacer.Create, Sender: sender,
	}}
}

func TestInstrument(t *testing.T) {
	engine := &depths{lanes: []queue.LaneStats{
		{Lane: lane("", "+15005550006"), Ready: 3, Delayed: 4, Sending: 1, InDoubt: 1, Failed: 2, Sent: 9, Arrived: 20, Departed: 11,
			Oldest: time.Now().Add(-time.Hour), Parked: time.Now().Add(time.Minute)},
		{Lane: lane("spring", "+15005550007"), Ready: 5, Arrived: 5, Parked: time.Now().Add(-time.Minute)},
	}}
	q, err := queue.Open(engine, queue.WithAccount("AC00000000000000000000000000000000"))
	if err != nil {
		t.Fatal(err)
	}
	reader := metric.NewManualReader()
	unregister, err := otelqueue.Instrument(q, otelqueue.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}
	collect := func() (got []string, err error) {
		var data metricdata.ResourceMetrics
		err = reader.Collect(t.Context(), &data)
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				switch d := m.Data.(type) {
				case metricdata.Gauge[int64]:
					for _, p := range d.DataPoints {
						got = append(got, fmt.Sprint(m.Name, " "+p.Attributes.Encoded(attribute.DefaultEncoder())+" ", p.Value))
					}
				case metricdata.Gauge[float64]:
					for _, p := range d.DataPoints {
						got = append(got, fmt.Sprint(m.Name, " "+p.Attributes.Encoded(attribute.DefaultEncoder())+" ", int(p.Value)))
					}
				case metricdata.Sum[int64]:
					for _, p := range d.DataPoints {
						got = append(got, fmt.Sprint(m.Name, " "+p.Attributes.Encoded(attribute.DefaultEncoder())+" ", p.Value))
					}
				}
			}
		}
		slices.Sort(got)
		return got, err
	}
	got, err := collect()
	const r = " pacer.resource=api/Messages:create "
	want := []string{
		"pacer.queue.arrived" + r + "25",
		"pacer.queue.departed" + r + "11",
		"pacer.queue.lanes_parked" + r + "1",
		"pacer.queue.oldest_age" + r + "3600",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=delayed 4",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=failed 2",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=in_doubt 1",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=ready 8",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=sending 1",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("collected, %v:\n%q\nexpected\n%q", err, got, want)
	}

	engine.err = errors.New("no store")
	if _, err := collect(); err == nil {
		t.Error("a store that fails was collected without an error")
	}
	engine.err = nil
	if err := unregister(); err != nil {
		t.Fatal(err)
	}
	if got, err := collect(); len(got) != 0 {
		t.Errorf("after unregister: %v, %v", got, err)
	}
}
