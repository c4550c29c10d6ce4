package otelpacer

import (
	"context"
	"errors"
	"weak"

	"github.com/twilio-pacer/pacer"
	"go.opentelemetry.io/otel/metric"
)

// gauges are read from [pacer.Client.Stats] when somebody collects.
type gauges struct {
	waiting, queued        metric.Int64ObservableGauge
	inFlight, inFlightMax  metric.Int64ObservableGauge
	effective, configured  metric.Float64ObservableGauge
	learned                metric.Float64ObservableGauge
	coolDown, throttledNow metric.Float64ObservableGauge
	shared                 metric.Int64ObservableGauge
	alerts                 metric.Int64ObservableCounter
}

func (in *instrumentation) makeGauges(m metric.Meter) error {
	var errs []error
	count := func(name, unit, text string) metric.Int64ObservableGauge {
		g, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	amount := func(name, unit, text string) metric.Float64ObservableGauge {
		g, err := m.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	in.waiting = count("pacer.calls.waiting", "{call}", "Calls that wait now, for their turn or for their next attempt.")
	in.queued = count("pacer.calls.queued", "{call}", "Of the calls that wait now those that wait for their turn.")
	in.inFlight = count("pacer.requests.in_flight", "{request}", "Requests on the wire now.")
	in.inFlightMax = count("pacer.requests.in_flight_limit", "{request}", "How many requests may be on the wire, as configured or learned; absent if there is no limit.")
	in.effective = amount("pacer.rate.effective", "{request}/s", "How fast requests may leave now, all senders together; absent if they are not paced.")
	in.configured = amount("pacer.rate.configured", "{request}/s", "How fast they may leave according to limits or defaults; absent if there is none.")
	in.learned = amount("pacer.rate.learned", "{request}/s", "The limit as far as throttling has shown it; absent if it has not.")
	in.coolDown = amount("pacer.cool_down", "s", "Until a throttled resource is used again; of several senders the longest.")
	in.throttledNow = amount("pacer.requests.throttled_ratio", "1", "Share of the last minute's requests that were throttled.")
	in.shared = count("pacer.limits.shared", "1", "1 while limits are shared with other processes, 0 while what shares them does not answer; absent if nothing does.")
	var err error
	in.alerts, err = m.Int64ObservableCounter("pacer.alerts", metric.WithUnit("{alert}"), metric.WithDescription("Alerts that were raised."))
	errs = append(errs, err)
	_, err = m.RegisterCallback(in.read, in.waiting, in.queued, in.inFlight, in.inFlightMax,
		in.effective, in.configured, in.learned, in.coolDown, in.throttledNow, in.shared, in.alerts)
	return errors.Join(append(errs, err)...)
}

// A sum adds up the buckets of one resource: those of all accounts, regions and senders.
type sum struct {
	resource                       metric.ObserveOption
	queued                         int
	effective, configured, learned float64
	coolDown                       float64
}

// alertKinds have a counter from the start, so that the first alert is an increase.
var alertKinds = []pacer.AlertKind{
	pacer.AlertRetriesExhausted, pacer.AlertRetryAfterTooLong, pacer.AlertQuota, pacer.AlertThrottled, pacer.AlertLimitsRejected,
	pacer.AlertPacedByDefault, pacer.AlertPoolUnknown,
}

// read is the callback of all gauges.
func (in *instrumentation) read(_ context.Context, o metric.Observer) error {
	clients := in.live()
	if len(clients) == 0 {
		return nil
	}
	var waiting, inFlight, inFlightMax int
	stores, away := 0, 0 // clients with a store, and with one that does not answer
	var counts pacer.Counts
	alerts := map[pacer.AlertKind]int{}
	for _, kind := range alertKinds {
		alerts[kind] = 0
	}
	sums := map[string]*sum{}
	for _, c := range clients {
		s := c.Stats()
		waiting += s.Waiting
		if s.Store != nil {
			stores++
			if s.Store.Err != nil {
				away++
			}
		}
		inFlight += s.InFlight
		counts.Requests += s.Requests
		counts.Throttled += s.Throttled
		for kind, n := range s.Alerts {
			alerts[kind] += n
		}
		for _, a := range s.Accounts {
			inFlightMax += lower(a.MaxInFlight, a.Learned)
		}
		for _, b := range s.Buckets {
			of := in.seriesOf(b.Resource)
			if sums[of.name] == nil {
				sums[of.name] = &sum{resource: of.resource}
			}
			sums[of.name].add(b)
		}
	}

	o.ObserveInt64(in.waiting, int64(waiting))
	o.ObserveInt64(in.inFlight, int64(inFlight))
	if inFlightMax > 0 {
		o.ObserveInt64(in.inFlightMax, int64(inFlightMax))
	}
	if stores > 0 {
		shared := int64(1)
		if away > 0 {
			shared = 0
		}
		o.ObserveInt64(in.shared, shared)
	}
	o.ObserveFloat64(in.throttledNow, counts.ThrottledRatio())
	for kind, n := range alerts {
		o.ObserveInt64(in.alerts, int64(n), metric.WithAttributes(keyAlert.String(snake(string(kind)))))
	}
	for _, s := range sums {
		o.ObserveInt64(in.queued, int64(s.queued), s.resource)
		o.ObserveFloat64(in.coolDown, s.coolDown, s.resource)
		for gauge, rate := range map[metric.Float64Observable]float64{
			in.effective: s.effective, in.configured: s.configured, in.learned: s.learned,
		} {
			if rate > 0 {
				o.ObserveFloat64(gauge, rate, s.resource)
			}
		}
	}
	return nil
}

// live returns the clients that somebody still uses, and forgets the others.
func (in *instrumentation) live() (clients []*pacer.Client) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var kept []weak.Pointer[pacer.Client]
	for _, p := range in.clients {
		if c := p.Value(); c != nil {
			clients, kept = append(clients, c), append(kept, p)
		}
	}
	in.clients = kept
	return clients
}

func (s *sum) add(b pacer.BucketStats) {
	s.queued += b.Waiting
	s.coolDown = max(s.coolDown, b.CoolDown.Seconds())
	s.effective += b.Pace // each of the three is 0 where there is none
	s.configured += b.Rate
	s.learned += b.Learned
}

// lower is the lower of two limits, where 0 is none.
func lower(a, b int) int {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}
