package otelpacer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// The attributes. The first ones are those of OpenTelemetry's semantic conventions.
const (
	keyMethod  = attribute.Key("http.request.method")
	keyStatus  = attribute.Key("http.response.status_code")
	keyAddress = attribute.Key("server.address")
	keyPort    = attribute.Key("server.port")
	keyError   = attribute.Key("error.type")

	keyResource = attribute.Key("pacer.resource")
	keyOutcome  = attribute.Key("pacer.outcome")
	keyReason   = attribute.Key("pacer.reason")
	keyAlert    = attribute.Key("pacer.alert")
)

// instruments are those that calls feed; the gauges are read.
type instruments struct {
	request   metric.Float64Histogram
	call      metric.Float64Histogram
	wait      metric.Float64Histogram
	throttled metric.Int64Counter
	retried   metric.Int64Counter
	gaveUp    metric.Int64Counter
}

var (
	// requestBuckets are those that the semantic conventions ask for.
	requestBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	// waitBuckets reach from a wait that nobody notices to a Retry-After of minutes.
	waitBuckets = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
)

func (in *instruments) makeInstruments(m metric.Meter) error {
	var errs [6]error
	in.request, errs[0] = m.Float64Histogram("http.client.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP client requests: of each attempt, waits not included."),
		metric.WithExplicitBucketBoundaries(requestBuckets...))
	in.call, errs[1] = m.Float64Histogram("pacer.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of calls, with all their attempts and waits."),
		metric.WithExplicitBucketBoundaries(waitBuckets...))
	in.wait, errs[2] = m.Float64Histogram("pacer.wait.duration", metric.WithUnit("s"),
		metric.WithDescription("How long a request waited in the limiter for its turn; waits between attempts are not included."),
		metric.WithExplicitBucketBoundaries(waitBuckets...))
	in.throttled, errs[3] = m.Int64Counter("pacer.requests.throttled", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that Twilio answered with too many requests (HTTP 429, code 20429)."))
	in.retried, errs[4] = m.Int64Counter("pacer.requests.retried", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that were not the first attempt of their call."))
	in.gaveUp, errs[5] = m.Int64Counter("pacer.calls.gave_up", metric.WithUnit("{call}"),
		metric.WithDescription("Calls that Twilio did not take, and that are not sent again."))
	return errors.Join(errs[:]...)
}

// A route is a Resource without what must not become an attribute: account and sender.
type route struct {
	product, region, name string
	op                    pacer.Op
}

// A series is what all calls of one route share: their attributes, made once.
type series struct {
	name     string
	span     []trace.SpanStartOption
	resource metric.MeasurementOption
	record   []metric.RecordOption
	add      []metric.AddOption
	server   []attribute.KeyValue

	mu       sync.RWMutex
	attempts map[attempt][]metric.RecordOption
	outcomes map[string][]metric.RecordOption
}

// An attempt is what tells the attempts of one route apart.
type attempt struct {
	method, errorType string
	status            int
}

// reasons are the kinds of pacer.calls.gave_up.
var reasons = []pacer.Kind{pacer.Throttled, pacer.QueueFull, pacer.AttemptCap, pacer.Quota, pacer.NotSent}

func (in *instrumentation) seriesOf(r pacer.Resource) *series {
	key := route{r.Product, r.Region, r.Name, r.Op}
	in.mu.RLock()
	s := in.known[key]
	in.mu.RUnlock()
	if s != nil {
		return s
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := in.known[key]; s != nil {
		return s
	}
	s = newSeries(r)
	in.known[key] = s

	// A counter that appears with 1 has not increased as Prometheus sees it: let each
	// begin with 0.
	ctx := context.Background()
	in.throttled.Add(ctx, 0, s.add...)
	in.retried.Add(ctx, 0, s.add...)
	for _, k := range reasons {
		in.gaveUp.Add(ctx, 0, s.reason(k))
	}
	return s
}

func newSeries(r pacer.Resource) *series {
	name := keyResource.String(r.String())
	set := metric.WithAttributeSet(attribute.NewSet(name))
	return &series{
		name:     r.String(),
		span:     []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(name)},
		resource: set,
		record:   []metric.RecordOption{set},
		add:      []metric.AddOption{set},
		server:   append(serverOf(r), name),
		attempts: map[attempt][]metric.RecordOption{},
		outcomes: map[string][]metric.RecordOption{},
	}
}

// serverOf is the product's host, without the edge, which is not known.
func serverOf(r pacer.Resource) []attribute.KeyValue {
	host := r.Product
	switch {
	case r.Region == "us1":
		host += ".twilio.com"
	case r.Region != "":
		host += "." + r.Region + ".twilio.com"
	default: // not Twilio's: the product is the host, or it is behind a host that is not known
		if !strings.Contains(host, ".") {
			return nil
		}
		return []attribute.KeyValue{keyAddress.String(host)}
	}
	return []attribute.KeyValue{keyAddress.String(host), keyPort.Int(443)}
}

func (s *series) reason(k pacer.Kind) metric.AddOption {
	return metric.WithAttributes(keyResource.String(s.name), keyReason.String(snake(string(k))))
}

func (s *series) outcome(outcome string) []metric.RecordOption {
	return cached(s, s.outcomes, outcome, func() []attribute.KeyValue {
		return []attribute.KeyValue{keyResource.String(s.name), keyOutcome.String(outcome)}
	})
}

func (s *series) attempt(a attempt) []metric.RecordOption {
	return cached(s, s.attempts, a, func() []attribute.KeyValue {
		attrs := append([]attribute.KeyValue{keyMethod.String(a.method)}, s.server...)
		if a.status != 0 {
			attrs = append(attrs, keyStatus.Int(a.status))
		}
		if a.errorType != "" {
			attrs = append(attrs, keyError.String(a.errorType))
		}
		return attrs
	})
}

// cached returns the options for key in m, one of s's maps.
func cached[K comparable](s *series, m map[K][]metric.RecordOption, key K, attrs func() []attribute.KeyValue) []metric.RecordOption {
	s.mu.RLock()
	opts := m[key]
	s.mu.RUnlock()
	if opts == nil {
		opts = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs()...))}
		s.mu.Lock()
		m[key] = opts
		s.mu.Unlock()
	}
	return opts
}

