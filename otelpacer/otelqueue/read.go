package otelqueue

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/twilio-pacer/pacer/queue"
	"go.opentelemetry.io/otel/metric"
)

// queueGauges are read from the queue when somebody collects.
type queueGauges struct {
	queue                      *queue.Queue
	requests, sendable, parked metric.Int64ObservableGauge
	workers, holds             metric.Int64ObservableGauge
	oldest                     metric.Float64ObservableGauge
	arrived, departed          metric.Int64ObservableCounter
}

// holdReasons have a gauge from the start, so that an alert can tell none from not known.
var holdReasons = []queue.HoldReason{
	queue.HoldThrottled, queue.HoldQuota, queue.HoldQueueFull, queue.HoldUnreachable, queue.HoldUnauthorized, queue.HoldByPerson,
}

// snake is a name as the value of an attribute.
func snake(name string) string { return strings.ReplaceAll(name, " ", "_") }

// A depth is what waits for a resource, in all its lanes.
type depth struct {
	queue.LaneDepth
	sendable, parked int64
}

// read is the callback of all gauges. What cannot be read is left out, and the error says what.
func (g *queueGauges) read(ctx context.Context, o metric.Observer) error {
	s, err := g.queue.Stats(ctx)
	if err != nil {
		return err
	}
	still, unreadable := g.still(ctx, &s)
	sums := map[string]*depth{}
	for i := range s.Lanes {
		l := &s.Lanes[i]
		name := l.Lane.Resource.String()
		d := sums[name]
		if d == nil {
			d = &depth{}
			sums[name] = d
		}
		d.Add(l)
		switch {
		case l.Ready > 0 && l.Parked.After(s.Time):
			d.parked++
		case !still[l.Lane.Campaign]:
			d.sendable += l.Ready
		}
	}
	for name, d := range sums {
		resource := keyResource.String(name)
		at := metric.WithAttributes(resource)
		for state, n := range map[string]int64{"ready": d.Ready, "delayed": d.Delayed, "sending": d.Sending, "in_doubt": d.InDoubt, "failed": d.Failed} {
			o.ObserveInt64(g.requests, n, metric.WithAttributes(resource, keyState.String(state)))
		}
		o.ObserveInt64(g.sendable, d.sendable, at)
		o.ObserveInt64(g.parked, d.parked, at)
		o.ObserveFloat64(g.oldest, d.OldestAge.Seconds(), at)
		o.ObserveInt64(g.arrived, d.Arrived, at)
		o.ObserveInt64(g.departed, d.Departed, at)
	}
	return errors.Join(unreadable, g.readWorkers(ctx, o), g.readHolds(ctx, o))
}

// still returns the campaigns that send nothing now, as they are paused, cancelled or outside their windows. It
// asks only if something of a campaign is ready. One whose settings cannot be read is not among them.
func (g *queueGauges) still(ctx context.Context, s *queue.Stats) (map[string]bool, error) {
	ready := false
	for i := range s.Lanes {
		ready = ready || s.Lanes[i].Lane.Campaign != "" && s.Lanes[i].Ready > 0
	}
	if !ready {
		return nil, nil
	}
	campaigns, err := g.queue.Campaigns(ctx)
	still := map[string]bool{}
	for i := range campaigns {
		still[campaigns[i].Name] = campaigns[i].State != queue.CampaignRunning
	}
	return still, err
}

func (g *queueGauges) readWorkers(ctx context.Context, o metric.Observer) error {
	workers, err := g.queue.Workers(ctx)
	if err != nil {
		return err
	}
	alive := int64(0)
	for i := range workers {
		if workers[i].Alive {
			alive++
		}
	}
	o.ObserveInt64(g.workers, alive)
	return nil
}

func (g *queueGauges) readHolds(ctx context.Context, o metric.Observer) error {
	holds, err := g.queue.Holds(ctx)
	if err != nil {
		return err
	}
	counts := map[queue.HoldReason]int64{}
	for _, reason := range holdReasons {
		counts[reason] = 0
	}
	for _, h := range holds {
		counts[h.Reason]++
	}
	for reason, n := range counts {
		o.ObserveInt64(g.holds, n, metric.WithAttributes(keyReason.String(cmp.Or(snake(string(reason)), "not_known"))))
	}
	return nil
}
