package otelqueue_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer/otelqueue"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// depths is an engine that is only looked at. No worker lives, and there is no campaign.
type depths struct {
	queue.Engine
	lanes []queue.LaneStats
	holds []queue.Hold
	err   error
}

func (d *depths) Holds(context.Context) ([]queue.Hold, error) { return d.holds, nil }
func (d *depths) Documents(context.Context, ...string) ([]queue.Document, error) {
	return nil, nil
}

func (d *depths) Stats(context.Context) ([]queue.LaneStats, error) { return d.lanes, d.err }
func (d *depths) Now(context.Context) (time.Time, error)           { return time.Now(), nil }

func lane(campaign, sender string) queue.Lane {
	return queue.Lane{Campaign: campaign, Resource: pacer.Resource{
		Account: "AC1", Region: "us1", Product: "api", Name: pacer.Messages, Op: pacer.Create, Sender: sender,
	}}
}

// collected returns what a reader collects, a line for each value.
func collected(t *testing.T, reader metric.Reader) (got []string, err error) {
	var data metricdata.ResourceMetrics
	err = reader.Collect(t.Context(), &data)
	add := func(name string, of attribute.Set, v any) {
		got = append(got, fmt.Sprint(name, " "+of.Encoded(attribute.DefaultEncoder())+" ", v))
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					add(m.Name, p.Attributes, int(p.Value))
				}
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			}
		}
	}
	slices.Sort(got)
	return got, err
}

func TestInstrument(t *testing.T) {
	engine := &depths{holds: []queue.Hold{{Reason: queue.HoldQuota}, {Reason: queue.HoldQuota}, {}}, lanes: []queue.LaneStats{
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
	collect := func() ([]string, error) { return collected(t, reader) }
	got, err := collect()
	const r = " pacer.resource=api/Messages:create "
	want := []string{
		"pacer.queue.arrived" + r + "25",
		"pacer.queue.departed" + r + "11",
		"pacer.queue.holds pacer.reason=by_a_person 0",
		"pacer.queue.holds pacer.reason=not_known 1",
		"pacer.queue.holds pacer.reason=queue_full 0",
		"pacer.queue.holds pacer.reason=quota_used_up 2",
		"pacer.queue.holds pacer.reason=throttled 0",
		"pacer.queue.holds pacer.reason=unauthorized 0",
		"pacer.queue.holds pacer.reason=unreachable 0",
		"pacer.queue.lanes_parked" + r + "1",
		"pacer.queue.oldest_age" + r + "3600",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=delayed 4",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=failed 2",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=in_doubt 1",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=ready 8",
		"pacer.queue.requests pacer.resource=api/Messages:create,pacer.state=sending 1",
		"pacer.queue.sendable" + r + "5",
		"pacer.queue.workers  0",
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

// What a campaign keeps back is ready, and not sendable.
func TestCampaignsThatStandAreNotSendable(t *testing.T) {
	engine, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	reader := metric.NewManualReader()
	unregister, err := otelqueue.Instrument(q, otelqueue.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}
	defer unregister()
	sendable := func(want string) {
		t.Helper()
		got, err := collected(t, reader)
		if line := "pacer.queue.sendable pacer.resource=api/Messages:create " + want; err != nil || !slices.Contains(got, line) {
			t.Errorf("%q, %v; expected %q", got, err, line)
		}
	}
	c, err := q.Campaign(t.Context(), "spring", queue.CampaignOptions{Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enqueue(t.Context(), slices.Values([]queue.Recipient{{ID: "+15555550100"}}), func(tw *twilio.RestClient, r queue.Recipient) error {
		_, err := tw.Api.CreateMessage((&api.CreateMessageParams{}).SetFrom("+15005550006").SetTo(r.ID).SetBody("Hello."))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sendable("1")
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	sendable("0")
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	sendable("1")
}