// A call is what is kept of one between its events, which come one after the other.
type call struct {
	*series
	span trace.Span
	turn time.Duration // that the attempt to come has waited for
	code int           // Twilio's, of the last attempt
}

func (in *instruments) measure(ctx context.Context, c *call, e pacer.Event) {
	switch e.Kind {
	case pacer.EventWaited:
		c.turn = e.Wait
	case pacer.EventSent:
		in.wait.Record(ctx, c.turn.Seconds(), c.record...) // 0 for those that did not wait, so that a median is one
		in.request.Record(ctx, e.Took.Seconds(), c.attempt(attempt{e.Method, errorType(e), e.Status})...)
		if e.Attempt > 1 {
			in.retried.Add(ctx, 1, c.add...)
		}
		c.turn, c.code = 0, e.Code
	case pacer.EventThrottled:
		in.throttled.Add(ctx, 1, c.add...)
	case pacer.EventGaveUp:
		rl, _ := pacer.FromError(e.Err)
		in.gaveUp.Add(ctx, 1, c.reason(rl.Kind))
	case pacer.EventDone:
		in.call.Record(ctx, e.Took.Seconds(), c.outcome(outcome(e.Err))...)
	}
}

// outcome tells what became of a call: ok, a Kind of pacer's, in_doubt or error.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if rl, ok := pacer.FromError(err); ok {
		return snake(string(rl.Kind))
	}
	if pacer.InDoubt(err) {
		return "in_doubt"
	}
	return "error"
}

// errorType is the semantic conventions' error.type: the status if there was an answer;
// "" if there was no error.
func errorType(e pacer.Event) string {
	var timeout interface{ Timeout() bool }
	switch {
	case e.Err == nil:
		return ""
	case e.Status != 0:
		return strconv.Itoa(e.Status)
	case errors.Is(e.Err, pacer.ErrWaitTooLong):
		return "wait_too_long"
	case errors.Is(e.Err, context.Canceled):
		return "canceled"
	case errors.Is(e.Err, context.DeadlineExceeded), errors.As(e.Err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "_OTHER"
}

// snake writes one of pacer's kinds as attributes are written: "retry_after_too_long".
func snake(kind string) string {
	return strings.NewReplacer(" ", "_", "-", "_", "'", "").Replace(strings.ToLower(kind))
}
